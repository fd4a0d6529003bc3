#include "scan_gpu.h"

#include "base/mem.h"

vx_gpu_found *vx_gpu_found_free(vx_gpu_found *found) {
    if (!found)
        return NULL;
    free(found->parts);
    free(found->bars);
    free(found->rows);
    free(found->first);
    free(found);
    return NULL;
}

void vx_scan_gpu(const vx_rows *rows, const vx_gpu_found *found, vx_probe *probes, size_t n) {
    for (size_t q = 0; q < n; q++) {
        vx_probe *probe = &probes[q];
        const size_t *first = found->first + q * found->n_segments + probe->segment;
        float width = vx_codes_width(rows->codes->max_length, &probe->coded);
        for (size_t i = first[0]; i < first[1]; i++) {
            const vx_code_row *row = &found->rows[i];
            vx_probe_consider(probe, rows, row->row, row->score,
                              rows->codes->errors[row->row] * probe->coded.length + width);
        }
        int64_t n_rows = (int64_t)found->parts[probe->segment].n_rows;
        probe->work.rows_scanned += n_rows;
        probe->work.rows_on_gpu += n_rows;
    }
}

/* scan_floats.c — the first pass over float32, by FAISS, where the processor has no instructions for codes.
 *
 * FAISS gives the k + PAD best candidates by its own float32 score. A row that it left out has a FAISS score
 * of at most the last candidate's, so its true score is at most that plus a slack. If this is below the k-th
 * best found, no row was missed. Otherwise (many equal or nearly equal vectors) the segment is scanned row
 * by row, as it is when only some groups are selected: slower, but simple and exact.
 */
#include <errno.h>
#include <math.h>

#include "first_pass.h"

#define PAD 32

/* float32 sums of dim products err by at most about dim·2^-24·|query|·|row|, in whatever order they were
 * added. */
static float slack_of(const vx_rows *rows, const vx_probe *probe) {
    return probe->length * rows->max_length * (float)(rows->dim + 4) * 0x1p-24f;
}

static void scan_rows(const vx_rows *rows, size_t first, vx_probe *probes, size_t n,
                      const vx_selected *selected) {
    for (size_t row = first; row < rows->n; row++) {
        if (selected && !vx_idset_bits_have(&selected->bits,
                                            selected->by_id ? rows->ids[row] : rows->groups[row]))
            continue;
        for (size_t i = 0; i < n; i++) {
            probes[i].work.rows_scanned++;
            vx_probe_offer(&probes[i], rows, row);
        }
    }
}

/* Considers one query's candidates; false = a row outside them could belong to the result. */
static bool consider(const vx_rows *rows, vx_probe *probe, const float *scores,
                     const int64_t *candidates, size_t n) {
    float slack = slack_of(rows, probe);
    for (size_t i = 0; i < n && candidates[i] >= 0; i++) {
        if (scores[i] + slack < vx_probe_bar(probe))
            return true;
        vx_probe_consider(probe, rows, (size_t)candidates[i], scores[i], slack);
    }
    /* Fewer than n: the rest are no numbers to FAISS, as are sums that overflow. */
    if (candidates[n - 1] < 0)
        return isfinite(slack);
    if (probe->n_held >= probe->top.k && probe->top.k > 0) {
        float bar = vx_probe_bar(probe);
        probe->n_held =
            vx_held_drop(probe->held, probe->n_held, probe->top.k, probe->scratch, &bar);
        vx_probe_raise_bar(probe, bar);
    }
    return scores[n - 1] + slack < vx_probe_bar(probe);
}

static int scan_candidates(const vx_rows *rows, vx_probe *probes, size_t n, size_t k, vx_err *err) {
    size_t n_results;
    if (!vx_mul(n, k, &n_results))
        return VX_FAIL(err, -ENOMEM, "search for %zu × %zu results is too large", n, k);
    VX_AUTO_FREE float *scores = vx_new_array(n_results, sizeof(*scores));
    VX_AUTO_FREE int64_t *found = vx_new_array(n_results, sizeof(*found));
    if (!scores || !found)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu candidates", n_results);
    int rc = vx_faiss_search(rows->flat, probes->query, n, k, scores, found, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        probes[i].work.rows_scanned += (int64_t)rows->n;
        if (!consider(rows, &probes[i], scores + i * k, found + i * k, k)) {
            vx_topk_empty(&probes[i].top);
            probes[i].n_held = 0;
            scan_rows(rows, 0, &probes[i], 1, NULL);
        }
    }
    return rc;
}

static int scan_floats(const vx_rows *rows, size_t first, vx_probe *probes, size_t n,
                       const vx_selected *selected, vx_err *err) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k = probes[i].top.k > k ? probes[i].top.k : k;
    /* Where most rows would be scored again anyway, FAISS's pass is wasted. */
    if (!selected && first == 0 && k + PAD <= rows->n / 2)
        return scan_candidates(rows, probes, n, k + PAD, err);
    scan_rows(rows, first, probes, n, selected);
    return 0;
}

const vx_first_pass vx_first_pass_floats = {.name = "float32", .scan = scan_floats};

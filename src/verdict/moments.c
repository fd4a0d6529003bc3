/* moments.c — vectors of moments of one file: of the default model, and of the copy model, which describes pictures. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "verdict_internal.h"

/* Errors of that one file, which trying again would not mend. (After -EIO the caller decides.) */
static bool is_of_the_file(int code) {
    static const int codes[] = {ENOENT, EACCES, EPERM, EISDIR, ENOTDIR, ELOOP, ENXIO, ESTALE};
    for (size_t i = 0; i < VX_LEN(codes); i++)
        if (code == -codes[i])
            return true;
    return false;
}

vx_span vx_moment_at(double middle_s, double length_s) {
    const double moment_s = 1; /* of which the model sees pictures */
    return (vx_span){fmax(0, middle_s - moment_s / 2), fmin(length_s, middle_s + moment_s / 2)};
}

int vx_moments_embed(const vx_verdict_files *files, const vx_moments *moments, float **ret_vectors,
                     vx_err *err) {
    const vx_extract_watch watch = {.cancelled = files->cancelled, .ctx = files->ctx};
    char table_path[PATH_MAX];
    vx_store_table_path(files->store, files->sha256, table_path, sizeof table_path);
    const vx_extract_params params = {.path = files->path,
                                      .table_path = table_path,
                                      .spans = moments->spans,
                                      .n_spans = moments->n,
                                      .views = moments->views,
                                      .models = 1,
                                      .decode_threads = files->decode_threads,
                                      .watch = &watch};
    vx_extractor extractor = *files->extractor;
    if (moments->by_copy_model)
        extractor.models = extractor.models->copy;
    vx_extract extract = {0};
    vx_outcome outcome = vx_extract_run(&extractor, &params, &extract, err);
    *ret_vectors = vx_take(extract.vectors[0]);
    vx_extract_clear(&extract);
    if (outcome == VX_OUTCOME_CANCELLED || outcome == VX_OUTCOME_STOPPING)
        return VX_FAIL(err, VX_MEDIA_STOPPED, "the look was stopped");
    if (outcome && vx_outcome_is_our_fault(outcome) && !is_of_the_file(err->code))
        return err->code < 0 ? err->code : -EIO;
    if (outcome)
        vx_log_failed(VX_LOG_DEBUG, "evidence", err, "path=%s", files->path);
    return 0;
}

/* ---- pictures ---- */

int vx_verdict_describe(const vx_verdict_files *files, double length_s, float **ret_vectors,
                        size_t *ret_n, vx_err *err) {
    vx_span spans[VX_PICTURES_MAX];
    *ret_vectors = NULL;
    *ret_n = 0;
    if (!isfinite(length_s) || length_s <= 0)
        return 0;
    size_t n = vx_picture_count(length_s);
    for (size_t i = 0; i < n; i++)
        spans[i] = vx_moment_at(vx_picture_time(length_s, (int64_t)i), length_s);
    const vx_moments moments = {.spans = spans, .n = n, .by_copy_model = true};
    int rc = vx_moments_embed(files, &moments, ret_vectors, err);
    if (rc == -EIO) { /* the model failed on these pictures, or the disk: the video has none */
        atomic_fetch_add(&files->extractor->models->copy->items[0].failures, 1);
        vx_log_failed(VX_LOG_WARN, "copy-model", err, "path=%s", files->path);
        rc = 0;
    }
    *ret_n = *ret_vectors ? n : 0;
    return rc;
}

int vx_verdict_get_pictures(const vx_collection *collection, const vx_verdict_subject *subject,
                            const vx_verdict_files *files, float **ret_vectors, size_t *ret_n,
                            vx_err *err) {
    const vx_model *copy = &collection->models->copy->items[0];
    size_t dim = (size_t)copy->info->dim, n = 0;
    VX_AUTO_FREE float *vectors = vx_new_array(VX_PICTURES_MAX, dim * sizeof *vectors);
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for the descriptions of pictures");
    while (
        subject->before_row && n < VX_PICTURES_MAX &&
        !vx_index_get(copy->index, vx_picture_id(subject->before_row, n), vectors + n * dim, NULL))
        n++;
    if (!n)
        return vx_verdict_describe(files, subject->length_s, ret_vectors, ret_n, err);
    *ret_vectors = vx_take(vectors);
    *ret_n = n;
    return 0;
}

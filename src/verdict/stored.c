/* stored.c — a stored video as the subject of another look. */
#include <errno.h>
#include <string.h>

#include "verdict.h"

void vx_verdict_stored_done(vx_verdict_stored *stored) {
    free(stored->spans);
    free(stored->vectors);
    vx_video_free(stored->video);
    *stored = (vx_verdict_stored){0};
}

/* Clips whose vectors are not there are left out. */
static int read_clips(vx_verdict_stored *s, const vx_model *model, vx_err *err) {
    size_t dim = (size_t)model->info->dim;
    s->vectors = vx_new_array(s->video->n_clips, dim * sizeof *s->vectors);
    s->spans = vx_new_array(s->video->n_clips, sizeof *s->spans);
    if (!s->vectors || !s->spans)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", s->video->n_clips);
    for (size_t i = 0; i < s->video->n_clips; i++) {
        const vx_clip *clip = &s->video->clips[i];
        if (vx_index_get(model->index, clip->row, s->vectors + s->subject.n_clips * dim, err))
            continue;
        s->spans[s->subject.n_clips++] = (vx_span){clip->start_s, clip->end_s};
    }
    return 0;
}

int vx_verdict_stored_read(vx_collection *collection, int64_t row, vx_verdict_stored *ret_stored,
                           vx_err *err) {
    vx_verdict_stored *s = ret_stored;
    *s = (vx_verdict_stored){0};
    int rc = vx_catalog_get_video_by_row(collection->catalog, row, &s->video, err);
    if (!rc)
        rc = read_clips(s, &collection->models->items[0], err);
    if (rc) {
        vx_verdict_stored_done(s);
        return rc;
    }
    vx_verdict_subject *subject = &s->subject;
    strcpy(subject->id, s->video->id);
    subject->vectors = s->vectors;
    subject->spans = s->spans;
    subject->length_s = s->video->duration_s;
    subject->width_px = s->video->width_px;
    subject->height_px = s->video->height_px;
    subject->before_row = row;
    subject->before_clip = s->video->n_clips ? s->video->clips[0].row : 0;
    return 0;
}

/* pieces.c — videos and clips of a snapshot, one after the other, in a format. */
#include <errno.h>
#include <string.h>

#include "base/idset.h"
#include "base/npy.h"
#include "export_internal.h"

#define PIECE_BYTES ((size_t)256 * 1024)

struct vx_export {
    vx_export_params params;
    vx_snapshot *snapshot; /* params.snapshot, or its own */
    int64_t clustering;    /* its row; 0: none */
    int64_t n_rows, n_written;
    /* What passes the filter; NULL without one. */
    int64_t *videos; /* [n_videos] rows, rising; owned */
    size_t n_videos, videos_capacity, next_video;
    vx_idset *clips; /* of a filter of clips, else NULL */
    /* Where it is. */
    vx_video *video; /* whose clips are being read; NULL: the next one is to come */
    int64_t last_video;
    bool begun, ended;
    float *vector;
    int64_t *ids; /* [n_ids] of FAISS; owned */
    size_t n_ids, ids_capacity;
    vx_parquet *parquet;
    vx_export_buffer out;
};

const char *vx_export_content_type(vx_export_format format) {
    return format == VX_EXPORT_JSONL ? "application/x-ndjson"
           : format == VX_EXPORT_PARQUET || format == VX_EXPORT_PINECONE
               ? "application/vnd.apache.parquet"
               : "application/octet-stream";
}

const char *vx_export_refuses(vx_export_format format, const char *clustering) {
    if (format == VX_EXPORT_LABELS && !clustering)
        return "labels are those of a clustering: name it.";
    if (clustering && format != VX_EXPORT_LABELS && format != VX_EXPORT_JSONL &&
        format != VX_EXPORT_PARQUET)
        return "faiss, npy and pinecone have no clusters: jsonl and parquet have them, and labels "
               "has them row for row as npy.";
    return NULL;
}

vx_export *vx_export_free(vx_export *export) {
    if (!export)
        return NULL;
    vx_parquet_free(export->parquet);
    vx_video_free(export->video);
    if (!export->params.snapshot)
        vx_snapshot_close(export->snapshot);
    vx_idset_free(export->clips);
    free(export->videos);
    free(export->ids);
    free(export->vector);
    free(export->out.bytes);
    free(export);
    return NULL;
}

int64_t vx_export_rows(const vx_export *export) {
    return export->n_rows;
}

/* ---- what passes the filter ---- */

/* The clips of the video that have a vector. */
static int read_clips(vx_export *export, vx_video *video, vx_err *err) {
    size_t capacity = 0;
    int rc;
    vx_snapshot_begin_clips(export->snapshot, video->row, export->params.space);
    for (;;) {
        if (!vx_make_room(video->clips, video->n_clips, capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for the clips of a video");
        rc = vx_snapshot_next_clip(export->snapshot, 0, &video->clips[video->n_clips], NULL, err);
        if (rc <= 0)
            return rc;
        video->n_clips++;
    }
}

static int note_clips(vx_export *export, const vx_video *video, const bool *passes, vx_err *err) {
    for (size_t i = 0; i < video->n_clips; i++) {
        if (export->clips && !passes[i])
            continue;
        export->n_rows++;
        if (export->ids || export->clips) { /* here: rows of clips that pass, in any order */
            if (!vx_make_room(export->ids, export->n_ids, export->ids_capacity))
                return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", export->n_ids);
            export->ids[export->n_ids++] = video->clips[i].row;
        }
    }
    return 0;
}

static int select_video(vx_export *export, vx_video *video, vx_err *err) {
    bool found = false;
    int rc = read_clips(export, video, err);
    VX_AUTO_FREE bool *passes = vx_new_array(video->n_clips + 1, sizeof *passes);
    if (!rc && !passes)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    if (!rc && video->n_clips)
        rc = vx_filter_match(export->params.filter, video, &found, passes, err);
    if (rc || !found)
        return rc;
    if (!vx_make_room(export->videos, export->n_videos, export->videos_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", export->n_videos);
    export->videos[export->n_videos++] = video->row;
    return note_clips(export, video, passes, err);
}

static bool is_in_range(const vx_export *export, int64_t video) {
    return !export->params.last_video || video <= export->params.last_video;
}

/* The set of clips stands for "there is one" while it is empty. */
static int select_all(vx_export *export, vx_err *err) {
    const atomic_bool *stop = export->params.stop;
    bool of_clips = vx_filter_is_of_clips(export->params.filter);
    export->videos = vx_new_array(1, sizeof *export->videos);
    export->videos_capacity = 1;
    export->clips = of_clips ? vx_idset_new(NULL, 0) : NULL;
    if (!export->videos || (of_clips && !export->clips))
        return VX_FAIL(err, -ENOMEM, "no memory to select videos");
    for (int64_t row = export->last_video;;) {
        VX_AUTO(vx_video) video = NULL;
        int rc = stop && atomic_load(stop)
                     ? VX_FAIL(err, -ECANCELED, "the export was broken off")
                     : vx_snapshot_next_video(export->snapshot, row, &video, err);
        if (rc == VX_CATALOG_NOT_FOUND || (!rc && !is_in_range(export, video->row)))
            break;
        if (!rc)
            rc = select_video(export, video, err);
        if (rc)
            return rc;
        row = video->row;
    }
    if (of_clips) {
        vx_idset_free(export->clips);
        export->clips = vx_idset_new(export->ids, export->n_ids);
        export->n_ids = 0;
    }
    return of_clips && !export->clips ? VX_FAIL(err, -ENOMEM, "no memory to select clips") : 0;
}

int vx_export_open(const vx_export_params *params, vx_export **ret_export, vx_err *err) {
    VX_AUTO(vx_export) export = vx_new(vx_export);
    if (!export || !(export->vector = vx_new_array((size_t)params->dim, sizeof(float))))
        return VX_FAIL(err, -ENOMEM, "no memory for an export");
    export->params = *params;
    export->snapshot = params->snapshot;
    export->last_video = params->first_video > 0 ? params->first_video - 1 : 0;
    int rc =
        params->snapshot ? 0 : vx_catalog_open_snapshot(params->catalog, &export->snapshot, err);
    if (!rc && params->clustering)
        rc = vx_snapshot_find_clustering(export->snapshot, params->clustering, params->space,
                                         &export->clustering, err);
    if (!rc && params->filter)
        rc = select_all(export, err);
    else if (!rc && params->last_video)
        rc = vx_snapshot_count_vectors_of(export->snapshot, params->space, params->first_video,
                                          params->last_video, &export->n_rows, err);
    else if (!rc)
        rc = vx_snapshot_count_vectors(export->snapshot, params->space, &export->n_rows, err);
    export->params.filter = NULL;
    export->params.clustering = NULL;
    if (!rc)
        *ret_export = vx_take(export);
    return rc;
}

/* ---- pieces ---- */

static void begin_npy(vx_export *export, const char *descr, int64_t width) {
    char header[VX_NPY_HEADER_BYTES];
    vx_npy_write_header(header, descr, export->n_rows, width);
    vx_export_append(&export->out, header, sizeof header);
}

static int begin(vx_export *export, vx_err *err) {
    export->begun = true;
    switch (export->params.format) {
    case VX_EXPORT_FAISS:
        vx_export_faiss_begin(&export->out, export->params.dim, export->n_rows);
        return 0;
    case VX_EXPORT_NPY:
        begin_npy(export, "<f4", export->params.dim);
        return 0;
    case VX_EXPORT_JSONL:
        return 0;
    case VX_EXPORT_PARQUET:
        return vx_export_parquet_begin(&export->out, export->clustering, &export->parquet, err);
    case VX_EXPORT_LABELS:
        begin_npy(export, "<i4", 0);
        return 0;
    case VX_EXPORT_PINECONE:
        return vx_export_pinecone_begin(&export->out, &export->parquet, err);
    }
    return 0;
}

static int write_row(vx_export *export, const vx_clip *clip, vx_err *err) {
    vx_export_row row = {.video = export->video,
                         .clip = clip,
                         .model = export->params.model,
                         .vector = export->vector,
                         .dim = export->params.dim,
                         .no_vector = export->params.no_vectors,
                         .has_cluster = export->clustering};
    int rc = row.has_cluster
                 ? vx_snapshot_get_cluster(export->snapshot, export->clustering, clip->row,
                                           &row.cluster, &row.cluster_score, err)
                 : 0;
    if (rc)
        return rc;
    switch (export->params.format) {
    case VX_EXPORT_FAISS:
        if (!vx_make_room(export->ids, export->n_ids, export->ids_capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for %zu ids", export->n_ids);
        export->ids[export->n_ids++] = clip->row;
        vx_export_append(&export->out, row.vector, (size_t)row.dim * sizeof *row.vector);
        return 0;
    case VX_EXPORT_NPY:
        vx_export_append(&export->out, row.vector, (size_t)row.dim * sizeof *row.vector);
        return 0;
    case VX_EXPORT_JSONL:
        return vx_export_jsonl_row(&export->out, &row, err);
    case VX_EXPORT_PARQUET:
        return vx_export_parquet_row(export->parquet, &row, err);
    case VX_EXPORT_LABELS:
        vx_export_append(&export->out, &row.cluster, sizeof row.cluster);
        return 0;
    case VX_EXPORT_PINECONE:
        return vx_export_pinecone_row(export->parquet, &row, err);
    }
    return 0;
}

static int end(vx_export *export, vx_err *err) {
    export->ended = true;
    if (export->params.format == VX_EXPORT_FAISS)
        vx_export_faiss_end(&export->out, export->ids, (int64_t) export->n_ids);
    return export->parquet ? vx_parquet_finish(export->parquet, err) : 0;
}

/* VX_CATALOG_NOT_FOUND: there is no other. */
static int next_video(vx_export *export, vx_err *err) {
    int64_t above = export->last_video;
    if (export->n_written == export->n_rows) /* videos without vectors may follow */
        return VX_CATALOG_NOT_FOUND;
    if (export->videos) {
        if (export->next_video == export->n_videos)
            return VX_CATALOG_NOT_FOUND;
        above = export->videos[export->next_video++] - 1;
    }
    int rc = vx_snapshot_next_video(export->snapshot, above, &export->video, err);
    if (rc)
        return rc;
    export->last_video = export->video->row;
    vx_snapshot_begin_clips(export->snapshot, export->video->row, export->params.space);
    return 0;
}

/* One clip, or the end of a video, or of all. */
static int step(vx_export *export, vx_err *err) {
    vx_clip clip;
    if (!export->video) {
        int rc = next_video(export, err);
        return rc == VX_CATALOG_NOT_FOUND ? end(export, err) : rc;
    }
    int rc =
        vx_snapshot_next_clip(export->snapshot, export->params.dim, &clip, export->vector, err);
    if (rc == 0)
        export->video = vx_video_free(export->video);
    bool wanted = rc == 1 && (!export->clips || vx_idset_contains(export->clips, clip.row));
    export->n_written += wanted;
    return rc < 0 ? rc : wanted ? write_row(export, &clip, err) : 0;
}

int vx_export_next(vx_export *export, const void **ret_bytes, size_t *ret_n, vx_err *err) {
    export->out.n = 0;
    int rc = export->begun ? 0 : begin(export, err);
    while (!rc && !export->ended && export->out.n < PIECE_BYTES)
        rc = step(export, err);
    if (!rc && export->out.failed)
        rc = VX_FAIL(err, -ENOMEM, "no memory for a piece of the export");
    *ret_bytes = export->out.bytes;
    *ret_n = export->out.n;
    return rc;
}

int vx_export_write(vx_export *export, FILE *file, vx_err *err) {
    const void *bytes;
    size_t n = 1;
    while (n) {
        int rc = vx_export_next(export, &bytes, &n, err);
        if (rc)
            return rc;
        if (n && fwrite(bytes, n, 1, file) != 1)
            return VX_FAIL_ERRNO(err, "writing the export");
    }
    return fflush(file) ? VX_FAIL_ERRNO(err, "writing the export") : 0;
}

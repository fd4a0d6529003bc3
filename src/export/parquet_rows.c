/* parquet_rows.c — the columns of the Parquet file. */
#include <errno.h>
#include <math.h>

#include "base/clock.h"
#include "base/hex.h"
#include "export_internal.h"
#include "point.h"

static const vx_parquet_column columns[] = {
    {"id", VX_PARQUET_UTF8},
    {"embedding", VX_PARQUET_LIST_FLOAT},
    {"faiss_id", VX_PARQUET_INT64},
    {"video_id", VX_PARQUET_UTF8},
    {"sha256", VX_PARQUET_UTF8},
    {"clip_index", VX_PARQUET_INT64},
    {"start_s", VX_PARQUET_DOUBLE},
    {"end_s", VX_PARQUET_DOUBLE},
    {"filename", VX_PARQUET_UTF8},
    {"duration_s", VX_PARQUET_DOUBLE},
    {"metadata", VX_PARQUET_UTF8},
    {"created_at", VX_PARQUET_UTF8},
    {"model", VX_PARQUET_UTF8},
    {"frames", VX_PARQUET_UTF8},
    {"cluster", VX_PARQUET_INT64}, /* with a clustering */
    {"cluster_score", VX_PARQUET_DOUBLE},
};
enum { CLUSTER_COLUMNS = 2 };

static int take_bytes(void *ctx, const void *bytes, size_t n, vx_err *err) {
    (void)err; /* `failed` tells */
    vx_export_append(ctx, bytes, n);
    return 0;
}

int vx_export_parquet_begin(vx_export_buffer *out, bool with_clusters, vx_parquet **ret_writer,
                            vx_err *err) {
    size_t n = VX_LEN(columns) - (with_clusters ? 0 : CLUSTER_COLUMNS);
    return vx_parquet_new(columns, n, take_bytes, out, ret_writer, err);
}

static vx_parquet_value seconds(double value) {
    return (vx_parquet_value){.is_null = !isfinite(value), .real = round(value * 1e6) / 1e6};
}

int vx_export_parquet_row(vx_parquet *writer, const vx_export_row *row, vx_err *err) {
    const vx_video *video = row->video;
    char sha256[65], clip_id[VX_CLIP_ID_CHARS + 1], created[VX_CLOCK_ISO_BYTES];
    vx_hex_encode(video->sha256, 32, sha256);
    vx_clip_id_of(video->id, row->clip->index, clip_id);
    vx_clock_iso(video->created_us, created);
    const vx_parquet_value values[VX_LEN(columns)] = {
        {.text = clip_id},
        {.floats = row->vector, .n = (size_t)row->dim},
        {.integer = row->clip->row},
        {.text = video->id},
        {.text = sha256},
        {.integer = row->clip->index},
        seconds(row->clip->start_s),
        seconds(row->clip->end_s),
        {.text = video->filename},
        seconds(video->duration_s),
        {.text = video->metadata ? video->metadata : "{}"},
        {.text = created},
        {.text = row->model},
        {.text = vx_clip_frames_name(video->frames)},
        {.is_null = row->cluster < 0, .integer = row->cluster},
        seconds((double)row->cluster_score),
    };
    return vx_parquet_write(writer, values, err);
}

/* ---- Pinecone ---- */

static const vx_parquet_column pinecone_columns[] = {
    {"id", VX_PARQUET_UTF8},
    {"values", VX_PARQUET_LIST_FLOAT},
    {"metadata", VX_PARQUET_UTF8}, /* the text of a JSON object */
};

int vx_export_pinecone_begin(vx_export_buffer *out, vx_parquet **ret_writer, vx_err *err) {
    return vx_parquet_new(pinecone_columns, VX_LEN(pinecone_columns), take_bytes, out, ret_writer,
                          err);
}

int vx_export_pinecone_row(vx_parquet *writer, const vx_export_row *row, vx_err *err) {
    vx_point point;
    VX_AUTO_STRING metadata = {0};
    vx_point_fill(row->video, row->clip, row->vector, row->dim, VX_POINT_PINECONE_METADATA, &point);
    vx_point_add_pinecone(&metadata, &point);
    if (metadata.failed)
        return VX_FAIL(err, -ENOMEM, "no memory for a row of the export");
    const vx_parquet_value values[] = {
        {.text = point.id},
        {.floats = row->vector, .n = (size_t)row->dim},
        {.text = metadata.text},
    };
    return vx_parquet_write(writer, values, err);
}

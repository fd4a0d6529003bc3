/* export_internal.h — the formats, for pieces.c. */
#pragma once

#include "export.h"
#include "parquet/parquet.h"

/* Bytes that wait to be taken (buffer.c). */
typedef struct vx_export_buffer {
    char *bytes; /* owned */
    size_t n, capacity;
    bool failed; /* no memory */
} vx_export_buffer;
void vx_export_append(vx_export_buffer *out, const void *bytes, size_t n);

/* One clip with its vector. */
typedef struct vx_export_row {
    const vx_video *video;
    const vx_clip *clip;
    const char *model;
    const float *vector; /* float32 [dim] */
    int dim;
    bool no_vector;   /* jsonl: leave it out */
    bool has_cluster; /* the export has these columns: */
    int32_t cluster;  /* -1: in none */
    float cluster_score;
} vx_export_row;

/* faiss.c, jsonl.c, parquet_rows.c */
void vx_export_faiss_begin(vx_export_buffer *out, int dim, int64_t n);
void vx_export_faiss_end(vx_export_buffer *out, const int64_t *ids, int64_t n);
int vx_export_jsonl_row(vx_export_buffer *out, const vx_export_row *row, vx_err *err);
int vx_export_parquet_begin(vx_export_buffer *out, bool with_clusters, vx_parquet **ret_writer,
                            vx_err *err);
int vx_export_parquet_row(vx_parquet *writer, const vx_export_row *row, vx_err *err);
int vx_export_pinecone_begin(vx_export_buffer *out, vx_parquet **ret_writer, vx_err *err);
int vx_export_pinecone_row(vx_parquet *writer, const vx_export_row *row, vx_err *err);

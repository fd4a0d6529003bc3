/* neighbour.h — what a search asks for and gives; for index.h and the files below it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/idset.h"

typedef struct vx_neighbour {
    int64_t id, group;
    float score;
} vx_neighbour;

/* Queries, and which rows may be among their results. Zero is the default of everything below `k`. */
typedef struct vx_index_query {
    const float *vectors; /* borrows float32 [n, dim] */
    size_t n;
    size_t k;        /* results of each; 1..the caller's cap, larger than the index is fine */
    float min_score; /* results score this or more */
    const float *min_scores; /* [n]: in place of min_score for each query; NULL = none; borrows */
    bool has_max_score;
    float max_score;         /* and this or less */
    bool by_group;           /* k groups, each with its best row alone */
    const vx_idset *groups;  /* only rows of these groups; NULL = all; borrows */
    const vx_idset *ids;     /* in place of groups: only these rows; NULL = all; borrows */
    const vx_idset *not_ids; /* none of these rows; NULL = all may be; borrows */
    int64_t before_id;       /* only smaller ids; 0 = any */
    bool on_caller;  /* search on the calling thread: for who has many queries and threads of
                                its own, which then need not wait for those of the index */
    bool is_patient; /* let other queries pass, for some time: nobody looks at the answer */
} vx_index_query;

/* What a search did for one query. */
typedef struct vx_index_work {
    int64_t rows_scanned;  /* scored, mostly by their codes */
    int64_t rows_on_gpu;   /* by a GPU, of these */
    int64_t rows_rescored; /* of which the exact score was computed */
} vx_index_work;

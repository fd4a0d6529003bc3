/* pass.h — queries that go through all segments together (private to index/).
 *
 *   scan    each part of each segment once, for all queries: vx_pass_scan(), a thread each
 *   settle  each query once, when all are scanned: vx_pass_settle(), a thread each
 *   answer  when all are settled
 *
 * A part is a megabyte of codes: so threads end at nearly the same time, and nobody who wants to change a
 * segment, and nobody behind him, waits for long. Between two parts, and between scan and settle, no segment
 * is locked. So rows may move from one part to another; and a row that a query holds may be gone or lie
 * elsewhere. The count of removals, or the row's id, says so, and the query is searched once more, segment by
 * segment: rare, as a pass does not last long.
 *
 * Threads: as above; the caller says when one begins and ends.
 */
#pragma once

#include "base/thread.h"
#include "gpu.h"
#include "segment.h"

/* One caller's queries; lives on its stack. */
typedef struct vx_index_request {
    struct vx_index_request *next;
    vx_index_query query;
    const vx_selected *selected; /* of query.groups or query.ids */
    vx_neighbour *ret;
    size_t *ret_n;
    vx_index_work *ret_work; /* NULL: not asked for */
    bool done;
    int rc;
    vx_err err;
    vx_cond wake;
} vx_index_request;

typedef struct vx_pass {
    vx_index_request *requests; /* borrows */
    size_t n;                   /* queries of all requests */
    const vx_selected *selected;
    vx_segment **segments; /* [n_segments] */
    size_t n_segments;
    size_t part_rows, segment_parts;   /* rows of a part, parts of a segment */
    size_t n_parts;                    /* of all segments */
    struct vx_pass_removals *removals; /* [n_segments]: what the scanned parts of each say */
    float *queries;                    /* [n, dim] */
    int8_t *codes;                     /* [n, 4 · groups], where the segments have codes */
    vx_probe *probes;      /* [n]; .bound is the request's min_score, .top the results so far */
    vx_neighbour *results; /* [n_results], backs the tops */
    vx_topk_place *places; /* [n_places], the same of those by group */
    _Atomic float *bars;   /* [n], that the probes share */
    struct vx_held_list *lists; /* [n]: what the probes hold of all segments */
    vx_gpu_found *found;        /* by a GPU; NULL: nothing; owned */
    struct vx_pass_local *idle; /* what threads need of their own while they scan; a list; owned */
    size_t n_results, n_places; /* rooms of all probes */
    size_t n_part_results, n_part_places, n_held; /* and in one part */
    vx_mutex
        mu; /* guards the tops, lists, removals, idle, lost, rc and err while parts are scanned */
    bool lost; /* rows moved between two parts */
    int rc;
    vx_err err;
    size_t next, n_open;  /* for the caller: which part, then which query is next, and how many */
    struct vx_pass *then; /* are not finished; and its list of passes */
} vx_pass;

/* Copies the requests' queries side by side and gives each its share of the results.
 *   kernel    of the segments' codes; NULL: they have none
 *   segments  [n_segments]; borrows them, copies the list
 * NULL: no memory. */
vx_pass *vx_pass_new(vx_index_request *requests, int dim, const vx_dots_kernel *kernel,
                     vx_segment *const *segments, size_t n_segments);
vx_pass *vx_pass_free(vx_pass *pass);

/* Before the first scan: lets a GPU name rows. */
void vx_pass_ask(vx_pass *pass, vx_gpu *gpu);
void vx_pass_scan(vx_pass *pass, size_t part);
void vx_pass_settle(vx_pass *pass, size_t query);
/* Writes results, or the failure, into the requests. */
void vx_pass_answer(vx_pass *pass);

/* card.h — a copy of an index's codes on a GPU, which names the rows that can be results (private to index/).
 *
 * The rows stay in memory: what the card names is scored there, as with every first pass (first_pass.h). Only
 * whole tiles are copied. A thread of its own copies what is new or has changed; a search takes what the card
 * has at that moment, and scans the rest of each segment by its codes in memory: the last rows, and all of a
 * segment from which rows were removed since it was copied.
 *
 * Filtered searches and those with a greatest score do not use the card.
 *
 * Threads: any. Lock order: the card's, then a segment's; nothing waits for the card's while it holds another
 * one but the writer's (segmented_index.c) for `wake`.
 */
#pragma once

#include "index.h"
#include "segment.h"

/* The device, so that tests can bring one of their own: code_scan.h's functions, and its memory. */
typedef struct vx_card_device {
    int (*memory)(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                  vx_err *err);
    int (*new)(const char *device, size_t groups, size_t segment_tiles, vx_code_scan **ret_scan,
               vx_err *err);
    vx_code_scan *(*free)(vx_code_scan *scan);
    int (*put)(vx_code_scan *scan, size_t segment, size_t first, size_t n, size_t n_tiles,
               const uint8_t *tiles, const float *scales, const float *errors, vx_err *err);
    int (*run)(vx_code_scan *scan, const vx_code_query *queries, size_t n, vx_code_row *ret_rows,
               size_t *ret_n, float *ret_bars, vx_err *err);
} vx_card_device;

typedef struct vx_card vx_card;

/* segments: those there are (borrows each until vx_card_free()). 0 or -errno; that the device has no room is
 * no failure: the card stays empty. */
int vx_card_new(const vx_index_gpu *params, size_t dim, size_t segment_rows,
                vx_segment *const *segments, size_t n_segments, vx_card **ret_card, vx_err *err);
vx_card *vx_card_free(vx_card *card);

/* Another segment. First room for it: 0 or -ENOMEM. */
int vx_card_reserve(vx_card *card, vx_err *err);
void vx_card_add_segment(vx_card *card, vx_segment *segment);
/* Rows have changed. */
void vx_card_wake(vx_card *card);
/* Copies what is missing; returns when it is there (or finds no room). For tests and at start. */
void vx_card_sync(vx_card *card);
/* Gives the memory back, for ten minutes at least; whether there was any. */
bool vx_card_release(vx_card *card);
void vx_card_get_state(vx_card *card, vx_index_gpu_state *ret_state);

/* NULL: the card is empty, or not for these. Gives the found. */
vx_card_found *vx_card_ask(vx_card *card, const vx_probe *probes, size_t n);

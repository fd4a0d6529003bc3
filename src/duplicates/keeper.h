/* keeper.h — which video of a group is kept, and why in words (private to duplicates/). Threads: any; no state. */
#pragma once

#include "duplicates.h"

/* What a policy weighs beside a video's own fields. */
typedef struct vx_keep_facts {
    const vx_group_video *video;
    const char *filename; /* borrows: of the video's files the one that stays, if one does */
    bool no_file;         /* now */
    double
        metadata; /* the field's value: a number, true 1, false 0, another value -inf; NaN: none */
} vx_keep_facts;

/* Which of a video's listed files, or its name. Borrows. */
const char *vx_keep_choose_file(const vx_keep_policy *policy, const vx_group_video *video);
/* < 0: a is kept rather than b. Never 0 for two videos. */
int vx_keep_compare(const vx_keep_policy *policy, const vx_keep_facts *a, const vx_keep_facts *b);
/* Why the best one is kept rather than the second best; second NULL: it is alone, and a file of it is kept rather than
 * the others. A clause without a full stop. */
void vx_keep_explain(const vx_keep_policy *policy, const vx_keep_facts *best,
                     const vx_keep_facts *second, char *ret_text, size_t capacity);
/* The value of the policy's field in a video's metadata (JSON text). */
double vx_keep_read_metadata(const vx_keep_policy *policy, const char *metadata);

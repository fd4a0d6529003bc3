/* duplicates.h — what duplicates.c and decisions.c share. Threads: the daemon thread of the request, and while
 * `run` works, a search thread. */
#pragma once

#include "api/http/reply.h"
#include "server/server.h"

/* A question about groups, or a decision about one, at work. */
typedef struct vx_duplicates_ask {
    vx_request *request;
    vx_filter *filter; /* owned, as is what follows */
    vx_keep_policy policy;
    vx_group_query query;
    int format; /* 0 JSON, 1 CSV, 2 JSONL */
    vx_group_page page;
    vx_group *group;
    char *text; /* of a file */
    size_t n_text;
    vx_decision decision;
    bool dry_run;
    bool changed; /* the group is not what the client has seen */
    bool refused; /* no search thread took it */
    int rc;
    vx_err err;
} vx_duplicates_ask;
void vx_duplicates_ask_free(void *ask);

/* Files that a request decodes to compare pairs, at most; the scan does what is left (its parameter keep). */
#define VX_DUPLICATES_MAX_LOOKS 16

/* Each returns false after a reply. text NULL: the default. */
bool vx_duplicates_read_kinds(vx_request *request, const char *text, unsigned *ret_kinds);
bool vx_duplicates_read_policy(vx_request *request, const char *text, vx_keep_policy *ret_policy);

/* Has run(ask), which ends with vx_request_wake, called on a search thread; then finish. */
void vx_duplicates_run(vx_duplicates_ask *ask, void (*run)(void *ctx),
                       void (*finish)(vx_request *request));
/* For finish: false after a reply. */
bool vx_duplicates_succeeded(vx_request *request);

/* "d" and the row in hexadecimal digits. */
#define VX_DECISION_ID_CHARS 17
void vx_duplicates_decision_id(int64_t row, char ret_id[VX_DECISION_ID_CHARS + 1]);

/* failures.c — see the header. */
#include "failures.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "output.h"
#include "progress.h"

typedef struct failure {
    char *path, *reason;
    const char *outcome;
} failure;

struct vx_batch_failures {
    failure *items;
    size_t n;
};

vx_batch_failures *vx_batch_failures_new(void) {
    return vx_new(vx_batch_failures);
}

vx_batch_failures *vx_batch_failures_free(vx_batch_failures *failures) {
    if (!failures)
        return NULL;
    for (size_t i = 0; i < failures->n; i++) {
        free(failures->items[i].path);
        free(failures->items[i].reason);
    }
    free(failures->items);
    free(failures);
    return NULL;
}

int vx_batch_failures_add(vx_batch_failures *failures, const char *path, const char *outcome,
                          const char *reason, vx_err *err) {
    failure *items = vx_regrow(failures->items, failures->n + 1, sizeof *items);
    if (items)
        failures->items = items;
    failure added = {.path = strdup(path), .reason = strdup(reason), .outcome = outcome};
    if (!items || !added.path || !added.reason) {
        free(added.path);
        free(added.reason);
        return VX_FAIL(err, -ENOMEM, "no memory to remember that %s failed", path);
    }
    items[failures->n++] = added;
    return 0;
}

int vx_batch_failures_skip(vx_batch_failures *failures, const char *path, const char *reason,
                           vx_err *err) {
    vx_batch_say(NULL, "skipped: %s: %s", path, reason);
    return vx_batch_failures_add(failures, path, "unreadable", reason, err);
}

size_t vx_batch_failures_count(const vx_batch_failures *failures) {
    return failures->n;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const failure *)a)->path, ((const failure *)b)->path);
}

/* JSON cannot hold a name that is not UTF-8: its bytes from 0x80 on become '?'. */
static json_t *text_or_ascii(char *text) {
    json_t *string = json_string(text);
    for (char *c = text; !string && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return string ? string : json_string(text);
}

static int write_lines(FILE *file, void *ctx) {
    const vx_batch_failures *failures = ctx;
    for (size_t i = 0; i < failures->n; i++) {
        const failure *f = &failures->items[i];
        json_t *line = json_pack("{s:o, s:s, s:o}", "file", text_or_ascii(f->path), "outcome",
                                 f->outcome, "reason", text_or_ascii(f->reason));
        int rc = line ? json_dumpf(line, file, JSON_COMPACT) : -1;
        json_decref(line);
        fputc('\n', file);
        if (rc)
            return -ENOMEM;
    }
    return 0;
}

int vx_batch_failures_write(vx_batch_failures *failures, const char *output, vx_err *err) {
    if (failures->n)
        qsort(failures->items, failures->n, sizeof *failures->items, compare);
    return vx_batch_replace(output, "failed.jsonl", write_lines, failures, err);
}

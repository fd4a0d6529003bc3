#include "api/http/form.h"

#include <stdlib.h>
#include <string.h>

#include "api/http/incoming.h"
#include "api/http/out.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"
#include "base/mem.h"

/* What libmicrohttpd's parser may keep: part headers, and the window in which it looks for the next
 * boundary. A larger one means fewer and longer writes. */
#define PARSER_BYTES ((size_t)64 * 1024)
#define MAX_FIELD_BYTES ((size_t)64 * 1024)
/* Part headers, boundaries and fields take at most this of a body that is accepted, so a body longer
 * than the file limit plus this cannot hold an acceptable file. */
#define FRAMING_BYTES ((int64_t)1 << 20)

struct vx_form {
    vx_request *request; /* borrows */
    struct MHD_PostProcessor *parser;
    vx_upload *upload;
    bool has_file;
    int64_t file_bytes;
    char *filename;
    char *field; /* name of the field that is being read; NULL = none */
    vx_out text; /* its bytes */
};

vx_form *vx_form_free(vx_form *form) {
    if (!form)
        return NULL;
    if (form->parser)
        MHD_destroy_post_processor(form->parser);
    vx_upload_free(form->upload);
    free(form->filename);
    free(form->field);
    vx_out_clear(&form->text);
    free(form);
    return NULL;
}

/* The field that was read is complete: it becomes a request value. */
static bool flush_field(vx_form *form) {
    VX_AUTO_FREE char *name = vx_take(form->field);
    if (!name)
        return true;
    char *text = form->text.text ? form->text.text : strdup("");
    size_t n = form->text.n;
    form->text = (vx_out){0};
    if (!text) {
        form->request->failed = true;
        return false;
    }
    bool valid = strlen(text) == n;
    for (size_t at = 0, step; valid && at < n; at += step)
        valid = (step = vx_utf8_step((unsigned char *)text + at, n - at)) > 0;
    if (!valid) {
        free(text);
        vx_reply_problem(form->request, VX_PROBLEM_BAD_PARAMETER, "%s is not UTF-8 text.", name);
        return false;
    }
    return vx_params_add(form->request, form->request->route->fields, name, text);
}

/* libmicrohttpd announces a part whose first bytes have not all come yet, and begins it with its bytes
 * once more. An empty part before one of the same name cannot be told from that, and does no harm. */
static bool is_announced(const vx_form *form, const char *name) {
    return form->field && !form->text.n && !strcmp(form->field, name);
}

static bool feed_field(vx_form *form, const char *name, const char *bytes, uint64_t at, size_t n) {
    if (at == 0 && !is_announced(form, name)) {
        if (!flush_field(form))
            return false;
        char shown[80], known[160];
        if (!vx_word_in(form->request->route->fields, name)) {
            vx_reply_problem(form->request, VX_PROBLEM_UNKNOWN_PARAMETER,
                             "There is no part %s here; known are: file, %s.",
                             vx_log_quote(name, shown, sizeof shown),
                             vx_word_list(form->request->route->fields, known, sizeof known));
            return false;
        }
        form->field = strdup(name);
    }
    if (n > MAX_FIELD_BYTES - form->text.n) {
        vx_reply_problem(form->request, VX_PROBLEM_BODY_TOO_LARGE,
                         "The part %s may have %zu bytes.", name, MAX_FIELD_BYTES);
        return false;
    }
    if (n)
        vx_out_bytes(&form->text, bytes, n);
    form->request->failed |= !form->field || form->text.failed;
    return !form->request->failed;
}

static bool begin_file(vx_form *form, const char *filename) {
    if (!flush_field(form))
        return false;
    if (form->file_bytes) {
        vx_reply_problem(form->request, VX_PROBLEM_BAD_PARAMETER,
                         "There are several parts named file; send one video per request.");
        return false;
    }
    form->has_file = true; /* perhaps only announced, as above */
    free(form->filename);
    form->filename = filename ? strdup(filename) : NULL;
    return form->upload || vx_incoming_begin(form->request, -1, &form->upload);
}

static enum MHD_Result on_part(void *cls, enum MHD_ValueKind kind, const char *key,
                               const char *filename, const char *content_type,
                               const char *transfer_encoding, const char *bytes, uint64_t at,
                               size_t n) {
    (void)kind, (void)content_type, (void)transfer_encoding;
    vx_form *form = cls;
    const char *name = key ? key : "";
    bool fine;
    if (strcmp(name, "file")) {
        fine = feed_field(form, name, bytes, at, n);
    } else {
        fine = at > 0 || begin_file(form, filename);
        fine = fine && (!n || vx_incoming_write(form->request, form->upload, bytes, n));
        form->file_bytes += (int64_t)n;
    }
    return fine ? MHD_YES : MHD_NO;
}

vx_form *vx_form_new(vx_request *request, int64_t body_bytes) {
    vx_form *form = vx_new(vx_form);
    if (!form) {
        request->failed = true;
        return NULL;
    }
    form->request = request;
    form->parser = MHD_create_post_processor(request->connection, PARSER_BYTES, on_part, form);
    if (!form->parser) {
        vx_reply_problem(request, VX_PROBLEM_BAD_MULTIPART,
                         "Content-Type names no boundary that can be used.");
        return form;
    }
    /* Begun here rather than with its part, so that a file over the limit or the disk's room is
     * refused before it is sent. */
    if (body_bytes > FRAMING_BYTES)
        vx_incoming_begin(request, body_bytes - FRAMING_BYTES, &form->upload);
    return form;
}

void vx_form_feed(vx_form *form, const char *bytes, size_t n) {
    if (MHD_post_process(form->parser, bytes, n) == MHD_YES || form->request->response ||
        form->request->failed)
        return;
    vx_reply_problem(form->request, VX_PROBLEM_BAD_MULTIPART, NULL);
}

void vx_form_end(vx_form *form) {
    bool whole = MHD_destroy_post_processor(vx_take(form->parser)) == MHD_YES;
    vx_request *request = form->request;
    if (request->response || request->failed || !flush_field(form))
        return;
    if (!whole)
        vx_reply_problem(request, VX_PROBLEM_BAD_MULTIPART, "The last boundary is missing.");
    else if (!form->has_file)
        vx_reply_problem(request, VX_PROBLEM_FILE_MISSING, "The form has no part named file.");
    else if (!form->file_bytes)
        vx_reply_problem(request, VX_PROBLEM_FILE_EMPTY, "The part file has no bytes.");
}

vx_upload *vx_form_take_upload(vx_form *form) {
    return vx_take(form->upload);
}

const char *vx_form_filename(const vx_form *form) {
    return form->filename;
}

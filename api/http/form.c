#include "api/http/form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/header.h"
#include "api/http/incoming.h"
#include "api/http/multipart.h"
#include "api/http/out.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_FIELD_BYTES ((size_t)64 * 1024)
/* Boundaries, headers and fields of an acceptable form are shorter than this, so a body that is longer
 * than the file limit plus this cannot contain an acceptable file. */
#define FRAMING_BYTES ((int64_t)1 << 20)

/* A part that is a file. */
typedef struct form_file {
    vx_upload *upload;
    bool has_begun;
    int64_t bytes;
    char *filename; /* owned; NULL: it has none */
} form_file;

struct vx_form {
    vx_request *request; /* borrows */
    vx_multipart *reader;
    form_file file, rows; /* the parts of these names */
    form_file *in;        /* the one that is being read; NULL = none */
    char *field;          /* name of the field that is being read; NULL = none */
    vx_out text;          /* its bytes so far */
};

vx_form *vx_form_free(vx_form *form) {
    if (!form)
        return NULL;
    vx_multipart_free(form->reader);
    vx_upload_free(form->file.upload);
    vx_upload_free(form->rows.upload);
    free(form->file.filename);
    free(form->rows.filename);
    free(form->field);
    vx_out_clear(&form->text);
    free(form);
    return NULL;
}

/* ---- Parts, as the reader finds them; false ends the reading, with a reply ---- */

static bool begin_file(vx_form *form, form_file *file, const char *name, const char *filename) {
    if (file->bytes) {
        vx_reply_problem(form->request, VX_PROBLEM_BAD_PARAMETER,
                         "There are several parts named %s; send one per request.", name);
        return false;
    }
    file->has_begun = true;
    form->in = file;
    free(file->filename);
    file->filename = filename ? strdup(filename) : NULL;
    form->request->failed |= filename && !file->filename;
    if (form->request->failed || !vx_params_check(form->request))
        return false;
    return file->upload || vx_incoming_begin(form->request, -1, &file->upload);
}

static bool on_begin(void *ctx, const char *name, const char *filename) {
    vx_form *form = ctx;
    const char *known = form->request->route->fields;
    if (!strcmp(name, "file"))
        return begin_file(form, &form->file, name, filename);
    if ((form->request->route->accepts & VX_ACCEPT_ROWS) && !strcmp(name, "rows"))
        return begin_file(form, &form->rows, name, filename);
    if (!vx_word_in(known, name)) {
        char shown[80], list[160];
        vx_reply_problem(
            form->request, VX_PROBLEM_UNKNOWN_PARAMETER, "Unknown part %s; known here: file, %s.",
            vx_log_quote(name, shown, sizeof shown), vx_word_list(known, list, sizeof list));
        return false;
    }
    form->field = strdup(name);
    form->request->failed |= !form->field;
    return form->field;
}

static bool on_data(void *ctx, const char *bytes, size_t n) {
    vx_form *form = ctx;
    if (form->in) {
        form->in->bytes += (int64_t)n;
        return vx_incoming_write(form->request, form->in->upload, bytes, n);
    }
    if (n > MAX_FIELD_BYTES - form->text.n) {
        vx_reply_problem(form->request, VX_PROBLEM_BODY_TOO_LARGE,
                         "The limit for the part %s is %zu bytes.", form->field, MAX_FIELD_BYTES);
        return false;
    }
    vx_out_bytes(&form->text, bytes, n);
    form->request->failed |= form->text.failed;
    return !form->text.failed;
}

/* A field is complete: it becomes a value of the request, and is checked while the file may still be
 * on its way. */
static bool on_end(void *ctx) {
    vx_form *form = ctx;
    vx_request *request = form->request;
    if (form->in) {
        form->in = NULL;
        return true;
    }
    VX_AUTO_FREE char *name = vx_take(form->field);
    char *text = form->text.text ? form->text.text : strdup("");
    size_t n = form->text.n;
    form->text = (vx_out){0};
    if (!text) {
        request->failed = true;
        return false;
    }
    if (strlen(text) != n || !vx_utf8_is_valid(text, n)) {
        free(text);
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s is not UTF-8 text.", name);
        return false;
    }
    return vx_params_add(request, request->route->fields, name, text) && vx_params_check(request);
}

/* ---- The form ---- */

vx_form *vx_form_new(vx_request *request, int64_t body_bytes) {
    vx_form *form = vx_new(vx_form);
    if (!form) {
        request->failed = true;
        return NULL;
    }
    form->request = request;
    VX_AUTO_FREE char *boundary = NULL;
    const char *type = vx_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    bool readable = vx_header_param(type, "boundary", &boundary);
    if (!readable && errno == ENOMEM) {
        request->failed = true;
        return form;
    }
    if (!boundary || !*boundary || strlen(boundary) > VX_MULTIPART_BOUNDARY_BYTES ||
        strpbrk(boundary, "\r\n")) {
        vx_reply_problem(request, VX_PROBLEM_BAD_MULTIPART,
                         "Content-Type names no valid boundary.");
        return form;
    }
    form->reader = vx_multipart_new(
        boundary,
        (vx_multipart_handler){.begin = on_begin, .data = on_data, .end = on_end, .ctx = form});
    request->failed |= !form->reader;
    /* Begun here and not with its part, so that a file that exceeds the limit or the room on the disk
     * is refused before it is sent. */
    if (form->reader && body_bytes > FRAMING_BYTES)
        vx_incoming_begin(request, body_bytes - FRAMING_BYTES, &form->file.upload);
    return form;
}

void vx_form_feed(vx_form *form, const char *bytes, size_t n) {
    const char *fault = vx_multipart_feed(form->reader, bytes, n);
    if (fault == vx_multipart_no_memory)
        form->request->failed = true;
    else if (fault)
        vx_reply_problem(form->request, VX_PROBLEM_BAD_MULTIPART, "%s", fault);
}

void vx_form_end(vx_form *form) {
    vx_request *request = form->request;
    const char *fault = vx_multipart_end(form->reader);
    if (request->response || request->failed)
        return;
    if (fault)
        vx_reply_problem(request, VX_PROBLEM_BAD_MULTIPART, "%s", fault);
    else if (!form->file.has_begun)
        vx_reply_problem(request, VX_PROBLEM_FILE_MISSING, "The form has no part named file.");
    else if (!form->file.bytes)
        vx_reply_problem(request, VX_PROBLEM_FILE_EMPTY, "The part file has no bytes.");
    else if (form->rows.has_begun && !form->rows.bytes)
        vx_reply_problem(request, VX_PROBLEM_FILE_EMPTY, "The part rows has no bytes.");
}

vx_upload *vx_form_take_upload(vx_form *form) {
    return vx_take(form->file.upload);
}

vx_upload *vx_form_take_rows(vx_form *form) {
    return vx_take(form->rows.upload);
}

const char *vx_form_filename(const vx_form *form) {
    return form->file.filename;
}

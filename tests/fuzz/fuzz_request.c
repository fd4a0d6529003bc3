/* Any bytes as the address of a request with its query, as a JSON body, and as text in an answer. No
 * connection is needed: a refusal is a reply that is never sent. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/json.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const vx_route route = {.method = "GET", .path = "/", .params = "a b c wait"};

static void request_clear(vx_request *request) {
    for (size_t i = 0; i < request->n_values; i++) {
        free(request->values[i].name);
        free(request->values[i].text);
    }
    if (request->response)
        MHD_destroy_response(request->response);
}

/* A refusal has a reply, and nothing else has. */
static void check(const vx_request *request, bool accepted) {
    if (accepted == (request->response != NULL))
        abort();
}

static void read_query(char *text) {
    vx_request request = {.route = &route, .uri = text};
    int64_t whole;
    double number;
    int index;
    bool fine = vx_params_parse_query(&request) &&
                vx_params_int(&request, "a", -5, INT64_MAX, 1, &whole) &&
                vx_params_number(&request, "b", 0, 1e9, 1, &number) &&
                vx_params_choice(&request, "wait", "false true", 1, &index);
    check(&request, fine);
    if (fine && (whole < -5 || !(number >= 0 && number <= 1e9) || index < 0 || index > 1))
        abort();
    request_clear(&request);
}

static void read_json(const char *text, size_t n) {
    vx_request request = {0};
    json_t *body = vx_json_parse(&request, "The body", text, n);
    VX_AUTO_FREE float *vector = NULL;
    const char *word;
    size_t dim = 0;
    int64_t whole = 1;
    double number = 0;
    bool fine = body && vx_json_only(&request, body, "a b c vector") &&
                vx_json_int(&request, body, "a", 1, 1000, &whole) &&
                vx_json_number(&request, body, "b", -1, 1, &number) &&
                vx_json_string(&request, body, "c", &word) &&
                vx_json_vector(&request, body, "vector", &vector, &dim);
    check(&request, fine);
    if (fine && (whole < 1 || whole > 1000 || !(number >= -1 && number <= 1)))
        abort();
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(vector[i]))
            abort();
    json_decref(body);
    request_clear(&request);
}

/* An answer is JSON whatever text is in it, and an address holds any name. */
static void write_text(const char *text) {
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, text, text);
    vx_out_end(&out, '}');
    json_t *read = json_loadb(out.text, out.n, 0, NULL);
    if (!read)
        abort();
    json_decref(read);
    VX_AUTO_FREE char *encoded = vx_percent_encode(text);
    VX_AUTO_FREE char *decoded = vx_percent_decode(encoded, strlen(encoded), true);
    if (decoded ? strcmp(decoded, text) != 0 : vx_utf8_is_plain(text))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    VX_AUTO_FREE char *text = malloc(n_bytes + 1);
    if (!text)
        return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = '\0';
    read_query(text);
    read_json((const char *)data, n_bytes);
    write_text(text);
    return 0;
}

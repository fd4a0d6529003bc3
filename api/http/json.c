#include "api/http/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/json_text.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_VECTOR 65536

/* jansson's message, or a clearer one where jansson's mentions its own flags. */
static const char *reason(const json_error_t *error) {
    switch (json_error_code(error)) {
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "the character U+0000 is not allowed";
    case json_error_duplicate_key:
        return "a name occurs twice";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows the end";
    case json_error_invalid_utf8:
        return "it is not UTF-8";
    default:
        return error->text;
    }
}

json_t *vx_json_parse(vx_request *request, const char *what, const char *text, size_t n) {
    VX_AUTO(vx_json_text) read = vx_json_text_read(text, n);
    if (!read) {
        request->failed = true;
        return NULL;
    }
    if (read->depth > VX_JSON_MAX_DEPTH) {
        vx_reply_problem(request, VX_PROBLEM_BAD_JSON, "%s is nested deeper than %d levels.", what,
                         VX_JSON_MAX_DEPTH);
        return NULL;
    }
    if (read->n_values > VX_JSON_MAX_VALUES) {
        vx_reply_problem(request, VX_PROBLEM_BAD_JSON, "%s contains more than %d values.", what,
                         VX_JSON_MAX_VALUES);
        return NULL;
    }
    json_error_t error;
    json_t *root = vx_json_text_parse(read, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root && json_error_code(&error) == json_error_out_of_memory) {
        request->failed = true;
        return NULL;
    }
    if (!root) {
        vx_reply_problem(request, VX_PROBLEM_BAD_JSON,
                         "%s is not valid JSON, line %d, column %d: %s.", what, error.line,
                         error.column, reason(&error));
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        vx_reply_problem(request, VX_PROBLEM_BAD_JSON, "%s must be a JSON object, {\"…\": …}.",
                         what);
        return NULL;
    }
    return root;
}

bool vx_json_only(vx_request *request, json_t *object, const char *known) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        if (vx_word_in(known, name))
            continue;
        char shown[80], list[160];
        vx_reply_problem(request, VX_PROBLEM_UNKNOWN_PARAMETER, "Unknown field %s; known here: %s.",
                         vx_log_quote(name, shown, sizeof shown),
                         vx_word_list(known, list, sizeof list));
        return false;
    }
    return true;
}

static bool refuse(vx_request *request, const char *name, const char *wanted) {
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s must be %s.", name, wanted);
    return false;
}

bool vx_json_string(vx_request *request, json_t *object, const char *name, const char **ret_text) {
    json_t *value = json_object_get(object, name);
    *ret_text = json_string_value(value);
    return !value || *ret_text || refuse(request, name, "a string");
}

bool vx_json_int(vx_request *request, json_t *object, const char *name, int64_t low, int64_t high,
                 int64_t *ret_value) {
    json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < low || number > high) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "a whole number from %lld to %lld", (long long)low,
                 (long long)high);
        return refuse(request, name, wanted);
    }
    *ret_value = number;
    return true;
}

bool vx_json_number(vx_request *request, json_t *object, const char *name, double low, double high,
                    double *ret_value) {
    json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    double number = json_number_value(value);
    if (!json_is_number(value) || number < low || number > high) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "a number from %g to %g", low, high);
        return refuse(request, name, wanted);
    }
    *ret_value = number;
    return true;
}

bool vx_json_bool(vx_request *request, json_t *object, const char *name, bool *ret_value) {
    json_t *value = json_object_get(object, name);
    if (value && !json_is_boolean(value))
        return refuse(request, name, "true or false");
    if (value)
        *ret_value = json_is_true(value);
    return true;
}

bool vx_json_vector(vx_request *request, json_t *object, const char *name, float **ret_vector,
                    size_t *ret_n) {
    json_t *array = json_object_get(object, name);
    *ret_vector = NULL;
    *ret_n = 0;
    if (!array)
        return true;
    size_t n = json_array_size(array);
    if (!n || n > MAX_VECTOR)
        return refuse(request, name, "a non-empty array of numbers");
    VX_AUTO_FREE float *vector = vx_new_array(n, sizeof *vector);
    if (!vector) {
        request->failed = true;
        return false;
    }
    bool zero = true;
    for (size_t i = 0; i < n; i++) {
        json_t *item = json_array_get(array, i);
        vector[i] = (float)json_number_value(item);
        if (!json_is_number(item) || !isfinite(vector[i])) {
            vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                             "%s[%zu] must be a finite number within the range of a 32-bit float.",
                             name, i);
            return false;
        }
        zero &= vector[i] == 0;
    }
    if (zero)
        return refuse(request, name, "a vector that is not all zeros");
    *ret_vector = vx_take(vector);
    *ret_n = n;
    return true;
}

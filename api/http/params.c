#include "api/http/params.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- Collecting ---- */

bool vx_params_add(vx_request *request, const char *known, const char *name, char *text) {
    VX_AUTO_FREE char *owned = text;
    char shown[80], list[160];
    if (!vx_word_in(known, name)) {
        vx_reply_problem(request, VX_PROBLEM_UNKNOWN_PARAMETER, "Unknown parameter %s; %s%s.",
                         vx_log_quote(name, shown, sizeof shown),
                         *known ? "known here: " : "this address has none",
                         vx_word_list(known, list, sizeof list));
        return false;
    }
    if (vx_request_value(request, name)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s is given twice.", name);
        return false;
    }
    /* Names are known and unique by now, so only a route with too many of them fills the table. */
    char *copy = request->n_values < VX_REQUEST_MAX_VALUES ? strdup(name) : NULL;
    if (!copy) {
        request->failed = true;
        return false;
    }
    request->values[request->n_values++] = (vx_value){.name = copy, .text = vx_take(owned)};
    return true;
}

static bool add_pair(vx_request *request, const char *pair, size_t n) {
    const char *equals = memchr(pair, '=', n);
    size_t n_name = equals ? (size_t)(equals - pair) : n;
    VX_AUTO_FREE char *name = vx_percent_decode(pair, n_name, true);
    char *text = !name    ? NULL
                 : equals ? vx_percent_decode(equals + 1, n - n_name - 1, true)
                          : strdup("");
    if (!name || !text) {
        request->failed = errno == ENOMEM;
        free(text);
        if (request->failed)
            return false;
        vx_reply_problem(request, VX_PROBLEM_BAD_URI, "The query is not percent-encoded UTF-8.");
        return false;
    }
    return vx_params_add(request, request->route->params, name, text);
}

bool vx_params_parse_query(vx_request *request) {
    const char *p = strchr(request->uri, '?');
    while (p && *p) {
        p++; /* past ? or & */
        size_t n = strcspn(p, "&");
        if (n && !add_pair(request, p, n))
            return false;
        p += n;
    }
    return true;
}

bool vx_params_check(vx_request *request) {
    return !request->route->check || request->route->check(request);
}

/* ---- Typed values ---- */

bool vx_params_int(vx_request *request, const char *name, int64_t low, int64_t high,
                   int64_t fallback, int64_t *ret_value) {
    const char *text = vx_request_value(request, name);
    *ret_value = fallback;
    if (!text)
        return true;
    char *end, shown[64];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits =
        isdigit((unsigned char)*text) || (*text == '-' && isdigit((unsigned char)text[1]));
    if (!digits || *end || errno || value < low || value > high) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "%s must be a whole number from %lld to %lld, not %s.", name,
                         (long long)low, (long long)high, vx_log_quote(text, shown, sizeof shown));
        return false;
    }
    *ret_value = value;
    return true;
}

bool vx_params_number(vx_request *request, const char *name, double low, double high,
                      double fallback, double *ret_value) {
    const char *text = vx_request_value(request, name);
    *ret_value = fallback;
    if (!text)
        return true;
    char *end, shown[64];
    double value = strtod(text, &end);
    /* strtod also accepts "inf", "nan", hexadecimal and leading blanks. */
    bool digits = *text && strspn(text, "0123456789+-.eE") == strlen(text);
    if (!digits || *end || !isfinite(value) || value < low || value > high) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "%s must be a number from %g to %g, not %s.", name, low, high,
                         vx_log_quote(text, shown, sizeof shown));
        return false;
    }
    *ret_value = value;
    return true;
}

bool vx_params_choice(vx_request *request, const char *name, const char *words, int fallback,
                      int *ret_index) {
    const char *text = vx_request_value(request, name);
    *ret_index = text ? vx_word_index(words, text) : fallback;
    if (!text || *ret_index >= 0)
        return true;
    char shown[64], list[160];
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s must be one of: %s; not %s.", name,
                     vx_word_list(words, list, sizeof list),
                     vx_log_quote(text, shown, sizeof shown));
    return false;
}

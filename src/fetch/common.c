/* common.c — what every transfer needs. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "fetch_internal.h"

static CURLcode start_code;

static void start_curl(void) {
    start_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int vx_fetch_start(vx_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    return start_code ? VX_FAIL(err, -EIO, "libcurl: %s", curl_easy_strerror(start_code)) : 0;
}

bool vx_fetch_lists(const char *list, const char *host) {
    size_t n_host = strlen(host);
    while (*list) {
        list += strspn(list, ", ");
        size_t n = strcspn(list, ", ");
        bool below = n > 2 && list[0] == '*' && list[1] == '.';
        const char *name = below ? list + 1 : list; /* with its dot */
        size_t n_name = below ? n - 1 : n;
        if (n && n_host >= n_name && (below || n_host == n_name) &&
            !strncasecmp(host + n_host - n_name, name, n_name))
            return true;
        list += n;
    }
    return false;
}

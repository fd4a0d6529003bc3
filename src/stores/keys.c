/* keys.c — credentials of outside stores: of a file, or of the environment. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "outside.h"

#define BLANKS " \t\r\n"

static bool has_default_port(const vx_outside_url *url) {
    return !strcmp(url->port, url->default_port);
}

/* Whether a line's first word is this host:port; without a port it is the default one. */
static bool is_for(const char *word, const vx_outside_url *url) {
    size_t n = strlen(url->host);
    return !strncmp(word, url->host, n) &&
           (word[n] ? word[n] == ':' && !strcmp(word + n + 1, url->port) : has_default_port(url));
}

static int read_line(char *line, int number, const vx_outside_url *url, char **ret_key,
                     vx_err *err) {
    char *rest = line + strspn(line, BLANKS);
    if (!*rest || *rest == '#')
        return 0;
    char *word = strsep(&rest, BLANKS), *key = rest ? rest + strspn(rest, BLANKS) : NULL;
    size_t n = key ? strcspn(key, "\r\n") : 0;
    if (!n)
        return VX_FAIL(err, VX_OUTSIDE_UNFIT,
                       "the file of --store-keys, line %d: it must be HOST[:PORT] KEY", number);
    key[n] = 0;
    if (!is_for(word, url) || *ret_key)
        return 0;
    *ret_key = strdup(key);
    return *ret_key ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a credential");
}

static int read_file(const char *path, const vx_outside_url *url, char **ret_key, vx_err *err) {
    FILE *file = fopen(path, "re");
    if (!file)
        return VX_FAIL_ERRNO(err, "the file of --store-keys, %s", path);
    char *line = NULL;
    size_t capacity = 0;
    int rc = 0;
    for (int number = 1; !rc && getline(&line, &capacity, file) >= 0; number++)
        rc = read_line(line, number, url, ret_key, err);
    fclose(file);
    free(line);
    return rc;
}

int vx_outside_find_key(const char *keys_path, const vx_outside_url *url, char **ret_key,
                        vx_err *err) {
    char *key = NULL;
    int rc = keys_path ? read_file(keys_path, url, &key, err) : 0;
    char name[sizeof url->host + 32];
    snprintf(name, sizeof name, "VIDX_STORE_KEY_%s", url->host);
    for (char *at = name; *at; at++)
        *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
    const char *value = has_default_port(url) ? getenv(name) : NULL;
    if (!rc && !key && value && *value && !(key = strdup(value)))
        rc = VX_FAIL(err, -ENOMEM, "no memory for a credential");
    for (const char *at = key; !rc && at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            rc = VX_FAIL(err, VX_OUTSIDE_UNFIT, "the credential of %s has control characters",
                         url->host);
    if (rc)
        free(key);
    else
        *ret_key = key;
    return rc;
}

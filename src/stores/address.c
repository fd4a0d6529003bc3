/* address.c — the URLs of outside stores. */
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "fetch/fetch.h"
#include "outside.h"

static const struct scheme {
    const char *name;
    const vx_outside_kind *kind;
    bool plain;
    const char *port;
} schemes[] = {
    {"milvus", &vx_outside_milvus, false, "19530"},
    {"milvus+http", &vx_outside_milvus, true, "19530"},
    {"qdrant", &vx_outside_qdrant, false, "6333"},
    {"qdrant+http", &vx_outside_qdrant, true, "6333"},
    {"pinecone", &vx_outside_pinecone, false, "443"},
    {"pinecone+http", &vx_outside_pinecone, true, "5081"},
    {"postgresql", &vx_outside_pgvector, false, "5432"},
    {"postgres", &vx_outside_pgvector, false, "5432"},
    {"files", &vx_outside_files, false, ""},
};

static bool consists_of(const char *text, const char *others) {
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr(others, *text))
            return false;
    return true;
}

/* Copies n bytes if they fit and are letters, digits or of these others. */
static bool take_part(char *ret_part, size_t capacity, const char *text, size_t n,
                      const char *others) {
    if (n >= capacity)
        return false;
    memcpy(ret_part, text, n);
    ret_part[n] = 0;
    return strlen(ret_part) == n && consists_of(ret_part, others);
}

static int parse_authority(const char *text, size_t n, vx_outside_url *url, vx_err *err) {
    const char *at = memchr(text, '@', n);
    if (at) {
        size_t n_user = (size_t)(at - text);
        if (memchr(text, ':', n_user))
            return VX_FAIL(err, VX_OUTSIDE_BAD_URL,
                           "a store's URL must not hold a password: put it into the file of "
                           "--store-keys");
        if (url->kind != &vx_outside_pgvector ||
            !take_part(url->user, sizeof url->user, text, n_user, "_-."))
            return VX_FAIL(err, VX_OUTSIDE_BAD_URL, "a store's URL must not hold a user here");
        n -= n_user + 1;
        text = at + 1;
    }
    const char *end = n && *text == '[' ? memchr(text, ']', n) : memchr(text, ':', n);
    size_t n_host = !end ? n : *text == '[' ? (size_t)(end + 1 - text) : (size_t)(end - text);
    bool fine = *text == '[' ? end && take_part(url->host, sizeof url->host, text, n_host, "[]:.")
                             : take_part(url->host, sizeof url->host, text, n_host, ".-");
    if (!fine || !url->host[0])
        return VX_FAIL(err, VX_OUTSIDE_BAD_URL, "a store's URL must name a host");
    if (n_host < n &&
        (text[n_host] != ':' ||
         !take_part(url->port, sizeof url->port, text + n_host + 1, n - n_host - 1, "") ||
         strspn(url->port, "0123456789") != strlen(url->port) || !url->port[0]))
        return VX_FAIL(err, VX_OUTSIDE_BAD_URL, "the port of a store's URL must be a number");
    return 0;
}

static bool is_one_of(const char *text, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(text, words[i]))
            return true;
    return false;
}

/* table and sslmode, of PostgreSQL; format, of files. */
static int parse_query(const char *text, vx_outside_url *url, vx_err *err) {
    static const char *const modes[] = {"disable", "require", "verify-full"};
    static const char *const formats[] = {"parquet", "npy", "faiss"};
    while (*text) {
        size_t n = strcspn(text, "&");
        bool fine = false;
        if (url->kind == &vx_outside_pgvector && !strncmp(text, "table=", 6))
            fine = n > 6 && take_part(url->table, sizeof url->table, text + 6, n - 6, "_");
        else if (url->kind == &vx_outside_pgvector && !strncmp(text, "sslmode=", 8) &&
                 take_part(url->sslmode, sizeof url->sslmode, text + 8, n - 8, "-"))
            fine = is_one_of(url->sslmode, modes, VX_LEN(modes));
        else if (url->kind == &vx_outside_files && !strncmp(text, "format=", 7) &&
                 take_part(url->format, sizeof url->format, text + 7, n - 7, ""))
            fine = is_one_of(url->format, formats, VX_LEN(formats));
        if (!fine)
            return VX_FAIL(err, VX_OUTSIDE_BAD_URL,
                           "a store's URL takes after ? only, for PostgreSQL, table=NAME and "
                           "sslmode=disable, require or verify-full, and for files format=parquet, "
                           "npy or faiss");
        text += n + (text[n] == '&');
    }
    return 0;
}

int vx_outside_parse(const char *text, vx_outside_url *ret_url, vx_err *err) {
    vx_outside_url url = {.sslmode = "verify-full", .table = "vidx", .format = "parquet"};
    const char *rest = strstr(text, "://");
    const struct scheme *scheme = NULL;
    for (size_t i = 0; rest && i < VX_LEN(schemes); i++)
        if (strlen(schemes[i].name) == (size_t)(rest - text) &&
            !strncmp(schemes[i].name, text, (size_t)(rest - text)))
            scheme = &schemes[i];
    if (!scheme)
        return VX_FAIL(
            err, VX_OUTSIDE_BAD_URL,
            "a store's URL must begin with milvus://, qdrant://, pinecone://, "
            "postgresql:// or files://; milvus+http://, qdrant+http:// and pinecone+http:// are "
            "without TLS, for private addresses");
    url.kind = scheme->kind;
    url.plain = scheme->plain;
    url.default_port = scheme->port;
    strcpy(url.port, scheme->port);
    rest += 3;
    size_t n = strcspn(rest, "/?");
    int rc = parse_authority(rest, n, &url, err);
    if (rc)
        return rc;
    rest += n + (rest[n] == '/');
    n = strcspn(rest, "?");
    if (!take_part(url.collection, sizeof url.collection, rest, n, "_-") ||
        (!n && url.kind != &vx_outside_pinecone))
        return VX_FAIL(err, VX_OUTSIDE_BAD_URL,
                       "a store's URL must name a collection (a database for PostgreSQL, a folder "
                       "for files) after the host: letters, digits, _ and -");
    rc = parse_query(rest + n + (rest[n] == '?'), &url, err);
    if (!rc)
        *ret_url = url;
    return rc;
}

static bool entry_allows(const char *entry, size_t n, const vx_outside_url *url) {
    char host[sizeof url->host + sizeof url->port + 1];
    bool plain = n > 7 && !strncmp(entry, "http://", 7);
    if (plain) {
        entry += 7;
        n -= 7;
    }
    if (n >= sizeof host)
        return false;
    memcpy(host, entry, n);
    host[n] = 0;
    char *bracket = strchr(host, ']'), *port = strchr(bracket ? bracket : host, ':');
    if (port)
        *port++ = 0;
    return (plain || (!url->plain && strcmp(url->sslmode, "disable") != 0)) &&
           !strcmp(url->port, port ? port : url->default_port) &&
           vx_service_allows(host, url->host);
}

static bool allows_host(const char *hosts, const vx_outside_url *url) {
    for (const char *at = hosts; at && *at;) {
        at += strspn(at, ", ");
        size_t n = strcspn(at, ", ");
        if (n && entry_allows(at, n, url))
            return true;
        at += n;
    }
    return false;
}

int vx_outside_check_allowed(const vx_store_access *access, const vx_outside_url *url,
                             vx_err *err) {
    char root[PATH_MAX], folder[PATH_MAX];
    if (url->kind == &vx_outside_files)
        return vx_outside_find_folder(access->folders, url, PATH_MAX, root, folder)
                   ? 0
                   : VX_FAIL(err, VX_OUTSIDE_UNFIT,
                             "%.80s is no folder that the operator named with --store-folder "
                             "NAME=DIR",
                             url->host);
    return allows_host(access->hosts, url)
               ? 0
               : VX_FAIL(err, VX_OUTSIDE_UNFIT,
                         "%.80s, port %s, is not allowed this way: when the server starts the "
                         "operator names HOST:PORT with --store-hosts, or http://HOST:PORT to go "
                         "without TLS",
                         url->host, url->port);
}

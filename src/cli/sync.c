/* sync.c — vidx sync: makes an outside vector database equal to a data folder that no server uses. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli.h"
#include "options.h"
#include "store/store.h"
#include "stores/stores.h"
#include "writer/writer.h"

typedef struct settings {
    const char *data, *to, *name, *model, *keys, *folders, *ca;
    bool check;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the data folder of vidx serve"},
    {"to", VX_OPTION_TEXT, AT(to), NULL, "URL",
     "milvus://HOST:PORT/COLLECTION, qdrant://HOST:PORT/COLLECTION, pinecone://HOST/NAMESPACE, "
     "postgresql://USER@HOST/DATABASE?table=NAME or files://NAME/FOLDER?format=parquet, npy or "
     "faiss; milvus+http:// and so on without TLS"},
    {"name", VX_OPTION_TEXT, AT(name), "sync", "NAME",
     "under which the place in the changes is kept; one for each URL"},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME",
     "whose vectors are sent (default: the one that was loaded last)"},
    {"check", VX_OPTION_FLAG, AT(check), NULL, NULL,
     "read back all ids and digests first, also if nothing has changed"},
    {"store-folder", VX_OPTION_LINES, AT(folders), NULL, "NAME=DIR", VX_STORE_FOLDER_HELP},
    {"store-keys", VX_OPTION_TEXT, AT(keys), NULL, "FILE", VX_STORE_KEYS_HELP},
    {"store-ca", VX_OPTION_TEXT, AT(ca), NULL, "FILE", VX_STORE_CA_HELP},
};

/* The host of a URL that the operator typed is allowed. */
static void host_of(const char *url, char *ret_host, size_t capacity) {
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    size_t n = strcspn(from, "/?");
    const char *at = memchr(from, '@', n);
    if (at) {
        n -= (size_t)(at + 1 - from);
        from = at + 1;
    }
    snprintf(ret_host, capacity, "http://%.*s", (int)n, from);
}

static int sync_to(const settings *s, vx_store_view *ret_view, vx_err *err) {
    char path[PATH_MAX], host[256];
    VX_AUTO(vx_store) store = NULL;
    VX_AUTO(vx_catalog) catalog = NULL;
    VX_AUTO(vx_writer) writer = NULL; /* declared last: stopped first */
    if (snprintf(path, sizeof path, "%s/catalog.db", s->data) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", s->data);
    if (access(path, F_OK))
        return VX_FAIL_ERRNO(err, "%s is no data folder of vidx", s->data);
    vx_store_params params = {.data_dir = s->data};
    int rc = vx_store_open(&params, &store, err);
    if (!rc)
        rc = vx_catalog_open(path, 0, &catalog, err);
    if (rc == -EBUSY)
        VX_WRAP(err, "a server uses this folder: let it do it by POST /v1/stores");
    if (!rc)
        rc = vx_writer_start(catalog, store, &writer, err);
    if (rc)
        return rc;
    host_of(s->to, host, sizeof host);
    const vx_stores_params stores = {
        .catalog = catalog,
        .writer = writer,
        .access = {.hosts = host, .folders = s->folders, .keys_path = s->keys, .ca_path = s->ca}};
    rc = vx_stores_check_access(&stores.access, s->data, err);
    if (rc)
        return rc;
    const vx_store_spec spec = {.name = s->name, .url = s->to, .model = s->model};
    return vx_stores_sync_once(&stores, &spec, s->check, ret_view, err);
}

int vx_command_sync(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    vx_store_view view = {0};
    int rc = vx_options_parse(
        "usage: vidx sync --to URL [options]\n\n"
        "Makes a vector database outside equal to the collection, and ends. Only what has changed\n"
        "since the last time is sent; started again after a failure it goes on where it was. "
        "While\n"
        "a server runs, POST /v1/stores does this continuously.",
        table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc && !s.to)
        rc = VX_FAIL(&err, VX_OPTION_WRONG, "--to says where to: vidx sync --help");
    if (rc) {
        fprintf(stderr, "vidx sync: %s\n", err.msg);
        return 2;
    }
    int64_t start_us = vx_clock_unix_us();
    rc = sync_to(&s, &view, &err);
    if (view.checked_us >= start_us)
        printf("compared %lld points: %lld differed, %lld were missing, %lld were stray, %lld are "
               "not of vidx\n",
               (long long)view.points, (long long)view.differing, (long long)view.missing,
               (long long)view.stray, (long long)view.foreign);
    if (!rc || view.sent || view.removed)
        printf("sent %lld clips, deleted %lld\n", (long long)view.sent, (long long)view.removed);
    if (view.refused)
        printf("%lld were refused: %s\n", (long long)view.refused, view.last_error);
    if (!rc)
        return view.refused ? 1 : 0;
    fprintf(stderr, "vidx sync: %s\n", err.msg);
    return rc == VX_STORES_INVALID ? 2 : 1;
}

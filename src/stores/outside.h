/* outside.h — one vector database outside, behind the same few calls for every kind of it (private).
 *
 * A point is a clip: its vector, and what a person filters and shows by. Its id is the clip's id
 * ("v….3"), in the form that the store has for ids, so that whoever reads the store finds the video.
 * Every call may be repeated: what was sent before is replaced, what is gone already is gone.
 *
 * Errs     VX_OUTSIDE_* (> 0) or -errno. Sentences never hold the credential, even if the store sends it
 *          back.
 * Threads  one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "export/point.h"
#include "remote.h"

typedef enum vx_outside_outcome {
    VX_OUTSIDE_BAD_URL = VX_CODES_STORES,
    VX_OUTSIDE_AWAY,    /* no connection, too slow, overloaded: later */
    VX_OUTSIDE_UNFIT,   /* a person must do something: credential, another schema or dimension */
    VX_OUTSIDE_REFUSED, /* it does not take this data; other data it may */
} vx_outside_outcome;

/* ---- where it is ---- */

typedef struct vx_outside_url {
    const struct vx_outside_kind *kind;
    bool plain;                        /* without TLS */
    const char *default_port;          /* of the kind; static */
    char host[256], port[6], user[64]; /* host: of files the name of a folder */
    char collection[256];              /* collection, namespace, database or folder */
    char table[64];                    /* PostgreSQL: the table */
    char sslmode[16];                  /* PostgreSQL */
    char format[16];                   /* files */
} vx_outside_url;

/* address.c. VX_OUTSIDE_BAD_URL with what is wrong. A password in it is refused. */
int vx_outside_parse(const char *text, vx_outside_url *ret_url, vx_err *err);

/* address.c: whether the operator allows this URL. Entries of hosts: [http://]HOST[:PORT]. HOST may be
 * *.example.org; without PORT it is the kind's default port; without http:// only with TLS. Of files the folder
 * must be one of those with a name. VX_OUTSIDE_UNFIT: says which option would allow it. */
int vx_outside_check_allowed(const vx_store_access *access, const vx_outside_url *url, vx_err *err);
/* named_folders.c: the folder of that name, and below it the URL's. False: there is none, or the path is too long. */
bool vx_outside_find_folder(const char *folders, const vx_outside_url *url, size_t capacity,
                            char *ret_root, char *ret_folder);

/* keys.c: the credential of host:port, of the file (lines "HOST[:PORT] KEY"; NULL: none) or of the variable
 * VIDX_STORE_KEY_<HOST>, upper case, with "_" for all but letters and digits. What names no port is for the kind's
 * default port. Gives it (free()); NULL: there
 * is none. -errno: the file cannot be read; VX_OUTSIDE_UNFIT: a line of it is no such line. */
int vx_outside_find_key(const char *keys_path, const vx_outside_url *url, char **ret_key,
                        vx_err *err);

/* ---- the store ---- */

typedef struct vx_outside {
    const struct vx_outside_kind *kind;
    vx_outside_url url;
    vx_store_access access; /* borrows its texts */
    char *key;              /* owned, or NULL */
    int dim;
    bool (*cancelled)(void *ctx); /* NULL, or asked now and then */
    void *ctx;
    char version[48]; /* what is there, once ensure has run: "Milvus, REST v1" */
} vx_outside;

/* A point as the store has it; borrowed until return. id: the clip's id, or "" for what vidx did not write. */
typedef int (*vx_outside_on_point)(void *ctx, const char *id, const char *digest, vx_err *err);

typedef struct vx_outside_kind {
    const char *name;    /* milvus, … */
    int max_points;      /* of one request */
    size_t max_metadata; /* bytes of metadata that a point takes; longer is left out */
    int (*open)(vx_outside **ret_outside, vx_err *err);
    /* Of files the calls from here to list are NULL: files.c writes them. */
    /* Makes the collection if there is none; else checks that it fits. */
    int (*ensure)(vx_outside *outside, vx_err *err);
    int (*upsert)(vx_outside *outside, const vx_point *points, size_t n, vx_err *err);
    int (*remove)(vx_outside *outside, const char (*ids)[VX_CLIP_ID_CHARS + 1], size_t n,
                  vx_err *err);
    /* Every point that is there, in any order; one may come twice. */
    int (*list)(vx_outside *outside, vx_outside_on_point on_point, void *ctx, vx_err *err);
    void (*close)(vx_outside *outside);

    /* Of a kind that answers searches; else NULL. */
    const char *consistency; /* of its answers */
    /* In place of ensure: the collection must be there. */
    int (*attach)(vx_outside *outside, vx_err *err);
    int (*search)(vx_outside *outside, const float *vector, size_t k, vx_remote_on_hit on_hit,
                  void *ctx, vx_err *err);
} vx_outside_kind;

extern const vx_outside_kind vx_outside_milvus, vx_outside_qdrant, vx_outside_pinecone,
    vx_outside_pgvector, vx_outside_files;

/* Finds its credential; does not connect yet. Borrows the texts of access until close. */
int vx_outside_open(const vx_store_access *access, const vx_outside_url *url, int dim,
                    vx_outside **ret_outside, vx_err *err);
vx_outside *vx_outside_close(vx_outside *outside);
VX_DEFINE_AUTO(vx_outside, vx_outside_close)

/* Takes the folder for this store of files alone, until it is closed. VX_OUTSIDE_UNFIT: another one has it. */
int vx_files_lock(vx_outside *outside, const char *folder, vx_err *err);
/* Whether an id has the form of ours. */
bool vx_outside_is_clip_id(const char *id);
/* Fills *err with a sentence that holds text of the store: cut, without control characters and without the
 * credential. Gives code. */
int vx_outside_fail(const vx_outside *outside, int code, const char *what, const char *text,
                    vx_err *err);

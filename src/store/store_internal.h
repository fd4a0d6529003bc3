/* store_internal.h — what the files of src/store share. */
#pragma once

#include "store.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdatomic.h>

struct vx_store {
    char *data_dir;
    /* directories: every path below is relative to one of them */
    int incoming_fd, media_fd, tables_fd;
    int64_t max_upload_bytes, reserve_bytes;
    atomic_bool has_ballast;
    vx_store_open_in_place open_in_place; /* NULL: nothing lies in place */
    void *in_place_ctx;
};

#define UPLOAD_NAME_CHARS 32 /* random hex */

/* Opens a file that is open once more: whoever reads it cannot be led elsewhere by what its name means by then. */
#define VX_STORED_FILE_PATH "/proc/self/fd/%d"

typedef enum upload_state {
    UPLOAD_OPEN,
    UPLOAD_ENDED,
    UPLOAD_SEALED,
    UPLOAD_PUBLISHED,
    UPLOAD_EXTERNAL
} upload_state;

struct vx_upload {
    vx_store *store; /* borrows; NULL for an external file */
    upload_state state;
    bool kept;
    bool unverified; /* adopted, and its bytes were not read yet; the worker's alone */
    int fd;          /* -1 once sealed; of a file in place: as long as the upload */
    int64_t bytes;
    uint8_t sha256[32];
    EVP_MD_CTX *digest;
    char name[UPLOAD_NAME_CHARS + 1];
    char *path;
};

/* <2 hex>/<64 hex> */
#define STORE_RELATIVE_BYTES (2 + 1 + 64 + 1)
void vx_store_relative_path(const uint8_t sha256[32], char ret_path[STORE_RELATIVE_BYTES]);

#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "hex.h"
#include "mem.h"

static void free_md(EVP_MD_CTX **md) {
    EVP_MD_CTX_free(*md);
}

int vx_digest_file(int fd, char ret_hex[VX_DIGEST_HEX_BYTES], vx_err *err) {
    enum { CHUNK_BYTES = 1 << 20 };
    VX_AUTO_FREE unsigned char *chunk = malloc(CHUNK_BYTES);
    __attribute__((cleanup(free_md))) EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!chunk || !md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
        return VX_FAIL(err, -ENOMEM, "no memory for a digest");
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK_BYTES)) > 0)
        if (!EVP_DigestUpdate(md, chunk, (size_t)n))
            return VX_FAIL(err, -EIO, "libcrypto refused to digest");
    if (n < 0)
        return VX_FAIL_ERRNO(err, "reading");
    unsigned char sum[32];
    if (!EVP_DigestFinal_ex(md, sum, NULL))
        return VX_FAIL(err, -EIO, "libcrypto refused to digest");
    vx_hex_encode(sum, sizeof sum, ret_hex);
    return 0;
}

/* What any server that hashes and stores durably could reach here: the bare least of an upload.
 *
 *   bare_receiver DIR
 *
 * Listens on a port of 127.0.0.1 that the system chooses, prints it, and answers every request whose
 * body Content-Length announces: received 256 KiB at a time, hashed (SHA-256), written, fsync'ed,
 * renamed, the folder fsync'ed, then 201. One thread a connection, up to THREADS. No HTTP but that,
 * nothing decoded, no catalog, no check of anything: a yardstick, not a server.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 16
#define WINDOW ((size_t)256 * 1024)

static int listener, folder;
static atomic_int next_name;

static void need(int ok, const char *what) {
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void store(int fd, EVP_MD_CTX *digest, const char *bytes, size_t n) {
    need(write(fd, bytes, n) == (ssize_t)n, "write");
    need(EVP_DigestUpdate(digest, bytes, n), "hash");
}

/* The request's head, from its first byte; what came of the body behind it is counted in *n. */
static char *read_head(int peer, char *window, size_t *n) {
    for (*n = 0;;) {
        ssize_t got = recv(peer, window + *n, WINDOW - *n - 1, 0);
        if (got <= 0)
            return NULL;
        *n += (size_t)got;
        window[*n] = '\0';
        char *end = strstr(window, "\r\n\r\n");
        if (end)
            return end + 4;
        need(*n + 1 < WINDOW, "a head of that size");
    }
}

/* One request; 0 when the peer has closed. */
static int serve(int peer, char *window, EVP_MD_CTX *digest) {
    char part[32], whole[80];
    unsigned char sum[32];
    size_t n;
    const char *body = read_head(peer, window, &n);
    if (!body)
        return 0;
    const char *field = strcasestr(window, "\r\nContent-Length:");
    need(field != NULL, "Content-Length");
    size_t left = strtoull(field + 17, NULL, 10), have = n - (size_t)(body - window);
    snprintf(part, sizeof part, "%d.part", atomic_fetch_add(&next_name, 1));
    int fd = openat(folder, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0, part);
    need(EVP_DigestInit_ex(digest, EVP_sha256(), NULL), "hash");
    store(fd, digest, body, have);
    for (left -= have; left > 0;) {
        ssize_t got = recv(peer, window, left < WINDOW ? left : WINDOW, 0);
        need(got > 0, "recv");
        store(fd, digest, window, (size_t)got);
        left -= (size_t)got;
    }
    need(EVP_DigestFinal_ex(digest, sum, NULL), "hash");
    for (int i = 0; i < 32; i++)
        snprintf(whole + 2 * i, 3, "%02x", sum[i]);
    need(!fsync(fd) && !close(fd), "fsync");
    need(!renameat(folder, part, folder, whole) && !fsync(folder), "rename");
    static const char answer[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    return send(peer, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0;
}

static void *run(void *unused) {
    char *window = malloc(WINDOW);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    need(window && digest, "memory");
    for (;;) {
        int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
        need(peer >= 0, "accept");
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (serve(peer, window, digest))
            ;
        close(peer);
    }
    return unused;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t threads[THREADS];
    if (argc != 2)
        return fprintf(stderr, "usage: bare_receiver DIR\n"), 2;
    folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    need(folder >= 0, argv[1]);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(listener >= 0 && !bind(listener, (struct sockaddr *)&address, size) &&
             !listen(listener, 64) && !getsockname(listener, (struct sockaddr *)&address, &size),
         "listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int i = 0; i < THREADS; i++)
        need(!pthread_create(&threads[i], NULL, run, NULL), "threads");
    pthread_join(threads[0], NULL);
    return 0;
}

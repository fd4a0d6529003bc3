/* A client that costs little: so many connections, each with one request after the other.
 *
 *   http_load URL BODIES CONNECTIONS SECONDS
 *
 * BODIES has a JSON body a line; a connection begins at its own and takes one after the other. Prints one JSON
 * object: requests, requests a second, milliseconds (p50, p90, p99), answers that are not 200, the processor
 * time of the client, and the first answer.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_CONNECTIONS = 256, ANSWER = 1 << 16 };

static struct {
    const char *url;
    char *bodies[4096];
    size_t n_bodies;
    double end_s;
} load;

typedef struct connection {
    pthread_t thread;
    size_t at, n, room, n_wrong, n_answer;
    float *took_ms;
    char answer[ANSWER];
} connection;

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t take(char *data, size_t size, size_t n, void *ctx) {
    connection *c = ctx;
    size_t room = ANSWER - 1 - c->n_answer, more = size * n < room ? size * n : room;
    memcpy(c->answer + c->n_answer, data, more);
    c->n_answer += more;
    c->answer[c->n_answer] = 0;
    return size * n;
}

static void note(connection *c, float ms) {
    if (c->n == c->room) {
        c->room = c->room ? 2 * c->room : 1024;
        c->took_ms = realloc(c->took_ms, c->room * sizeof *c->took_ms);
    }
    c->took_ms[c->n++] = ms;
}

static void *run(void *arg) {
    connection *c = arg;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, load.url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    while (seconds_of(CLOCK_MONOTONIC) < load.end_s) {
        const char *body = load.bodies[c->at++ % load.n_bodies];
        long status = 0;
        c->n_answer = 0;
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        double start = seconds_of(CLOCK_MONOTONIC);
        CURLcode code = curl_easy_perform(curl);
        note(c, (float)((seconds_of(CLOCK_MONOTONIC) - start) * 1e3));
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        c->n_wrong += code || status != 200;
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return NULL;
}

static void read_bodies(const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    if (!file) {
        perror(path);
        exit(1);
    }
    while (load.n_bodies < 4096 && getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = 0;
        load.bodies[load.n_bodies++] = strdup(line);
    }
    free(line);
    fclose(file);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static connection connections[MOST_CONNECTIONS];
    if (argc != 5)
        return 2;
    size_t n_connections = strtoul(argv[3], NULL, 10), n = 0, n_wrong = 0;
    double seconds = atof(argv[4]);
    load.url = argv[1];
    read_bodies(argv[2]);
    if (!load.n_bodies || n_connections < 1 || n_connections > MOST_CONNECTIONS)
        return 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    double start = seconds_of(CLOCK_MONOTONIC);
    load.end_s = start + seconds;
    for (size_t i = 0; i < n_connections; i++) {
        connections[i].at = i * load.n_bodies / n_connections;
        pthread_create(&connections[i].thread, NULL, run, &connections[i]);
    }
    for (size_t i = 0; i < n_connections; i++) {
        pthread_join(connections[i].thread, NULL);
        n += connections[i].n;
        n_wrong += connections[i].n_wrong;
    }
    double spent = seconds_of(CLOCK_MONOTONIC) - start;
    float *all = malloc((n + 1) * sizeof *all);
    size_t done = 0;
    for (size_t i = 0; i < n_connections; i++) {
        memcpy(all + done, connections[i].took_ms, connections[i].n * sizeof *all);
        done += connections[i].n;
    }
    qsort(all, n, sizeof *all, compare_floats);
    for (char *c = connections[0].answer; *c; c++)
        *c = *c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '\'' : *c;
    printf("{\"n\": %zu, \"per_s\": %.1f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"wrong\": "
           "%zu, "
           "\"client_cpu\": %.2f, \"answer\": \"%.300s\"}\n",
           n, (double)n / spent, (double)all[n / 2], (double)all[n * 9 / 10],
           (double)all[n * 99 / 100], n_wrong, seconds_of(CLOCK_PROCESS_CPUTIME_ID) / spent,
           connections[0].answer);
    return 0;
}

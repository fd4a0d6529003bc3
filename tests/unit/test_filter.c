/* Columns under threads: selections while videos come, change and go, and while fields are declared; and what
 * a filter of many parts costs. What filters mean is tested against Python in tests/filter. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crew.h"
#include "base/thread.h"
#include "filter/filter_internal.h"

#define N_VIDEOS 2000
#define STEADY_EVERY 10 /* videos that stay as they are */

typedef struct shared {
    vx_filter_columns *columns;
    atomic_bool settled; /* what is declared stays */
    atomic_bool stop;
    atomic_int wrong, sound;
} shared;

static vx_video video_of(int64_t row, char *metadata, size_t capacity, bool steady, int round) {
    snprintf(metadata, capacity, "{\"kind\": \"%s\", \"round\": %d}", steady ? "steady" : "other",
             round);
    return (vx_video){.row = row, .filename = "a.mp4", .metadata = metadata};
}

static void put(vx_filter_columns *columns, int64_t row, int round) {
    char metadata[64], filename[32];
    vx_video video = video_of(row, metadata, sizeof metadata, row % STEADY_EVERY == 0, round);
    snprintf(filename, sizeof filename, "a%lld.mp4", (long long)row);
    video.filename = filename;
    assert_int_equal(vx_filter_columns_put(columns, &video, NULL), 0);
}

/* All videos have this shape, so their metadata need not be kept. */
static int read_metadata(void *ctx, int64_t row, char **ret_metadata, vx_err *err) {
    char text[64];
    (void)ctx, (void)err;
    video_of(row, text, sizeof text, row % STEADY_EVERY == 0, 0);
    *ret_metadata = strdup(text);
    return 0;
}

static vx_filter *parse(const char *text) {
    json_t *json = json_loads(text, 0, NULL);
    char pointer[VX_FILTER_POINTER_BYTES];
    vx_filter *filter = NULL;
    assert_int_equal(vx_filter_parse(json, NULL, &filter, pointer, NULL), 0);
    json_decref(json);
    return filter;
}

/* However far the columns are: the steady ones pass, all of them and no other. */
static void *select_steady(void *ctx) {
    shared *s = ctx;
    VX_AUTO(vx_filter)
    filter = parse("{\"metadata.kind\": \"steady\", \"filename\": {\"$contains\": \"A\"}}");
    const vx_filter_selection selection = {.filter = filter, .read_metadata = read_metadata};
    while (!atomic_load(&s->stop)) {
        VX_AUTO_FREE int64_t *rows = NULL;
        size_t n = 0, n_read;
        int rc = vx_filter_columns_select(s->columns, &selection, &rows, &n, &n_read, NULL);
        bool right = !rc && n == N_VIDEOS / STEADY_EVERY;
        for (size_t i = 0; i < n && right; i++)
            right = rows[i] == (int64_t)(N_VIDEOS - i * STEADY_EVERY);
        atomic_fetch_add(&s->wrong, !right);
    }
    return NULL;
}

/* A part of the videos, as a thread of the index does it. */
static void ask_some(void *ctx, size_t part) {
    const vx_idset_bits *bits = ctx;
    int64_t n = N_VIDEOS / 16, first = (int64_t)(part % 16) * n; /* each of them twice */
    vx_idset_bits_begin(bits);
    for (int64_t row = first; row < first + n; row += part < 16 ? 1 : 50)
        vx_idset_bits_have(bits, row);
    vx_idset_bits_end(bits);
}

/* Sets that changes do not make unsound have the steady ones, too, and no other. */
static void *select_steady_lazily(void *ctx) {
    shared *s = ctx;
    VX_AUTO(vx_filter)
    filter = parse("{\"metadata.kind\": \"steady\", \"filename\": {\"$contains\": \"A\"}}");
    while (!atomic_load(&s->stop)) {
        VX_AUTO(vx_idset) set = NULL;
        vx_idset_bits bits;
        bool right = !vx_filter_columns_select_lazily(s->columns, filter, false, &set, NULL);
        if (set && !vx_idset_bits_init(&bits, set)) {
            vx_crew_run("test", 2, 32, ask_some, &bits);
            vx_idset_bits_done(&bits);
        }
        if (set && vx_idset_complete(set)) {
            right &= set->n == N_VIDEOS / STEADY_EVERY;
            for (int64_t row = STEADY_EVERY; row <= N_VIDEOS; row += STEADY_EVERY)
                right &= vx_idset_contains(set, row);
            atomic_fetch_add(&s->sound, 1);
        }
        atomic_fetch_add(&s->wrong, !right);
    }
    return NULL;
}

/* As the upkeep thread does it; in the end one field is declared. */
static void *declare_and_fill(void *ctx) {
    shared *s = ctx;
    static const char *const fields[] = {"metadata.kind", "metadata.round"};
    for (size_t n = 0; n != 2 || !atomic_load(&s->settled); n = (n + 1) % 3) {
        int64_t rows[64], above = 0;
        atomic_fetch_add(&s->wrong, vx_filter_columns_declare(s->columns, fields, n, NULL) != 0);
        for (size_t m = 1; m > 0 && above < N_VIDEOS / 2;) {
            m = vx_filter_columns_find_unfilled(s->columns, above, VX_LEN(rows), rows);
            for (size_t i = 0; i < m; i++) {
                VX_AUTO_FREE char *metadata = NULL;
                above = rows[i];
                read_metadata(NULL, above, &metadata, NULL);
                atomic_fetch_add(&s->wrong,
                                 vx_filter_columns_fill(s->columns, above, metadata, NULL) != 0);
            }
        }
    }
    return NULL;
}

static void selection_during_changes_finds_what_stays(void **state) {
    (void)state;
    shared s = {.stop = false};
    pthread_t threads[4];
    void *(*const mains[])(void *) = {select_steady, select_steady, declare_and_fill,
                                      select_steady_lazily};
    assert_int_equal(vx_filter_columns_new(&s.columns, NULL), 0);
    for (int64_t row = 1; row <= N_VIDEOS; row++)
        put(s.columns, row, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(vx_thread_start(&threads[i], "test", mains[i], &s, NULL), 0);
    for (int round = 1; round <= 4; round++)
        for (int64_t row = 1; row <= N_VIDEOS; row++) {
            if (row % STEADY_EVERY && (row + round) % 3 == 0)
                vx_filter_columns_remove(s.columns, row);
            else
                put(s.columns, row, round);
            atomic_store(&s.settled, round > 2);
        }
    for (int round = 5; !atomic_load(&s.sound) && round < 1000; round++)
        for (int64_t row = 1; row <= N_VIDEOS; row++)
            put(s.columns, row, round);
    atomic_store(&s.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_true(atomic_load(&s.sound) > 0);
    vx_filter_columns_free(s.columns);
}

/* ---- parts ---- */

static size_t count_nodes(const vx_filter *filter, const vx_node *node) {
    size_t n = 1;
    for (size_t i = 0; node->kind != VX_NODE_CONDITION && i < node->n; i++)
        n += count_nodes(filter, &filter->nodes[node->first + i]);
    return n;
}

static size_t nodes_of(const char *text) {
    VX_AUTO(vx_filter) filter = parse(text);
    return count_nodes(filter, &filter->root);
}

/* Each part is looked at for every 64 videos: of 64 in 64 in 10 empty ones nothing may be left. */
static void parts_that_decide_nothing_are_left_out(void **state) {
    (void)state;
    char empty[64 * 4], middle[sizeof empty * 66], text[sizeof middle * 11];
    char *end = empty;
    for (int i = 0; i < 62; i++)
        end += sprintf(end, "{},");
    end = middle;
    for (int i = 0; i < 60; i++)
        end += sprintf(end, "{\"$or\": [%s{}]},", empty);
    end = text;
    end += sprintf(end, "{\"$and\": [");
    for (int i = 0; i < 10; i++)
        end += sprintf(end, "{\"$and\": [%s{}]},", middle);
    sprintf(end, "{\"bytes\": 5}, {\"$not\": {\"$not\": {\"filename\": \"a\"}}}]}");
    assert_int_equal(nodes_of(text), 3);
    assert_int_equal(nodes_of("{\"$or\": [{\"bytes\": 5}, {\"$or\": [{\"bytes\": 6}, {}]}]}"), 1);
    assert_int_equal(nodes_of("{\"$or\": [{\"$not\": {}}, {\"$and\": [{\"bytes\": 6}]}]}"), 1);
    assert_int_equal(nodes_of("{\"$or\": [{\"bytes\": 5}, {\"$not\": {\"bytes\": 6}}]}"), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_that_decide_nothing_are_left_out),
        cmocka_unit_test(selection_during_changes_finds_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* catalog_fixture.h — a catalog in a temporary directory, and videos to put into it. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "catalog/catalog_internal.h"

#define DIM 5

typedef struct fixture {
    char dir[32], path[96];
    vx_catalog *catalog;
    int64_t space;
} fixture;

static _Thread_local vx_err oops;
/* Every call that must succeed, with &oops: shows the catalog's own words when it does not. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call))                                                                                \
            fail_msg("%s: %s", #call, oops.msg);                                                   \
    } while (0)

static inline void fixture_open(fixture *f) {
    OK(vx_catalog_open(f->path, 0, &f->catalog, &oops));
}

static inline void fixture_reopen(fixture *f) {
    f->catalog = vx_catalog_close(f->catalog);
    fixture_open(f);
}

static inline int fixture_setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/vx_catalog_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/catalog.db", f->dir);
    fixture_open(f);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "test", "d1", DIM, &f->space, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    fixture *f = *state;
    vx_catalog_close(f->catalog);
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < VX_LEN(suffixes); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", f->path, suffixes[i]);
        unlink(name);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

/* seed decides every field, so that what is read back can be compared with a second one. */
static inline vx_video *make_video(int seed, int n_clips) {
    vx_video *v = vx_new(vx_video);
    for (int i = 0; i < 32; i++)
        v->sha256[i] = (uint8_t)(seed * 31 + i * 7 + (i < 4 ? seed >> (8 * i) : 0));
    if (asprintf(&v->filename, "clip \xC3\xA9 %d.mp4", seed) < 0 ||
        asprintf(&v->metadata, "{\"n\":%d,\"q\":\"it's \\\"\xF0\x9F\x8E\xAC\\\"\"}", seed) < 0)
        abort();
    v->bytes = 1000000007LL * seed;
    strcpy(v->container, "mov,mp4");
    strcpy(v->codec, "h264");
    v->width_px = 320 + seed;
    v->height_px = 240;
    v->fps = 29.97;
    v->duration_s = seed + 0.125;
    v->created_us = 1700000000000000 + seed;
    v->duplicate = (vx_verdict_row){.share_of_new = 0.5f,
                                    .share_of_stored = 0.25f,
                                    .kind = (vx_verdict_kind)(seed % 4),
                                    .score = NAN,
                                    .share = 0.3f,
                                    .offset_s = NAN};
    strcpy(v->duplicate.of, seed % 4 ? "v0123456789abcdef01234567" : "");
    v->duplicate.mirrored = seed % 2;
    strcpy(v->decode_path, "cpu");
    v->frames_decoded = seed;
    v->frames_total = 10 * seed;
    v->sample_aspect_ratio = seed % 2 ? (double)NAN : 1.5; /* odd: as a video from before these */
    v->rotation_deg = seed % 2 ? -1 : 90;
    strcpy(v->hdr, seed % 2 ? "" : "pq");
    strcpy(v->clip_rule, seed % 2 ? "" : "fixed:1,1,1");
    v->rules = seed % 2 ? 0 : 7;
    v->fingerprints = seed % 2 ? 0 : 2;
    v->clips = vx_new_array((size_t)n_clips, sizeof *v->clips);
    v->n_clips = (size_t)n_clips;
    for (int i = 0; i < n_clips; i++)
        v->clips[i] = (vx_clip){.index = i, .start_s = i, .end_s = i + 0.5};
    return v;
}

static inline void make_vector(int64_t clip, int64_t space, float vector[DIM]) {
    for (int i = 0; i < DIM; i++)
        vector[i] = (float)clip + (float)space * 1000.0f + (float)i * 0.25f;
}

static inline int insert_vector(vx_catalog *catalog, int64_t space, int64_t clip,
                                const float *vector, int dim, vx_err *err) {
    return vx_catalog_insert_vectors(catalog, space, &clip, 1, vector, dim, err);
}

/* Inside a transaction: the video, a vector per clip and a fingerprint of seed % 100 bytes. */
static inline int insert_all(fixture *f, vx_video *v, int seed, vx_err *err) {
    int rc = vx_catalog_insert_video(f->catalog, v, err);
    for (size_t i = 0; i < v->n_clips && !rc; i++) {
        float vector[DIM];
        make_vector(v->clips[i].row, f->space, vector);
        rc = insert_vector(f->catalog, f->space, v->clips[i].row, vector, DIM, err);
    }
    char fingerprint[100];
    memset(fingerprint, seed, sizeof fingerprint);
    if (!rc)
        rc =
            vx_catalog_insert_fingerprint(f->catalog, v->row, fingerprint, (size_t)seed % 100, err);
    return rc;
}

/* One video in one transaction; gives it. */
static inline vx_video *add_video(fixture *f, int seed, int n_clips) {
    vx_video *v = make_video(seed, n_clips);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, v, seed, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return v;
}

/* The answer of a query on a connection of its own: an oracle beside the functions under test. */
static inline int64_t raw_int(fixture *f, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static inline void raw_exec(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

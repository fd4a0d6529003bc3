/* Who hears of changed videos, and the fields that are declared for filters. */
#include "catalog_fixture.h"

typedef struct heard {
    int64_t rows[32];
    size_t n, calls;
} heard;

static void listen(void *ctx, const int64_t *rows, size_t n) {
    heard *h = ctx;
    h->calls++;
    for (size_t i = 0; i < n && h->n < VX_LEN(h->rows); i++)
        h->rows[h->n++] = rows[i];
}

static bool heard_of(const heard *h, int64_t row) {
    for (size_t i = 0; i < h->n; i++)
        if (h->rows[i] == row)
            return true;
    return false;
}

/* One statement of the delete changes the copies. */
static void listener_hears_of_every_video_that_a_commit_changed(void **state) {
    fixture *f = *state;
    heard h = {.n = 0};
    vx_catalog_set_listener(f->catalog, listen, &h);
    VX_AUTO(vx_video) original = add_video(f, 4, 2);
    VX_AUTO(vx_video) copy = add_video(f, 8, 2);
    VX_AUTO(vx_video) other = add_video(f, 12, 2);
    assert_true(h.calls == 3 && heard_of(&h, original->row) && heard_of(&h, copy->row));
    vx_verdict_row verdict = vx_verdict_row_new();
    verdict.kind = VX_VERDICT_COPY;
    strcpy(verdict.of, original->id);
    h = (heard){.n = 0};
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_verdict(f->catalog, copy->row, &verdict, VX_EVIDENCE_NONE, &oops));
    OK(vx_catalog_merge_metadata(f->catalog, other->id, "{\"a\":1}", &oops));
    assert_int_equal(h.calls, 0);
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_true(h.calls == 1 && h.n == 2 && heard_of(&h, copy->row) && heard_of(&h, other->row));
    h = (heard){.n = 0};
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, original->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_true(h.n == 2 && heard_of(&h, original->row) && heard_of(&h, copy->row));
    vx_catalog_set_listener(f->catalog, NULL, NULL);
}

static void listener_hears_nothing_of_what_was_undone(void **state) {
    fixture *f = *state;
    heard h = {.n = 0};
    VX_AUTO(vx_video) stored = add_video(f, 1, 1);
    vx_catalog_set_listener(f->catalog, listen, &h);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_metadata(f->catalog, stored->id, "{}", &oops));
    vx_catalog_rollback(f->catalog);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(h.calls, 0);
    vx_catalog_set_listener(f->catalog, NULL, NULL);
}

static int append_field(void *ctx, const char *field, vx_err *err) {
    (void)err;
    strcat(strcat(ctx, field), " ");
    return 0;
}

static void declared_fields_replace_those_before(void **state) {
    fixture *f = *state;
    const char *const fields[] = {"metadata.b", "metadata.a'\"", "metadata.b"};
    for (size_t n = 3; n != SIZE_MAX; n--) {
        OK(vx_catalog_begin(f->catalog, &oops));
        OK(vx_catalog_set_indexes(f->catalog, fields, n, &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        fixture_reopen(f);
        char list[64] = "";
        OK(vx_catalog_list_indexes(f->catalog, append_field, list, &oops));
        assert_string_equal(list, n >= 2   ? "metadata.a'\" metadata.b "
                                  : n == 1 ? "metadata.b "
                                           : "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(listener_hears_of_every_video_that_a_commit_changed),
        TEST(listener_hears_nothing_of_what_was_undone),
        TEST(declared_fields_replace_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

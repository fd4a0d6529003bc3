/* Answers filters over videos for test_filter.py: a JSON command a line, a JSON answer a line.
 *
 *   {"put": {"row": 1, "filename": "a", …, "metadata": {…}}}   enters or changes a video
 *                                              "clips": [[row, start_s, end_s], …] are its clips
 *   {"remove": 1}
 *   {"declare": ["metadata.a"], "fill": 10}    and tells the columns about the first 10 videos
 *   {"select": {…}, "below": 7, "max": 3}      {"rows": […], "match": […], "read": n}: by the columns and
 *                                              by each video, or {"bad": message, "at": pointer}; of a filter
 *                                              of clips also "clips" and "match_clips"; "set": without max
 *                                              "lazy": the same, of a set that is asked bit by bit; null: there
 *                                              is none
 *   {"hold": {…}, "ask": 70}                   makes a lazy set, and asks it for rows below that
 *   {"held": true}                             all of that set now; null: it is not sound, or there was none
 *   {"bench": {…}, "rounds": 10}               {"ms": best}
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "filter/filter.h"

#define MAX_VIDEOS 2000000

static vx_filter_columns *columns;
static vx_video **videos; /* by row; NULL: none */
static int64_t end_row;

static void check(int rc, const vx_err *err) {
    if (!rc)
        return;
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static double number_or_nan(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static vx_video *read_video(const json_t *json) {
    vx_video *video = vx_new(vx_video);
    const char *filename = json_string_value(json_object_get(json, "filename"));
    const char *of = json_string_value(json_object_get(json, "of"));
    video->row = json_integer_value(json_object_get(json, "row"));
    video->filename = strdup(filename ? filename : "");
    video->metadata = json_dumps(json_object_get(json, "metadata"), JSON_COMPACT);
    video->bytes = json_integer_value(json_object_get(json, "bytes"));
    video->created_us = json_integer_value(json_object_get(json, "created_us"));
    video->duration_s = number_or_nan(json, "duration_s");
    video->fps = (double)NAN;
    video->duplicate = vx_verdict_row_new();
    video->duplicate.kind = (vx_verdict_kind)json_integer_value(json_object_get(json, "verdict"));
    video->duplicate.mirrored = json_is_true(json_object_get(json, "mirrored"));
    const json_t *clips = json_object_get(json, "clips");
    video->n_clips = json_array_size(clips);
    video->clips = vx_new_array(video->n_clips + 1, sizeof *video->clips);
    for (size_t i = 0; i < video->n_clips; i++) {
        const json_t *clip = json_array_get(clips, i);
        video->clips[i] = (vx_clip){.row = json_integer_value(json_array_get(clip, 0)),
                                    .index = (int)i,
                                    .start_s = json_number_value(json_array_get(clip, 1)),
                                    .end_s = json_number_value(json_array_get(clip, 2))};
    }
    snprintf(video->duplicate.of, sizeof video->duplicate.of, "%s", of ? of : "");
    return video;
}

static void put(const json_t *json) {
    vx_err err;
    vx_video *video = read_video(json);
    if (video->row < 1 || video->row >= MAX_VIDEOS)
        exit(2);
    vx_video_free(videos[video->row]);
    videos[video->row] = video;
    end_row = video->row >= end_row ? video->row + 1 : end_row;
    check(vx_filter_columns_put(columns, video, &err), &err);
    check(vx_filter_columns_put_clips(columns, video->row, video->clips, video->n_clips, &err),
          &err);
}

static void take_out(int64_t row) {
    vx_filter_columns_remove(columns, row);
    videos[row] = vx_video_free(videos[row]);
}

static void declare(const json_t *command) {
    const json_t *list = json_object_get(command, "declare");
    const char *fields[VX_FILTER_MAX_DECLARED];
    int64_t row, n_fill = json_integer_value(json_object_get(command, "fill"));
    size_t n = json_array_size(list);
    vx_err err;
    for (size_t i = 0; i < n; i++)
        fields[i] = json_string_value(json_array_get(list, i));
    check(vx_filter_columns_declare(columns, fields, n, &err), &err);
    for (row = 0; n_fill-- > 0 && vx_filter_columns_find_unfilled(columns, row, 1, &row) == 1;)
        check(vx_filter_columns_fill(columns, row, videos[row]->metadata, &err), &err);
}

static int read_metadata(void *ctx, int64_t row, char **ret_metadata, vx_err *err) {
    (void)ctx, (void)err;
    *ret_metadata = videos[row] ? strdup(videos[row]->metadata) : NULL;
    return 0;
}

static json_t *rows_of(const int64_t *rows, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(rows[i]));
    return list;
}

/* ret_clips: of a filter of clips those that pass. */
static json_t *match_all(const vx_filter *filter, json_t *ret_clips) {
    json_t *list = json_array();
    bool clips[64] = {0};
    vx_err err;
    for (int64_t row = end_row - 1; row > 0; row--) {
        bool passes = false;
        if (videos[row])
            check(vx_filter_match(filter, videos[row], &passes, clips, &err), &err);
        if (passes)
            json_array_append_new(list, json_integer(row));
        for (size_t i = 0; videos[row] && i < videos[row]->n_clips; i++)
            if (vx_filter_is_of_clips(filter) && clips[i])
                json_array_append_new(ret_clips, json_integer(videos[row]->clips[i].row));
    }
    return list;
}

static json_t *list_set(const vx_idset *set) {
    json_t *list = json_array();
    for (size_t i = set->n; set->ids && i > 0; i--)
        json_array_append_new(list, json_integer(set->ids[i - 1]));
    for (int64_t at = (int64_t)set->n_bits - 1; set->bits && at >= 0; at--)
        if (vx_idset_contains(set, set->first + at))
            json_array_append_new(list, json_integer(set->first + at));
    if (json_array_size(list) != set->n)
        exit(3);
    return list;
}

/* Some rows one by one, then all. NULL: there is none, or it is not sound. */
static json_t *list_lazy(vx_idset *set, int64_t below) {
    vx_idset_bits bits;
    vx_err err = {0};
    if (!set)
        return json_null();
    check(vx_idset_bits_init(&bits, set), &err);
    vx_idset_bits_begin(&bits);
    for (int64_t row = 1; row < below; row += 3)
        vx_idset_bits_have(&bits, row);
    vx_idset_bits_end(&bits);
    vx_idset_bits_done(&bits);
    return vx_idset_complete(set) ? list_set(set) : json_null();
}

static json_t *select_lazily(const vx_filter *filter, bool clips) {
    VX_AUTO(vx_idset) set = NULL;
    vx_err err;
    check(vx_filter_columns_select_lazily(columns, filter, clips, &set, &err), &err);
    return list_lazy(set, end_row);
}

static vx_filter *held_filter;
static vx_idset *held_set;

static void let_go(void) {
    held_set = vx_idset_free(held_set);
    held_filter = vx_filter_free(held_filter);
}

static void hold(const json_t *json, int64_t below) {
    char pointer[VX_FILTER_POINTER_BYTES];
    vx_idset_bits bits;
    vx_err err;
    let_go();
    check(vx_filter_parse(json, NULL, &held_filter, pointer, &err), &err);
    check(vx_filter_columns_select_lazily(columns, held_filter, vx_filter_is_of_clips(held_filter),
                                          &held_set, &err),
          &err);
    if (!held_set)
        return;
    check(vx_idset_bits_init(&bits, held_set), &err);
    vx_idset_bits_begin(&bits);
    for (int64_t row = 1; row < below; row++)
        vx_idset_bits_have(&bits, row);
    vx_idset_bits_end(&bits);
    vx_idset_bits_done(&bits);
}

/* A set as a list, newest first. */
static json_t *select_set(vx_filter_selection selection, bool clips) {
    VX_AUTO(vx_idset) set = NULL;
    size_t n_read;
    vx_err err;
    selection.max = 0;
    check(vx_filter_columns_select_set(columns, &selection, clips, &set, &n_read, &err), &err);
    return list_set(set);
}

static json_t *answer(const json_t *command, const json_t *json, bool bench) {
    VX_AUTO(vx_filter) filter = NULL;
    char pointer[VX_FILTER_POINTER_BYTES];
    vx_err err;
    int rc = vx_filter_parse(json, NULL, &filter, pointer, &err);
    if (rc == VX_FILTER_BAD)
        return json_pack("{s:s, s:s}", "bad", err.msg, "at", pointer);
    check(rc, &err);
    vx_filter_selection selection = {
        .filter = filter,
        .below_row = json_integer_value(json_object_get(command, "below")),
        .max = (size_t)json_integer_value(json_object_get(command, "max")),
        .read_metadata = read_metadata};
    double best_ms = 1e9;
    json_t *found = NULL;
    int64_t rounds = bench ? json_integer_value(json_object_get(command, "rounds")) : 1;
    for (int64_t i = 0; i < rounds; i++) {
        VX_AUTO_FREE int64_t *rows = NULL;
        size_t n, n_read;
        int64_t start_us = vx_clock_monotonic_us();
        check(vx_filter_columns_select(columns, &selection, &rows, &n, &n_read, &err), &err);
        double ms = (double)(vx_clock_monotonic_us() - start_us) / 1e3;
        best_ms = ms < best_ms ? ms : best_ms;
        json_decref(found);
        found = bench
                    ? json_pack("{s:f, s:I}", "ms", best_ms, "n", (json_int_t)n)
                    : json_pack("{s:o, s:I}", "rows", rows_of(rows, n), "read", (json_int_t)n_read);
    }
    if (bench)
        return found;
    json_t *clips = json_array();
    json_object_set_new(found, "match", match_all(filter, clips));
    json_object_set_new(found, "match_clips", clips);
    json_object_set_new(found, "set", select_set(selection, false));
    json_object_set_new(found, "lazy", select_lazily(filter, vx_filter_is_of_clips(filter)));
    if (vx_filter_is_of_clips(filter))
        json_object_set_new(found, "clips", select_set(selection, true));
    return found;
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    vx_err err;
    videos = vx_new_array(MAX_VIDEOS, sizeof(vx_video *));
    check(vx_filter_columns_new(&columns, &err), &err);
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *command = json_loads(line, 0, NULL), *given, *reply = NULL;
        if ((given = json_object_get(command, "put")))
            put(given);
        else if ((given = json_object_get(command, "remove")))
            take_out(json_integer_value(given));
        else if (json_object_get(command, "declare"))
            declare(command);
        else if ((given = json_object_get(command, "select")))
            reply = answer(command, given, false);
        else if ((given = json_object_get(command, "bench")))
            reply = answer(command, given, true);
        else if ((given = json_object_get(command, "hold")))
            hold(given, json_integer_value(json_object_get(command, "ask")));
        else if (json_object_get(command, "held"))
            reply = list_lazy(held_set, 0);
        if (reply) {
            json_dumpf(reply, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
            puts("");
            fflush(stdout);
        }
        json_decref(reply);
        json_decref(command);
    }
    for (int64_t row = 0; row < end_row; row++)
        vx_video_free(videos[row]);
    let_go();
    free(videos);
    free(line);
    vx_filter_columns_free(columns);
    return 0;
}

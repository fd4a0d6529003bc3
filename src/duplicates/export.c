/* export.c — groups as files for spreadsheets and scripts. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "duplicates_internal.h"

/* One line, the same for both formats. */
typedef struct line {
    const vx_group *group;
    const vx_group_video *video;
    const char *filename;
    const vx_group_video *kept; /* what it may go for; NULL: it is kept */
    int64_t bytes;              /* 0: those of the file before it, of which this is another name */
    const char *relation;       /* to that one; NULL: it is kept, or none is known */
    const vx_group_pair *pair;  /* the same; NULL also for a file with the same bytes */
} line;

static line line_of(const vx_group *group, size_t i) {
    const vx_group_video *v = &group->videos[i];
    const vx_group_pair *pair = v->keep ? NULL : vx_group_find_pair(group, v->of, i);
    return (line){.group = group,
                  .video = v,
                  .filename = v->filename,
                  .bytes = v->bytes,
                  .kept = v->keep ? NULL : &group->videos[v->of],
                  .relation = pair ? vx_verdict_name(pair->kind) : NULL,
                  .pair = pair};
}

/* Of a further file with the bytes of that one. */
static line line_of_same(const vx_group *group, size_t i, const vx_group_file *name, bool stays) {
    const vx_group_video *v = &group->videos[i];
    return (line){.group = group,
                  .video = v,
                  .filename = name->path,
                  .bytes = name->is_link ? 0 : v->bytes,
                  .kept = stays     ? NULL
                          : v->keep ? v
                                    : &group->videos[v->of],
                  .relation = vx_verdict_name(VX_VERDICT_EXACT)};
}

/* ---- CSV ---- */

static void write_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void write_number(FILE *out, double value, const char *format) {
    fputc(',', out);
    if (isfinite(value))
        fprintf(out, format, value);
}

static void write_csv_line(FILE *out, const line *l) {
    const vx_group_video *v = l->video;
    fprintf(out, "%s,%s,", l->group->id, v->id);
    write_text(out, l->filename);
    fprintf(out, ",%lld,%d,%d", (long long)l->bytes, v->width_px, v->height_px);
    write_number(out, v->duration_s, "%.3f");
    fprintf(out, ",%s,%s,%s", l->kept ? "delete" : "keep", l->kept ? l->kept->id : "",
            l->relation ? l->relation : "");
    write_number(out, l->pair ? (double)l->pair->share : (double)NAN, "%.4f");
    write_number(out, l->pair ? (double)l->pair->score : (double)NAN, "%.6f");
    write_number(out, l->pair ? (double)l->pair->offset_s : (double)NAN, "%.3f");
    fprintf(out, ",%s,", !l->pair ? "" : l->pair->mirrored ? "true" : "false");
    write_text(out, l->kept ? l->kept->filename : "");
    fputs("\r\n", out);
}

/* ---- JSONL ---- */

static json_t *real_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static int write_json_line(FILE *out, const line *l, vx_err *err) {
    const vx_group_video *v = l->video;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:o, s:s}", "group", l->group->id, "video_id",
                  v->id, "filename", l->filename, "bytes", (json_int_t)l->bytes, "width",
                  v->width_px, "height", v->height_px, "duration_s", real_or_null(v->duration_s),
                  "action", l->kept ? "delete" : "keep");
    bool fine = object != NULL;
    if (fine && l->kept)
        fine = !json_object_set_new(object, "kept_video_id", json_string(l->kept->id)) &&
               !json_object_set_new(object, "kept_filename", json_string(l->kept->filename));
    if (fine && l->relation)
        fine = !json_object_set_new(object, "relation", json_string(l->relation));
    if (fine && l->pair) {
        json_t *pair =
            json_pack("{s:o, s:o, s:o, s:b}", "share", real_or_null((double)l->pair->share),
                      "score", real_or_null((double)l->pair->score), "offset_s",
                      real_or_null((double)l->pair->offset_s), "mirrored", (int)l->pair->mirrored);
        fine = pair && !json_object_update(object, pair);
        json_decref(pair);
    }
    fine = fine && !json_dumpf(object, out, JSON_COMPACT | VX_VERDICT_JSON_DIGITS);
    json_decref(object);
    fputc('\n', out);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "out of memory");
}

static int write_line(FILE *out, const line *l, vx_groups_format format, vx_err *err) {
    if (format == VX_GROUPS_JSONL)
        return write_json_line(out, l, err);
    write_csv_line(out, l);
    return 0;
}

static int write_group(FILE *out, const vx_group *g, vx_groups_format format, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < g->n_videos && !rc; i++) {
        const vx_group_video *v = &g->videos[i];
        const line own = line_of(g, i);
        bool stays = v->keep;
        rc = write_line(out, &own, format, err);
        for (size_t k = 0; k < v->n_same && !rc; k++) {
            stays &= v->same[k].is_link;
            const line l = line_of_same(g, i, &v->same[k], stays);
            rc = write_line(out, &l, format, err);
        }
    }
    return rc;
}

int vx_groups_write(const vx_group_page *page, vx_groups_format format, FILE *out, vx_err *err) {
    int rc = 0;
    errno = 0;
    if (format == VX_GROUPS_TEXT || format == VX_GROUPS_PATHS) {
        format == VX_GROUPS_TEXT ? vx_groups_print_text(page, out)
                                 : vx_groups_print_paths(page, out);
        return ferror(out) ? VX_FAIL(err, errno ? -errno : -EIO, "writing groups") : 0;
    }
    if (format == VX_GROUPS_CSV)
        fprintf(
            out,
            "group,video_id,filename,bytes,width,height,duration_s,action,kept_video_id,relation,"
            "share,score,offset_s,mirrored,kept_filename\r\n");
    for (size_t g = 0; g < page->n && !rc; g++)
        rc = write_group(out, page->groups[g], format, err);
    return rc ? rc : ferror(out) ? VX_FAIL(err, errno ? -errno : -EIO, "writing groups") : 0;
}

/* export.c — groups as files for spreadsheets and scripts. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "duplicates.h"

/* One line, the same for both formats. */
typedef struct line {
    const vx_group *group;
    const vx_group_video *video;
    const vx_group_pair *pair; /* with the kept video that holds it; NULL: it is kept */
} line;

static line line_of(const vx_group *group, size_t i) {
    const vx_group_video *v = &group->videos[i];
    return (line){group, v, v->keep ? NULL : vx_group_find_pair(group, v->of, i)};
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
    write_text(out, v->filename);
    fprintf(out, ",%lld,%d,%d", (long long)v->bytes, v->width_px, v->height_px);
    write_number(out, v->duration_s, "%.3f");
    fprintf(out, ",%s,%s,%s", v->keep ? "keep" : "delete",
            v->keep ? "" : l->group->videos[v->of].id,
            l->pair ? vx_verdict_name(l->pair->kind) : "");
    write_number(out, l->pair ? (double)l->pair->share : (double)NAN, "%.4f");
    write_number(out, l->pair ? (double)l->pair->score : (double)NAN, "%.6f");
    write_number(out, l->pair ? (double)l->pair->offset_s : (double)NAN, "%.3f");
    fprintf(out, ",%s\r\n", !l->pair ? "" : l->pair->mirrored ? "true" : "false");
}

/* ---- JSONL ---- */

static json_t *real_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static int write_json_line(FILE *out, const line *l, vx_err *err) {
    const vx_group_video *v = l->video;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:o, s:s}", "group", l->group->id, "video_id",
                  v->id, "filename", v->filename, "bytes", (json_int_t)v->bytes, "width",
                  v->width_px, "height", v->height_px, "duration_s", real_or_null(v->duration_s),
                  "action", v->keep ? "keep" : "delete");
    bool fine = object != NULL;
    if (fine && !v->keep)
        fine =
            !json_object_set_new(object, "kept_video_id", json_string(l->group->videos[v->of].id));
    if (fine && l->pair) {
        json_t *pair =
            json_pack("{s:s, s:o, s:o, s:o, s:b}", "relation", vx_verdict_name(l->pair->kind),
                      "share", real_or_null((double)l->pair->share), "score",
                      real_or_null((double)l->pair->score), "offset_s",
                      real_or_null((double)l->pair->offset_s), "mirrored", (int)l->pair->mirrored);
        fine = pair && !json_object_update(object, pair);
        json_decref(pair);
    }
    fine = fine && !json_dumpf(object, out, JSON_COMPACT | VX_VERDICT_JSON_DIGITS);
    json_decref(object);
    fputc('\n', out);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "out of memory");
}

int vx_groups_write(const vx_group_page *page, vx_groups_format format, FILE *out, vx_err *err) {
    int rc = 0;
    if (format == VX_GROUPS_CSV)
        fprintf(
            out,
            "group,video_id,filename,bytes,width,height,duration_s,action,kept_video_id,relation,"
            "share,score,offset_s,mirrored\r\n");
    for (size_t g = 0; g < page->n; g++) {
        for (size_t i = 0; i < page->groups[g]->n_videos && !rc; i++) {
            const line l = line_of(page->groups[g], i);
            if (format == VX_GROUPS_CSV)
                write_csv_line(out, &l);
            else
                rc = write_json_line(out, &l, err);
        }
    }
    return rc ? rc : ferror(out) ? VX_FAIL(err, errno ? -errno : -EIO, "writing groups") : 0;
}

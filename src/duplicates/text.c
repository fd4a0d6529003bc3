/* text.c — groups as a person reads them on a terminal, and as a list of paths. */
#include <string.h>

#include "base/clock.h"
#include "duplicates_internal.h"

/* A name may hold anything: control characters as \xNN, so that none reaches the terminal. */
static void print_name(FILE *out, const char *name) {
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7F)
            fprintf(out, "\\x%02x", *c);
        else
            fputc(*c, out);
}

static void print_facts(FILE *out, const vx_group_video *v) {
    char length[VX_CLOCK_LENGTH_BYTES];
    vx_clock_length(v->duration_s, length);
    fprintf(out, " (%d × %d, %s%s%.1f MB)", v->width_px, v->height_px, length, *length ? ", " : "",
            (double)v->bytes / 1e6);
}

/* What the video is to the kept one that holds it. */
static void print_relation(FILE *out, const vx_group *g, const vx_group_video *v,
                           const vx_group_pair *pair) {
    const char *of = g->videos[v->of].filename;
    vx_verdict_kind kind = pair ? pair->kind : VX_VERDICT_COPY;
    fputs(kind == VX_VERDICT_PART_OF   ? ": all of it is in "
          : kind == VX_VERDICT_SIMILAR ? ": similar to "
                                       : ": a copy of ",
          out);
    print_name(out, of);
    if (pair && kind == VX_VERDICT_PART_OF && pair->offset_s > 0) {
        char from[VX_CLOCK_LENGTH_BYTES];
        vx_clock_length((double)pair->offset_s, from);
        fprintf(out, ", from %s on", from);
    }
    if (pair && kind == VX_VERDICT_SIMILAR)
        fprintf(out, ", score %.3f", (double)pair->score);
    if (pair && pair->mirrored)
        fputs(", mirrored", out);
}

static void print_same(FILE *out, const vx_group_video *v) {
    const char *file = v->filename;
    bool stays = v->keep;
    for (size_t i = 0; i < v->n_same; i++) {
        const vx_group_file *name = &v->same[i];
        stays &= name->is_link;
        fputs(stays ? "  keep    " : "  may go  ", out);
        print_name(out, name->path);
        fputs(name->is_link ? ": another name (hard link) of " : ": the same bytes as ", out);
        print_name(out, name->is_link ? file : v->filename);
        fputc('\n', out);
        file = name->is_link ? file : name->path;
    }
}

static void print_group(FILE *out, const vx_group *g, size_t number) {
    size_t n_files = g->n_videos;
    for (size_t i = 0; i < g->n_videos; i++)
        n_files += g->videos[i].n_files - 1;
    fprintf(out, "%sGroup %zu: %zu files, %.1f MB, of which %.1f MB may go\n",
            number > 1 ? "\n" : "", number, n_files, (double)g->bytes / 1e6,
            (double)g->removable_bytes / 1e6);
    for (size_t i = 0; i < g->n_videos; i++) {
        const vx_group_video *v = &g->videos[i];
        fputs(v->keep ? "  keep    " : "  may go  ", out);
        print_name(out, v->filename);
        print_facts(out, v);
        if (!v->keep)
            print_relation(out, g, v, vx_group_find_pair(g, v->of, i));
        else if (i == 0)
            fprintf(out, ": %s", g->why);
        else
            fputs(v->unchecked ? ": not compared with every kept one"
                               : ": no kept one holds all of it",
                  out);
        fputc('\n', out);
        print_same(out, v);
    }
}

void vx_groups_print_text(const vx_group_page *page, FILE *out) {
    for (size_t g = 0; g < page->n; g++)
        print_group(out, page->groups[g], g + 1);
}

/* A name with a line break would look like two files: it is left out, and the other formats have it. */
static void print_path(FILE *out, const char *path) {
    if (!strchr(path, '\n'))
        fprintf(out, "%s\n", path);
}

void vx_groups_print_paths(const vx_group_page *page, FILE *out) {
    for (size_t g = 0; g < page->n; g++)
        for (size_t i = 0; i < page->groups[g]->n_videos; i++) {
            const vx_group_video *v = &page->groups[g]->videos[i];
            bool stays = v->keep;
            if (!stays)
                print_path(out, v->filename);
            for (size_t k = 0; k < v->n_same; k++) {
                stays &= v->same[k].is_link;
                if (!stays)
                    print_path(out, v->same[k].path);
            }
        }
}

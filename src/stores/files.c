/* files.c — a store that is a folder of files: the collection in parts, each of VIDEOS rows of the table of videos.
 *
 *     index.json              which files count, and how many rows each has
 *     part-000003.g17.npy     vectors, of the 17th time that something was written
 *     part-000003.g17.jsonl   what they are of, row for row; Parquet has all in one file
 *
 * A part that changed is written under a new name; index.json, replaced as a whole, then names it, and what it
 * names no longer is removed. So whoever reads what index.json names sees the collection of one moment, and a
 * process that is killed leaves either the files before or those after, and perhaps some that nothing names.
 *
 * What is written is what an export of these videos gives. A check makes that export again and compares it with
 * the files to the byte. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/whole_file.h"
#include "export/export.h"
#include "stores_internal.h"

enum { VIDEOS = 1024, PAGE = 256, PARTS_AT_ONCE = 64 };

#define MARK "vidx files 1" /* what index.json says of itself */

/* ---- a round ---- */

typedef struct format {
    const char *name; /* in the URL, and the ending of its files */
    vx_export_format vectors;
    bool has_lines; /* a second file, of JSON lines without the vectors */
} format;
static const format formats[] = {{"parquet", VX_EXPORT_PARQUET, false},
                                 {"npy", VX_EXPORT_NPY, true},
                                 {"faiss", VX_EXPORT_FAISS, true}};

typedef struct part {
    int64_t number, generation, rows;
} part;

typedef struct folder {
    vx_follower *f;
    const format *format;
    char path[PATH_MAX];
    vx_snapshot *snapshot; /* owned */
    bool is_check;
    bool found;  /* an index.json of this store's format, model and dimension */
    part *parts; /* [n_parts] that index.json names, or is to name; by number; owned */
    size_t n_parts, capacity;
    int64_t generation; /* of what is written now */
    int64_t *dirty;     /* [n_dirty] numbers of parts to write, or to compare; owned */
    size_t n_dirty, dirty_capacity;
    int64_t points, differing, missing, stray, foreign; /* files */
} folder;

static void done(folder *d) {
    vx_snapshot_close(d->snapshot);
    free(d->parts);
    free(d->dirty);
}

static bool path_of(const folder *d, const part *p, bool lines, size_t capacity, char *ret_path) {
    return snprintf(ret_path, capacity, "%s/part-%06" PRId64 ".g%" PRId64 ".%s", d->path, p->number,
                    p->generation, lines ? "jsonl" : d->format->name) < (int)capacity;
}

/* A name in the folder. */
typedef struct name {
    const char *text;
    bool is_ours;       /* of a part, or what an interrupted write left */
    part part;          /* that it is of; number -1: of none */
    const char *ending; /* "npy", or with more behind it */
} name;

static bool is_ending(const char *text) {
    for (size_t i = 0; i < VX_LEN(formats); i++)
        if (!strncmp(text, formats[i].name, strlen(formats[i].name)))
            return true;
    return !strncmp(text, "jsonl", 5);
}

static name read_name(const char *text) {
    name of = {.text = text, .part = {.number = -1, .generation = -1}, .ending = ""};
    long long number, generation;
    int n = 0;
    of.is_ours = !strncmp(text, "index.json.", 11);
    if (sscanf(text, "part-%lld.g%lld.%n", &number, &generation, &n) == 2 && n && number >= 0 &&
        generation >= 0 && is_ending(text + n)) {
        of.is_ours = true;
        of.part = (part){.number = number, .generation = generation};
        of.ending = text + n;
    }
    return of;
}

static int compare_numbers(const void *a, const void *b) {
    int64_t x = ((const part *)a)->number, y = ((const part *)b)->number;
    return (x > y) - (x < y);
}

static part *find_part(const folder *d, int64_t number) {
    const part wanted = {.number = number};
    return d->n_parts ? bsearch(&wanted, d->parts, d->n_parts, sizeof *d->parts, compare_numbers)
                      : NULL;
}

static bool is_named(const folder *d, const name *of) {
    const part *p = find_part(d, of->part.number);
    return p && p->generation == of->part.generation &&
           (!strcmp(of->ending, d->format->name) ||
            (d->format->has_lines && !strcmp(of->ending, "jsonl")));
}

/* ---- the folder and its index ---- */

/* The folder itself is a name below the operator's folder, and never a link to elsewhere. One process and store
 * writes there. A folder that was there once and is gone is a disk that is not mounted, not an order to fill the
 * disk beneath. */
static int enter(folder *d, vx_err *err) {
    vx_follower *f = d->f;
    char root[PATH_MAX];
    struct stat is;
    if (!vx_outside_find_folder(f->outside->access.folders, &f->url, PATH_MAX, root, d->path))
        return VX_FAIL(err, VX_OUTSIDE_UNFIT, "the folder of %.80s has too long a path",
                       f->url.host);
    if (!f->row.check_due && access(d->path, F_OK))
        return VX_FAIL(
            err, VX_OUTSIDE_AWAY,
            "%.200s is not there: is a disk not mounted? A check of the store makes it anew",
            d->path);
    if (mkdir(d->path, 0777) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "making the folder %s", d->path);
    if (lstat(d->path, &is) || !S_ISDIR(is.st_mode))
        return VX_FAIL(err, VX_OUTSIDE_UNFIT, "%.200s is no folder, or a link", d->path);
    return vx_files_lock(f->outside, d->path, err);
}

static int read_parts(folder *d, const json_t *list, vx_err *err) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        part p = {.number = json_integer_value(json_object_get(item, "part")),
                  .generation = json_integer_value(json_object_get(item, "generation")),
                  .rows = json_integer_value(json_object_get(item, "rows"))};
        if (p.number < 0 || p.rows < 1 || (i && p.number <= d->parts[i - 1].number)) {
            d->n_parts = 0;
            d->found = false;
            return 0;
        }
        if (!vx_make_room(d->parts, d->n_parts, d->capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for the parts of a folder");
        d->parts[d->n_parts++] = p;
    }
    return 0;
}

static bool says(const json_t *index, const char *key, const char *value) {
    const char *text = json_string_value(json_object_get(index, key));
    return text && !strcmp(text, value);
}

static int read_index(folder *d, vx_err *err) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/index.json", d->path);
    if (access(path, F_OK))
        return errno == ENOENT ? 0 : VX_FAIL_ERRNO(err, "reading %s", path);
    json_error_t wrong;
    json_t *index = json_load_file(path, 0, &wrong);
    int rc =
        says(index, "format", MARK)
            ? 0
            : VX_FAIL(err, VX_OUTSIDE_UNFIT,
                      "%.200s is not of vidx, or damaged: remove it, or name another folder", path);
    /* Of another format or model nothing can stay. */
    d->found = !rc && says(index, "files", d->format->name) &&
               says(index, "model", d->f->row.model) &&
               json_integer_value(json_object_get(index, "dim")) == d->f->dim;
    if (d->found)
        rc = read_parts(d, json_object_get(index, "parts"), err);
    json_decref(index);
    return rc;
}

static int each_name(folder *d, int (*on_name)(folder *d, const name *of, vx_err *err),
                     vx_err *err) {
    DIR *dir = opendir(d->path);
    if (!dir)
        return VX_FAIL_ERRNO(err, "reading the folder %s", d->path);
    int rc = 0;
    for (const struct dirent *entry; !rc && (entry = readdir(dir));) {
        const name of = read_name(entry->d_name);
        if (strcmp(of.text, ".") != 0 && strcmp(of.text, "..") != 0 &&
            strcmp(of.text, "index.json") != 0 && strcmp(of.text, "lock") != 0)
            rc = on_name(d, &of, err);
    }
    closedir(dir);
    return rc;
}

/* A name that is taken is not written again. */
static int note_generation(folder *d, const name *of, vx_err *err) {
    (void)err;
    if (of->part.generation >= d->generation)
        d->generation = of->part.generation + 1;
    return 0;
}

static json_t *file_of(const folder *d, const part *p, bool lines) {
    char path[PATH_MAX + 64];
    if (lines && !d->format->has_lines)
        return NULL;
    path_of(d, p, lines, sizeof path, path);
    return json_string(strrchr(path, '/') + 1);
}

static json_t *index_json(const folder *d) {
    json_t *parts = json_array();
    int64_t rows = 0;
    for (size_t i = 0; i < d->n_parts; i++) {
        const part *p = &d->parts[i];
        rows += p->rows;
        json_array_append_new(
            parts, json_pack("{s:I, s:I, s:I, s:o, s:o*}", "part", (json_int_t)p->number,
                             "generation", (json_int_t)p->generation, "rows", (json_int_t)p->rows,
                             "vectors", file_of(d, p, false), "clips", file_of(d, p, true)));
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:o}", "format", MARK, "files", d->format->name,
                     "model", d->f->row.model, "dim", d->f->dim, "rows", (json_int_t)rows, "parts",
                     parts);
}

static int remove_unnamed(folder *d, const name *of, vx_err *err) {
    char path[PATH_MAX + 256];
    d->foreign += !of->is_ours;
    if (!of->is_ours || is_named(d, of))
        return 0;
    snprintf(path, sizeof path, "%s/%s", d->path, of->text);
    return unlink(path) && errno != ENOENT ? VX_FAIL_ERRNO(err, "removing %s", path) : 0;
}

/* From here on what d->parts says is the store. */
static int commit(folder *d, vx_err *err) {
    char path[PATH_MAX + 16];
    vx_whole_file file;
    snprintf(path, sizeof path, "%s/index.json", d->path);
    json_t *index = index_json(d);
    int rc = index ? vx_whole_file_open(&file, path, err)
                   : VX_FAIL(err, -ENOMEM, "no memory for the index of a folder");
    if (!rc) {
        int wrote = json_dumpf(index, file.stream, JSON_INDENT(1))
                        ? VX_FAIL(err, -EIO, "writing %s", path)
                        : 0;
        rc = vx_whole_file_end(&file, wrote, err);
    }
    json_decref(index);
    d->foreign = 0;
    return rc ? rc : each_name(d, remove_unnamed, err);
}

/* ---- what changed ---- */

static int add_dirty(folder *d, int64_t number, vx_err *err) {
    if (d->n_dirty && d->dirty[d->n_dirty - 1] == number)
        return 0;
    if (!vx_make_room(d->dirty, d->n_dirty, d->dirty_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the parts of a folder");
    d->dirty[d->n_dirty++] = number;
    return 0;
}

/* *seq becomes that of the last change. */
static int note_changes(folder *d, int64_t *seq, vx_err *err) {
    vx_change changes[PAGE];
    size_t n = PAGE;
    int rc = 0;
    while (n == PAGE && !rc) {
        rc = vx_catalog_list_changes(d->f->params.catalog, *seq, PAGE, changes, &n, err);
        for (size_t i = 0; i < n && !rc; i++) {
            rc = add_dirty(d, changes[i].video / VIDEOS, err);
            *seq = changes[i].seq;
        }
    }
    return rc;
}

/* All parts: those that are there, and those that must be. */
static int note_all(folder *d, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < d->n_parts && !rc; i++)
        rc = add_dirty(d, d->parts[i].number, err);
    for (int64_t above = 0; !rc;) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_snapshot_next_video(d->snapshot, above, &video, err);
        if (rc == VX_CATALOG_NOT_FOUND)
            return 0;
        if (!rc)
            rc = add_dirty(d, video->row / VIDEOS, err);
        if (!rc)
            above = (video->row / VIDEOS + 1) * VIDEOS - 1;
    }
    return rc;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- one part ---- */

static int open_export(const folder *d, int64_t number, bool lines, vx_export **ret_export,
                       vx_err *err) {
    const vx_export_params params = {.catalog = d->f->params.catalog,
                                     .model = d->f->row.model,
                                     .space = d->f->row.space,
                                     .dim = d->f->dim,
                                     .format = lines ? VX_EXPORT_JSONL : d->format->vectors,
                                     .snapshot = d->snapshot,
                                     .first_video = number * VIDEOS,
                                     .last_video = number * VIDEOS + VIDEOS - 1,
                                     .no_vectors = lines};
    return vx_export_open(&params, ret_export, err);
}

static int write_file(const folder *d, const part *p, bool lines, int64_t *ret_rows, vx_err *err) {
    VX_AUTO(vx_export) export = NULL;
    char path[PATH_MAX];
    vx_whole_file file;
    int rc = open_export(d, p->number, lines, &export, err);
    *ret_rows = rc ? 0 : vx_export_rows(export);
    if (rc || !*ret_rows)
        return rc;
    if (!path_of(d, p, lines, sizeof path, path))
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", d->path);
    rc = vx_whole_file_open(&file, path, err);
    return rc ? rc : vx_whole_file_end(&file, vx_export_write(export, file.stream, err), err);
}

/* Puts the part in its place; without rows it has none. */
static int set_part(folder *d, const part *p, vx_err *err) {
    size_t at = 0;
    while (at < d->n_parts && d->parts[at].number < p->number)
        at++;
    bool is_there = at < d->n_parts && d->parts[at].number == p->number;
    if (!is_there && !p->rows)
        return 0;
    if (!vx_make_room(d->parts, d->n_parts, d->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the parts of a folder");
    part *to = &d->parts[at];
    if (!is_there)
        memmove(to + 1, to, (d->n_parts++ - at) * sizeof *to);
    else if (!p->rows)
        memmove(to, to + 1, (--d->n_parts - at) * sizeof *to);
    if (p->rows)
        *to = *p;
    return 0;
}

static int write_part(folder *d, int64_t number, vx_err *err) {
    part p = {.number = number, .generation = d->generation};
    int64_t lines = 0;
    int rc = write_file(d, &p, false, &p.rows, err);
    if (!rc && d->format->has_lines && p.rows)
        rc = write_file(d, &p, true, &lines, err);
    if (rc)
        return rc;
    vx_mutex_lock(&d->f->mu);
    d->f->view.sent += p.rows;
    vx_mutex_unlock(&d->f->mu);
    return set_part(d, &p, err);
}

/* ---- a check ---- */

/* Whether the file has these pieces and nothing else. */
static int compare_pieces(vx_export *export, FILE *file, bool *ret_same, vx_err *err) {
    const void *bytes;
    size_t n = 1, room = 0;
    VX_AUTO_FREE char *read = NULL;
    for (*ret_same = true; n && *ret_same;) {
        int rc = vx_export_next(export, &bytes, &n, err);
        if (rc)
            return rc;
        if (n > room) {
            char *grown = vx_regrow(read, n, 1);
            if (!grown)
                return VX_FAIL(err, -ENOMEM, "no memory for a comparison");
            read = grown;
            room = n;
        }
        *ret_same =
            n ? fread(read, 1, n, file) == n && !memcmp(read, bytes, n) : fgetc(file) == EOF;
    }
    return 0;
}

/* Counts a file that is missing or differs; ret_same false then. */
static int check_file(folder *d, const part *p, bool lines, bool *ret_same, vx_err *err) {
    VX_AUTO(vx_export) export = NULL;
    char path[PATH_MAX];
    FILE *file = path_of(d, p, lines, sizeof path, path) ? fopen(path, "re") : NULL;
    *ret_same = false;
    if (!file) {
        d->missing++;
        return 0;
    }
    int rc = open_export(d, p->number, lines, &export, err);
    if (!rc)
        rc = compare_pieces(export, file, ret_same, err);
    fclose(file);
    d->points++;
    d->differing += !rc && !*ret_same;
    return rc;
}

/* Writes the part unless all its files are right. */
static int check_part(folder *d, int64_t number, vx_err *err) {
    const part *p = find_part(d, number);
    bool same = p, lines_same = true;
    int rc = p ? check_file(d, p, false, &same, err) : 0;
    if (!rc && p && d->format->has_lines)
        rc = check_file(d, p, true, &lines_same, err);
    if (rc || (same && lines_same))
        return rc;
    return write_part(d, number, err);
}

static int count_stray(folder *d, const name *of, vx_err *err) {
    (void)err;
    d->stray += of->is_ours && !is_named(d, of);
    return 0;
}

/* ---- the round ---- */

static int write_dirty(folder *d, vx_err *err) {
    int rc = 0;
    size_t uncommitted = 0;
    if (d->n_dirty)
        qsort(d->dirty, d->n_dirty, sizeof *d->dirty, by_number);
    for (size_t i = 0; i < d->n_dirty && !rc; i++) {
        if (i && d->dirty[i] == d->dirty[i - 1])
            continue;
        if (vx_follower_must_end(d->f))
            return VX_FAIL(err, VX_OUTSIDE_AWAY, "stopping");
        rc = d->is_check ? check_part(d, d->dirty[i], err) : write_part(d, d->dirty[i], err);
        /* So that whoever is killed here does not begin again. */
        if (!rc && ++uncommitted % PARTS_AT_ONCE == 0)
            rc = commit(d, err);
    }
    return rc ? rc : commit(d, err);
}

static void end_round(const folder *d, int64_t seq) {
    vx_follower *f = d->f;
    f->row.sent = seq;
    if (d->is_check) {
        f->row.check_due = 0;
        f->row.checked_us = vx_clock_unix_us();
        vx_mutex_lock(&f->mu);
        f->view.points = d->points;
        f->view.differing = d->differing;
        f->view.missing = d->missing;
        f->view.stray = d->stray;
        f->view.foreign = d->foreign;
        vx_mutex_unlock(&f->mu);
    }
}

static int run_round(folder *d, vx_err *err) {
    vx_follower *f = d->f;
    int64_t seq = f->row.sent, later;
    int rc = enter(d, err);
    if (!rc)
        rc = read_index(d, err);
    if (rc)
        return rc;
    d->is_check |= !d->found;
    rc = each_name(d, note_generation, err);
    if (!rc && d->is_check)
        rc = each_name(d, count_stray, err);
    if (!rc)
        rc = note_changes(d, &seq, err);
    if (!rc)
        rc = vx_catalog_open_snapshot(f->params.catalog, &d->snapshot, err);
    /* What the snapshot has beyond seq is in the files, too, so that they are of one moment. */
    later = seq;
    if (!rc)
        rc = d->is_check ? note_all(d, err) : note_changes(d, &later, err);
    if (!rc)
        rc = write_dirty(d, err);
    if (!rc)
        end_round(d, seq);
    return rc;
}

int vx_follower_write_files(vx_follower *f, vx_err *err) {
    folder d = {.f = f, .format = formats, .is_check = f->row.check_due};
    for (size_t i = 0; i < VX_LEN(formats); i++)
        if (!strcmp(formats[i].name, f->url.format))
            d.format = &formats[i];
    int rc = run_round(&d, err);
    done(&d);
    return rc;
}

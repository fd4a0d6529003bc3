/* keeper.c — see the header. The policy's own measure comes behind two rules that always hold, and before
 * measures that break ties, so that the choice never depends on the order of videos. */
#include "keeper.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/path.h"

static const char *const words[] = {
    [VX_KEEP_LARGEST_PICTURE] = "largest_picture",
    [VX_KEEP_HIGHEST_BITRATE] = "highest_bitrate",
    [VX_KEEP_LONGEST] = "longest",
    [VX_KEEP_OLDEST] = "oldest",
    [VX_KEEP_NEWEST] = "newest",
    [VX_KEEP_PATH] = "path",
    [VX_KEEP_METADATA] = "metadata",
};

static int split_folders(vx_keep_policy *policy, vx_err *err) {
    char *rest = policy->names;
    for (char *folder; (folder = strsep(&rest, ","));) {
        if (!*folder || policy->n_folders == VX_KEEP_FOLDERS_MAX)
            return VX_FAIL(err, -EINVAL,
                           "path: must be followed by 1 to %d folders, separated by commas",
                           VX_KEEP_FOLDERS_MAX);
        policy->folders[policy->n_folders++] = folder;
    }
    return 0;
}

int vx_keep_policy_parse(const char *text, vx_keep_policy *ret_policy, vx_err *err) {
    size_t n_word = strcspn(text, ":"), i = 0;
    *ret_policy = (vx_keep_policy){0};
    if (strlen(text) > VX_KEEP_MAX_BYTES)
        return VX_FAIL(err, -EINVAL, "a policy has at most %d bytes", VX_KEEP_MAX_BYTES);
    while (i < VX_LEN(words) && (strlen(words[i]) != n_word || strncmp(words[i], text, n_word)))
        i++;
    bool takes_names = i == VX_KEEP_PATH || i == VX_KEEP_METADATA;
    if (i == VX_LEN(words) || takes_names != (text[n_word] == ':') ||
        (takes_names && !text[n_word + 1]))
        return VX_FAIL(err, -EINVAL,
                       "keep must be largest_picture, highest_bitrate, longest, oldest, newest, "
                       "path:FOLDER[,FOLDER] or metadata:FIELD");
    ret_policy->by = (vx_keep_by)i;
    strcpy(ret_policy->text, text);
    if (takes_names)
        strcpy(ret_policy->names, text + n_word + 1);
    return i == VX_KEEP_PATH ? split_folders(ret_policy, err) : 0;
}

double vx_keep_read_metadata(const vx_keep_policy *policy, const char *metadata) {
    json_t *object = metadata ? json_loads(metadata, 0, NULL) : NULL;
    const json_t *value = object;
    char name[VX_KEEP_MAX_BYTES + 1];
    for (const char *part = policy->names; value && *part;) {
        size_t n = strcspn(part, ".");
        memcpy(name, part, n);
        name[n] = '\0';
        value = json_object_get(value, name);
        part += n + (part[n] == '.');
    }
    double found = !value || json_is_null(value) ? (double)NAN
                   : json_is_number(value)       ? json_number_value(value)
                   : json_is_boolean(value)      ? (double)json_is_true(value)
                                                 : (double)-INFINITY;
    json_decref(object);
    return found;
}

/* ---- measures: more is kept ---- */

static double bitrate_of(const vx_group_video *v) {
    return v->duration_s > 0 ? (double)v->bytes * 8 / v->duration_s : 0;
}

/* Which of the folders has it: a later one is less. */
static double folder_of(const vx_keep_policy *policy, const char *path) {
    for (size_t i = 0; i < policy->n_folders; i++) {
        size_t n = strlen(policy->folders[i]);
        while (n > 1 && policy->folders[i][n - 1] == '/')
            n--;
        if (!strncmp(path, policy->folders[i], n) &&
            (path[n] == '/' || policy->folders[i][n - 1] == '/'))
            return -(double)i;
    }
    return -(double)policy->n_folders;
}

const char *vx_keep_choose_file(const vx_keep_policy *policy, const vx_group_video *v) {
    const char *best = v->filename;
    for (size_t i = 0; i < v->n_same && policy->by == VX_KEEP_PATH; i++)
        if (folder_of(policy, v->same[i].path) > folder_of(policy, best) &&
            (v->set_aside || !vx_path_is_set_aside(v->same[i].path)))
            best = v->same[i].path;
    return best;
}

typedef enum measure { NO_FILE, SET_ASIDE, CHOSEN, PIXELS, BITRATE, LENGTH, AGE, MEASURES } measure;

/* What a policy chooses by; CHOSEN: by none of the others. */
static const measure chosen_by[] = {
    [VX_KEEP_LARGEST_PICTURE] = PIXELS, [VX_KEEP_HIGHEST_BITRATE] = BITRATE,
    [VX_KEEP_LONGEST] = LENGTH,         [VX_KEEP_OLDEST] = AGE,
    [VX_KEEP_NEWEST] = CHOSEN,          [VX_KEEP_PATH] = CHOSEN,
    [VX_KEEP_METADATA] = CHOSEN};

static double measure_of(const vx_keep_policy *policy, const vx_keep_facts *f, measure m) {
    const vx_group_video *v = f->video;
    switch (m) {
    case NO_FILE:
        return -(double)f->no_file;
    case SET_ASIDE:
        return -(double)v->set_aside;
    case CHOSEN:
        if (policy->by == VX_KEEP_PATH)
            return folder_of(policy, f->filename);
        if (policy->by == VX_KEEP_METADATA)
            return isnan(f->metadata) ? -(double)INFINITY : fmax(f->metadata, -1e300);
        if (policy->by == VX_KEEP_NEWEST)
            return (double)v->created_us;
        return measure_of(policy, f, chosen_by[policy->by]);
    case PIXELS:
        return (double)v->width_px * v->height_px;
    case BITRATE:
        return bitrate_of(v);
    case LENGTH:
        return v->duration_s > 0 ? v->duration_s : 0;
    default:
        return -(double)v->created_us;
    }
}

/* The first measure by which they differ. */
static measure find_difference(const vx_keep_policy *policy, const vx_keep_facts *a,
                               const vx_keep_facts *b) {
    measure m = NO_FILE;
    while (m < MEASURES && measure_of(policy, a, m) == measure_of(policy, b, m))
        m++;
    return m;
}

int vx_keep_compare(const vx_keep_policy *policy, const vx_keep_facts *a, const vx_keep_facts *b) {
    measure m = find_difference(policy, a, b);
    if (m == MEASURES)
        return strcmp(a->video->id, b->video->id);
    return measure_of(policy, a, m) > measure_of(policy, b, m) ? -1 : 1;
}

/* ---- in words ---- */

static void explain_folder(const vx_keep_policy *policy, const char *path, char *text,
                           size_t capacity) {
    size_t folder = (size_t)-folder_of(policy, path);
    snprintf(text, capacity, "it is in the folder %s", policy->folders[folder]);
}

static void explain_measure(const vx_keep_policy *policy, const vx_keep_facts *best,
                            const vx_keep_facts *second, measure m, char *text, size_t capacity) {
    const vx_group_video *a = best->video, *b = second->video;
    switch (m) {
    case NO_FILE:
        snprintf(text, capacity, "the others have no file");
        break;
    case SET_ASIDE:
        snprintf(text, capacity, "the others are in trash or hidden folders");
        break;
    case CHOSEN: /* of the policies whose measure is no other one */
        if (policy->by == VX_KEEP_PATH)
            explain_folder(policy, best->filename, text, capacity);
        else if (policy->by == VX_KEEP_METADATA)
            snprintf(text, capacity, "it has the greatest metadata.%s", policy->names);
        else
            snprintf(text, capacity, "it is the newest");
        break;
    case PIXELS:
        snprintf(text, capacity, "it has the largest picture: %d × %d, the next has %d × %d",
                 a->width_px, a->height_px, b->width_px, b->height_px);
        break;
    case BITRATE:
        snprintf(text, capacity,
                 "it has the highest bit rate: %.0f kbit/s, the next has %.0f kbit/s",
                 bitrate_of(a) / 1e3, bitrate_of(b) / 1e3);
        break;
    case LENGTH:
        snprintf(text, capacity, "it is the longest: %.1f s, the next has %.1f s", a->duration_s,
                 b->duration_s > 0 ? b->duration_s : 0);
        break;
    case AGE:
        snprintf(text, capacity, "it is the oldest");
        break;
    default:
        snprintf(text, capacity, "its id comes first, as they are equal in all else");
    }
}

/* By what the policy asks for, several are equal. */
static int explain_tie(const vx_keep_policy *policy, const vx_keep_facts *best, char *text,
                       size_t capacity) {
    static const char *const none[] = {
        [VX_KEEP_LARGEST_PICTURE] = "has a larger picture",
        [VX_KEEP_HIGHEST_BITRATE] = "has a higher bit rate",
        [VX_KEEP_LONGEST] = "is longer",
        [VX_KEEP_OLDEST] = "is older",
        [VX_KEEP_NEWEST] = "is newer",
        [VX_KEEP_PATH] = "is in an earlier folder of your list",
    };
    bool in_folder = folder_of(policy, best->filename) > -(double)policy->n_folders;
    int n = policy->by == VX_KEEP_METADATA
                ? snprintf(text, capacity, "none has a greater metadata.%s; of the equal ones ",
                           policy->names)
            : policy->by == VX_KEEP_PATH && !in_folder
                ? snprintf(text, capacity, "none is in the folders of your list; of all ")
                : snprintf(text, capacity, "none %s; of the equal ones ", none[policy->by]);
    return n < (int)capacity ? n : (int)capacity - 1;
}

static void explain_file(const vx_keep_policy *policy, const vx_keep_facts *only, char *text,
                         size_t capacity) {
    const vx_group_video *v = only->video;
    bool preferred = policy->by == VX_KEEP_PATH &&
                     folder_of(policy, only->filename) > -(double)policy->n_folders;
    bool others_aside = !v->set_aside && v->n_same;
    for (size_t i = 0; i < v->n_same; i++)
        others_aside &= v->same[i].is_link || vx_path_is_set_aside(v->same[i].path);
    if (others_aside)
        snprintf(text, capacity, "the others are in trash or hidden folders");
    else if (preferred)
        explain_folder(policy, only->filename, text, capacity);
    else
        snprintf(text, capacity, "all have the same bytes, and its path comes first");
}

void vx_keep_explain(const vx_keep_policy *policy, const vx_keep_facts *best,
                     const vx_keep_facts *second, char *ret_text, size_t capacity) {
    if (!second) {
        explain_file(policy, best, ret_text, capacity);
        return;
    }
    measure m = find_difference(policy, best, second);
    int n = m > CHOSEN ? explain_tie(policy, best, ret_text, capacity) : 0;
    explain_measure(policy, best, second, m == CHOSEN ? chosen_by[policy->by] : m, ret_text + n,
                    capacity - (size_t)n);
}

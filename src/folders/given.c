/* given.c — which folders were given, and lists of texts. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/path.h"
#include "folders_internal.h"

bool vx_texts_add(vx_texts *texts, const char *text) {
    char *copy = strdup(text);
    if (!copy || !vx_make_room(texts->items, texts->n, texts->capacity)) {
        free(copy);
        return false;
    }
    texts->items[texts->n++] = copy;
    return true;
}

void vx_texts_clear(vx_texts *texts) {
    for (size_t i = 0; i < texts->n; i++)
        free(texts->items[i]);
    free(texts->items);
    *texts = (vx_texts){0};
}

/* ---- "[NAME=]DIR[:trash]" ---- */

static bool is_name_char(char c) {
    return isalnum((unsigned char)c) || (c && strchr("._-", c));
}

/* How long the name before a "=" is; 0: there is none. */
static size_t name_length(const char *text) {
    size_t n = 0;
    while (is_name_char(text[n]))
        n++;
    return text[n] == '=' && n <= VX_FOLDER_NAME_CHARS ? n : 0;
}

/* That of the folder, as far as a name may have it. */
static void name_by_path(const char *path, char ret_name[VX_FOLDER_NAME_CHARS + 1]) {
    const char *last = strrchr(path, '/');
    size_t n = 0;
    for (last = last ? last + 1 : path; last[n] && n < VX_FOLDER_NAME_CHARS; n++)
        ret_name[n] = is_name_char(last[n]) ? last[n] : '-';
    ret_name[n] = '\0';
    if (!n || !strcmp(ret_name, ".") || !strcmp(ret_name, ".."))
        strcpy(ret_name, "root");
}

static int parse(const char *text, vx_folder_row *ret_row, vx_err *err) {
    static const char suffix[] = ":trash";
    VX_AUTO_FREE char *path = strdup(text);
    size_t n_name = name_length(text), n = strlen(text);
    bool trash = n >= sizeof suffix - 1 && !strcmp(text + n - (sizeof suffix - 1), suffix);
    if (!path)
        return VX_FAIL(err, -ENOMEM, "no memory for a folder");
    if (trash)
        path[n - (sizeof suffix - 1)] = '\0';
    if (n_name)
        memmove(path, path + n_name + 1, strlen(path + n_name + 1) + 1);
    if (!*path)
        return VX_FAIL(err, VX_FOLDERS_BAD, "--folder must be [NAME=]DIR[:trash], not '%s'", text);
    *ret_row = (vx_folder_row){.path = vx_path_absolute(path), .trash = trash};
    if (!ret_row->path)
        return VX_FAIL(err, -ENOMEM, "no memory for a folder");
    if (n_name)
        snprintf(ret_row->name, sizeof ret_row->name, "%.*s", (int)n_name, text);
    else
        name_by_path(ret_row->path, ret_row->name);
    if (isdigit((unsigned char)*ret_row->name) &&
        !ret_row->name[strspn(ret_row->name, "0123456789")])
        return VX_FAIL(err, VX_FOLDERS_BAD,
                       "a folder's name must not be a number, as %s is: --folder NAME=%s",
                       ret_row->name, path);
    return 0;
}

/* Against those before it, and the data folder. */
static int check_new(const vx_folder *items, size_t n, const char *data_dir, vx_err *err) {
    const vx_folder_row *row = &items[n].row;
    VX_AUTO_FREE char *data = vx_path_absolute(data_dir);
    if (!data)
        return VX_FAIL(err, -ENOMEM, "no memory for a folder");
    if (vx_path_is_inside(row->path, data))
        return VX_FAIL(err, VX_FOLDERS_BAD, "--folder %s is inside the data folder", row->path);
    for (size_t i = 0; i < n; i++) {
        const vx_folder_row *other = &items[i].row;
        if (vx_path_is_inside(row->path, other->path) || vx_path_is_inside(other->path, row->path))
            return VX_FAIL(err, VX_FOLDERS_BAD, "--folder %s and %s are one inside the other",
                           row->path, other->path);
        if (!strcmp(row->name, other->name))
            return VX_FAIL(err, VX_FOLDERS_BAD,
                           "two folders are called %s: name one with --folder NAME=%s", row->name,
                           row->path);
    }
    return 0;
}

void vx_folder_items_free(vx_folder *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(items[i].row.path);
        vx_texts_clear(&items[i].dirty);
        vx_texts_clear(&items[i].fresh);
    }
    free(items);
}

int vx_folder_items_parse(const char *folders, const char *data_dir, vx_folder **ret_items,
                          size_t *ret_n, vx_err *err) {
    vx_folder *items = vx_new_array(VX_FOLDERS_MAX, sizeof *items);
    VX_AUTO_FREE char *copy = strdup(folders ? folders : "");
    size_t n = 0;
    int rc = items && copy ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the folders");
    char *rest = copy;
    for (char *line; !rc && (line = strsep(&rest, "\n"));) {
        if (!*line)
            continue;
        rc = n < VX_FOLDERS_MAX
                 ? parse(line, &items[n].row, err)
                 : VX_FAIL(err, VX_FOLDERS_BAD, "there may be %d folders at most", VX_FOLDERS_MAX);
        if (!rc)
            rc = check_new(items, n, data_dir, err);
        n += n < VX_FOLDERS_MAX;
    }
    if (rc) {
        vx_folder_items_free(items, n);
        return rc;
    }
    *ret_items = items;
    *ret_n = n;
    return 0;
}

int vx_folders_check(const char *folders, const char *data_dir, vx_err *err) {
    vx_folder *items;
    size_t n;
    int rc = vx_folder_items_parse(folders, data_dir, &items, &n, err);
    if (!rc)
        vx_folder_items_free(items, n);
    return rc;
}

void vx_folders_wake(vx_folders *folders) {
    const uint64_t one = 1;
    if (write(folders->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        vx_log(VX_LOG_WARN, "folders", "wake_errno=%d", errno);
    vx_folders_feed(folders);
}

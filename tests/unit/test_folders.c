/* Files are opened below a folder and nowhere else; and what the rows of files in folders say. */
#include <errno.h>
#include <fcntl.h>

#include "catalog_fixture.h"
#include "folders/folders_internal.h"

/* ---- below a folder ---- */

typedef struct tree {
    char root[64], outside[80];
    int fd;
} tree;

static void make_file(const char *root, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void run_in(const char *root, const char *command) {
    char text[512];
    snprintf(text, sizeof text, "cd '%s' && %s", root, command);
    assert_int_equal(system(text), 0);
}

static int tree_setup(void **state) {
    tree *t = calloc(1, sizeof *t);
    snprintf(t->root, sizeof t->root, "/tmp/vx_folders_XXXXXX");
    assert_non_null(mkdtemp(t->root));
    run_in(t->root, "mkdir -p in/a/b && ln -s ../secret in/link && ln -s .. in/up && ln -s a in/way"
                    " && mkfifo in/pipe");
    make_file(t->root, "secret", "secret");
    make_file(t->root, "in/a/b/file", "inside");
    char path[96];
    snprintf(path, sizeof path, "%s/in", t->root);
    t->fd = vx_below_open_root(path);
    assert_true(t->fd >= 0);
    *state = t;
    return 0;
}

static int tree_teardown(void **state) {
    tree *t = *state;
    close(t->fd);
    run_in("/tmp", "true");
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", t->root);
    assert_int_equal(system(command), 0);
    free(t);
    return 0;
}

typedef int opener(int root_fd, const char *dir, const char *name, int flags);

static void check_opening(const tree *t, opener *open_below) {
    char text[16] = "";
    int fd = open_below(t->fd, "a/b", "file", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof text), 6);
    assert_string_equal(text, "inside");
    close(fd);
    fd = open_below(t->fd, "", NULL, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    close(fd);
    assert_true(open_below(t->fd, "", "link", O_RDONLY) < 0);
    assert_true(open_below(t->fd, "up", "secret", O_RDONLY) < 0);
    assert_true(open_below(t->fd, "way/b", "file", O_RDONLY) < 0);
    assert_true(open_below(t->fd, "..", "secret", O_RDONLY) < 0);
    assert_true(open_below(t->fd, "a/../..", "secret", O_RDONLY) < 0);
    assert_true(open_below(t->fd, "", "..", O_RDONLY) < 0);
    assert_int_equal(open_below(t->fd, "a", "none", O_RDONLY), -ENOENT);
    fd = open_below(t->fd, "", "pipe", O_RDONLY); /* nobody writes: it must not wait */
    assert_true(fd >= 0);
    close(fd);
    char deep[PATH_MAX + 8];
    memset(deep, 'x', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(open_below(t->fd, deep, "file", O_RDONLY), -ENAMETOOLONG);
}

static void nothing_outside_is_opened(void **state) {
    check_opening(*state, vx_below_open);
}

static void nor_is_it_without_openat2(void **state) {
    check_opening(*state, vx_below_open_by_parts);
}

/* ---- rows ---- */

static const char folder_name[] = "nas";

static void add_folder(fixture *f, bool trash) {
    char path[] = "/nowhere";
    vx_folder_row row = {.path = path, .trash = trash};
    strcpy(row.name, folder_name);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_folder(f->catalog, &row, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
}

static vx_folder_file add_file(fixture *f, const char *dir, const char *name) {
    vx_folder_file file = {.dir = (char *)dir, .name = (char *)name, .bytes = 5, .mtime_ns = 7};
    strcpy(file.folder, folder_name);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_folder_file(f->catalog, &file, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return file;
}

static vx_video *add_video_in_place(fixture *f, int seed) {
    vx_video *video = make_video(seed, 1);
    free(video->source_path);
    free(video->filename);
    video->source_path = strdup(VX_IN_PLACE);
    video->filename = strdup("a.mp4");
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, video, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return video;
}

static void link_file(fixture *f, vx_folder_file *file, const vx_video *video) {
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_folder_file_video(f->catalog, file->row, video->id, file->name, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    strcpy(file->video, video->id);
}

static void lose(fixture *f, const vx_folder_file *file, int64_t when_us) {
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_folder_file_missing(f->catalog, file, when_us, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
}

static void delete_video(fixture *f, const char *id) {
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
}

static void assert_counts(fixture *f, int64_t indexed, int64_t waiting, int64_t forgotten,
                          int64_t missing) {
    int64_t files[VX_FOLDER_STATES], bytes[VX_FOLDER_STATES];
    OK(vx_catalog_count_folder_files(f->catalog, folder_name, files, bytes, &oops));
    assert_int_equal(files[VX_FOLDER_INDEXED], indexed);
    assert_int_equal(files[VX_FOLDER_WAITING], waiting);
    assert_int_equal(files[VX_FOLDER_FORGOTTEN], forgotten);
    assert_int_equal(files[VX_FOLDER_MISSING], missing);
    assert_int_equal(bytes[VX_FOLDER_INDEXED], 5 * indexed);
}

static void assert_place(fixture *f, const char *id, const char *places, const char *filename) {
    VX_AUTO(vx_video) video = NULL;
    OK(vx_catalog_get_video(f->catalog, id, &video, &oops));
    if (places)
        assert_string_equal(video->places, places);
    else
        assert_null(video->places);
    assert_string_equal(video->filename, filename);
    assert_int_equal(vx_video_has_file(video), places != NULL);
}

static void video_is_where_its_files_are(void **state) {
    fixture *f = *state;
    add_folder(f, false);
    VX_AUTO(vx_video) video = add_video_in_place(f, 1);
    vx_folder_file first = add_file(f, "", "a.mp4"), second = add_file(f, "x/y", "b.mp4");
    assert_counts(f, 0, 2, 0, 0);
    assert_place(f, video->id, NULL, "a.mp4");
    link_file(f, &first, video);
    link_file(f, &second, video);
    assert_counts(f, 2, 0, 0, 0);
    assert_place(f, video->id, "nas/a.mp4//nas/x/y/b.mp4", "a.mp4");
    /* as after a move whose new place was read first: nothing is missing, and the name follows */
    lose(f, &first, 50);
    assert_place(f, video->id, "nas/x/y/b.mp4", "b.mp4");
    assert_counts(f, 1, 0, 0, 0);
    lose(f, &second, 60);
    assert_place(f, video->id, NULL, "b.mp4");
    assert_counts(f, 0, 0, 0, 1);
    /* it has moved: its name follows, and nothing of it is missing any more */
    vx_folder_file third = add_file(f, "z", "c.mp4");
    link_file(f, &third, video);
    assert_place(f, video->id, "nas/z/c.mp4", "c.mp4");
    assert_counts(f, 1, 0, 0, 0);
    vx_folder_file never_read = add_file(f, "", "d.mp4");
    lose(f, &never_read, 70);
    assert_counts(f, 1, 0, 0, 0);
}

static void two_files_cannot_be_at_one_path(void **state) {
    fixture *f = *state;
    add_folder(f, false);
    vx_folder_file file = add_file(f, "x", "a.mp4"), again = file;
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_insert_folder_file(f->catalog, &again, &oops), -EINVAL);
    vx_catalog_rollback(f->catalog);
}

static void deleted_video_is_forgotten_until_that_is_undone(void **state) {
    fixture *f = *state;
    vx_forgotten *items = NULL;
    size_t n = 0;
    add_folder(f, true);
    VX_AUTO(vx_video) video = add_video_in_place(f, 1);
    vx_folder_file file = add_file(f, "", "a.mp4");
    link_file(f, &file, video);
    delete_video(f, video->id);
    assert_counts(f, 0, 0, 1, 0);
    OK(vx_catalog_list_forgotten(f->catalog, NULL, true, 10, &items, &n, &oops));
    assert_int_equal(n, 1);
    assert_true(items[0].trash && !strcmp(items[0].video, video->id));
    free(items[0].filename);
    free(items);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_forgotten(f->catalog, video->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_counts(f, 0, 1, 0, 0);
    /* of a video that lies in no folder nothing is remembered */
    VX_AUTO(vx_video) other = add_video(f, 2, 1);
    bool is_forgotten = true;
    delete_video(f, other->id);
    OK(vx_catalog_is_forgotten(f->catalog, other->id, &is_forgotten, &oops));
    assert_false(is_forgotten);
}

static void expired_video_is_not_forgotten(void **state) {
    fixture *f = *state;
    vx_folder_file *files = NULL;
    size_t n = 0;
    bool is_forgotten = true;
    add_folder(f, false);
    VX_AUTO(vx_video) video = add_video_in_place(f, 1);
    vx_folder_file first = add_file(f, "", "a.mp4"), second = add_file(f, "", "b.mp4");
    link_file(f, &first, video);
    link_file(f, &second, video);
    lose(f, &first, 50);
    lose(f, &second, 60);
    OK(vx_catalog_find_folder_expired(f->catalog, 55, 10, &files, &n, &oops));
    assert_int_equal(n, 0); /* it was there until later */
    vx_folder_files_free(files, n);
    OK(vx_catalog_find_folder_expired(f->catalog, 61, 10, &files, &n, &oops));
    assert_int_equal(n, 1);
    vx_folder_files_free(files, n);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_video_places_expired(f->catalog, video->id, &oops));
    OK(vx_catalog_delete_video(f->catalog, video->id, &oops));
    OK(vx_catalog_delete_expired_places(f->catalog, video->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_is_forgotten(f->catalog, video->id, &is_forgotten, &oops));
    assert_false(is_forgotten);
    assert_counts(f, 0, 0, 0, 0);
}

static void folders_of_folders_are_listed(void **state) {
    fixture *f = *state;
    static const char *const dirs[] = {"", "a", "a/b", "a b", "a-", "ab"};
    char **found = NULL;
    size_t n = 0;
    add_folder(f, false);
    for (size_t i = 0; i < VX_LEN(dirs); i++)
        add_file(f, dirs[i], "x.mp4");
    OK(vx_catalog_list_folder_dirs(f->catalog, folder_name, "a", NULL, 10, &found, &n, &oops));
    assert_int_equal(n, 2);
    assert_string_equal(found[0], "a");
    assert_string_equal(found[1], "a/b");
    free(found[0]), free(found[1]), free(found);
    OK(vx_catalog_list_folder_dirs(f->catalog, folder_name, "", "a-", 2, &found, &n, &oops));
    assert_int_equal(n, 2);
    assert_string_equal(found[0], "a/b");
    assert_string_equal(found[1], "ab");
    free(found[0]), free(found[1]), free(found);
}

int main(void) {
#define ON(set, test) cmocka_unit_test_setup_teardown(test, set##_setup, set##_teardown)
    const struct CMUnitTest tests[] = {
        ON(tree, nothing_outside_is_opened),
        ON(tree, nor_is_it_without_openat2),
        ON(fixture, video_is_where_its_files_are),
        ON(fixture, two_files_cannot_be_at_one_path),
        ON(fixture, deleted_video_is_forgotten_until_that_is_undone),
        ON(fixture, expired_video_is_not_forgotten),
        ON(fixture, folders_of_folders_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

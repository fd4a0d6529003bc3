/* replay FILE|FOLDER… — runs a fuzz target over kept inputs, without a fuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) != 0) {
        perror(path);
        return 1;
    }
    uint8_t *data = malloc((size_t)st.st_size + 1);
    size_t n_bytes = data ? fread(data, 1, (size_t)st.st_size, file) : 0;
    fclose(file);
    LLVMFuzzerTestOneInput(data, n_bytes);
    /* and cut off, as an upload that breaks */
    for (size_t n = n_bytes; n > 0; n = n * 3 / 4)
        LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

static int replay(const char *path, int *n_files) {
    DIR *folder = opendir(path);
    if (!folder)
        return ++*n_files, replay_file(path);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(folder));) {
        char *name = NULL;
        if (entry->d_name[0] != '.' && asprintf(&name, "%s/%s", path, entry->d_name) > 0)
            rc = replay(name, n_files);
        free(name);
    }
    closedir(folder);
    return rc;
}

int main(int argc, char **argv) {
    int rc = 0, n_files = 0;
    for (int i = 1; rc == 0 && i < argc; i++)
        rc = replay(argv[i], &n_files);
    printf("%d inputs\n", n_files);
    return rc != 0 || n_files == 0;
}

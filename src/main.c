/* main.c — the subcommands of the vidx program. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
    bool computes; /* with OpenMP's threads */
} commands[] = {
    {"serve", vx_command_serve, "the index as an HTTP server", true},
    {"check", vx_command_check, "verifies and repairs the data folder", false},
    {"backup", vx_command_backup, "copies the data folder while a server uses it", false},
    {"restore", vx_command_restore, "makes a data folder of a backup", false},
    {"sync", vx_command_sync, "the collection to a vector database, or a folder of files", false},
    {"embed", vx_command_embed, "all videos of a folder to vectors, without a server", true},
    {"cluster", vx_command_cluster, "groups of similar clips in the output of embed", true},
    {"dedup", vx_command_dedup, "duplicates among these, or in a stopped server's data", true},
    {"import", vx_command_import,
     "vectors of files of FAISS, NumPy, Parquet or JSON lines into the data", false},
    {"export", vx_command_export,
     "the stored vectors as a file of FAISS, NumPy, JSON lines or Parquet", false},
};

static void print_usage(FILE *out) {
    fprintf(out, "usage: vidx COMMAND [options]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "  %-8s %s\n\nvidx COMMAND --help lists a command's options.\n", "version",
            "print the version");
}

/* libtorch's OpenMP threads spin for milliseconds where they wait, on cores that decoders and
 * uploads need: 16 small uploads at once took a quarter longer. libgomp reads the setting before
 * main, so the program starts itself once more, which takes a third of a second; if it cannot, it only runs slower. */
static void let_openmp_sleep(char **argv) {
    if (!getenv("OMP_WAIT_POLICY") && !setenv("OMP_WAIT_POLICY", "passive", 1))
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name))
            continue;
        if (commands[i].computes)
            let_openmp_sleep(argv);
        return commands[i].run(argc - 1, argv + 1);
    }
    if (!strcmp(name, "version") || !strcmp(name, "--version") || !strcmp(name, "-V"))
        return puts("vidx " VX_VERSION) < 0;
    bool asked = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
    if (!asked && *name)
        fprintf(stderr, "vidx: there is no command '%s'\n\n", name);
    print_usage(asked ? stdout : stderr);
    return asked ? 0 : 2;
}

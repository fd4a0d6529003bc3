/* backup.c — vidx backup and vidx restore. */
#include <stdio.h>
#include <string.h>

#include "backup/backup.h"
#include "base/mem.h"
#include "cli.h"
#include "options.h"

typedef struct settings {
    const char *data, *to, *from;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option backup_table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR",
     "the data folder of vidx serve, which may run"},
    {"to", VX_OPTION_TEXT, AT(to), NULL, "DIR",
     "the backup; one that is there is brought up to date"},
};
static const vx_option restore_table[] = {
    {"from", VX_OPTION_TEXT, AT(from), NULL, "DIR", "the backup"},
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the new data folder, without a catalog"},
};

static int end(const char *command, int rc, const vx_backup_report *r, const vx_err *err) {
    if (rc) {
        fprintf(stderr, "vidx %s: %s\n", command, err->msg);
        return rc == VX_OPTION_WRONG ? 2 : 1;
    }
    printf("%lld videos, %lld files: %lld copied (%.1f MB), %lld were there, %lld removed\n",
           (long long)r->videos, (long long)r->files, (long long)r->copied, (double)r->bytes / 1e6,
           (long long)r->kept, (long long)r->removed);
    if (r->in_place)
        printf("%lld videos lie in folders that are indexed in place: their files are not copied\n",
               (long long)r->in_place);
    if (r->missing)
        printf("%lld files are missing: send them again, or delete their videos\n",
               (long long)r->missing);
    if (r->damaged)
        fprintf(stderr,
                "vidx %s: %lld files are damaged and were not copied: send them again, or delete "
                "their videos\n",
                command, (long long)r->damaged);
    return r->damaged ? 1 : 0;
}

int vx_command_backup(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    vx_backup_report report = {0};
    int rc = vx_options_parse(
        "usage: vidx backup --to DIR [options]\n\nCopies a data folder while a server uses it. "
        "Only files "
        "that the backup lacks are copied, and checked by their SHA-256.\n"
        "Exit status: 0 done, 1 failed or files are damaged, 2 wrong usage.",
        backup_table, VX_LEN(backup_table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc && !s.to)
        rc = VX_FAIL(&err, VX_OPTION_WRONG, "--to is needed");
    if (!rc)
        rc = vx_backup_run(s.data, s.to, &report, &err);
    return end("backup", rc, &report, &err);
}

int vx_command_restore(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    vx_backup_report report = {0};
    int rc = vx_options_parse("usage: vidx restore --from DIR [options]\n\nMakes a data folder of "
                              "a backup, and checks every "
                              "file by its SHA-256; damaged ones are left out.\n"
                              "Exit status: 0 done, 1 failed or files are damaged, 2 wrong usage.",
                              restore_table, VX_LEN(restore_table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc && !s.from)
        rc = VX_FAIL(&err, VX_OPTION_WRONG, "--from is needed");
    if (!rc)
        rc = vx_backup_restore(s.from, s.data, &report, &err);
    return end("restore", rc, &report, &err);
}

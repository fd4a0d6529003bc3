/* options.h — the settings of a subcommand, from four places.
 *
 * Default, then the configuration file (--config FILE, a JSON object of the same names), then
 * VIDX_<NAME> in the environment, then --<name>: the later wins. Names are lower case with dashes;
 * in the environment upper case with underscores. --help prints the table.
 *
 * Threads: main only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef enum vx_option_kind {
    VX_OPTION_TEXT,  /* const char *; lives until the process ends */
    VX_OPTION_LINES, /* the same, given several times (in a file: a list of texts): one a line */
    VX_OPTION_COUNT, /* int64_t, 0.. */
    VX_OPTION_BYTES, /* int64_t, with an optional k, m, g or t (powers of 1024) */
    VX_OPTION_REAL,  /* double, 0.. */
    VX_OPTION_FLAG,  /* bool; on the command line without a value */
} vx_option_kind;

typedef struct vx_option {
    const char *name;
    vx_option_kind kind;
    size_t offset;       /* of the field in the settings struct */
    const char *initial; /* text form; NULL = leave the zero */
    const char *value;   /* what --help calls the value: DIR, N, … */
    const char *help;
} vx_option;

#define VX_OPTION_HELP VX_CODES_OPTIONS        /* --help was given and printed: exit 0 */
#define VX_OPTION_WRONG (VX_CODES_OPTIONS + 1) /* the message says which option and why: exit 2 */

/* argv[0] is the subcommand. settings: the struct the offsets mean. A word that belongs to no option is refused. */
int vx_options_parse(const char *usage, const vx_option *table, size_t n, int argc, char **argv,
                     void *settings, vx_err *err);
/* The same, and takes such words (operands): argv is reordered, and they are argv[*ret_first .. argc). */
int vx_options_parse_operands(const char *usage, const vx_option *table, size_t n, int argc,
                              char **argv, void *settings, int *ret_first, vx_err *err);

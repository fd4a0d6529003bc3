#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct parser {
    const vx_option *table;
    size_t n;
    char *settings;
    int source;   /* which of the places is being read, 1.. */
    int *sources; /* [n] of these, the one that the lines of a VX_OPTION_LINES came from */
} parser;

/* Texts live until the process ends, as the file and the environment may not. Listed here they are no leaks, which a
 * leak checker would take longer to tell from others than many a command runs. */
typedef struct kept_text {
    struct kept_text *next;
    char text[];
} kept_text;
static kept_text *kept_texts;

static char *keep(size_t n_bytes) {
    kept_text *kept = malloc(sizeof *kept + n_bytes);
    if (!kept)
        return NULL;
    kept->next = kept_texts;
    kept_texts = kept;
    return kept->text;
}

static int parse_bytes(const char *text, int64_t *ret) {
    static const char units[] = "kmgt";
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    int shift = 0;
    const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    if (unit) {
        shift = 10 * (int)(unit - units + 1);
        end++;
    }
    if (end == text || *end || errno || value < 0 || value > (INT64_MAX >> shift))
        return -EINVAL;
    *ret = value << shift;
    return 0;
}

static int parse_bool(const char *text, bool *ret) {
    if (!strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "yes"))
        *ret = true;
    else if (!strcmp(text, "false") || !strcmp(text, "0") || !strcmp(text, "no"))
        *ret = false;
    else
        return -EINVAL;
    return 0;
}

/* One more line; those of another place, which counts less, go. */
static int add_line(const parser *p, const vx_option *option, const char *text, const char *where,
                    vx_err *err) {
    char *field = p->settings + option->offset, *before = NULL;
    int *known = &p->sources[option - p->table];
    if (*known == p->source)
        memcpy(&before, field, sizeof before);
    size_t n = (before ? strlen(before) : 0) + strlen(text) + 2;
    char *lines = keep(n);
    if (!lines)
        return VX_FAIL(err, -ENOMEM, "no memory for %s", where);
    snprintf(lines, n, "%s%s%s", before ? before : "", before ? "\n" : "", text);
    memcpy(field, &lines, sizeof lines);
    *known = p->source;
    return 0;
}

/* `where` names the place for the message: "--k", "VIDX_K", "key k of FILE". */
static int set(const parser *p, const vx_option *option, const char *text, const char *where,
               vx_err *err) {
    char *field = p->settings + option->offset;
    char *end;
    switch (option->kind) {
    case VX_OPTION_TEXT: {
        size_t n = strlen(text) + 1;
        char *copy = keep(n);
        if (!copy)
            return VX_FAIL(err, -ENOMEM, "no memory for %s", where);
        memcpy(copy, text, n);
        memcpy(field, &copy, sizeof copy);
        return 0;
    }
    case VX_OPTION_LINES:
        return add_line(p, option, text, where, err);
    case VX_OPTION_COUNT: {
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (end == text || *end || errno || value < 0 || value > INT_MAX)
            return VX_FAIL(err, VX_OPTION_WRONG, "%s must be a whole number from 0, not '%s'",
                           where, text);
        *(int64_t *)(void *)field = value;
        return 0;
    }
    case VX_OPTION_BYTES:
        if (parse_bytes(text, (int64_t *)(void *)field))
            return VX_FAIL(err, VX_OPTION_WRONG, "%s must be a size such as 500m or 2g, not '%s'",
                           where, text);
        return 0;
    case VX_OPTION_REAL: {
        double value = strtod(text, &end);
        if (end == text || *end || !(value >= 0) || !isfinite(value))
            return VX_FAIL(err, VX_OPTION_WRONG, "%s must be a number from 0, not '%s'", where,
                           text);
        *(double *)(void *)field = value;
        return 0;
    }
    default:
        if (parse_bool(text, (bool *)field))
            return VX_FAIL(err, VX_OPTION_WRONG, "%s must be true or false, not '%s'", where, text);
        return 0;
    }
}

static const vx_option *find(const parser *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->table[i].name, name))
            return &p->table[i];
    return NULL;
}

static int add_lines(const parser *p, const vx_option *option, const json_t *list,
                     const char *where, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = text ? add_line(p, option, text, where, err)
                  : VX_FAIL(err, VX_OPTION_WRONG, "%s: must be a list of strings", where);
    }
    return rc;
}

static int read_file(const parser *p, const char *path, vx_err *err) {
    json_error_t problem;
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    const char *key;
    json_t *value;
    int rc = 0;
    if (!object && problem.line < 0) /* not even opened: the text says why */
        return VX_FAIL(err, VX_OPTION_WRONG, "the configuration: %s", problem.text);
    if (!json_is_object(object))
        rc = VX_FAIL(err, VX_OPTION_WRONG, "%s is not a JSON object (line %d: %s)", path,
                     object ? 1 : problem.line, object ? "another type" : problem.text);
    json_object_foreach(object, key, value) {
        char where[PATH_MAX + 64], number[32];
        const vx_option *option = find(p, key);
        const char *text = json_string_value(value);
        snprintf(where, sizeof where, "key %s of %s", key, path);
        if (json_is_number(value))
            text = (snprintf(number, sizeof number, "%.17g", json_number_value(value)), number);
        else if (json_is_boolean(value))
            text = json_is_true(value) ? "true" : "false";
        if (!rc && option && option->kind == VX_OPTION_LINES && json_is_array(value)) {
            rc = add_lines(p, option, value, where, err);
            continue;
        }
        if (!rc && (!option || !text))
            rc =
                VX_FAIL(err, VX_OPTION_WRONG, "%s: %s", where,
                        option ? "must be a string, number or boolean" : "there is no such option");
        if (!rc)
            rc = set(p, option, text, where, err);
    }
    json_decref(object);
    return rc;
}

static int read_environment(const parser *p, vx_err *err) {
    for (size_t i = 0; i < p->n; i++) {
        char name[64] = "VIDX_";
        size_t length = strlen(p->table[i].name);
        for (size_t c = 0; c <= length && c + 6 < sizeof name; c++)
            name[5 + c] = p->table[i].name[c] == '-'
                              ? '_'
                              : (char)toupper((unsigned char)p->table[i].name[c]);
        const char *text = getenv(name);
        int rc = text && *text ? set(p, &p->table[i], text, name, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

#define HELP_COLUMN 34
#define HELP_COLUMNS 100

/* The help beside the option, wrapped at spaces. */
static void print_option(const char *left, const char *help, const char *initial) {
    char text[512];
    snprintf(text, sizeof text, "%s%s%s%s", help, initial ? " (default " : "",
             initial ? initial : "", initial ? ")" : "");
    int column = printf("  %-*s", HELP_COLUMN - 3, left);
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (column + 1 + n > HELP_COLUMNS)
            column = printf("\n%*s", HELP_COLUMN - 1, "") - 1;
        column += printf(" %.*s", n, word);
        word += n + (word[n] == ' ');
    }
    putchar('\n');
}

static void print_help(const parser *p, const char *usage) {
    printf(
        "%s\n\nOptions. Each is also VIDX_NAME in the environment (--max-json: VIDX_MAX_JSON) and "
        "a "
        "key of\nthe JSON object in --config FILE (\"max-json\"); the command line wins, then the "
        "environment.\n",
        usage);
    for (size_t i = 0; i < p->n; i++) {
        const vx_option *o = &p->table[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        print_option(left, o->help, o->initial);
    }
    print_option("--config FILE", "read settings from a JSON object", NULL);
    print_option("--help, -h", "print this", NULL);
}

/* The value that getopt_long gives for an option: its place in the table. */
#define FIRST_VALUE 256

static int refuse_argument(const parser *p, const struct option *longs, int got, const char *text,
                           vx_err *err) {
    if (got == ':')
        return VX_FAIL(err, VX_OPTION_WRONG, "--%s needs a value: --%s %s",
                       longs[optopt - FIRST_VALUE].name, longs[optopt - FIRST_VALUE].name,
                       (size_t)(optopt - FIRST_VALUE) < p->n ? p->table[optopt - FIRST_VALUE].value
                                                             : "FILE");
    if (optopt >= FIRST_VALUE)
        return VX_FAIL(err, VX_OPTION_WRONG, "--%s takes no value",
                       longs[optopt - FIRST_VALUE].name);
    return VX_FAIL(err, VX_OPTION_WRONG,
                   "there is no option %s, or several begin like this; see --help", text);
}

/* One pass over argv: the first finds --config and --help, the second sets. */
static int read_arguments(const parser *p, const struct option *longs, int argc, char **argv,
                          bool apply, const char **ret_config, bool *ret_help, vx_err *err) {
    optind = 0; /* glibc: start over */
    opterr = 0;
    for (int got; (got = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
        size_t which = (size_t)(got - FIRST_VALUE);
        if (got == '?' || got == ':')
            return refuse_argument(p, longs, got, argv[optind - 1], err);
        if (got == 'h' || which == p->n + 1) {
            *ret_help = true;
        } else if (which == p->n) {
            *ret_config = optarg;
        } else if (apply) {
            char where[64];
            snprintf(where, sizeof where, "--%s", p->table[which].name);
            int rc = set(p, &p->table[which], optarg ? optarg : "true", where, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int vx_options_parse(const char *usage, const vx_option *table, size_t n, int argc, char **argv,
                     void *settings, vx_err *err) {
    int first;
    int rc = vx_options_parse_operands(usage, table, n, argc, argv, settings, &first, err);
    return rc || first == argc
               ? rc
               : VX_FAIL(err, VX_OPTION_WRONG, "'%s' is not an option; see --help", argv[first]);
}

int vx_options_parse_operands(const char *usage, const vx_option *table, size_t n, int argc,
                              char **argv, void *settings, int *ret_first, vx_err *err) {
    VX_AUTO_FREE int *sources = vx_new_array(n + 1, sizeof *sources);
    parser p = {table, n, settings, 0, sources};
    VX_AUTO_FREE struct option *longs = vx_new_array(n + 3, sizeof *longs);
    if (!longs || !sources)
        return VX_FAIL(err, -ENOMEM, "no memory for the options");
    for (size_t i = 0; i < n; i++)
        longs[i] = (struct option){
            table[i].name, table[i].kind == VX_OPTION_FLAG ? no_argument : required_argument, NULL,
            FIRST_VALUE + (int)i};
    longs[n] = (struct option){"config", required_argument, NULL, FIRST_VALUE + (int)n};
    longs[n + 1] = (struct option){"help", no_argument, NULL, FIRST_VALUE + (int)n + 1};
    const char *config = getenv("VIDX_CONFIG");
    bool help = false;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = table[i].initial ? set(&p, &table[i], table[i].initial, table[i].name, err) : 0;
    if (!rc)
        rc = read_arguments(&p, longs, argc, argv, false, &config, &help, err);
    if (!rc && help) {
        print_help(&p, usage);
        return VX_OPTION_HELP;
    }
    p.source++;
    if (!rc && config && *config)
        rc = read_file(&p, config, err);
    p.source++;
    if (!rc)
        rc = read_environment(&p, err);
    p.source++;
    if (!rc)
        rc = read_arguments(&p, longs, argc, argv, true, &config, &help, err);
    *ret_first = optind;
    return rc;
}

/* manifest.c — manifest.json to vx_package, strictly.
 *
 * Every field is required unless its reader says otherwise, has a range, and an unknown one is
 * refused: otherwise a misspelt "samplng" would silently change what vectors mean. `self_check`
 * holds what the exporter measured, for people; it is not read.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "package.h"
#include "torch/torch_shim.h"

#define MAX_MANIFEST_BYTES (256 * 1024)

static const char name_charset[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
static const char file_charset[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";

/* Where we are, for messages: the object `path_in_file` ("picture.", "video[2].", "") of `file`. */
typedef struct reader {
    const char *file;
    char at[32];
    json_t *object; /* borrows */
    vx_err *err;
} reader;

static int bad(const reader *in, const char *field, const char *problem) {
    return VX_FAIL(in->err, VX_EMBED_BAD_PACKAGE, "%s: %s%s %s", in->file, in->at, field, problem);
}

static int read_text(const reader *in, const char *field, char *ret, size_t capacity) {
    json_t *value = json_object_get(in->object, field);
    if (!json_is_string(value))
        return bad(in, field, value ? "is not a string" : "is missing");
    size_t length = json_string_length(value);
    if (length == 0 || length >= capacity || strlen(json_string_value(value)) != length)
        return bad(in, field, length ? "is too long" : "is empty");
    memcpy(ret, json_string_value(value), length + 1);
    return 0;
}

static int read_number(const reader *in, const char *field, double low, double high, double *ret) {
    json_t *value = json_object_get(in->object, field);
    if (!json_is_number(value))
        return bad(in, field, value ? "is not a number" : "is missing");
    *ret = json_number_value(value);
    if (*ret >= low && *ret <= high)
        return 0;
    char problem[96];
    snprintf(problem, sizeof problem, "is %g, not within %g..%g", *ret, low, high);
    return bad(in, field, problem);
}

static int read_integer(const reader *in, const char *field, int64_t low, int64_t high,
                        int64_t *ret) {
    json_t *value = json_object_get(in->object, field);
    if (value && !json_is_integer(value))
        return bad(in, field, "is not a whole number");
    double number;
    int rc = read_number(in, field, (double)low, (double)high, &number);
    if (!rc)
        *ret = json_integer_value(value);
    return rc;
}

static int read_int(const reader *in, const char *field, int low, int high, int *ret) {
    int64_t value = 0;
    int rc = read_integer(in, field, low, high, &value);
    *ret = (int)value;
    return rc;
}

/* One of n words; the index of the word found becomes the enum's value. */
static int read_word(const reader *in, const char *field, const char *const *words, int n,
                     int *ret) {
    char word[32];
    int rc = read_text(in, field, word, sizeof word);
    if (rc)
        return rc;
    for (*ret = 0; *ret < n; (*ret)++)
        if (!strcmp(word, words[*ret]))
            return 0;
    char problem[160];
    int used = snprintf(problem, sizeof problem, "is '%s', not one of", word);
    for (int i = 0; i < n && used < (int)sizeof problem; i++)
        used += snprintf(problem + used, sizeof problem - (size_t)used, " %s", words[i]);
    return bad(in, field, problem);
}

static int read_triple(const reader *in, const char *field, double low, float *ret) {
    json_t *array = json_object_get(in->object, field);
    if (json_array_size(array) != 3)
        return bad(in, field, "is not a list of 3 numbers");
    for (size_t i = 0; i < 3; i++) {
        json_t *value = json_array_get(array, i);
        double number = json_number_value(value);
        if (!json_is_number(value) || number < low || number > 10)
            return bad(in, field, "holds a value that is no number in range");
        ret[i] = (float)number;
    }
    return 0;
}

static int refuse_unknown(const reader *in, const char *const *fields, int n) {
    const char *key;
    json_t *value;
    json_object_foreach(in->object, key, value) {
        int i = 0;
        while (i < n && strcmp(key, fields[i]))
            i++;
        if (i == n)
            return bad(in, key, "is no field of a manifest");
    }
    return 0;
}
#define REFUSE_UNKNOWN(in, ...)                                                                    \
    refuse_unknown((in), (const char *const[]){__VA_ARGS__},                                       \
                   (int)VX_LEN(((const char *const[]){__VA_ARGS__})))

/* Steps into the object `field` of `in`. */
static int enter(const reader *in, const char *field, reader *ret) {
    *ret = *in;
    ret->object = json_object_get(in->object, field);
    if (!json_is_object(ret->object))
        return bad(in, field, ret->object ? "is not an object" : "is missing");
    snprintf(ret->at, sizeof ret->at, "%s.", field);
    return 0;
}

/* A plain file name: no separator, no leading dot, so it cannot leave the package's folder. */
static bool is_file_name(const char *name) {
    size_t length = strlen(name);
    return length > 0 && length < sizeof((vx_variant *)0)->file && name[0] != '.' &&
           strspn(name, file_charset) == length;
}

static int read_files(const reader *top, vx_package *package) {
    reader in;
    int rc = enter(top, "files", &in);
    if (rc)
        return rc;
    const char *name;
    json_t *value;
    json_object_foreach(in.object, name, value) {
        if (!is_file_name(name) || !strcmp(name, "manifest.json"))
            return bad(&in, name, "is no file name that a package may hold");
        if (package->n_files == VX_PACKAGE_MAX_FILES)
            return bad(top, "files", "lists too many files");
        int i = package->n_files++;
        for (; i > 0 && strcmp(package->files[i - 1].name, name) > 0; i--)
            package->files[i] = package->files[i - 1];
        snprintf(package->files[i].name, sizeof package->files[i].name, "%s", name);
        const char *hex = json_string_value(value);
        if (!hex || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
            return bad(&in, name, "is not a SHA-256 in lower-case hexadecimal");
        memcpy(package->files[i].sha256, hex, 65);
    }
    return 0;
}

static bool lists_file(const vx_package *package, const char *name) {
    for (int i = 0; i < package->n_files; i++)
        if (!strcmp(package->files[i].name, name))
            return true;
    return false;
}

/* Optional, false. */
static int read_flag(const reader *in, const char *field, bool *ret) {
    const json_t *value = json_object_get(in->object, field);
    if (value && !json_is_boolean(value))
        return bad(in, field, "is neither true nor false");
    *ret = json_is_true(value);
    return 0;
}

static int read_variant(const reader *in, const vx_package *package, vx_variant *ret) {
    static const char *const devices[] = {"cpu", "cuda"};
    static const char *const dtypes[] = {"fp32", "bf16", "fp16", "fp8"};
    int device = 0, dtype = 0, rc;
    if ((rc = REFUSE_UNKNOWN(in, "file", "device", "dtype", "needs_amx", "slow", "max_batch",
                             "memory_bytes")) ||
        (rc = read_text(in, "file", ret->file, sizeof ret->file)) ||
        (rc = read_word(in, "device", devices, VX_LEN(devices), &device)) ||
        (rc = read_word(in, "dtype", dtypes, VX_LEN(dtypes), &dtype)) ||
        (rc = read_int(in, "max_batch", 1, 256, &ret->max_batch)))
        return rc;
    if (!lists_file(package, ret->file))
        return bad(in, "file", "is not listed in files");
    strcpy(ret->device, devices[device]);
    strcpy(ret->dtype, dtypes[dtype]);
    if ((rc = read_flag(in, "needs_amx", &ret->needs_amx)) ||
        (rc = read_flag(in, "slow", &ret->slow)))
        return rc;
    if (!json_object_get(in->object, "memory_bytes")) /* optional, 0 */
        return 0;
    return read_integer(in, "memory_bytes", 0, INT64_C(1) << 42, &ret->memory_bytes);
}

static int read_variants(const reader *top, vx_package *package) {
    json_t *list = json_object_get(top->object, "video");
    size_t n = json_array_size(list);
    if (n < 1 || n > VX_PACKAGE_MAX_VARIANTS)
        return bad(top, "video", "is not a list of 1..8 ways to run the model");
    for (size_t i = 0; i < n; i++) {
        reader in = *top;
        in.object = json_array_get(list, i);
        snprintf(in.at, sizeof in.at, "video[%zu].", i);
        if (!json_is_object(in.object))
            return bad(top, "video", "holds something that is not an object");
        int rc = read_variant(&in, package, &package->variants[i]);
        if (rc)
            return rc;
    }
    package->n_variants = (int)n;
    return 0;
}

static int read_frames(const reader *top, vx_model_info *info) {
    static const char *const samplings[] = {
        [VX_SAMPLE_SPREAD] = "spread", [VX_SAMPLE_CURATOR] = "curator"};
    reader in;
    int sampling = 0, rc;
    if ((rc = enter(top, "frames", &in)) ||
        (rc = REFUSE_UNKNOWN(&in, "count", "fps", "sampling")) ||
        (rc = read_int(&in, "count", 1, 64, &info->n_frames)) ||
        (rc = read_number(&in, "fps", 0.01, 60, &info->target_fps)) ||
        (rc = read_word(&in, "sampling", samplings, VX_LEN(samplings), &sampling)))
        return rc;
    info->sampling = (vx_sampling)sampling;
    return 0;
}

static int read_picture(const reader *top, vx_preprocess_spec *spec) {
    static const char *const filters[] = {[VX_RESIZE_BILINEAR_ANTIALIAS] = "bilinear_antialias",
                                          [VX_RESIZE_BICUBIC_ANTIALIAS] = "bicubic_antialias",
                                          [VX_RESIZE_BILINEAR] = "bilinear"};
    static const char *const fits[] = {[VX_FIT_SQUASH] = "squash", [VX_FIT_CROP] = "crop"};
    reader in;
    int filter = 0, fit = 0, rc;
    if ((rc = enter(top, "picture", &in)) ||
        (rc = REFUSE_UNKNOWN(&in, "width", "height", "filter", "fit", "mean", "std")) ||
        (rc = read_int(&in, "width", 1, 1024, &spec->width_px)) ||
        (rc = read_int(&in, "height", 1, 1024, &spec->height_px)) ||
        (rc = read_word(&in, "filter", filters, VX_LEN(filters), &filter)) ||
        (rc = read_word(&in, "fit", fits, VX_LEN(fits), &fit)) ||
        (rc = read_triple(&in, "mean", -10, spec->mean)) ||
        (rc = read_triple(&in, "std", 1e-6, spec->std)))
        return rc;
    spec->filter = (vx_resize_filter)filter;
    spec->fit = (vx_resize_fit)fit;
    return 0;
}

static int read_threshold(const reader *top, vx_model_info *info) {
    reader in;
    double similar = 0;
    char measured[1024];
    int rc;
    if ((rc = enter(top, "threshold", &in)) || (rc = REFUSE_UNKNOWN(&in, "similar", "measured")) ||
        (rc = read_number(&in, "similar", -1, 1, &similar)) ||
        (rc = read_text(&in, "measured", measured, sizeof measured)))
        return rc;
    info->similar_threshold = (float)similar;
    return 0;
}

static bool is_video_file(const vx_package *package, const char *name) {
    for (int i = 0; i < package->n_variants; i++)
        if (!strcmp(package->variants[i].file, name))
            return true;
    return false;
}

/* A file of the text tower: listed, and not of the video tower, whose files name the space. */
static int read_text_file(const reader *in, const vx_package *package, const char *field,
                          char ret[64]) {
    int rc = read_text(in, field, ret, 64);
    if (rc)
        return rc;
    if (!lists_file(package, ret))
        return bad(in, field, "is not listed in files");
    return is_video_file(package, ret) ? bad(in, field, "is a file of the video tower") : 0;
}

/* Optional: without it the model answers no text. */
static int read_text_tower(const reader *top, vx_package *package) {
    vx_model_info *info = &package->info;
    reader in;
    int rc;
    if (!json_object_get(top->object, "text"))
        return 0;
    if ((rc = enter(top, "text", &in)) ||
        (rc = REFUSE_UNKNOWN(&in, "file", "vocab", "length", "quality")) ||
        (rc = read_text_file(&in, package, "file", package->text_file)) ||
        (rc = read_text_file(&in, package, "vocab", package->text_vocab)) ||
        (rc = read_int(&in, "length", 2, 512, &info->text_length)))
        return rc;
    if (json_object_get(in.object, "quality") && /* optional, empty */
        (rc = read_text(&in, "quality", info->text_quality, sizeof info->text_quality)))
        return rc;
    if (!strcmp(package->text_file, package->text_vocab))
        return bad(&in, "vocab", "is the same as file");
    info->has_text = true;
    return 0;
}

/* Optional: search. A copy model describes single pictures. */
static int read_role(const reader *in, vx_model_info *info) {
    static const char *const roles[] = {[VX_ROLE_SEARCH] = "search", [VX_ROLE_COPY] = "copy"};
    int role = VX_ROLE_SEARCH;
    if (json_object_get(in->object, "role")) {
        int rc = read_word(in, "role", roles, VX_LEN(roles), &role);
        if (rc)
            return rc;
    }
    info->role = (vx_model_role)role;
    if (role == VX_ROLE_COPY && info->n_frames != 1)
        return bad(in, "frames.count", "is not 1, as role copy has it");
    return role == VX_ROLE_COPY && info->has_text ? bad(in, "text", "is none of role copy") : 0;
}

/* Optional: operators of vidx's own that the archives use. */
static int read_operators(const reader *in) {
    char set[32], problem[96];
    if (!json_object_get(in->object, "operators"))
        return 0;
    int rc = read_text(in, "operators", set, sizeof set);
    if (rc || vx_torch_has_operators(set))
        return rc;
    snprintf(problem, sizeof problem, "is '%s', but this vidx has %s: export the model again", set,
             vx_torch_operators());
    return bad(in, "operators", problem);
}

static int read_top(const reader *in, vx_package *package) {
    static const char *const metrics[] = {"cosine"};
    vx_model_info *info = &package->info;
    int format, metric, rc;
    char revision[96];
    if (json_object_get(in->object, "kind"))
        return bad(in, "kind", "is of a package that gives no vectors; name another model");
    if ((rc = REFUSE_UNKNOWN(in, "format", "role", "name", "source", "revision", "license", "files",
                             "dim", "metric", "frames", "picture", "video", "text", "threshold",
                             "operators", "self_check")) ||
        (rc = read_int(in, "format", 1, 1, &format)) ||
        (rc = read_text(in, "name", info->name, sizeof info->name)) ||
        (rc = read_text(in, "source", info->source, sizeof info->source)) ||
        (rc = read_text(in, "revision", revision, sizeof revision)) ||
        (rc = read_text(in, "license", info->license, sizeof info->license)) ||
        (rc = read_files(in, package)) || (rc = read_int(in, "dim", 1, 8192, &info->dim)) ||
        (rc = read_word(in, "metric", metrics, 1, &metric)) || (rc = read_frames(in, info)) ||
        (rc = read_picture(in, &info->preprocess)) || (rc = read_variants(in, package)) ||
        (rc = read_text_tower(in, package)) || (rc = read_threshold(in, info)) ||
        (rc = read_operators(in)) || (rc = read_role(in, info)))
        return rc;
    size_t length = strlen(info->name);
    if (info->name[0] == '.' || strspn(info->name, name_charset) != length)
        return bad(in, "name", "may hold a-z, 0-9, '.' and '-' only");
    return 0;
}

int vx_manifest_read(const char *path, vx_package *package, vx_err *err) {
    struct stat facts;
    if (stat(path, &facts))
        return errno == ENOENT || errno == ENOTDIR
                   ? VX_FAIL(err, VX_EMBED_NO_PACKAGE, "%s is not there", path)
                   : VX_FAIL_ERRNO(err, "reading %s", path);
    if (!S_ISREG(facts.st_mode) || facts.st_size > MAX_MANIFEST_BYTES)
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "%s: not a file of at most %d bytes", path,
                       MAX_MANIFEST_BYTES);
    json_error_t problem;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "%s: line %d: %s", path, problem.line,
                       problem.text);
    reader in = {.file = path, .object = root, .err = err};
    int rc = json_is_object(root) ? read_top(&in, package)
                                  : VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "%s: not an object", path);
    json_decref(root);
    return rc;
}

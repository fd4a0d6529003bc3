/* names.c — what clusters are called: the concepts nearest to them, by the text side of their model. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cluster_folder_internal.h"
#include "embed/embed.h"

enum { NAMES = 3, AT_ONCE = 32, MAX_CONCEPTS = 1000, MAX_CONCEPT_BYTES = 200 };

typedef struct concepts {
    char *bytes; /* of the file, cut at its line breaks; owned; NULL: vidx's own */
    vx_text texts[MAX_CONCEPTS];
    size_t n;
} concepts;

static void close_file(FILE *file) {
    fclose(file);
}
VX_DEFINE_AUTO(FILE, close_file)

static int add_concept(concepts *c, const char *text, const char *path, vx_err *err) {
    size_t n = strlen(text);
    if (!n)
        return 0;
    if (n > MAX_CONCEPT_BYTES || c->n == MAX_CONCEPTS)
        return VX_FAIL(err, -EINVAL, "%s may have %d concepts, one a line of at most %d bytes",
                       path, MAX_CONCEPTS, MAX_CONCEPT_BYTES);
    c->texts[c->n++] = (vx_text){text, n};
    return 0;
}

static int read_concepts(const char *path, concepts *c, vx_err *err) {
    const size_t capacity = (MAX_CONCEPT_BYTES + 2) * MAX_CONCEPTS;
    for (size_t i = 0; !path && vx_cluster_concepts[i]; i++)
        add_concept(c, vx_cluster_concepts[i], "", err);
    if (!path)
        return 0;
    VX_AUTO(FILE) file = fopen(path, "re");
    if (!file)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    c->bytes = vx_new_array(capacity + 1, 1);
    if (!c->bytes)
        return VX_FAIL(err, -ENOMEM, "no memory for %s", path);
    size_t n = fread(c->bytes, 1, capacity + 1, file);
    if (n > capacity || memchr(c->bytes, 0, n))
        return VX_FAIL(err, -EINVAL, "%s is no list of concepts: a concept a line", path);
    c->bytes[n] = '\0';
    char *rest = c->bytes;
    int rc = 0;
    for (char *line; !rc && (line = strsep(&rest, "\r\n"));)
        rc = add_concept(c, line, path, err);
    return rc || c->n ? rc : VX_FAIL(err, -EINVAL, "%s has no concepts", path);
}

/* NULL: err says why. */
static float *embed(const vx_cluster_folder_params *p, const vx_embedded *in, const concepts *c,
                    vx_err *err) {
    VX_AUTO(vx_embedder) embedder = NULL;
    const vx_embedder_params params = {
        .models_dir = p->models_dir, .name = in->model, .device = "cpu"};
    if (vx_embedder_open(&params, &embedder, err))
        return NULL;
    const vx_model_info *info = vx_embedder_info(embedder);
    if (strcmp(info->digest, in->digest) || info->dim != in->dim) {
        VX_FAIL(err, -EINVAL, "%s in %s is another version than that which made the vectors",
                in->model, p->models_dir);
        return NULL;
    }
    VX_AUTO_FREE float *vectors = vx_new_array(c->n, (size_t)in->dim * sizeof *vectors);
    int rc = vectors ? 0 : VX_FAIL(err, -ENOMEM, "no memory for %zu concepts", c->n);
    for (size_t i = 0; i < c->n && !rc; i += AT_ONCE) {
        int n = (int)(c->n - i < AT_ONCE ? c->n - i : AT_ONCE);
        rc = vx_embedder_run_texts(embedder, c->texts + i, n, vectors + i * (size_t)in->dim, NULL,
                                   err);
    }
    return rc ? NULL : vx_take(vectors);
}

static json_t *names_of(const concepts *c, const int32_t *best, const float *cosine, size_t n) {
    json_t *names = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(names, json_pack("{s:s, s:f}", "concept", c->texts[best[i]].text,
                                               "cosine", round((double)cosine[i] * 1e4) / 1e4));
    return names;
}

static int find_names(const vx_embedded *in, const vx_clustering *found, const concepts *c,
                      const float *vectors, json_t **ret_names, vx_err *err) {
    size_t n_best = c->n < NAMES ? c->n : NAMES;
    VX_AUTO_FREE int32_t *best = vx_new_array(found->k, n_best * sizeof *best);
    VX_AUTO_FREE float *cosine = vx_new_array(found->k, n_best * sizeof *cosine);
    if (!best || !cosine)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu names", found->k);
    int rc = vx_cluster_name(found->centroids, found->k, vectors, c->n, in->dim, n_best, best,
                             cosine, err);
    if (rc)
        return rc;
    *ret_names = json_array();
    for (size_t k = 0; k < found->k; k++)
        json_array_append_new(*ret_names,
                              names_of(c, best + k * n_best, cosine + k * n_best, n_best));
    return json_array_size(*ret_names) == found->k
               ? 0
               : VX_FAIL(err, -ENOMEM, "no memory for %zu names", found->k);
}

/* Whether the model is among those whose manifest has a text side. */
static bool takes_text(const char *models_dir, const char *model) {
    char names[4096];
    vx_models_with_text(models_dir, names, sizeof names);
    char *rest = names;
    for (char *name; (name = strsep(&rest, ", "));)
        if (*name && !strcmp(name, model))
            return true;
    return false;
}

int vx_cluster_folder_names(const vx_cluster_folder_params *p, const vx_embedded *in,
                            const vx_clustering *found, json_t **ret_names, vx_err *err) {
    concepts c = {0};
    if (!p->models_dir || !found->k || !in->model[0] || !takes_text(p->models_dir, in->model)) {
        if (p->concepts)
            return VX_FAIL(err, -EINVAL, "no names: %s in %s takes no text",
                           in->model[0] ? in->model : "the model",
                           p->models_dir ? p->models_dir : "no folder");
        return 0;
    }
    int rc = read_concepts(p->concepts, &c, err);
    float *vectors = rc ? NULL : embed(p, in, &c, err);
    if (!rc && !vectors && !p->quiet)
        fprintf(stderr, "clusters get no names: %s\n", err->msg);
    if (vectors)
        rc = find_names(in, found, &c, vectors, ret_names, err);
    free(vectors);
    free(c.bytes);
    return rc;
}

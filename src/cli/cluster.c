/* cluster.c — vidx cluster: settings, signals and exit codes; cluster_folder/ does the work. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cluster_folder/cluster_folder.h"
#include "interrupt.h"
#include "models_folder.h"
#include "options.h"

typedef struct settings {
    const char *input, *output, *method, *models, *concepts;
    int64_t k, max_k, iterations, restarts, seed, min_cluster_size, min_samples;
    double eps;
    bool quiet;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"input", VX_OPTION_TEXT, AT(input), NULL, "DIR", "output folder of vidx embed"},
    {"output", VX_OPTION_TEXT, AT(output), NULL, "DIR",
     "folder for the results, which must not exist or be empty"},
    {"method", VX_OPTION_TEXT, AT(method), "kmeans", "NAME",
     "kmeans: every clip is in a cluster; density: HDBSCAN, of up to 200000 clips"},
    {"k", VX_OPTION_COUNT, AT(k), "0", "N", "kmeans: how many clusters (0: vidx chooses)"},
    {"max-k", VX_OPTION_COUNT, AT(max_k), "256", "N", "kmeans: the most to choose from"},
    {"iterations", VX_OPTION_COUNT, AT(iterations), "50", "N", "kmeans: at most so many"},
    {"restarts", VX_OPTION_COUNT, AT(restarts), "3", "N", "kmeans: the best of so many runs"},
    {"seed", VX_OPTION_COUNT, AT(seed), "0", "N", "kmeans: of the random numbers"},
    {"min-cluster-size", VX_OPTION_COUNT, AT(min_cluster_size), "5", "N",
     "density: smaller groups are no clusters"},
    {"min-samples", VX_OPTION_COUNT, AT(min_samples), "0", "N",
     "density: neighbours that make a place dense (0: as min-cluster-size)"},
    {"eps", VX_OPTION_REAL, AT(eps), NULL, "EPS",
     "kmeans: also write what NeMo Curator's semantic deduplication writes; clips whose cosine to "
     "another of their cluster is 1 - EPS or more are listed as duplicates"},
    {"models", VX_OPTION_TEXT, AT(models), NULL, "DIR",
     "folder of the model packages, for names (default: as vidx embed finds them)"},
    {"concepts", VX_OPTION_TEXT, AT(concepts), NULL, "FILE",
     "what clusters may be called, a concept a line, where the model of the vectors takes text "
     "(default: common things, places and doings)"},
    {"quiet", VX_OPTION_FLAG, AT(quiet), NULL, NULL, "print only what went wrong"},
};

static const char usage[] =
    "usage: vidx cluster --input DIR --output DIR [options]\n\n"
    "Groups the clips in the output of vidx embed. Writes labels.npy, points.npy, centroids.npy,\n"
    "members.jsonl, clusters.jsonl and summary.json, row for row as embeddings.npy. If the model "
    "takes\n"
    "text, clusters.jsonl has the concepts nearest to each cluster as its names. With --eps also\n"
    "kmeans_results, pairwise_results and duplicates.\n\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 130 interrupted.";

static int check(const settings *s, vx_err *err) {
    bool density = !strcmp(s->method, "density");
    if (!s->input || !s->output)
        return VX_FAIL(err, VX_OPTION_WRONG, "--input DIR and --output DIR are needed; see --help");
    if (!density && strcmp(s->method, "kmeans"))
        return VX_FAIL(err, VX_OPTION_WRONG, "--method must be kmeans or density, not '%s'",
                       s->method);
    if (s->k > VX_CLUSTER_MAX_K || s->max_k < 2 || s->max_k > VX_CLUSTER_MAX_K)
        return VX_FAIL(err, VX_OPTION_WRONG, "--k is at most %d, --max-k from 2 to %d",
                       VX_CLUSTER_MAX_K, VX_CLUSTER_MAX_K);
    if (s->iterations < 1 || s->iterations > VX_CLUSTER_MAX_ITERATIONS || s->restarts < 1 ||
        s->restarts > VX_CLUSTER_MAX_RESTARTS)
        return VX_FAIL(err, VX_OPTION_WRONG, "--iterations is 1 to %d, --restarts 1 to %d",
                       VX_CLUSTER_MAX_ITERATIONS, VX_CLUSTER_MAX_RESTARTS);
    if (s->min_cluster_size < 2 || s->min_cluster_size > 1000000 ||
        s->min_samples > VX_CLUSTER_MAX_NEIGHBOURS)
        return VX_FAIL(err, VX_OPTION_WRONG,
                       "--min-cluster-size is 2 to 1000000, --min-samples at most %d",
                       VX_CLUSTER_MAX_NEIGHBOURS);
    if (s->eps > 1 || (density && s->eps > 0))
        return VX_FAIL(err, VX_OPTION_WRONG, "--eps is 0 to 1, and goes with --method kmeans");
    return 0;
}

int vx_command_cluster(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse(usage, table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = check(&s, &err);
    if (rc) {
        fprintf(stderr, "vidx cluster: %s\n", err.msg);
        return 2;
    }
    char models[PATH_MAX];
    vx_err none;
    bool has_models = !vx_models_folder_find(s.models, models, &none);
    vx_interrupt_catch();
    const vx_cluster_folder_params params = {
        .input = s.input,
        .output = s.output,
        .density = !strcmp(s.method, "density"),
        .kmeans = {.k = (int)s.k,
                   .max_k = (int)s.max_k,
                   .iterations = (int)s.iterations,
                   .restarts = (int)s.restarts,
                   .seed = (uint64_t)s.seed},
        .by_density = {.min_cluster_size = (int)s.min_cluster_size,
                       .min_samples = (int)s.min_samples},
        .eps = s.eps,
        .models_dir = has_models ? models : NULL,
        .concepts = s.concepts,
        .quiet = s.quiet,
        .interrupted = vx_interrupted,
    };
    rc = vx_cluster_folder_run(&params, &err);
    if (rc)
        fprintf(stderr, "vidx cluster: %s\n", err.msg);
    return rc == VX_CLUSTER_STOPPED ? VX_EXIT_INTERRUPTED : rc ? 1 : 0;
}

/* cluster_folder.h — `vidx cluster`: groups the clips in the output of `vidx embed`, without a server.
 *
 * In     <input>/embeddings.npy (float32 [rows, dim], NPY 1.0 or 2.0) and <input>/clips.jsonl
 * Out    a new folder, row i = row i of embeddings.npy:
 *          labels.npy      int32 [rows]: the cluster, -1 = in none
 *          points.npy      float32 [rows, 2]: principal components
 *          centroids.npy   float32 [k, dim]
 *          members.jsonl   a line per row: row, clip_id, file, cluster, score, outlier, point
 *          clusters.jsonl  a line per cluster: number, clips, representatives (clip ids, nearest first), and
 *                          name and names (the nearest concepts) where the model takes text
 *          summary.json    how the clusters came about
 *        with eps, also what NeMo Curator's SemanticDeduplicationWorkflow writes (curator.c)
 * The folder is made under another name and renamed at the end, so that nobody sees half of it.
 *
 * Errs     -errno; what cluster.h lists; -EEXIST: the output folder has files
 * Threads  one call at a time; it starts a thread for each core
 * Memory   the vectors are mapped from their file; else as cluster.h says
 */
#pragma once

#include "cluster/cluster.h"

typedef struct vx_cluster_folder_params {
    const char *input, *output; /* all borrowed */
    bool density;
    vx_kmeans_params kmeans; /* where it is not density */
    vx_density_params by_density;
    double
        eps; /* > 0: also write Curator's layout; clips with a cosine of 1 - eps to one kept before go */
    const char *models_dir; /* of the model whose text side gives names; NULL: no names */
    const char *concepts;   /* file with a concept a line, for names; NULL: vidx's own */
    bool quiet;
    bool (*interrupted)(void); /* true: end soon, with VX_CLUSTER_STOPPED; nothing is left */
} vx_cluster_folder_params;

int vx_cluster_folder_run(const vx_cluster_folder_params *params, vx_err *err);

"""Vectors to cluster, the same on every machine: NumPy keeps the stream of RandomState as it is."""

import numpy as np

# name: seed, vectors, dimensions, groups, how wide they are, vectors in no group, min_cluster_size, min_samples
DENSITY = {
    "few": (1, 600, 8, 3, 0.7, 60, 5, 0),
    "usual": (2, 1500, 32, 8, 0.6, 150, 10, 0),
    "fine": (3, 1500, 32, 8, 0.6, 150, 5, 5),
    "many": (4, 2000, 16, 20, 0.5, 400, 15, 3),
    "wide": (5, 2500, 64, 15, 0.9, 500, 20, 10),
    "nothing": (6, 500, 16, 1, 3.0, 0, 10, 0),
}


def blobs(seed, n, dim, groups, width, noise=0):
    """float32 [n + noise, dim] unit vectors, and the group of each (-1: none)."""
    random = np.random.RandomState(seed)
    centers = random.standard_normal((groups, dim))
    group = random.randint(groups, size=n)
    vectors = centers[group] + width * random.standard_normal((n, dim))
    vectors = np.vstack([vectors, 1.5 * random.standard_normal((noise, dim))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.concatenate([group, np.full(noise, -1)])

"""Writes reference.npz: what the package hdbscan finds in the vectors of data.py.

Run by hand, with a Python that has hdbscan (0.8.44 made the stored file): it brings scikit-learn and SciPy, which no
other test needs.
"""

from pathlib import Path

import hdbscan
import numpy as np
from data import DENSITY, blobs

labels = {}
for name, (*shape, size, samples) in DENSITY.items():
    vectors = blobs(*shape)[0].astype(np.float64)
    found = hdbscan.HDBSCAN(min_cluster_size=size, min_samples=samples or None,
                            approx_min_span_tree=False).fit(vectors)
    labels[name] = found.labels_.astype(np.int16)
    print(name, found.labels_.max() + 1, "clusters,", (found.labels_ < 0).sum(), "in none")
np.savez_compressed(Path(__file__).with_name("reference.npz"), **labels)

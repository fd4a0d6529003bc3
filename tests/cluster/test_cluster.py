"""src/cluster against independent computations in NumPy and the results of the package hdbscan."""

import json
from pathlib import Path

import numpy as np
import pytest
import tools
from data import DENSITY, blobs

TOOL = "cluster/cluster_tool"
REFERENCE = Path(__file__).with_name("reference.npz")


class Clusters:
    def __init__(self, folder, vectors, *arguments):
        file, out = folder / "vectors", folder / "out"
        np.ascontiguousarray(vectors, np.float32).tofile(file)
        dim = vectors.shape[1]
        self.run = tools.run(TOOL, arguments[0], file, dim, *arguments[1:], out, code=None)
        if self.run.returncode:
            return
        self.facts = json.loads(self.run.stdout)
        self.labels = np.fromfile(f"{out}.labels", np.int32)
        self.outlier = np.fromfile(f"{out}.outlier", np.uint8)
        self.centroids = np.fromfile(f"{out}.centroids", np.float32).reshape(-1, dim)
        self.points = np.fromfile(f"{out}.points", np.float32).reshape(-1, 2)


@pytest.fixture
def kmeans(tmp_path):
    def run(vectors, k, threads=2, max_k=0, iterations=0, restarts=0, seed=1):
        return Clusters(tmp_path, vectors, "kmeans", threads, k, max_k, iterations, restarts, seed)
    return run


@pytest.fixture
def density(tmp_path):
    def run(vectors, size, samples=0, threads=2):
        return Clusters(tmp_path, vectors, "density", threads, size, samples)
    return run


def agreement(a, b):
    """Adjusted Rand index, from the table of both labels (Hubert and Arabie 1985)."""
    table = np.zeros((a.max() + 2, b.max() + 2))
    np.add.at(table, (a + 1, b + 1), 1)
    pairs = lambda x: (x * (x - 1) / 2).sum()  # noqa: E731
    both, in_a, in_b = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = in_a * in_b / pairs(np.array([len(a)]))
    return 1.0 if (in_a + in_b) / 2 == expected else (both - expected) / ((in_a + in_b) / 2 - expected)


def lloyd(vectors, k, seed, iterations=50):
    """Spherical k-means of its own: random rows to begin with; the mean cosine that it reaches."""
    random = np.random.RandomState(seed)
    x = vectors.astype(np.float64)
    centroids = x[random.choice(len(x), k, replace=False)]
    for _ in range(iterations):
        labels = (x @ centroids.T).argmax(axis=1)
        for c in range(k):
            mean = x[labels == c].sum(axis=0)
            if np.linalg.norm(mean) > 0:
                centroids[c] = mean / np.linalg.norm(mean)
    return (x @ centroids.T).max(axis=1).mean()


# ---- k-means ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, dim, groups, k", [(500, 3, 4, 4), (3000, 64, 12, 12), (2000, 37, 30, 10), (300, 256, 5, 40)])
def test_kmeans_labels_are_the_nearest_centroids(kmeans, n, dim, groups, k):
    vectors, _ = blobs(11, n, dim, groups, 0.8)
    found = kmeans(vectors, k)
    scores = vectors.astype(np.float64) @ found.centroids.astype(np.float64).T
    own = scores[np.arange(n), found.labels]
    assert (scores.max(axis=1) - own).max() <= 1e-6
    assert abs(found.facts["mean_score"] - own.mean()) < 1e-6
    assert np.bincount(found.labels).tolist() == sorted(np.bincount(found.labels), reverse=True)


def test_kmeans_centroids_are_the_directions_of_their_members_means(kmeans):
    vectors, _ = blobs(12, 2000, 48, 9, 0.7)
    found = kmeans(vectors, 9)
    assert found.facts["converged"]
    for c, centroid in enumerate(found.centroids):
        mean = vectors[found.labels == c].astype(np.float64).mean(axis=0)
        assert np.abs(mean / np.linalg.norm(mean) - centroid).max() < 1e-6


@pytest.mark.parametrize("groups, width, k", [(10, 0.5, 10), (40, 1.0, 16), (5, 1.5, 25)])
def test_kmeans_objective_is_that_of_an_independent_one_or_better(kmeans, groups, width, k):
    vectors, _ = blobs(13, 1500, 32, groups, width)
    oracle = np.mean([lloyd(vectors, k, seed) for seed in range(10)])
    ours = [kmeans(vectors, k, restarts=1, seed=seed).facts["mean_score"] for seed in range(10)]
    assert np.mean(ours) >= oracle - 1e-6
    assert kmeans(vectors, k, restarts=10).facts["mean_score"] > np.mean(ours)


def test_kmeans_groups_that_lie_apart_are_found(kmeans):
    vectors, group = blobs(14, 3000, 64, 12, 0.4)
    found = kmeans(vectors, 12)
    assert agreement(found.labels, group) == 1


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_kmeans_any_number_of_threads_gives_the_same_bytes(kmeans, threads):
    vectors, _ = blobs(15, 9000, 40, 30, 1.0)
    one, other = kmeans(vectors, 25, threads=2), kmeans(vectors, 25, threads=threads)
    assert (one.labels == other.labels).all() and (one.centroids == other.centroids).all()
    assert (one.points == other.points).all() and one.facts["mean_score"] == other.facts["mean_score"]


def test_kmeans_seed_decides(kmeans):
    vectors, _ = blobs(16, 2000, 24, 40, 1.2)
    runs = [kmeans(vectors, 20, restarts=1, seed=seed) for seed in (5, 5, 6)]
    assert (runs[0].labels == runs[1].labels).all() and (runs[0].labels != runs[2].labels).any()


def test_kmeans_more_clusters_than_different_vectors_gives_as_many_as_there_are(kmeans):
    vectors, _ = blobs(17, 5, 16, 5, 0.5)
    copies = np.repeat(vectors, [40, 30, 20, 6, 4], axis=0)
    found = kmeans(copies, 12)
    assert np.bincount(found.labels).tolist() == [40, 30, 20, 6, 4]
    assert "only 5 clusters" in found.facts["why"]


def test_kmeans_no_cluster_is_empty(kmeans):
    vectors, _ = blobs(18, 400, 8, 2, 0.05)
    found = kmeans(vectors, 150, restarts=1)
    assert len(found.centroids) == 150 and np.bincount(found.labels, minlength=150).min() >= 1


@pytest.mark.parametrize("groups", [3, 7, 12])
def test_kmeans_without_k_finds_the_number_of_groups_and_says_why(kmeans, groups):
    vectors, _ = blobs(19, 1500, 48, groups, 0.35)
    facts = kmeans(vectors, 0, max_k=40).facts
    assert facts["k"] == groups and f"k = {groups} was chosen" in facts["why"]
    assert "silhouette" in facts["why"]


def test_kmeans_a_stranger_in_a_cluster_is_an_outlier(kmeans):
    vectors, _ = blobs(20, 400, 32, 2, 0.2)
    vectors[7] = np.eye(32, dtype=np.float32)[3]
    found = kmeans(vectors, 2)
    assert np.flatnonzero(found.outlier).tolist() == [7]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_vector_that_is_no_number_is_refused(kmeans, density, wrong):
    vectors, _ = blobs(21, 100, 8, 2, 0.5)
    vectors[60, 3] = wrong
    for found in (kmeans(vectors, 3), density(vectors, 5)):
        assert found.run.returncode == 1 and "no unit vector" .encode() in found.run.stderr


# ---- density ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DENSITY)
def test_density_agrees_with_the_package_hdbscan(density, name):
    *shape, size, samples = DENSITY[name]
    vectors, _ = blobs(*shape)
    expected = np.load(REFERENCE)[name].astype(int)
    found = density(vectors, size, samples)
    assert agreement(found.labels, expected) >= 0.99
    assert found.labels.max() == expected.max()


@pytest.mark.parametrize("threads", [1, 5])
def test_density_any_number_of_threads_gives_the_same_bytes(density, threads):
    *shape, size, samples = DENSITY["many"]
    vectors, _ = blobs(*shape)
    one, other = density(vectors, size, samples, 2), density(vectors, size, samples, threads)
    assert (one.labels == other.labels).all() and (one.centroids == other.centroids).all()


def test_density_order_of_rows_does_not_matter(density):
    *shape, size, samples = DENSITY["usual"]
    vectors, _ = blobs(*shape)
    order = np.random.RandomState(0).permutation(len(vectors))
    assert agreement(density(vectors, size, samples).labels[order],
                     density(vectors[order], size, samples).labels) >= 0.999


def test_density_copies_of_one_vector_are_one_cluster(density):
    vectors, _ = blobs(22, 300, 16, 2, 0.3, 50)
    copies = np.repeat(vectors[:1], 3000, axis=0)
    found = density(np.vstack([copies, vectors]), 10)
    assert len(set(found.labels[:3000])) == 1 and found.labels[0] == 0


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_density_few_vectors_are_in_no_cluster(density, n):
    vectors, _ = blobs(23, n, 4, 1, 1.0)
    found = density(vectors, 5)
    assert found.facts["k"] == 0 and (found.labels == -1).all() and found.outlier.all()


def test_density_too_many_vectors_are_refused_with_what_to_do(density):
    vectors = np.ones((200001, 1), np.float32)
    found = density(vectors, 5)
    assert found.run.returncode == 1 and "use k-means" .encode() in found.run.stderr


def test_density_more_clusters_than_a_clustering_has_are_refused_with_what_to_do(density):
    random = np.random.RandomState(41)
    pairs = np.repeat(random.standard_normal((4200, 32)), 2, axis=0) + 0.01 * random.standard_normal((8400, 32))
    vectors = (pairs / np.linalg.norm(pairs, axis=1, keepdims=True)).astype(np.float32)
    found = density(vectors, 2, 1)
    assert found.run.returncode == 1 and b"raise min_cluster_size" in found.run.stderr, found.run.stderr


def test_density_outlier_score_is_the_cosine_with_the_nearest_centroid(density):
    vectors, _ = blobs(42, 400, 16, 3, 0.3, 60)
    found = density(vectors, 10)
    assert (found.labels < 0).any() and found.facts["k"] > 1
    cosine = vectors.astype(np.float64) @ found.centroids.T.astype(np.float64)
    own = cosine[np.arange(len(vectors)), found.labels]
    expected = np.where(found.labels < 0, cosine.max(axis=1), own)
    assert found.facts["mean_score"] == pytest.approx(expected.mean(), abs=1e-6)


# ---- around them --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24, 30))
@pytest.mark.parametrize("n, dim", [(300, 5), (2000, 64), (50, 200)])
def test_points_show_as_much_variance_as_two_dimensions_can(kmeans, n, dim, seed):
    vectors, _ = blobs(seed, n, dim, 6, 0.6)
    found = kmeans(vectors, 3)
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances = np.linalg.svd(centered, compute_uv=False) ** 2
    best = variances[:2].sum() / variances.sum()
    shown = (found.points.astype(np.float64) ** 2).sum() / (centered ** 2).sum()
    assert best - 0.002 <= shown <= best + 1e-6
    assert abs(sum(found.facts["share"]) - shown) < 0.002
    assert abs(np.corrcoef(found.points.T)[0, 1]) < 0.02


def test_points_of_equal_vectors_lie_on_one_another(kmeans):
    found = kmeans(np.repeat(blobs(25, 1, 7, 1, 1)[0], 30, axis=0), 1)
    assert np.abs(found.points).max() < 1e-5 and found.facts["share"] == [0, 0]


def test_agreement_is_the_adjusted_rand_index(tmp_path):
    random = np.random.RandomState(3)
    a = random.randint(-1, 5, 500).astype(np.int32)
    for b in (a, random.randint(-1, 8, 500).astype(np.int32), np.where(random.rand(500) < 0.8, a, 2).astype(np.int32)):
        a.tofile(tmp_path / "a")
        b.tofile(tmp_path / "b")
        said = tools.run(TOOL, "compare", tmp_path / "a", tmp_path / "b")
        assert abs(float(said.stdout) - agreement(a, b)) < 1e-9

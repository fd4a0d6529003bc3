"""The exported file in the faiss package of today: same vectors, same search results."""
import faiss
import numpy as np
import pytest
import tools


def units(rng, n, dim):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Exported:
    """What vidx made of n vectors after removing every tenth: the file and its own answers."""

    def __init__(self, folder, n, dim, k):
        rng = np.random.default_rng(n * 10007 + dim)
        ids = rng.permutation(3 * n)[:n].astype(np.int64)
        vectors, self.queries = units(rng, n, dim), units(rng, 25, dim)
        removed = ids[::10]
        self.path = folder / "video_index.faiss"
        run = tools.run("index/index_tool", dim, n, len(removed), 25, k, self.path,
                        input=b"".join(a.tobytes() for a in (ids, vectors, removed, self.queries)))
        lines = run.stdout.decode().splitlines()
        self.ids = np.array(lines[0].split(), np.int64)
        pairs = [line.split() for line in lines[1:]]
        self.answers = [[(int(p[i]), float(p[i + 1])) for i in range(0, len(p), 2)] for p in pairs]
        kept = np.ones(n, bool)
        kept[::10] = False
        order = np.argsort(ids[kept])
        self.expected_ids, self.expected_rows = ids[kept][order], vectors[kept][order]


SHAPES = [(2000, 64), (700, 1280), (350, 8192), (5, 3)]


@pytest.fixture(params=SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def exported(request, tmp_path):
    return Exported(tmp_path, *request.param, k=10)


def test_file_is_a_flat_inner_product_index_of_the_same_vectors(exported):
    index = faiss.read_index(str(exported.path))
    assert type(index) is faiss.IndexFlatIP
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    assert index.is_trained
    assert index.ntotal == len(exported.expected_ids)
    assert np.array_equal(exported.ids, exported.expected_ids)
    assert np.array_equal(index.reconstruct_n(0, index.ntotal), exported.expected_rows)


def test_file_searched_by_faiss_gives_the_same_answers(exported):
    index = faiss.read_index(str(exported.path))
    scores, rows = index.search(exported.queries, min(10, index.ntotal))
    for q, answer in enumerate(exported.answers):
        assert [i for i, _ in answer] == exported.ids[rows[q]].tolist()
        assert np.allclose([s for _, s in answer], scores[q], rtol=0, atol=1e-5)


def test_file_takes_more_vectors_in_faiss(exported):
    index = faiss.read_index(str(exported.path))
    before = index.ntotal
    index.add(exported.queries)
    scores, rows = index.search(exported.queries, 1)
    assert rows[:, 0].tolist() == list(range(before, before + len(exported.queries)))


def test_file_of_an_empty_index_is_read_as_empty(tmp_path):
    path = tmp_path / "empty.faiss"
    tools.run("index/index_tool", 16, 0, 0, 0, 1, path, input=b"")
    index = faiss.read_index(str(path))
    assert (index.ntotal, index.d) == (0, 16)

"""vidx cluster: the output of vidx embed in, labels beside the vectors out, and NeMo Curator's layout."""

import json
import os
import signal
import subprocess

import numpy as np
import pandas
import pytest
from data import blobs
from server import BINARY, Server, wait_until


@pytest.fixture
def embedded(tmp_path):
    """embedded(vectors): a folder as vidx embed writes it."""
    def make(vectors, name="embedded"):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "embeddings.npy", vectors.astype(np.float32))
        with open(folder / "clips.jsonl", "w") as file:
            for row in range(len(vectors)):
                for source in ("a", "b") if row == 3 else ("a",):
                    file.write(json.dumps({"row": row, "file": f"{source}/{row}.mp4", "clip_id": f"v{row:04}.0"}) + "\n")
        return folder
    return make


def cluster(folder, output, *options, code=0):
    done = subprocess.run([BINARY, "cluster", "--input", folder, "--output", output, *map(str, options)],
                          capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_labels_lie_beside_the_vectors_row_for_row(embedded, tmp_path):
    vectors, group = blobs(41, 500, 32, 5, 0.3)
    out = tmp_path / "out"
    said = cluster(embedded(vectors), out, "--k", 5, "--seed", 2)
    labels, centroids = np.load(out / "labels.npy"), np.load(out / "centroids.npy")
    assert labels.dtype == np.int32 and (labels == (vectors @ centroids.T).argmax(axis=1)).all()
    assert all(len(set(group[labels == c])) == 1 for c in range(5)) and "5 clusters" in said
    members, clusters = lines(out / "members.jsonl"), lines(out / "clusters.jsonl")
    assert [m["row"] for m in members] == list(range(500)) and [m["cluster"] for m in members] == labels.tolist()
    assert members[3]["file"] == "a/3.mp4" and members[7]["clip_id"] == "v0007.0"
    assert np.allclose(np.load(out / "points.npy"), [m["point"] for m in members], atol=1e-6)
    for c in clusters:
        mine = sorted((m for m in members if m["cluster"] == c["number"]), key=lambda m: (-m["score"], m["row"]))
        assert c["clips"] == len(mine) and c["representatives"] == [m["clip_id"] for m in mine[:5]]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["clips"] == 500 and summary["clusters"] == 5 and summary["why"] == "k = 5 was asked for"


def test_density_has_rows_in_no_cluster(embedded, tmp_path):
    vectors, _ = blobs(42, 400, 16, 3, 0.3, 60)
    cluster(embedded(vectors), tmp_path / "out", "--method", "density", "--min-cluster-size", 15)
    labels = np.load(tmp_path / "out" / "labels.npy")
    none = [m for m in lines(tmp_path / "out" / "members.jsonl") if m["cluster"] is None]
    assert labels.max() == 2 and len(none) == (labels == -1).sum() > 30 and all(m["outlier"] for m in none)


def test_same_command_gives_the_same_bytes(embedded, tmp_path):
    folder = embedded(blobs(43, 600, 24, 9, 0.8)[0])
    for name in ("one", "two"):
        cluster(folder, tmp_path / name, "--k", 7, "--eps", 0.1)
    for path in (tmp_path / "one").rglob("*"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path


def test_curator_layout_has_the_pairs_of_each_cluster_and_the_ids_to_drop(embedded, tmp_path):
    """Against Curator's rule in NumPy: rank by falling distance from the centroid, the highest cosine with any before."""
    vectors, _ = blobs(44, 300, 32, 6, 0.6)
    vectors = np.vstack([vectors, vectors[:40] + 0.01 * blobs(45, 40, 32, 1, 1)[0]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    out, eps, removed = tmp_path / "out", 0.05, []
    cluster(embedded(vectors), out, "--k", 6, "--eps", eps)
    labels, centroids = np.load(out / "labels.npy"), np.load(out / "kmeans_results" / "kmeans_centroids.npy")
    assert sorted(p.name for p in (out / "pairwise_results").iterdir()) == [f"cluster_{c}.parquet" for c in range(6)]
    for c in range(6):
        table = pandas.read_parquet(out / "kmeans_results" / f"centroid={c}" / "part_0.parquet")
        rows = table["id"].str[1:5].astype(int).to_numpy()
        assert sorted(rows) == np.flatnonzero(labels == c).tolist()
        assert np.array_equal(np.stack(table["embedding"]), vectors[rows])
        cosine = vectors[rows] @ centroids[c]
        assert np.allclose(table["cosine_dist_to_cent"], 1 - cosine, atol=1e-5)
        assert np.allclose(table["l2_dist_to_cent"], np.linalg.norm(vectors[rows] - centroids[c], axis=1), atol=1e-3)
        assert (np.diff(cosine) >= -1e-6).all()  # the farthest first
        pairs = pandas.read_parquet(out / "pairwise_results" / f"cluster_{c}.parquet")
        assert pairs["id"].tolist() == table["id"].tolist()
        above = np.triu(vectors[rows] @ vectors[rows].T, k=1)
        assert np.allclose(pairs["cosine_sim_score"], above.max(axis=0), atol=1e-5)
        nearest = pairs["max_id"].str[1:5].astype(int).to_numpy()
        assert np.allclose((vectors[rows] * vectors[nearest]).sum(axis=1)[1:], above.max(axis=0)[1:], atol=1e-5)
        removed += pairs["id"][pairs["cosine_sim_score"] >= 1 - eps].tolist()
    dropped = pandas.read_parquet(out / "duplicates" / "duplicates.parquet")["id"].tolist()
    assert dropped == sorted(removed) and len(dropped) >= 35


def test_output_that_has_files_is_left_alone(embedded, tmp_path):
    folder, out = embedded(blobs(46, 50, 8, 2, 0.5)[0]), tmp_path / "out"
    out.mkdir()
    cluster(folder, out, "--k", 2)  # an empty one is fine
    (out / "mine.txt").write_text("mine")
    assert "choose another --output" in cluster(folder, out, "--k", 2, code=1)
    assert (out / "mine.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["embedded", "out"]


def test_interrupted_run_leaves_nothing(embedded, tmp_path):
    folder = embedded(blobs(47, 20000, 64, 1, 5.0)[0])
    run = subprocess.Popen([BINARY, "cluster", "--input", folder, "--output", tmp_path / "out", "--k", "300",
                            "--restarts", "100", "--iterations", "1000"], stderr=subprocess.PIPE)
    wait_until(lambda: list(tmp_path.glob("out.*")))
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["embedded"]


@pytest.mark.parametrize("option", [("--k", 5000), ("--max-k", 1), ("--restarts", 0), ("--iterations", 1001), ("--eps", 2),
                                    ("--method", "magic"), ("--min-cluster-size", 1), ("--min-samples", 300),
                                    ("--method", "density", "--eps", "0.1")])
def test_wrong_option_is_refused(embedded, tmp_path, option):
    assert "--" in cluster(embedded(blobs(48, 20, 4, 2, 0.5)[0]), tmp_path / "out", *option, code=2)


def npy(header, numbers=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + numbers


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }" + " " * 58 + "\n"


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff", npy("{}" + " " * 115 + "\n"), npy(GOOD), npy(GOOD, b"\0" * 32),
    npy(GOOD.replace("(4, 2)", "(4294967295, 8192)")[:-1] + "\n"), npy(GOOD.replace("<f4", "<f8"), b"\0" * 64),
    npy(GOOD.replace("False", "True "), b"\0" * 32), npy(GOOD.replace("(4, 2)", "(4, 0)"), b"\0" * 32),
    npy(GOOD.replace("(4, 2)", "(18446744073709551615, 2)"), b"\0" * 32), npy(GOOD.replace("(4, 2)", "(-1, 2)"), b"\0" * 32),
])
def test_file_that_is_no_embeddings_file_is_refused(embedded, tmp_path, content):
    folder = embedded(blobs(49, 4, 2, 1, 0.5)[0])
    (folder / "embeddings.npy").write_bytes(content)
    assert "embeddings.npy" in cluster(folder, tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"row": 4, "clip_id": "a"}', '{"row": -1, "clip_id": "a"}', '{"row": 1}',
                                  '{"row": "1", "clip_id": "a"}'])
def test_wrong_line_of_clips_is_named(embedded, tmp_path, line):
    folder = embedded(blobs(50, 4, 2, 1, 0.5)[0])
    with open(folder / "clips.jsonl", "a") as file:
        file.write(line + "\n")
    assert "line 6 of clips.jsonl" in cluster(folder, tmp_path / "out", code=1)


def test_missing_files_and_rows_are_named(embedded, tmp_path):
    folder = embedded(blobs(51, 6, 2, 1, 0.5)[0])
    text = (folder / "clips.jsonl").read_text().splitlines()
    (folder / "clips.jsonl").write_text("\n".join(text[:-1]) + "\n")
    assert "row 5" in cluster(folder, tmp_path / "out", code=1)
    os.remove(folder / "clips.jsonl")
    assert "clips.jsonl" in cluster(folder, tmp_path / "out", code=1)
    assert "embeddings.npy" in cluster(tmp_path / "nowhere", tmp_path / "out", code=1)


@pytest.fixture
def words(tiny_model, tmp_path):
    """words(texts): the vectors that the model tiny-text gives these texts, and the line of clips.jsonl that names the model."""
    with Server(tmp_path / "data", tiny_model, model="tiny-text") as server:
        [model] = [m for m in server.get("/v1/models").json()["items"] if m["name"] == "tiny-text"]

        def make(texts):
            items = server.post("/v1/embeddings", json={"model": "tiny-text", "input": texts}).json()["data"]
            return np.array([x["embedding"] for x in items]), {"model": "tiny-text", "model_digest": model["digest"]}
        yield make


def with_model(folder, model):
    changed = [json.dumps({**line, **model}) + "\n" for line in lines(folder / "clips.jsonl")]
    (folder / "clips.jsonl").write_text("".join(changed))
    return folder


def test_clusters_have_the_nearest_concepts_as_names(embedded, words, tiny_model, tmp_path):
    concepts = ["a red car", "two dogs on a beach", "snow", "a piano"]
    vectors, model = words(concepts)
    folder = with_model(embedded(np.repeat(vectors[:2], 5, axis=0)), model)
    (tmp_path / "concepts.txt").write_text("\n".join(concepts) + "\n\n")
    cluster(folder, tmp_path / "out", "--k", 2, "--models", tiny_model, "--concepts", tmp_path / "concepts.txt")
    clusters = lines(tmp_path / "out" / "clusters.jsonl")
    assert {c["name"] for c in clusters} == set(concepts[:2])
    for c in clusters:
        own = vectors[concepts.index(c["name"])]
        assert [x["concept"] for x in c["names"]][0] == c["name"] and len(c["names"]) == 3
        assert [x["cosine"] for x in c["names"]] == pytest.approx([own @ vectors[concepts.index(x["concept"])] for x in c["names"]], abs=1e-3)
    cluster(folder, tmp_path / "ours", "--k", 2, "--models", tiny_model)
    assert all(c["name"] and c["name"] not in concepts[:2] for c in lines(tmp_path / "ours" / "clusters.jsonl"))


def test_other_version_of_the_model_gives_no_names(embedded, tiny_model, tmp_path):
    folder = with_model(embedded(blobs(47, 50, 64, 2, 0.5)[0]), {"model": "tiny-text", "model_digest": "0" * 64})
    assert "another version" in cluster(folder, tmp_path / "out", "--k", 2, "--models", tiny_model)
    assert all("name" not in c for c in lines(tmp_path / "out" / "clusters.jsonl"))


@pytest.mark.parametrize("content", [b"", b"x" * 300, b"a\0b", b"word\n" * 1001])
def test_wrong_list_of_concepts_is_refused(embedded, tiny_model, tmp_path, content):
    folder = with_model(embedded(blobs(48, 50, 64, 2, 0.5)[0]), {"model": "tiny-text", "model_digest": "0" * 64})
    (tmp_path / "concepts.txt").write_bytes(content)
    said = cluster(folder, tmp_path / "out", "--k", 2, "--models", tiny_model, "--concepts", tmp_path / "concepts.txt", code=1)
    assert "concepts" in said and not (tmp_path / "out").exists()

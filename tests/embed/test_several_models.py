"""Several models in one run: one decode, a folder for each further one, and what later runs change."""

import json
import random
import shutil

import numpy as np
import pytest
from server import wait_until

OUTPUTS = {"video_index.faiss", "embeddings.npy", "clips.jsonl"}


def of_model(batch, folder):
    """{clip id: vector} in a folder of outputs; "." is the first model's."""
    lines = batch.lines(f"{folder}/clips.jsonl")
    vectors = np.load(batch.output / folder / "embeddings.npy")
    assert sorted({line["row"] for line in lines}) == list(range(len(vectors)))
    return {line["clip_id"]: vectors[line["row"]] for line in lines}


def same(a, b):
    return a.keys() == b.keys() and all(np.allclose(a[id], b[id], rtol=0, atol=1e-6) for id in a)


def fill(batch, clip, n=3):
    for i in range(n):
        batch.put(f"clip{i}.mp4", clip(i))


@pytest.fixture
def alone(batch, clip, tmp_path):
    """alone(model) is what a run with that model alone gives for the same input."""
    def run(model, *flags):
        first, batch.output = batch.output, tmp_path / f"alone-{model}"
        batch.run(*flags, model=model)
        vectors, batch.output = of_model(batch, "."), first
        return vectors

    return run


def test_every_model_has_what_it_has_alone(batch, clip, alone):
    fill(batch, clip)
    batch.put("again.mp4", clip(0))
    rule = ("--clip", "fixed:1")
    batch.run(*rule, model="tiny,small,tiny-text")
    assert {path.name for path in batch.output.iterdir()} == {
        *OUTPUTS, "failed.jsonl", ".vidx", "small", "tiny-text"}
    for model, folder in ("tiny", "."), ("small", "small"), ("tiny-text", "tiny-text"):
        assert {path.name for path in (batch.output / folder).iterdir()} >= OUTPUTS
        assert {line["model"] for line in batch.lines(f"{folder}/clips.jsonl")} == {model}
        assert same(of_model(batch, folder), alone(model, *rule))
    assert batch.inserted() == 3
    before = {folder: batch.lines(f"{folder}/clips.jsonl") for folder in (".", "small")}
    assert batch.run(*rule, model="tiny,small,tiny-text").count(", unchanged\n") == 3
    assert before == {folder: batch.lines(f"{folder}/clips.jsonl") for folder in before}


def test_added_model_gets_what_it_lacks_and_nothing_else_is_touched(batch, clip, alone):
    fill(batch, clip)
    batch.run()
    before, rows = batch.content(), batch.rows()
    batch.put("new.mp4", clip(9))
    (batch.input / "clip0.mp4").rename(batch.input / "moved.mp4")
    batch.input = batch.input.rename(batch.input.with_name("elsewhere"))
    said = batch.run(model="tiny,small")
    assert "1 new, 2 unchanged, 1 identical files" in said
    assert "3 videos got missing vectors" in said
    assert rows.items() <= batch.rows().items() and batch.inserted() == 4
    assert same(of_model(batch, "small"), alone("small"))
    assert same(of_model(batch, "."), alone("tiny"))
    assert "missing vectors" not in batch.run(model="tiny,small")

    (batch.input / "new.mp4").unlink()
    (batch.input / "moved.mp4").rename(batch.input / "clip0.mp4")
    batch.run(model="tiny,small")
    assert len(of_model(batch, "small")) == 3
    assert {name: data for name, (data, _) in before.items()} == {
        name: data for name, (data, _) in batch.content().items()}


def test_model_left_out_loses_its_folder_and_keeps_its_vectors(batch, clip):
    fill(batch, clip)
    batch.run(model="tiny,small")
    small = of_model(batch, "small")
    before = batch.content()
    batch.run()
    assert not (batch.output / "small").exists()
    batch.put("new.mp4", clip(9))
    batch.run()
    (batch.input / "new.mp4").unlink()
    assert "missing vectors" not in batch.run(model="tiny,small")
    assert same(of_model(batch, "small"), small)
    assert {name: data for name, (data, _) in before.items()} == {
        name: data for name, (data, _) in batch.content().items()}


def test_folder_that_holds_more_is_left_to_its_owner(batch, clip):
    fill(batch, clip)
    batch.run(model="tiny,small")
    (batch.output / "small" / "notes.txt").write_text("mine")
    batch.run()
    assert [path.name for path in (batch.output / "small").iterdir()] == ["notes.txt"]


def test_another_first_model_is_refused(batch, clip):
    fill(batch, clip)
    batch.run(model="tiny,small")
    before = batch.content()
    assert "made with 'tiny" in batch.run(model="small,tiny", code=1)
    assert batch.content() == before


def test_curator_tree_takes_one_model(batch):
    assert "takes one --model" in batch.run("--layout", "curator", model="tiny,small", code=2)


def test_killed_while_a_model_is_added_does_each_video_once(batch, clip, alone):
    n, chance, kills = 12, random.Random(7), 0
    for i in range(n):
        batch.put(f"{i:02}.mp4", clip(100 + i, seconds=1))
    batch.run()

    def done():
        return {row for row, in batch.catalog(
            "SELECT key & 1099511627775 FROM vectors JOIN spaces ON key >> 40 = spaces.row"
            " WHERE model = 'slow'")}

    while len(done()) < n:
        before = done()
        process = batch.start(model="tiny,slow", stderr=None)
        target = min(n, len(before) + chance.randrange(1, 5))
        wait_until(lambda: len(done()) >= target or process.poll() is not None)
        kills += process.poll() is None
        process.kill()
        process.wait()
        assert before <= done()
    assert kills >= 3
    assert "missing vectors" not in batch.run(model="tiny,slow")
    assert batch.inserted() == n
    assert same(of_model(batch, "slow"), alone("slow"))


def test_interrupted_while_a_model_is_added_goes_on(batch, clip):
    n = 12
    for i in range(n):
        batch.put(f"{i:02}.mp4", clip(100 + i, seconds=1))
    batch.run()
    process = batch.start("--threads", "1", model="tiny,slow")
    count = "SELECT vectors FROM spaces WHERE model = 'slow'"
    wait_until(lambda: batch.catalog(count) and batch.catalog(count)[0][0] >= 2)
    process.send_signal(2)
    said = process.communicate(timeout=180)[1].decode()
    assert process.returncode == 130 and "run the same command to go on" in said
    (kept,), = batch.catalog(count)
    assert f"with {kept} of {n} videos done" in said
    assert 2 <= kept < n and not (batch.output / "slow").exists()
    assert f"{n - kept} videos got missing vectors" in batch.run(model="tiny,slow")
    assert len(of_model(batch, "slow")) == n


@pytest.fixture
def packages(batch, tmp_path):
    """Folders of tiny and small that may be changed."""
    for name in ("tiny", "small"):
        shutil.copytree(batch.models / name, tmp_path / "models" / name)
    batch.models = tmp_path / "models"
    return batch.models


def test_further_model_that_fails_is_reported_and_tried_again(batch, clip, packages, tiny_model, alone):
    fill(batch, clip)
    good = packages.with_name("good")
    (packages / "small").rename(good)
    shutil.copytree(tiny_model / "moody", packages / "small")
    manifest = json.loads((packages / "small" / "manifest.json").read_text())
    manifest |= {"name": "small", "picture": manifest["picture"] | {"mean": [2.0, 2.0, 2.0]}}
    (packages / "small" / "manifest.json").write_text(json.dumps(manifest))  # all is dark to it
    for _ in range(2):
        said = batch.run(model="tiny,small", code=1)
        assert "failed: clip0.mp4: " in said and "too dark" in said
        assert [line["outcome"] for line in batch.lines("failed.jsonl")] == ["internal"] * 3
        assert len(of_model(batch, ".")) == 3 and of_model(batch, "small") == {}
    shutil.rmtree(packages / "small")
    good.rename(packages / "small")
    assert "3 videos got missing vectors" in batch.run(model="tiny,small")
    assert batch.lines("failed.jsonl") == []
    assert same(of_model(batch, "small"), alone("small"))


def test_changed_package_of_a_further_model_is_embedded_anew(batch, clip, packages, alone):
    fill(batch, clip)
    batch.run(model="tiny,small")
    old = of_model(batch, "small")
    manifest = json.loads((packages / "small" / "manifest.json").read_text())
    manifest["frames"]["fps"] = 4.0
    (packages / "small" / "manifest.json").write_text(json.dumps(manifest))
    assert "3 videos got missing vectors" in batch.run(model="tiny,small")
    new = of_model(batch, "small")
    assert not same(new, old) and same(new, alone("small"))
    batch.run(model="tiny,small")  # what the run before had no time to delete
    wait_until(lambda: len(batch.catalog("SELECT * FROM spaces")) == 2)


def test_further_model_of_the_longest_name_has_its_folder(batch, clip, packages):
    fill(batch, clip)
    name = "n" * 63
    (packages / "small").rename(packages / name)
    manifest = json.loads((packages / name / "manifest.json").read_text()) | {"name": name}
    (packages / name / "manifest.json").write_text(json.dumps(manifest))
    batch.run(model=f"tiny,{name}")
    assert len(of_model(batch, name)) == 3
    assert batch.run(model=f"tiny,{name}").count(", unchanged\n") == 2

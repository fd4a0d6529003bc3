"""--layout curator against an independent writer of the same tree, and --dedup against NumPy."""

import fractions
import io
import json
import os
import pickle
import shutil
import time
import unicodedata

import av
import curator
import make as samples
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

RULES = {"fixed:2": (2, 2, 2), "fixed:0.75,0.5,0.25": (0.75, 0.5, 0.25)}
KINDS = {"cosmos-embed1-224p": ("ce1", np.float16), "internvideo2-1b": ("iv2", np.float32),
         "tiny": ("tiny", np.float32)}


@pytest.fixture(scope="session")
def models(tiny_model, tmp_path_factory):
    """The small test model under the names of the large ones."""
    folder = tmp_path_factory.mktemp("models")
    for name in (*KINDS, "slow"):
        shutil.copytree(tiny_model / ("slow" if name == "slow" else "tiny"), folder / name)
        manifest = json.loads((folder / name / "manifest.json").read_text())
        (folder / name / "manifest.json").write_text(json.dumps({**manifest, "name": name}))
    return folder


@pytest.fixture
def batch(batch, models):
    batch.models = models
    return batch


def tree(output):
    """{name: (bytes, modification time)} of all but what belongs to every layout."""
    return {str(path.relative_to(output)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in output.rglob("*")
            if path.is_file() and ".vidx" not in path.parts and path.name != "failed.jsonl"}


def contents(output):
    return {name: data for name, (data, _) in tree(output).items()}


def with_sound(path):
    with av.open(str(path), "w") as out:
        video = samples.add_video(out, "libx264", 10, (96, 64))
        sound = out.add_stream("aac", rate=48000)
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(samples.picture(i, 96, 64, seed=9), format="rgb24")
            out.mux(video.encode(frame.reformat(format="yuv420p")))
        for i in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp",
                                               layout="mono")
            frame.sample_rate, frame.pts = 48000, i * 1024
            out.mux(sound.encode(frame))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A folder of videos: several containers, rates, sound, a long one, odd names, equal bytes."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "deep" / "er").mkdir(parents=True)
    film = fractions.Fraction(30000, 1001)
    samples.encode(folder / "a.mp4", "libx264", n=130, size=(96, 64), rate=film, seed=1)
    samples.encode(folder / "deep" / "b.mkv", "libx264", n=60, size=(64, 96), rate=12, seed=2)
    samples.encode(folder / "deep" / "er" / "c.avi", "mpeg4", n=70, size=(96, 64), rate=25, seed=3)
    samples.encode(folder / "naïve 水 \"q\".mp4", "libx264", n=64, size=(96, 64), rate=16, seed=4)
    samples.encode(folder / "long.mp4", "libx264", n=2 * 270, size=(64, 64), rate=2, seed=5)
    with_sound(folder / "sound.mov")
    shutil.copy(folder / "a.mp4", folder / "same.mp4")
    return folder


def compare(ours, theirs):
    """Two trees: the same names, and the same content in each kind's own terms."""
    assert sorted(contents(ours)) == sorted(contents(theirs))
    for name, data in contents(theirs).items():
        if name.endswith(".json"):
            own = json.loads((ours / name).read_text())
            assert json.dumps(own) == json.dumps(json.loads(data)), name
        elif name.endswith(".pickle"):
            assert (ours / name).read_bytes() == data, name
        else:
            assert pq.ParquetFile(ours / name).schema.equals(pq.ParquetFile(theirs / name).schema)
            pd.testing.assert_frame_equal(pd.read_parquet(ours / name),
                                          pd.read_parquet(theirs / name), check_exact=True)


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("rule", RULES)
def test_tree_equals_that_of_an_independent_writer(batch, library, tmp_path, model, rule):
    batch.input, wanted = library, tmp_path / "wanted"
    batch.run("--clip", rule, model=model)
    vectors = {(line["file"], line["index"]): batch.vectors()[line["row"]] for line in batch.lines()}
    shutil.rmtree(batch.output / ".vidx" / "staging")
    layout = tmp_path / "tree"
    layout.mkdir()
    (batch.output / ".vidx").rename(layout / ".vidx")
    batch.output = layout
    assert "0 new, " in batch.run("--clip", rule, "--layout", "curator", model=model)
    prefix, dtype = KINDS[model]
    writer = curator.Writer(wanted, layout, prefix, dtype)
    for path in sorted(p for p in library.rglob("*") if p.is_file()):
        relative = str(path.relative_to(library))
        writer.video(path, relative, RULES[rule], lambda name, i: vectors[name, i])
    assert len(list(wanted.glob("processed_clip_chunks/long.mp4_*"))) == 2 - (rule != "fixed:2")
    compare(layout, wanted)


def test_variant_names_the_model_and_its_folders(batch, clip):
    batch.put("clip.mp4", clip(1))
    command = batch.command("--layout", "curator", "--variant", "224p")
    del command[command.index("--model"):command.index("--model") + 2]
    batch.command = lambda *_, **__: command
    batch.run()
    assert {path.name for path in batch.output.iterdir()} == {
        ".vidx", "failed.jsonl", "ce1_embd", "ce1_embd_parquet", *curator.FOLDERS}
    whole, = batch.output.glob("metas/v0/*.json")
    assert json.loads(whole.read_text())["duration_span"] == [0, 2]


@pytest.fixture
def made(batch, clip):
    for i in range(4):
        batch.put(f"{'deep/' if i % 2 else ''}clip{i}.mp4", clip(i))
    batch.run("--layout", "curator", "--clip", "fixed:0.5,0.5,0.5")
    return batch


AGAIN = ("--layout", "curator", "--clip", "fixed:0.5,0.5,0.5")


def test_second_run_reads_no_video_and_writes_nothing(made):
    before = tree(made.output)
    path = made.input / "clip0.mp4"
    times = path.stat()
    path.write_bytes(bytes(times.st_size))  # had it been read, it would be another, bad, file
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "0 files written, 0 removed" in made.run(*AGAIN)
    assert tree(made.output) == before and len(before) == 2 * 16 + 3 * 4


def test_of_clips_less_than_a_frame_apart_the_first_stays(batch, clip):
    batch.put("clip.mp4", clip(1))  # 8 frames a second
    rule = ("--layout", "curator", "--clip", "fixed:0.5,0.1,0.5")
    batch.run(*rule)
    for path in batch.output.glob("metas/v0/*.json"):
        start, _ = json.loads(path.read_text())["duration_span"]
        assert int(start * 8) > int((start - 0.1) * 8) or start == 0
    assert "0 files written, 0 removed" in batch.run(*rule)


def test_tree_follows_its_folder(made, clip):
    (made.input / "deep" / "clip1.mp4").unlink()
    (made.input / "deep" / "clip3.mp4").unlink()
    (made.input / "clip0.mp4").rename(made.input / "moved.mp4")
    made.put("clip2.mp4", clip(7, seconds=1))
    made.run(*AGAIN)
    after = contents(made.output)
    shutil.rmtree(made.output)
    made.run(*AGAIN)
    again = contents(made.output)
    assert after.keys() == again.keys() and len(after) == 2 * 6 + 3 * 2
    for name, data in after.items():
        assert is_same(name, data, again[name]), name
    assert not (made.output / "processed_videos" / "deep").exists()


def test_damaged_and_missing_files_come_back(made):
    before = contents(made.output)
    names = sorted(before)
    (made.output / names[0]).write_bytes(b"x" * len(before[names[0]]))
    (made.output / names[-1]).unlink()
    (made.output / "metas" / "v0" / "stray.json").write_text("{}")
    assert "2 files written, 1 removed" in made.run(*AGAIN)
    assert contents(made.output) == before


def test_tree_of_another_program_is_refused(batch, clip):
    batch.put("clip.mp4", clip(1))
    theirs = batch.output / "ce1_embd" / "x.pickle"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"precious")
    said = batch.run("--layout", "curator", model="cosmos-embed1-224p", code=1)
    assert "ce1_embd was not made by vidx" in said
    assert theirs.read_bytes() == b"precious"


def test_name_too_long_for_the_tree_costs_only_itself(batch, clip):
    batch.put("clip.mp4", clip(1))
    batch.put("x" * 246 + ".mp4", clip(2))
    assert "is too long" in batch.run("--layout", "curator", code=3)
    assert len(list(batch.output.glob("processed_videos/*"))) == 1
    assert "too long" in batch.lines("failed.jsonl")[0]["reason"]


def is_same(name, data, wanted):
    """To the last digit but for the vectors: a model's answer may depend on what is batched."""
    if name.endswith(".json"):
        return data == wanted
    if name.endswith(".pickle"):
        one, other = pickle.loads(data), pickle.loads(wanted)
        return one.dtype == other.dtype and np.allclose(one, other, atol=1e-5)
    one, other = (pd.read_parquet(io.BytesIO(part)) for part in (data, wanted))
    return one["id"].tolist() == other["id"].tolist() and all(
        np.allclose(np.stack(one[column]), np.stack(other[column]), atol=1e-5)
        for column in {"embedding", "cosine_sim_score"} & {*other.columns})


def kill_when(process, condition):
    """Kills it once the condition holds; False when it ended before."""
    while not condition() and process.poll() is None:
        time.sleep(0.0003)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


def test_killed_anywhere_the_tree_becomes_the_same(batch, clip):
    """Killed while it embeds, then while it writes: no file is ever half, the end is the same."""
    rule = ("--layout", "curator", "--clip", "fixed:0.5,0.125,0.1", "--dedup", "0.9")
    for i in range(8):
        batch.put(f"{i:02}.mp4", clip(200 + i, seconds=3))
    batch.run(*rule)
    wanted = contents(batch.output)
    shutil.rmtree(batch.output)
    assert kill_when(batch.start(*rule, stderr=None), lambda: len(batch.rows()) >= 3)
    embeddings, kills = batch.output / "tiny_embd", 0
    for _ in range(8):
        seen = len(os.listdir(embeddings)) if embeddings.exists() else 0
        kills += kill_when(batch.start(*rule, stderr=None), lambda: (
            embeddings.exists() and len(os.listdir(embeddings)) > seen + 20))
        now = contents(batch.output)
        for name, data in now.items():
            assert is_same(name, data, wanted[name]), name
        if kills == 3 or len(now) == len(wanted):
            break
    assert kills
    batch.run(*rule)
    after = contents(batch.output)
    assert after.keys() == wanted.keys()
    for name, data in after.items():
        assert is_same(name, data, wanted[name]), name


# ---- --dedup ----

def read_dedup(output):
    pairs = pd.read_parquet(output / "pairwise_results")
    return pairs, pd.read_parquet(output / "duplicates")["id"].tolist()


@pytest.mark.parametrize("threshold", [0.8, 0.97])
def test_duplicates_are_those_of_the_greedy_rule(batch, clip, threshold):
    for i in range(6):
        batch.put(f"{i}.mp4", clip(300 + i, seconds=3))
        batch.put(f"copies/{i}.avi", clip(300 + i, seconds=3, codec="mpeg4", suffix=".avi"))
    batch.put("z/again.mp4", clip(300, seconds=3))
    said = batch.run("--dedup", str(threshold), "--clip", "fixed:0.5,0.25,0.5")
    first = {}
    for line in sorted(batch.lines(), key=lambda line: (line["file"], line["index"])):
        first.setdefault(line["clip_id"], line["row"])
    ids, rows = list(first), list(first.values())
    found = curator.nearest_kept(batch.vectors()[rows], range(len(rows)))(threshold)
    pairs, removed = read_dedup(batch.output)
    assert pairs["id"].tolist() == ids
    assert pairs["cosine_sim_score"].dtype == np.float32
    assert pairs["max_id"].tolist() == [ids[found[i][0]] for i in range(len(ids))]
    assert np.allclose(pairs["cosine_sim_score"], [found[i][1] for i in range(len(ids))], atol=1e-6)
    assert removed == sorted(ids[i] for i, (of, score) in found.items() if score >= threshold)
    assert 0 < len(removed) < len(ids)
    assert not set(removed) & set(pairs["max_id"])
    assert f"{len(removed)} of {len(ids)} clips" in said


def scaled(path, factor):
    """The same moving pictures, each pixel factor times factor."""
    with av.open(str(path), "w") as out:
        stream = samples.add_video(out, "libx264", 8, (96 * factor, 64 * factor))
        for i in range(16):
            pixels = samples.picture(i, 96, 64, seed=1).repeat(factor, 0).repeat(factor, 1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))


def test_clip_with_more_pixels_is_kept(batch):
    for name, factor in (("a", 1), ("b", 3), ("c", 2)):
        scaled(batch.input / f"{name}.mp4", factor)
    batch.run("--dedup", "0.9", "--layout", "curator")
    pairs, removed = read_dedup(batch.output)
    ids = [json.loads((batch.output / f"processed_clip_chunks/{name}.mp4_0.json").read_text())
           ["clips"][0] for name in "bca"]
    assert pairs["id"].tolist() == ids and pairs["cosine_sim_score"][0] == 0
    assert pairs["max_id"].tolist() == [ids[0]] * 3
    assert removed == sorted(ids[1:])


@pytest.mark.parametrize("folder", [".Trash-1000/files", "a/.hidden", "$RECYCLE.BIN", "Trash", "x/#recycle"])
def test_clip_outside_trash_and_hidden_folders_is_kept(batch, folder):
    (batch.input / folder).mkdir(parents=True)
    scaled(batch.input / folder / "large.mp4", 3)
    scaled(batch.input / "trash.mp4", 1)  # a file of that name is no folder
    batch.run("--dedup", "0.9")
    line, = [line for line in batch.lines() if line["file"].endswith("large.mp4")]
    kept, = [line for line in batch.lines() if line["file"] == "trash.mp4"]
    pairs, removed = read_dedup(batch.output)
    assert removed == [line["clip_id"]]
    assert pairs["id"].tolist() == [kept["clip_id"], line["clip_id"]]


def test_file_that_is_also_outside_the_trash_is_not_in_the_trash(batch, clip):
    scaled(batch.input / "z.mp4", 2)
    (batch.input / ".trash").mkdir()
    (batch.input / ".trash" / "z.mp4").write_bytes((batch.input / "z.mp4").read_bytes())
    scaled(batch.input / "a.mp4", 1)
    batch.run("--dedup", "0.9")
    pairs, removed = read_dedup(batch.output)
    kept, = {line["clip_id"] for line in batch.lines() if line["file"] == "z.mp4"}
    assert pairs["id"][0] == kept and kept not in removed


def test_same_bytes_at_two_paths_are_duplicates_of_the_first(batch, clip):
    for name in ("b.mp4", "a.mp4"):
        batch.put(name, clip(1))
    batch.run("--dedup", "0.99", "--layout", "curator")
    pairs, removed = read_dedup(batch.output)
    chunk = json.loads((batch.output / "processed_clip_chunks" / "b.mp4_0.json").read_text())
    assert removed == chunk["clips"] and len(pairs) == 2
    assert pairs["cosine_sim_score"][1] == pytest.approx(1)


def test_without_dedup_its_files_go(batch, clip):
    batch.put("a.mp4", clip(1))
    batch.run("--dedup", "0.9")
    (batch.output / "duplicates" / "mine.txt").write_text("stays")
    batch.run()
    assert [path.name for path in batch.output.glob("[dp]*/*")] == ["mine.txt"]


def test_nothing_to_compare_gives_empty_files(batch):
    batch.run("--dedup", "0.9", "--layout", "curator")
    pairs, removed = read_dedup(batch.output)
    assert len(pairs) == 0 and removed == []


def test_names_of_any_script_are_escaped_as_python_does(batch, clip):
    name = unicodedata.normalize("NFD", "é") + " 🎬.mp4"
    batch.put(name, clip(1))
    batch.run("--layout", "curator")
    path = batch.output / "processed_videos" / f"{name}.json"
    assert path.read_bytes().isascii()
    assert json.loads(path.read_text())["video"] == str(batch.input / name)

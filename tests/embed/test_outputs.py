"""What vidx embed writes: three files that agree with each other, the input and the server."""

import hashlib

import make as samples
import numpy as np
import pytest
from server import Server


@pytest.fixture
def five(batch, clip):
    for i in range(5):
        batch.put(f"{'deep/er/' if i % 2 else ''}clip{i}.mp4", clip(i))
    return batch


def test_index_of_todays_faiss_equals_embeddings(five):
    five.run()
    five.check_consistent()
    vectors = five.vectors()
    assert vectors.shape == (5, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    scores, rows = five.index().search(vectors, 1)
    assert rows[:, 0].tolist() == list(range(5))


def test_lines_name_file_bytes_model_and_span(five):
    five.run()
    lines = five.lines()
    assert sorted(line["file"] for line in lines) == sorted(
        str(path.relative_to(five.input)) for path in five.input.rglob("*.mp4"))
    for i, line in enumerate(lines):
        sha256 = hashlib.sha256((five.input / line["file"]).read_bytes()).hexdigest()
        assert (line["row"], line["sha256"]) == (i, sha256)
        assert line["video_id"] == "v" + sha256[:24]
        assert line["clip_id"] == line["video_id"] + ".0"
        assert (line["index"], line["start_s"], line["end_s"]) == (0, 0, 2)
        assert line["model"] == "tiny" and len(line["model_digest"]) == 64
        assert line["duplicate"] == {"verdict": "new", "of": None, "score": None, "share": None, "share_of_new": None, "share_of_stored": None,
                                     "offset_s": None, "mirrored": False}


@pytest.mark.parametrize("rule", ["whole", "fixed:0.75,0.5"])
def test_vectors_equal_those_of_the_server(five, tmp_path, rule):
    five.run("--clip", rule)
    vectors, lines = five.vectors(), five.lines()
    with Server(tmp_path / "data", five.models, flags=["--clip", rule]) as server:
        for name in sorted({line["file"] for line in lines}):
            video = server.upload(five.input / name).json()
            own = [line for line in lines if line["file"] == name]
            theirs = server.get(f"/v1/videos/{video['id']}/vectors").json()["items"]
            assert [line["clip_id"] for line in own] == [clip["clip_id"] for clip in theirs]
            assert [(line["start_s"], line["end_s"]) for line in own] == [
                (clip["start_s"], clip["end_s"]) for clip in theirs]
            assert len(own) == (1 if rule == "whole" else 3)
            for line, clip in zip(own, theirs):
                assert np.allclose(vectors[line["row"]], clip["vector"], rtol=0, atol=1e-6)


def test_same_bytes_at_several_paths_share_a_row(batch, clip):
    for name in ("c.mp4", "a/b.mp4", "d.mp4"):
        batch.put(name, clip(1))
    batch.put("b.mp4", clip(2))
    batch.run("--threads", "4")
    lines = [line for line in batch.lines() if line["file"] != "b.mp4"]
    assert [line["file"] for line in lines] == ["a/b.mp4", "c.mp4", "d.mp4"]
    assert len({line["row"] for line in lines}) == 1
    video = lines[0]["video_id"]
    assert lines[0]["duplicate"]["verdict"] == "new"
    for line in lines[1:]:
        assert line["duplicate"] == {"verdict": "exact", "of": video, "score": 1, "share": 1, "share_of_new": 1, "share_of_stored": 1,
                                     "offset_s": 0, "mirrored": False}
    assert len(batch.vectors()) == batch.inserted() == 2


def test_reencoded_copy_is_named_until_its_original_goes(batch, clip):
    first = batch.put("first.mp4", clip(1, seconds=6))
    batch.run()
    batch.put("second.avi", clip(1, seconds=6, codec="mpeg4", suffix=".avi"))
    batch.put("other.mp4", clip(2))
    batch.run()
    verdicts = {line["file"]: line["duplicate"] for line in batch.lines()}
    assert verdicts["second.avi"]["verdict"] == "copy"
    assert verdicts["second.avi"]["of"] == batch.lines()[0]["video_id"]
    assert verdicts["second.avi"]["score"] > 0.97
    assert verdicts["other.mp4"]["verdict"] == "new"
    first.unlink()
    batch.run()
    verdicts = {line["file"]: line["duplicate"] for line in batch.lines()}
    assert verdicts["second.avi"] == verdicts["other.mp4"]
    assert verdicts["second.avi"]["verdict"] == "new"


def test_without_fingerprints_no_verdict_is_copy(batch, clip):
    batch.put("first.mp4", clip(1, seconds=6))
    batch.run("--fingerprints", "off")
    batch.put("second.avi", clip(1, seconds=6, codec="mpeg4", suffix=".avi"))
    batch.run("--fingerprints", "off")
    assert [line["duplicate"]["verdict"] for line in batch.lines()] == ["new", "similar"]


def test_empty_folder_gives_empty_outputs(batch):
    said = batch.run()
    assert "0 videos" in said
    batch.check_consistent()
    assert batch.vectors().shape == (0, 64)
    assert batch.lines() == batch.lines("failed.jsonl") == []


def test_output_inside_the_input_is_not_input(batch, clip):
    batch.output = batch.input / "out"
    batch.put("clip.mp4", clip(1))
    batch.run()
    batch.put("out/.vidx/media/stored.mp4", clip(2))
    batch.run()
    assert [line["file"] for line in batch.lines()] == ["clip.mp4"]


def test_files_that_the_server_takes_are_embedded_by_any_of_their_suffixes(batch, clip):
    """media/ looks at what a file holds; here only the name decides whether it looks."""
    samples.encode(batch.input / "screen.gif", "gif", n=16, size=(96, 64), rate=8, pix_fmt="rgb8")
    for i, suffix in enumerate(("MP4", "qt", "divx", "mpe", "m2v", "vob", "trp", "ogm", "f4v", "264", "hevc")):
        batch.put(f"{i}.{suffix}", clip(400 + i))
    batch.put("notes.txt", b"no video")
    batch.put("gif", b"no video")
    batch.run()
    assert {line["file"] for line in batch.lines()} == {
        path.name for path in batch.input.iterdir()} - {"notes.txt", "gif"}
    assert batch.lines("failed.jsonl") == []

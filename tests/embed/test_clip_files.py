"""--write-clips: every clip as a file, in both layouts."""

import json
import os
import shutil
import time

import av
import curator
import numpy as np
import pytest

RULE = ("--clip", "fixed:0.5,0.5,0.5", "--write-clips")  # of clips with 8 frames a second
CURATOR = (*RULE, "--layout", "curator")


def files(output):
    """{name: (bytes, modification time)} of the clips."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in (output / "clips").iterdir()}


def pictures(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


@pytest.fixture(params=[RULE, CURATOR], ids=["vidx", "curator"])
def made(request, batch, clip):
    """Two videos of 2 s, cut into 4 clips each."""
    batch.rule = request.param
    for i in range(2):
        batch.put(f"clip{i}.mp4", clip(30 + i))
    batch.said = batch.run(*batch.rule)
    return batch


def test_each_clip_has_the_pictures_of_its_span(made):
    if "curator" in made.rule:
        metas = [json.loads(path.read_text()) for path in made.output.glob("metas/v0/*.json")]
        spans = [(made.output / "clips" / f"{meta['span_uuid']}.mp4", meta["source_video"],
                  meta["duration_span"][0]) for meta in metas]
        assert {str(path) for path, _, _ in spans} == {meta["clip_location"] for meta in metas}
    else:
        spans = [(made.output / "clips" / f"{line['clip_id']}.mp4", made.input / line["file"],
                  line["start_s"]) for line in made.lines()]
    assert len(spans) == len(files(made.output)) == 8 and "8 clips written" in made.said
    for path, source, start in spans:
        wanted = pictures(source)[round(start * 8):][:4].astype(int)
        found = pictures(path).astype(int)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).mean() < 4  # encoded anew; the next picture is over 10 away


def test_second_run_cuts_nothing_and_a_lost_clip_comes_back(made):
    before = files(made.output)
    assert "0 clips written" in made.run(*made.rule)
    assert files(made.output) == before
    first, second, *_ = sorted(before)
    (made.output / "clips" / first).unlink()
    (made.output / "clips" / second).write_bytes(b"half")
    assert "2 clips written" in made.run(*made.rule)
    after = files(made.output)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == before.keys() - {first, second}
    for name in (first, second):
        assert len(pictures(made.output / "clips" / name)) == 4


def test_clips_follow_their_videos_and_foreign_files_stay(made, clip):
    (made.output / "clips" / "notes.txt").write_text("mine")
    (made.input / "clip0.mp4").unlink()
    made.put("clip1.mp4", clip(40))
    assert "4 clips written" in (said := made.run(*made.rule))
    # Curator names a clip after path and span, vidx after the bytes: there the old ones are other files.
    assert f"{4 if 'curator' in made.rule else 8} removed" in said.split("clips written")[1]
    assert len(files(made.output)) == 5
    assert (made.output / "clips" / "notes.txt").read_text() == "mine"
    for path in (made.output / "clips").glob("*.mp4"):
        assert len(pictures(path)) == 4


def test_run_without_the_option_leaves_clips_alone(made):
    before = files(made.output)
    made.run(*(word for word in made.rule if word != "--write-clips"))
    assert files(made.output) == before


def test_folder_of_another_program_is_refused(batch, clip):
    batch.put("clip.mp4", clip(30))
    (batch.output / "clips").mkdir(parents=True)
    (batch.output / "clips" / "film.mp4").write_bytes(b"precious")
    assert "clips was not made by vidx" in batch.run(*RULE, code=1)
    assert files(batch.output)["film.mp4"][0] == b"precious"


@pytest.mark.parametrize("output", [".", "out"])
def test_clips_below_the_input_are_not_input(batch, clip, output):
    batch.output = batch.input / output
    batch.put("clip.mp4", clip(30))
    batch.put("album/clips/mine.mp4", clip(31))
    batch.run(*RULE)
    before = files(batch.output)
    assert "0 new, 2 unchanged" in batch.run(*RULE)
    assert {line["file"] for line in batch.lines()} == {"clip.mp4", "album/clips/mine.mp4"}
    assert files(batch.output) == before
    other = batch.output / "second"  # of another run over the same folder
    batch.output = other
    assert "2 new, 0 unchanged, 0 identical" in batch.run()


def test_encoder_that_is_not_there_is_named(batch, clip):
    batch.put("clip.mp4", clip(30))
    assert "h265_magic" in batch.run(*RULE, "--encoder", "h265_magic", code=1)
    assert files(batch.output) == {}


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGINT"])
def test_interrupted_while_cutting_it_goes_on_where_it_was(batch, clip, signal):
    for i in range(6):
        batch.put(f"{i}.mp4", clip(50 + i))
    batch.run(*CURATOR)
    wanted = files(batch.output).keys()
    shutil.rmtree(batch.output)
    folder = batch.output / "clips"
    process = batch.start(*CURATOR, stderr=None)
    while process.poll() is None and (not folder.exists() or len(os.listdir(folder)) < 3):
        time.sleep(0.0003)
    assert process.poll() is None
    process.kill() if signal == "SIGKILL" else process.send_signal(2)
    assert process.wait() == (-9 if signal == "SIGKILL" else 130)
    kept = files(batch.output)
    assert 3 <= len(kept) < len(wanted)
    for name in kept:
        assert len(pictures(folder / name)) == 4
    batch.run(*CURATOR)
    after = files(batch.output)
    assert after.keys() == wanted
    for name in after:
        assert len(pictures(folder / name)) == 4
    # The one that was renamed but not yet listed may be cut again.
    assert sum(after[name] == kept[name] for name in kept) >= len(kept) - 1


def test_metas_have_the_measures_that_curator_takes(made, tmp_path):
    if "curator" not in made.rule:
        pytest.skip("of the other layout")
    for path in made.output.glob("metas/v0/*.json"):
        meta = json.loads(path.read_text())
        cut = made.output / "clips" / f"{meta['span_uuid']}.mp4"
        wanted = curator.clip_measures(cut)
        assert {key: meta[key] for key in wanted} == wanted
        assert list(meta) == [*("span_uuid source_video duration_span width_source height_source "
                                "framerate_source clip_location").split(), *wanted, "windows", "valid"]
    for path in made.output.glob("processed_clip_chunks/*.json"):
        assert json.loads(path.read_text())["num_clips_transcoded"] == 4

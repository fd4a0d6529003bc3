"""What is kept of a video's fingerprint, and what a new video is asked with, from outside."""
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from server import Server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))
import corpus  # noqa: E402
from media_dump import dump  # noqa: E402

RECORD = np.dtype([("time_s", "<f4"), ("quality", "u1"), ("hash", "u1", 32)])
INSIDE = 0x80  # in quality: of the picture inside its bars


@pytest.fixture(scope="module")
def scenes():
    return corpus.clips("film", 12)


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_model):
    with Server(tmp_path_factory.mktemp("stored") / "data", tiny_model) as running:
        yield running


def fingerprint(server, video_id):
    with sqlite3.connect(f"file:{server.data}/catalog.db?mode=ro", uri=True) as catalog:
        (data,) = catalog.execute("SELECT data FROM fingerprints JOIN videos ON row = video "
                                  "WHERE id = ?", (video_id,)).fetchone()
    return np.frombuffer(data, RECORD)


def test_stored_are_the_frames_at_each_half_second_and_no_others(server, scenes):
    for name, clip in scenes.items():
        path = corpus.original("film", name, clip)
        answer = server.upload(path).json()
        chosen = dump(path, 2)
        assert len(chosen["extras"]) > 2 * len(chosen["pictures"]), "nothing to leave out"
        stored = fingerprint(server, answer["id"])
        stored = stored[stored["quality"] < INSIDE]
        assert stored["time_s"] == pytest.approx([t for _, t, _ in chosen["pictures"]], abs=1e-4)


def found_with_a_cut_start(server, scenes, codec):
    """For each scene, whether its copy without the first 1.25 s is named with that offset."""
    found = []
    for name, (frames, rate) in scenes.items():
        server.upload(corpus.original("film", name, (frames, rate)))
        start = round(float(rate) * 1.25)
        path = server.data.parent / f"{name}-cut-{codec[1].get('g', '')}.mp4"
        corpus.write(path, frames[start:], rate, codec)
        video = server.upload(path).json()
        verdict = video["duplicate"]
        found.append(verdict["verdict"] == "part_of"
                     and abs(verdict["offset_s"] - start / float(rate)) < 0.1)
        assert server.delete(f"/v1/videos/{video['id']}").ok
    return found


def test_copies_with_a_cut_start_are_found_by_the_pictures_between(server, scenes):
    """With half-second steps on both sides most of these do not meet: the cut lies between them."""
    found = found_with_a_cut_start(server, scenes, corpus.X264)
    assert sum(found) >= len(found) - 1, found


def test_copies_of_key_frames_only_are_found_by_pictures_decoded_for_it(server, scenes):
    """There nothing is decoded on the way; that more is wanted changes nothing that is stored."""
    found = found_with_a_cut_start(server, scenes, ("libx264", {**corpus.X264[1], "g": "1"}))
    assert sum(found) >= len(found) - 2, found


def test_copy_in_bars_and_copy_without_them_are_named(tmp_path, tiny_model, scenes):
    """Either may come first; a stored one with bars is known after a restart too."""
    plain, barred = {}, {}
    for name, clip in scenes.items():
        plain[name] = corpus.copy("film", name, clip, "re-encode", "h264-crf28")
        barred[name] = corpus.copy("film", name, clip, "bars", "letterbox")
    for first, then in ((plain, barred), (barred, plain)):
        with Server(tmp_path / str(first is plain), tiny_model) as running:
            ids = {running.upload(path).json()["id"]: name for name, path in first.items()}
            stored = fingerprint(running, next(iter(ids)))
            assert (stored["quality"] >= INSIDE).any()  # this film has bars of its own
            running.stop()
            running.start()
            for name, path in then.items():
                video = running.upload(path).json()
                verdict = video["duplicate"]
                assert running.delete(f"/v1/videos/{video['id']}").ok
                assert (verdict["verdict"], ids[verdict["of"]]) == ("copy", name)
                assert abs(verdict["offset_s"]) < 0.1


def test_flat_and_dark_clips_are_no_copies_of_each_other(server):
    """Nor are they in bars, which are dark like some of them."""
    clips = corpus.clips("flat")
    ids = {server.upload(corpus.copy("flat", name, clip, "bars", "letterbox")).json()["id"]: name
           for name, clip in clips.items()}
    named = {}
    for name, clip in clips.items():
        video = server.upload(corpus.original("flat", name, clip)).json()
        if video["duplicate"]["verdict"] not in ("new", "similar"):
            named[name] = ids[video["duplicate"]["of"]]
        assert server.delete(f"/v1/videos/{video['id']}").ok
    assert named and all(name == of for name, of in named.items()), named
    for video_id in ids:
        assert server.delete(f"/v1/videos/{video_id}").ok

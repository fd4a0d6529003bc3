"""--frames keyframes: what clips.jsonl says, and that one output is of one kind of frames."""

import make as samples
import numpy as np

FILM = {"seconds": 8, "options": {"g": "16", "keyint_min": "16", "sc_threshold": "0"}}


def test_rows_say_what_they_are_made_of_and_vectors_differ(batch):
    batch.put("a.mp4", samples.small(1500, **FILM))
    batch.run("--clip", "fixed:4", "--frames", "exact")
    exact = batch.vectors()
    assert [line["frames"] for line in batch.lines()] == ["exact", "exact"]
    said = batch.run("--clip", "fixed:4", "--frames", "keyframes", code=1)
    assert "made with" in said and "keyframes" in said, "one output must not hold both"
    batch.output = batch.output.with_name("keyframes")
    batch.run("--clip", "fixed:4", "--frames", "keyframes")
    assert [line["frames"] for line in batch.lines()] == ["keyframes", "keyframes"]
    assert (exact * batch.vectors()).sum(1).max() < 0.9999
    assert batch.catalog("SELECT DISTINCT frames, frames_decoded FROM videos") == [(1, 4)]


def test_missing_vectors_of_a_further_model_are_made_of_the_same_frames(batch):
    batch.put("a.mp4", samples.small(1501, **FILM))
    batch.run("--frames", "keyframes")
    batch.run("--frames", "keyframes", model="tiny,small")
    later = np.load(batch.output / "small" / "embeddings.npy")
    batch.output = batch.output.with_name("together")
    batch.run("--frames", "keyframes", model="tiny,small")
    np.testing.assert_allclose(later, np.load(batch.output / "small" / "embeddings.npy"), atol=1e-6)


def test_unknown_frames_are_refused(batch):
    assert "--frames must be exact or keyframes, not 'some'" in batch.run("--frames", "some", code=2)

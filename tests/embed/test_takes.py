"""Another take of one fixed camera is no copy in clips.jsonl either, though hashes call it one."""
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import takes  # noqa: E402

SIZE = 26  # of what moves: too small for the hashes


def put(batch, name, room, seed, crf):
    corpus.write(batch.input / name, takes.take(room, seed, 8, SIZE), takes.RATE, corpus.x264(crf))


def verdicts(batch):
    return {Path(line["file"]).name: (line["duplicate"]["verdict"], line["duplicate"]["of"]) for line in batch.lines()}


def test_other_take_is_no_copy_and_a_copy_is_one_in_every_run(batch):
    put(batch, "a.mp4", 1, 1, 23)
    put(batch, "b.mp4", 1, 2, 23)
    put(batch, "c.mp4", 1, 1, 31)
    batch.run()
    found = verdicts(batch)
    assert found["a.mp4"] == ("new", None)
    assert found["b.mp4"][0] in ("new", "similar"), found
    assert found["c.mp4"][0] == "copy", found
    batch.run()
    assert verdicts(batch) == found
    put(batch, "d.mp4", 1, 3, 23)
    batch.run()
    assert verdicts(batch)["d.mp4"][0] in ("new", "similar")
    assert {name: verdicts(batch)[name] for name in found} == found


def test_evidence_off_leaves_what_hashes_say(batch):
    put(batch, "a.mp4", 1, 1, 23)
    put(batch, "b.mp4", 1, 2, 23)
    batch.run("--evidence", "off")
    assert verdicts(batch)["b.mp4"][0] == "copy"
    assert "--evidence must be off or fast, not 'deep'" in batch.run("--evidence", "deep", code=2)

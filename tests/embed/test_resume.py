"""vidx embed goes on where it was, however it ended, and follows the changes of its folder."""

import os
import random
import signal

import pytest
from server import wait_until


@pytest.fixture
def three(batch, clip):
    for i in range(3):
        batch.put(f"clip{i}.mp4", clip(i))
    batch.put("same.mp4", clip(1))
    batch.run()
    return batch


def test_second_run_reads_nothing_and_leaves_the_outputs(three):
    before, rows = three.content(), three.rows()
    path = three.input / "clip0.mp4"
    times = path.stat()
    path.write_bytes(bytes(times.st_size))  # had it been read, it would be another, bad, file
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert ", unchanged\n" in three.run()
    after = three.content()
    failed = "failed.jsonl"  # the one that belongs to each run
    assert before.pop(failed)[0] == after.pop(failed)[0] == b""
    assert (after, three.rows()) == (before, rows)


def test_file_with_another_time_is_read_again(three):
    path = three.input / "clip0.mp4"
    bytes_before = path.stat().st_size
    path.write_bytes(bytes(bytes_before))
    said = three.run(code=3)
    assert "skipped: clip0.mp4" in said
    assert "clip0.mp4" not in {line["file"] for line in three.lines()}
    three.check_consistent()


def test_changed_file_is_embedded_anew(three, clip):
    before = three.vectors()
    three.put("clip0.mp4", clip(7))
    three.run()
    three.check_consistent()
    after = three.vectors()
    assert len(after) == 3 and three.inserted() == 4
    gone = [row for row in before.tolist() if row not in after.tolist()]
    assert len(gone) == 1


def test_removed_file_disappears(three):
    (three.input / "clip2.mp4").unlink()
    assert "1 removed" in three.run()
    three.check_consistent()
    assert {line["file"] for line in three.lines()} == {"clip0.mp4", "clip1.mp4", "same.mp4"}
    assert len(three.rows()) == 2


def test_one_of_two_equal_files_may_go(three):
    (three.input / "clip1.mp4").unlink()
    three.run()
    lines = three.lines()
    assert {line["file"] for line in lines} == {"clip0.mp4", "clip2.mp4", "same.mp4"}
    assert {line["duplicate"]["verdict"] for line in lines} == {"new"}
    assert three.inserted() == 3


def test_moved_file_is_not_embedded_again(three):
    rows = three.rows()
    (three.input / "new folder").mkdir()
    (three.input / "clip2.mp4").rename(three.input / "new folder" / "moved.mov")
    three.run()
    assert three.rows() == rows
    assert "new folder/moved.mov" in {line["file"] for line in three.lines()}
    assert ", unchanged\n" in three.run()


def test_moved_input_folder_is_not_read_again(three):
    rows, lines = three.rows(), three.lines()
    three.input = three.input.rename(three.input.with_name("elsewhere"))
    assert "4 unchanged" in three.run()
    assert (three.rows(), three.lines()) == (rows, lines)


def test_touched_file_is_read_but_not_embedded(three):
    os.utime(three.input / "clip0.mp4")
    assert "0 new, 3 unchanged, 1 identical files" in three.run()
    assert "0 new, 4 unchanged" in three.run()
    assert three.inserted() == 3


@pytest.mark.parametrize("damage", ["moves", "faiss", "npy", "jsonl"])
def test_torn_outputs_are_written_again(three, damage):
    before = {name: data for name, (data, _) in three.content().items()}
    files = {"faiss": "video_index.faiss", "npy": "embeddings.npy", "jsonl": "clips.jsonl"}
    if damage == "moves":  # as a kill between two moves leaves them: sizes may agree
        (three.output / ".vidx" / "written").unlink()
        path = three.output / files["faiss"]
        path.write_bytes(bytes(path.stat().st_size))
    else:
        (three.output / files[damage]).unlink()
    three.run()
    assert {name: data for name, (data, _) in three.content().items()} == before


def test_killed_at_random_moments_every_video_is_embedded_once(batch, clip):
    n, chance, kills = 18, random.Random(5), 0
    for i in range(n):
        batch.put(f"{i:02}.mp4", clip(100 + i, seconds=1))
    batch.put("again.mp4", clip(100, seconds=1))
    while len(batch.rows()) < n:
        before = batch.rows()
        process = batch.start(model="slow", stderr=None)
        target = min(n, len(before) + chance.randrange(1, 6))
        wait_until(lambda: len(batch.rows()) >= target or process.poll() is not None)
        kills += process.poll() is None
        process.kill()
        process.wait()
        assert before.items() <= batch.rows().items()
    assert kills >= 3
    rows = batch.rows()
    batch.run(model="slow")
    batch.check_consistent()
    assert batch.rows() == rows and batch.inserted() == n
    assert {line["file"] for line in batch.lines()} == {path.name for path in batch.input.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_what_it_has_and_goes_on(batch, clip, number):
    n = 16
    for i in range(n):
        batch.put(f"{i:02}.mp4", clip(100 + i, seconds=1))
    process = batch.start("--threads", "1", model="slow")
    wait_until(lambda: len(batch.rows()) >= 3)
    process.send_signal(number)
    said = process.communicate(timeout=180)[1].decode()
    assert process.returncode == 130, said
    assert "run the same command to go on" in said
    assert not (batch.output / "clips.jsonl").exists()
    kept = batch.rows()
    assert 3 <= len(kept) < n
    assert f"{len(kept)} of {n} videos done" in said
    assert f"{len(kept)} unchanged" in batch.run(model="slow")
    assert kept.items() <= batch.rows().items() and batch.inserted() == n

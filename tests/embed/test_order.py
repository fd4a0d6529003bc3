"""Rows and verdicts depend on the input folder alone: not on threads, timing or interruptions."""

import shutil
import signal

import pytest
from test_resume import wait_until

THREADS = ("1", "2", "16")


def fill(batch, clip):
    """Videos that take very different time, each with a copy whose path comes later, and equal files."""
    for i in range(6):
        batch.put(f"{i}/a.mp4", clip(300 + i, seconds=30 if i % 2 == 0 else 4))
        batch.put(f"{i}/b.avi", clip(300 + i, seconds=4, codec="mpeg4", suffix=".avi"))
        batch.put(f"{i}/c.mp4", clip(300 + i, seconds=6))
    batch.put("0/same.mp4", clip(305, seconds=4))  # as 5/a.mp4
    batch.put("9/same.avi", clip(302, seconds=4, codec="mpeg4", suffix=".avi"))
    batch.put("3/bad.mp4", b"no video")


FLAGS = ("--clip", "fixed:2", "--dedup", "0.9")


def outputs(batch):
    return {path.name: path.read_bytes() for path in batch.output.iterdir() if path.is_file()} | {
        name: (batch.output / name / "cluster_0.parquet").read_bytes() for name in ("pairwise_results", "duplicates")}


def run_anew(batch, threads):
    shutil.rmtree(batch.output, ignore_errors=True)
    batch.run("--threads", threads, *FLAGS, code=3)
    return outputs(batch)


def test_rows_and_verdicts_are_the_same_for_every_number_of_threads(batch, clip):
    fill(batch, clip)
    wanted = run_anew(batch, "1")
    assert wanted.keys() == {"clips.jsonl", "failed.jsonl", "embeddings.npy", "video_index.faiss",
                             "pairwise_results", "duplicates"}
    lines = batch.lines()
    first = {}
    for line in lines:
        first.setdefault(line["row"], line["file"])
    assert list(first.values()) == sorted(first.values())  # rows in the order of paths
    verdicts = {line["file"]: line["duplicate"] for line in lines}
    ids = {line["file"]: line["video_id"] for line in lines}
    for i in range(5):
        whole = i % 2 == 1  # else four seconds of thirty
        assert verdicts[f"{i}/b.avi"]["verdict"] == ("copy" if whole else "part_of")
        assert verdicts[f"{i}/b.avi"]["of"] == ids[f"{i}/a.mp4"]
    assert verdicts["0/same.mp4"]["verdict"] == "new" and verdicts["5/a.mp4"]["verdict"] == "exact"
    for threads in THREADS[1:] * 2:
        assert run_anew(batch, threads) == wanted


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_rows_and_verdicts_are_the_same_after_an_interruption(batch, clip, number):
    fill(batch, clip)
    wanted = run_anew(batch, "1")
    shutil.rmtree(batch.output)
    flags = ("--threads", "8", *FLAGS)
    for n_stored in (2, 7):
        process = batch.start(*flags, stderr=None)
        wait_until(lambda n=n_stored: len(batch.rows()) >= n or process.poll() is not None)
        process.send_signal(number)
        process.wait()
    batch.run(*flags, code=3)
    assert outputs(batch) == wanted

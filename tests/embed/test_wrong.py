"""What is wrong costs only itself, and is said in words: bad videos, folders, settings, disks."""

import os
import pty
import signal

import pytest
from server import BINARY


def test_bad_files_are_skipped_named_and_tried_again(batch, clip):
    batch.put("good.mp4", clip(1))
    whole = clip(2, seconds=6).read_bytes()
    bad = {"text.mp4": b"no video", "deep/empty.mkv": b"", "half.mp4": whole[: len(whole) // 2]}
    for name, data in bad.items():
        batch.put(name, data)
    for _ in range(2):
        said = batch.run(code=3)
        for name in bad:
            assert said.count(f"skipped: {name}: ") == 1
        assert "3 failed (see " in said
        failed = batch.lines("failed.jsonl")
        assert [line["file"] for line in failed] == sorted(bad)
        assert all(line["outcome"].startswith("media_") and line["reason"] for line in failed)
        assert [line["file"] for line in batch.lines()] == ["good.mp4"]
        batch.check_consistent()
    for name in bad:
        (batch.input / name).unlink()
    batch.run()
    assert batch.lines("failed.jsonl") == []


def test_only_bad_files_give_empty_outputs(batch):
    batch.put("bad.mp4", b"no video")
    batch.run(code=3)
    batch.check_consistent()
    assert len(batch.vectors()) == 0


def test_failing_model_is_our_fault(batch, clip):
    """Its answer is checked when it is loaded."""
    batch.put("good.mp4", clip(1))
    assert "answers-nan" in batch.run(code=1, model="answers-nan")


@pytest.mark.parametrize("flags", [(), ("--input", "x"), ("--output", "x"), ("--nonsense",),
                                   ("--input", "x", "--output", "y", "--threads", "many"),
                                   ("--input", "x", "--output", "y", "--layout", "other"),
                                   ("--input", "x", "--output", "y", "--dedup", "1.5"),
                                   ("--input", "x", "--output", "y", "--variant", "225p"),
                                   ("--input", "x", "--output", "y", "--clip", "parts"),
                                   ("--input", "x", "--output", "y", "--variant", "224p",
                                    "--model", "tiny")])
def test_wrong_usage_is_2(batch, flags):
    batch.command = lambda *_, **__: [str(part) for part in (BINARY, "embed", *flags)]
    assert "vidx embed: " in batch.run(code=2)


def test_missing_input_is_named(batch):
    batch.input = batch.input / "missing"
    said = batch.run(code=1)
    assert str(batch.input) in said and "No such file" in said


def test_input_that_is_a_file_is_named(batch, clip):
    batch.input = batch.put("clip.mp4", clip(1))
    assert "is not a folder" in batch.run(code=1)


def test_input_emptied_as_by_a_missing_disk_drops_nothing(batch, clip):
    path = batch.put("clip.mp4", clip(1))
    batch.run()
    before = batch.content()
    path.unlink()
    assert "not mounted" in batch.run(code=1)
    assert batch.content() == before and len(batch.rows()) == 1


# root passes over permissions unless it gives that up
AS_ANYONE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps",
             "-dac_override,-dac_read_search")


def test_unreadable_folder_is_named_and_keeps_its_videos(batch, clip):
    batch.put("open.mp4", clip(1))
    locked = batch.put("locked/clip.mp4", clip(2)).parent
    batch.run()
    before = batch.lines()
    locked.chmod(0)
    try:
        said = batch.run(code=3, prefix=AS_ANYONE)
    finally:
        locked.chmod(0o755)
    assert "skipped: locked: Permission denied" in said
    assert batch.lines() == before
    assert [line["file"] for line in batch.lines("failed.jsonl")] == ["locked"]
    assert "2 unchanged" in batch.run()


def test_unreadable_file_is_skipped(batch, clip):
    batch.put("open.mp4", clip(1))
    batch.put("locked.mp4", clip(2)).chmod(0)
    assert "skipped: locked.mp4: " in batch.run(code=3, prefix=AS_ANYONE)
    assert [line["outcome"] for line in batch.lines("failed.jsonl")] == ["unreadable"]
    assert len(batch.vectors()) == 1


def test_output_without_permission_is_named(batch, clip):
    batch.put("open.mp4", clip(1))
    batch.output.mkdir()
    batch.output.chmod(0o555)
    said = batch.run(code=1, prefix=AS_ANYONE)
    assert "Permission denied" in said and str(batch.output) in said


def test_output_in_use_is_said(batch, clip):
    for i in range(20):
        batch.put(f"{i}.mp4", clip(i, seconds=1))
    process = batch.start("--threads", "1", model="slow", stderr=None)
    try:
        while not batch.rows():
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)  # it holds the output for as long as we look
        assert process.poll() is None
        assert "another vidx" in batch.run(code=1, model="slow")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("other", [{"model": "slow"}, {"flags": ("--clip", "fixed:1")},
                                   {"flags": ("--fingerprints", "off",)}])
def test_output_of_other_settings_is_left_alone(batch, clip, other):
    batch.put("clip.mp4", clip(1))
    batch.run()
    before = batch.content()
    said = batch.run(*other.get("flags", ()), model=other.get("model", "tiny"), code=1)
    assert "made with 'tiny " in said and "choose another --output" in said
    assert batch.content() == before
    batch.run()


def test_symbolic_links_are_not_followed(batch, clip, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(clip(1).read_bytes())
    batch.put("clip.mp4", clip(2))
    (batch.input / "link.mp4").symlink_to(outside / "secret.mp4")
    (batch.input / "folder").symlink_to(outside)
    assert "2 symbolic links" in batch.run()
    assert [line["file"] for line in batch.lines()] == ["clip.mp4"]


def test_odd_names_are_whole_in_the_outputs_and_harmless_on_the_terminal(batch, clip):
    odd = ["new\nline.mp4", "esc\x1b[31m.mp4", "ünïcode ☃.mp4", '"quoted\\".MP4']
    for i, name in enumerate(odd):
        batch.put(name, clip(i))
    batch.put("bad\x1b]0;title\x07.mp4", b"no video")
    latin = os.fsencode(batch.input) + b"/latin-\xe9.mp4"
    with open(latin, "wb") as file:
        file.write(clip(9).read_bytes())
    said = batch.run(code=3)
    assert {line["file"] for line in batch.lines()} == set(odd)
    assert "\x1b" not in said and "skipped: bad\\x1b]0;title\\x07.mp4: " in said
    assert [line["file"] for line in batch.lines("failed.jsonl")] == [
        "bad\x1b]0;title\x07.mp4", "latin-?.mp4"]


def test_quiet_says_only_what_went_wrong(batch, clip):
    batch.put("good.mp4", clip(1))
    assert batch.run("--quiet") == ""
    batch.put("bad.mp4", b"no video")
    assert batch.run("--quiet", code=3).splitlines() == [
        "skipped: bad.mp4: this is not a video file of a known kind"]


def on_terminal(batch, *flags, code=0):
    """What a run with the slow model draws on a terminal."""
    ours, theirs = pty.openpty()
    process = batch.start(*flags, model="slow", stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == code, said
    return said.decode()


def drawn_lines(said):
    drawn = [part.split("\x1b")[0] for part in said.split("\r") if part.startswith("[")]
    assert drawn, said
    return drawn


def test_terminal_gets_one_line_that_is_drawn_again(batch, clip):
    for i in range(16):
        batch.put(f"{i}.mp4", clip(100 + i, seconds=1))
    batch.put("bad.mp4", b"no video")
    said = on_terminal(batch, "--threads", "1", code=3)
    for part in drawn_lines(said):
        assert "/17 videos" in part and "MB/s" in part and "ETA" in part
        assert len(part) < 80  # never wraps
    lines = [line.split("\r")[-1].replace("\x1b[K", "") for line in said.split("\r\n")]
    assert "skipped: bad.mp4: this is not a video file of a known kind" in lines
    assert not any(line.startswith("[") for line in lines)


def test_progress_within_one_long_video_is_shown(batch, clip):
    batch.put("long.mp4", clip(120, seconds=40))
    parts = drawn_lines(on_terminal(batch, "--clip", "fixed:0.5"))
    shares = [int(part.split("]")[1].split("%")[0]) for part in parts if " 0/1 videos" in part]
    assert shares == sorted(shares) and len(set(shares)) > 2 and max(shares) <= 100, parts


def test_hangup_of_the_reader_does_not_end_the_run(batch, clip):
    for i in range(8):
        batch.put(f"{i}.mp4", b"no video" if i % 2 else clip(i))
    process = batch.start("--threads", "1", model="slow")
    process.stderr.close()
    assert process.wait(60) == 3
    assert process.returncode != -signal.SIGPIPE
    batch.check_consistent()

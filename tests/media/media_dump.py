"""Runs the media_dump program; an independent full decode by PyAV to compare it with."""

import hashlib
import json

import av
import numpy as np
import tools


class Refused(Exception):
    """The program's verdict on a file: code (a vx_media_outcome; 100 = our fault) and sentence."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def call(*arguments, **keywords):
    run = tools.run("media/media_dump", *arguments, code=None, timeout=120, **keywords)
    if run.returncode != 0:
        text = run.stderr.decode()
        assert run.returncode > 0, f"died of signal {-run.returncode}"
        assert text.count("\n") == 1, f"FFmpeg talks on stderr: {text}"
        raise Refused(run.returncode, text.split(": ", 1)[1].strip())
    return run.stdout


def dump(path, wanted="all", threads=2, what="md5", raw=""):
    """wanted: a rate, "all" or frame numbers. "pictures" and "extras" are [frame, seconds, MD5]."""
    if isinstance(wanted, list):
        wanted = ",".join(map(str, wanted)) + ","
    got = json.loads(call(path, wanted, threads, what, raw or "/dev/null"))
    got["order"] = [p[0] for p in got["pictures"]]
    got["extras"] = [p[:3] for p in got["pictures"] if not p[3]]
    got["pictures"] = [p[:3] for p in got["pictures"] if p[3]]
    return got


def visible(plane, bytes_per_sample):
    """The plane without the padding of its rows."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width * bytes_per_sample])


def decode_all(path):
    """[(seconds from the first or None, MD5 of the planes)] of every picture, in display order."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            md5 = hashlib.md5()
            for plane in frame.planes:
                md5.update(visible(plane, (frame.format.components[0].bits + 7) // 8))
            time = None if frame.pts is None else frame.pts * stream.time_base
            pictures.append((time, md5.hexdigest()))
    start = pictures[0][0]
    return [(None if t is None else float(t - start), h) for t, h in pictures]

"""Films of moving pictures that ffmpeg makes by itself, made once for all suites.

    film("trim.mp4", ("zoom", 3, 5), crf=26)        seconds 3 to 8 of the zoom
"""
import hashlib
import os
import subprocess
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / "build" / "samples" / "films"
SOURCES = {
    "zoom": "mandelbrot=s=320x180:r=25:start_scale=3",
    "cells": "cellauto=s=320x180:r=25:rule=110:seed=1",
    "test": "testsrc2=s=320x180:r=25",
}
ENCODED = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-g", "25")


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def film(name, *parts, filters="null", crf=23):
    """The path of a file of that name: parts (source, start, seconds) one after another."""
    inputs = [a for source, _, _ in parts for a in ("-f", "lavfi", "-i", SOURCES[source])]
    cuts = ";".join(f"[{i}]trim={start}:{start + seconds},setpts=PTS-STARTPTS[p{i}]"
                    for i, (_, start, seconds) in enumerate(parts))
    pads = "".join(f"[p{i}]" for i in range(len(parts)))
    recipe = (*inputs, "-filter_complex", f"{cuts};{pads}concat=n={len(parts)},{filters}", *ENCODED, "-crf", str(crf))
    path = CACHE / hashlib.sha256(repr(recipe).encode()).hexdigest()[:16] / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{os.getpid()}-{name}")
        ffmpeg(*recipe, scratch)
        os.replace(scratch, path)
    return path

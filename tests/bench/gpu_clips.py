"""The clips of bench_gpu.py: real film with other crops, colours and grain in each, encoded once.

Made with the program ffmpeg (./dev bundle --with-encoders builds one) and kept under build/bench/gpu.
`off`: the first key frame comes 13 frames in, so none falls on a half second, as in most real films;
`aligned`: one a second and on the grid, which flatters a decoder that may jump from one to the next.
"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import measure

FILM_SECONDS, FPS = 190, 30


class Kind(NamedTuple):
    name: str
    codec: str
    keyint: int
    width: int
    height: int
    seconds: int
    bits: str
    aligned: bool = False


KINDS = [
    Kind("h264-30", "libx264", 30, 1920, 1080, 15, "6M"),
    Kind("h264-30-aligned", "libx264", 30, 1920, 1080, 15, "6M", True),
    Kind("h264-250", "libx264", 250, 1920, 1080, 15, "6M"),
    Kind("hevc-30", "libx265", 30, 1920, 1080, 15, "6M"),
    Kind("320x240", "libx264", 30, 320, 240, 10, "400k"),
]


def film():
    path = measure.ROOT / "build/samples/real/film.mp4"
    if not path.exists():
        import make

        make.real("film.mp4")
    return path


def command(kind, number, preset, out):
    zoom = 1.2 + number % 7 * 0.25
    x, y = number * 37 % 100 / 100, number * 61 % 100 / 100
    filters = [f"crop=iw/{zoom}:ih/{zoom}:(iw-ow)*{x}:(ih-oh)*{y}", f"scale={kind.width}:{kind.height}:flags=bicubic",
               f"hue=h={number * 47 % 360}", f"noise=alls=6:allf=t+u:all_seed={number}",
               f"setpts=N/{FPS}/TB", "format=yuv420p"]
    first = 0 if kind.aligned else 13 % kind.keyint
    keys = f"expr:eq(mod(n,{kind.keyint}),{first})"
    codec = [f"-{kind.codec[3:]}-params", "log-level=error:scenecut=0:open-gop=0"] if kind.codec == "libx265" else [
        "-sc_threshold", "0"]
    return ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-ss", f"{number * 7.31 % FILM_SECONDS:.2f}",
            "-stream_loop", "-1", "-i", film(), "-an", "-vf", ",".join(filters), "-r", str(FPS),
            "-frames:v", str(kind.seconds * FPS), "-c:v", kind.codec, "-preset", preset, "-threads", "4",
            "-g", "100000", "-forced-idr", "1", "-force_key_frames", keys, "-bf", "3", *codec,
            "-b:v", kind.bits, "-f", "mp4", out]


def made(kind, count, preset):
    """The first `count` clips of a kind; those that are missing are encoded, some at once."""
    if not shutil.which("ffmpeg"):
        sys.exit("the clips need the program ffmpeg with libx264 and libx265")
    folder = measure.CACHE / "gpu" / f"{kind.name}-{preset}"
    folder.mkdir(parents=True, exist_ok=True)

    def one(number):
        path = folder / f"{number:04}.mp4"
        if not path.exists():
            part = path.with_suffix(".part")
            subprocess.run(command(kind, number, preset, part), check=True)
            part.rename(path)
        return path

    with ThreadPoolExecutor(max(1, os.cpu_count() // 3)) as pool:
        return list(pool.map(one, range(count)))

"""The clips of bench_gpu.py: real film with other crops in each, encoded once.

Made with the program ffmpeg (./dev bundle --with-encoders builds one) and kept under build/bench/gpu.
`off`: the first key frame comes 13 frames in, so none falls on a half second, as in most real films;
`aligned`: one a second and on the grid, which flatters a decoder that may jump from one to the next.

Encoding 512 clips takes ten minutes on 16 cores, so fewer films are encoded, cut into their groups of
pictures, and each clip is put together of groups of other films, without encoding again. The first clips are
these films, which have no pictures in common. Every other clip has a sequence of pictures of its own; a
single group occurs in several clips at the same place, always beside others. So hashes find many of
them to share pictures, which real footage does not.
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
    films: int
    aligned: bool = False


KINDS = [
    Kind("h264-30", "libx264", 30, 1920, 1080, 15, "6M", 24),
    Kind("h264-30-aligned", "libx264", 30, 1920, 1080, 15, "6M", 24, True),
    Kind("h264-250", "libx264", 250, 1920, 1080, 15, "6M", 12),
    Kind("hevc-30", "libx265", 30, 1920, 1080, 15, "6M", 8),
    Kind("320x240", "libx264", 30, 320, 240, 10, "400k", 24),
]


def film():
    path = measure.ROOT / "build/samples/real/film.mp4"
    if not path.exists():
        import make

        make.real("film.mp4")
    return path


def first_keys(kind):
    """Frame numbers at which a group of pictures begins, the one at 0 left out."""
    first = kind.keyint if kind.aligned else 13
    return list(range(first, kind.seconds * FPS, kind.keyint))


def encode(kind, number, preset, folder):
    """A film's groups of pictures, as the files folder/NUMBER-GROUP.mp4."""
    zoom = 1.2 + number % 7 * 0.25
    x, y = number * 37 % 100 / 100, number * 61 % 100 / 100
    filters = [f"crop=iw/{zoom}:ih/{zoom}:(iw-ow)*{x}:(ih-oh)*{y}",
               f"scale={kind.width}:{kind.height}:flags=bicubic", f"setsar=1,setpts=N/{FPS}/TB", "format=yuv420p"]
    codec = ["-x265-params", "log-level=error:scenecut=0:open-gop=0:pools=2:frame-threads=2"] \
        if kind.codec == "libx265" else ["-sc_threshold", "0", "-b_strategy", "0", "-flags", "+cgop"]
    keys = ",".join(map(str, first_keys(kind)))
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-ss", f"{number * 7.31 % FILM_SECONDS:.2f}",
                    "-stream_loop", "-1", "-i", film(), "-an", "-vf", ",".join(filters), "-r", str(FPS),
                    "-frames:v", str(kind.seconds * FPS), "-c:v", kind.codec, "-preset", preset, "-threads", "2",
                    "-g", "100000", "-forced-idr", "1", "-force_key_frames",
                    "expr:" + "+".join(f"eq(n,{key})" for key in first_keys(kind)), "-bf", "3", *codec,
                    "-b:v", kind.bits, "-f", "segment", "-segment_frames", keys, "-segment_format", "mp4",
                    "-reset_timestamps", "1", folder / f"{number}-%d.mp4"], check=True)


def order_of(number, n_groups, films):
    """The film of each group of a clip: first the films, then another order for each of up to films ** 3 clips."""
    if number < films:
        return [number] * n_groups
    first, second, third = number % films, number // films % films, number // films ** 2
    return [(first + k * (second + 1) + k * k * third) % films for k in range(n_groups)]


def join(kind, number, films, out):
    """Clip NUMBER: its groups are those of order_of()."""
    keys = [0, *first_keys(kind), kind.seconds * FPS]
    groups = [(out.parent / f"films/{film}-{k}.mp4", (keys[k + 1] - keys[k]) / FPS)
              for k, film in enumerate(order_of(number, len(keys) - 1, films))]
    part, order = out.with_suffix(".part"), out.with_suffix(".txt")
    order.write_text("".join(f"file '{path}'\nduration {seconds:.6f}\n" for path, seconds in groups))
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "concat", "-safe", "0", "-i", order,
                    "-c", "copy", "-f", "mp4", part], check=True)
    order.unlink()
    part.rename(out)


def made(kind, count, preset):
    """The first `count` clips of a kind; those that are missing are made, some at once."""
    if not shutil.which("ffmpeg"):
        sys.exit("the clips need the program ffmpeg with libx264 and libx265")
    folder = measure.CACHE / "gpu" / f"{kind.name}-{preset}-{count}"
    (folder / "films").mkdir(parents=True, exist_ok=True)
    films = min(kind.films, count)
    paths = [folder / f"{number:04}.mp4" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if missing:
        with ThreadPoolExecutor(max(1, os.cpu_count() * 3 // 4)) as pool:
            list(pool.map(lambda number: encode(kind, number, preset, folder / "films"), range(films)))
            list(pool.map(lambda number: join(kind, number, films, paths[number]), missing))
    shutil.rmtree(folder / "films")
    return paths

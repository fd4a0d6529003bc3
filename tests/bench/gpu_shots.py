"""Cutting a long film at its shots on a GPU, for bench_gpu.py --shots.

The film is the clips of gpu_clips.py one after the other, again and again, without encoding anything again.
"""
import json
import os
import subprocess
import time

import measure
from server import BINARY

DUMP = measure.ROOT / "build/release/tests/clip/shots_dump"


def long_film(paths, clip_s, film_s):
    """A file of at least film_s seconds, kept beside the clips."""
    out = paths[0].parent / f"film-{film_s}.mp4"
    if not out.exists():
        order, part = out.with_suffix(".txt"), out.with_suffix(".part")
        n = -(-film_s // clip_s)
        order.write_text("".join(f"file '{paths[i % len(paths)]}'\n" for i in range(n)))
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "concat", "-safe", "0", "-i", order,
                        "-c", "copy", "-f", "mp4", part], check=True)
        order.unlink()
        part.rename(out)
    return out


def predicted(film, device):
    """Pictures a second of decoding all of the film and running TransNet V2, and where its shots end."""
    run = subprocess.run([DUMP, measure.MODELS, film, "shots", device], capture_output=True, text=True, check=True)
    told = json.loads(run.stdout)
    return len(told["frames"]) / told["seconds"], [end for _, end in told["spans"]]


def embedded_s(film, package):
    """Seconds of `vidx embed --clip shots` of the film alone, and its clips. The models are loaded within."""
    models, output, folder = (measure.scratch(name) for name in ("shots-models", "shots-out", "shots-in"))
    for source in (package, measure.MODELS / "transnetv2"):
        (models / source.name).symlink_to(source.resolve())
    os.link(film, folder / film.name)
    start = time.perf_counter()
    subprocess.run([BINARY, "embed", "--input", folder, "--output", output, "--models", models, "--model", package.name,
                    "--clip", "shots", "--device", "cuda:0", "--fingerprints", "frames", "--quiet"], check=True)
    seconds = time.perf_counter() - start
    return seconds, sum(1 for _ in open(output / "clips.jsonl", encoding="utf-8"))

"""Durable uploads over HTTP beside a plain loop that writes and syncs the same files.

An upload counts when its 201 has arrived: the file and its row are on disk, the video is decoded,
fingerprinted and searchable. The loop only opens, writes and calls fsync. Both have 16 in flight,
the same files, the same disk. The files are half a second of film, different in each, and a box of
random bytes that makes them 5 MB; the model is the small one of the tests, so that what is measured
is everything around a model.
"""
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import av
import clips
import make as samples
import measure
from server import Server

N_FILES, FILE_BYTES, AT_ONCE, FRAMES_EACH = 96, 5_000_000, 16, 12


def pieces_of_film(n):
    """n different half seconds of the film, as MP4 files in memory."""
    paths = []
    with av.open(str(samples.real("film.mp4"))) as source:
        frames = source.decode(video=0)
        for i in range(n):
            path = measure.CACHE / "piece.mp4"
            with av.open(str(path), "w") as out:
                stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
                stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
                for number in range(FRAMES_EACH):
                    frame = next(frames)
                    frame.pts, frame.pict_type = number, 0
                    out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
            paths.append(path.read_bytes())
            path.unlink()
    return paths


def make_files():
    folder = measure.scratch("files")
    for i, piece in enumerate(pieces_of_film(N_FILES)):
        filler = clips.free_box(os.urandom(FILE_BYTES - len(piece) - 8))
        (folder / f"{i:03}.mp4").write_bytes(piece + filler)
    return sorted(folder.iterdir())


def write_and_sync(paths):
    folder = measure.scratch("written")
    os.sync()

    def write(path):
        data = path.read_bytes()
        fd = os.open(folder / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.perf_counter()
        list(pool.map(write, paths))
        return len(paths) / (time.perf_counter() - start)


def upload(paths, form):
    models = measure.ROOT / "build/models-test"
    data = measure.scratch("data")
    listing = measure.CACHE / "curl.txt"
    with Server(data, models) as server:
        target = f"{server.url}/v1/videos"
        listing.write_text("\nnext\n".join(
            (f'url = "{target}"\nform = "file=@{p}"\n' if form else
             f'url = "{target}/{p.name}"\nupload-file = "{p}"\n') +
            'output = /dev/null\nsilent\nwrite-out = "%{http_code}\\n"' for p in paths))
        os.sync()
        start = time.perf_counter()
        run = subprocess.run(["curl", "-sZ", "--parallel-max", str(AT_ONCE), "-K", listing],
                             capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
        stats = server.get("/v1/stats").json()["ingest"]
    assert run.stdout.split() == ["201"] * len(paths), run.stdout
    upload.phases = {name: phase["total_s"] for name, phase in stats["phases"].items()}
    return len(paths) / seconds


def main(rounds):
    subprocess.run([sys.executable, measure.ROOT / "tests/testmodel/make.py", "--output",
                    measure.ROOT / "build/models-test"], check=True)
    paths = make_files()
    loop, put, form = measure.alternate(rounds, lambda: write_and_sync(paths),
                                        lambda: upload(paths, False), lambda: upload(paths, True))
    for folder in ("files", "written", "data"):
        measure.scratch(folder)
    print(f"Durable uploads of {FILE_BYTES / 1e6:.0f} MB, {AT_ONCE} at once, files per second")
    measure.line("write and fsync in a loop", measure.spread(loop, 1))
    for name, rates in (("curl -T", put), ("curl -F", form)):
        ratio = statistics.median(a / b for a, b in zip(rates, loop))
        measure.line(f"vidx, {name}", measure.spread(rates, 1), f"{ratio:.2f} of the loop")
    print("  seconds in each phase, all uploads added:",
          ", ".join(f"{k} {v:.2f}" for k, v in upload.phases.items() if v > 0.005))

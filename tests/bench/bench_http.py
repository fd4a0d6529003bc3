"""Durable uploads over HTTP beside a plain loop that writes and syncs the same files, and beside a
bare receiver (bare_receiver.c) that only hashes and stores them: what any server could reach here.

An upload counts when its 201 has arrived: the file and its row are on disk, the video is decoded,
fingerprinted and searchable. The loop only opens, writes and calls fsync. Both have 16 in flight,
the same files, the same disk. The files are half a second of film, different in each, and a box of
random bytes that makes them 5 MB; the model is the small one of the tests, so that what is measured
is everything around a model.

The loop has no client, so ours is as cheap as we could make it: one process, 16 connections that are
kept, sendfile. It takes some 2 ms of processor time an upload, curl took 3.
"""
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

import make as samples
import measure
import tools
from client import send_all
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
        filler = measure.free_box(os.urandom(FILE_BYTES - len(piece) - 8))
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


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(paths, url, pid, form):
    """Files per second, and milliseconds of the server's processor time for each."""
    os.sync()
    before = processor_seconds(pid)
    seconds = send_all(url, paths, AT_ONCE, form)
    return len(paths) / seconds, 1e3 * (processor_seconds(pid) - before) / len(paths)


def upload(paths, form):
    with Server(measure.scratch("data"), measure.ROOT / "build/models-test") as server:
        rate, upload.cpu_ms = measured(paths, server.url, server.process.pid, form)
        stats = server.get("/v1/stats").json()["ingest"]
    upload.phases = {name: phase["total_s"] for name, phase in stats["phases"].items()}
    return rate


def receive_bare(paths):
    program = tools.path("bench/bare_receiver")
    with subprocess.Popen([program, measure.scratch("bare")], stdout=subprocess.PIPE) as process:
        try:
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            rate, receive_bare.cpu_ms = measured(paths, url, process.pid, False)
        finally:
            process.kill()
    return rate


def main(rounds):
    subprocess.run([sys.executable, measure.ROOT / "tests/testmodel/make.py", "--output",
                    measure.ROOT / "build/models-test"], check=True)
    paths = make_files()
    loop, bare, put, form = measure.alternate(
        rounds, lambda: write_and_sync(paths), lambda: receive_bare(paths),
        lambda: upload(paths, False), lambda: upload(paths, True))
    for folder in ("files", "written", "bare", "data"):
        measure.scratch(folder)
    print(f"Durable uploads of {FILE_BYTES / 1e6:.0f} MB, {AT_ONCE} at once, files per second")
    measure.line("write and fsync in a loop", measure.spread(loop, 1))
    for name, rates in (("a bare receiver", bare), ("vidx, PUT, the file as the body", put),
                        ("vidx, POST, multipart/form-data", form)):
        of_loop, of_bare = (statistics.median(a / b for a, b in zip(rates, other))
                            for other in (loop, bare))
        measure.line(name, measure.spread(rates, 1),
                     f"{of_loop:.2f} of the loop, {of_bare:.2f} of the receiver")
    print(f"  processor time of the server, ms an upload: {upload.cpu_ms:.1f}, "
          f"of the receiver: {receive_bare.cpu_ms:.1f}")
    print("  seconds in each phase, all uploads added:",
          ", ".join(f"{k} {v:.2f}" for k, v in upload.phases.items() if v > 0.005))

"""Videos to searchable vectors: vidx beside the same job written in Python, clips per second.

Like is compared with like, each both with fingerprints and without: Python keeps vectors (and
hashes) in memory, vidx also stores the bytes durably, hashes more pictures than each half second's
and looks for copies. Both start with the model loaded and warm, and get files that are in the page
cache.
"""
import json
import statistics
import subprocess
import sys
import time

import clips
import measure
from server import Server

PACKAGE = measure.MODELS / measure.DEFAULT_MODEL
CLIPS_A_ROUND = 8


class PythonSide:
    def __init__(self, warm_up):
        script = measure.ROOT / "tests/bench/python_pipeline.py"
        self.process = subprocess.Popen([sys.executable, script, PACKAGE], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.run(warm_up)

    def run(self, paths, fingerprints=True):
        job = {"paths": [str(p) for p in paths], "fingerprints": fingerprints}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def uploads(paths, flags=()):
    """One round of vidx serve with an empty catalog: seconds, and seconds of each phase."""
    data = measure.scratch("data")
    with Server(data, measure.MODELS, measure.DEFAULT_MODEL, flags) as server:
        command = ["curl", "-sZ", "--parallel-max", str(len(paths))]
        for path in paths:
            command += ["-o", "/dev/null", "-w", "%{http_code}\n", "-T", path,
                        f"{server.url}/v1/videos/{path.name}"]
        start = time.perf_counter()
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        assert run.stdout.split() == ["201"] * len(paths), run.stdout
        stats = server.get("/v1/stats").json()
    phases = {name: phase["total_s"] for name, phase in stats["ingest"]["phases"].items()}
    return {"clips": len(paths), "seconds": seconds, **phases,
            "decoded": stats["ingest"]["frames_decoded"] / stats["ingest"]["frames_total"]}


def rate(result):
    return result["clips"] / result["seconds"]


def per_clip(results, names):
    return ", ".join(f"{name} {statistics.median(r[name] / r['clips'] for r in results):.3f}"
                     for name in names)


def compare(keyint, rounds):
    sources = clips.full_hd(keyint)
    files = measure.distinct(sources, measure.scratch("files"), CLIPS_A_ROUND)
    python = PythonSide(files[:2])
    plain, hashed, same, full = measure.alternate(
        rounds, lambda: python.run(files, False), lambda: python.run(files),
        lambda: uploads(files, ["--fingerprints", "off"]), lambda: uploads(files))
    python.close()
    print(f"15 s of 1080p H.264, a keyframe every {keyint} frames, "
          f"{files[0].stat().st_size / 1e6:.1f} MB: clips per second")
    measure.line("Python, without fingerprints", measure.spread([rate(r) for r in plain]))
    measure.line("Python", measure.spread([rate(r) for r in hashed]))
    for name, results in (("vidx, without fingerprints", same), ("vidx", full)):
        likes = [statistics.median(rate(a) / rate(b) for a, b in zip(results, theirs))
                 for theirs in (plain, hashed)]
        measure.line(name, measure.spread([rate(r) for r in results]),
                     f"{likes[0]:.2f} x Python without, {likes[1]:.2f} x Python with fingerprints, "
                     f"{results[0]['decoded']:.0%} of the pictures decoded")
    print("  seconds a clip in each phase, waiting for a core included")
    print("    Python:", per_clip(hashed, ("frames", "prepare", "hash", "embed")))
    print("    vidx:  ", per_clip(full, ("RECEIVE", "PROBE", "FRAMES", "PREPARE", "EMBED",
                                         "COMMIT")))


def main(rounds):
    for keyint in (30, 250):
        compare(keyint, rounds)

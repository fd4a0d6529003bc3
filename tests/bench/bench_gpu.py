"""Videos to vectors on a GPU, and what bounds each row.

    VIDX_GPU_MODELS=build/models-gpu ./dev bench gpu [--clips 512] [--seconds 60] [--preset medium]

One table, and the same as JSON in build/bench/gpu.json. For each kind of clip (gpu_clips.py):

  embed      `vidx embed` over files in place, fingerprints on
  decoding   the same with the tiny model of the tests, with and without fingerprints: what is left when
             the model costs nothing, so the ceiling of decoding and preparing
  http       PUT /v1/videos, 32 at a time: durable, searchable, with a verdict
  python     PyNvVideoCodec and the same TorchScript, where that wheel is installed

Beside them the disk's rate of writing and syncing files of that size, the model alone (clips a second of
GPU time), one clip at a time, and texts. The rate of `embed` is a slope: a run with all clips and a run
with a few, so that loading the model does not count. Clips repeat, with other bytes, until a run takes
`--seconds`. What bounds a row is what was busiest: the processors, the GPU, NVDEC or the disk.
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path

import clips
import gpu_clips
import gpu_requests
import measure
from client import send_all
from server import BINARY, Server

MODELS = Path(os.environ.get("VIDX_GPU_MODELS", measure.ROOT / "build/models-gpu"))
TINY = measure.ROOT / "build/models-test"
AT_ONCE, FEW = 32, 16


class Load(threading.Thread):
    """What share of the processors, the GPU and NVDEC was busy while a `with` ran."""

    def __enter__(self):
        self.samples, self.ended, self.before = [], threading.Event(), self.cpu_s()
        self.start_s = time.perf_counter()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    @staticmethod
    def cpu_s():
        """Of the whole machine: a server is no child that has ended."""
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice, system, *_ = map(int, stat.readline().split()[1:])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK")

    def run(self):
        query = ["nvidia-smi" if shutil.which("nvidia-smi") else "false", "--query-gpu=utilization.gpu,utilization.decoder", "--format=csv,noheader,nounits"]
        while not self.ended.wait(1):
            done = subprocess.run(query, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                self.samples.append([float(word) if word.strip().isdigit() else 0 for word in
                                     done.stdout.splitlines()[0].split(",")])
        seconds = time.perf_counter() - self.start_s
        self.shares = {"processors": (self.cpu_s() - self.before) / seconds / os.cpu_count()}
        for i, name in enumerate(("gpu", "nvdec")):
            self.shares[name] = statistics.mean(sample[i] for sample in self.samples) / 100 if self.samples else 0


def bound(shares):
    name = max(shares, key=shares.get)
    text = ", ".join(f"{key} {value:.0%}" for key, value in shares.items())
    return f"{name if shares[name] >= 0.75 else 'none of them (waiting)'}: {text}"


def disk_mb_s(paths):
    """Bytes a second that AT_ONCE threads write and sync, as the store does, in files of that size."""
    folder, data = measure.scratch("disk"), paths[0].read_bytes()
    todo = iter(range(max(64, min(len(paths), 256))))
    lock, written = threading.Lock(), []

    def work():
        while True:
            with lock:
                number = next(todo, None)
            if number is None:
                return
            with open(folder / str(number), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            written.append(len(data))

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(written) / (time.perf_counter() - start) / 1e6
    measure.scratch("disk")
    return rate


def embed_s(paths, models, name, flags):
    output = measure.scratch("embedded")
    start = time.perf_counter()
    subprocess.run([BINARY, "embed", "--input", paths[0].parent, "--output", output, "--models", models, "--model", name,
                    "--clip", "whole", "--quiet", *flags], check=True)
    return time.perf_counter() - start


def embed(paths, models, name, seconds, flags=()):
    """Clips a second of `vidx embed`, and the load. The first run says how many clips fill `seconds`."""
    few = embed_s(clips.distinct(paths[:FEW], measure.scratch("few"), FEW), models, name, flags)
    some = embed_s(clips.distinct(paths, measure.scratch("files"), len(paths)), models, name, flags)
    rate = (len(paths) - FEW) / max(some - few, 1e-3) if len(paths) > FEW else len(paths) / some
    count = max(len(paths), int(rate * seconds), 4 * FEW)
    many = clips.distinct(paths, measure.scratch("files"), count)
    with Load() as load:
        took = embed_s(many, models, name, flags)
    return {"clips_per_s": (count - FEW) / max(took - few, 1e-3), "clips": count, "bound": bound(load.shares)}


def phases_of(before, after, count):
    return {name: (phase["total_s"] - before["ingest"]["phases"][name]["total_s"]) / count
            for name, phase in after["ingest"]["phases"].items()}


def http(paths, models, name, rate, seconds, disk):
    """Clips a second through HTTP, seconds a clip in each phase, and the model alone."""
    count = max(len(paths), int(rate * seconds))
    many = clips.distinct(paths, measure.scratch("files"), count)
    size = statistics.mean(path.stat().st_size for path in paths)
    with Server(measure.scratch("data"), models, name, ["--clip", "whole"]) as server:
        send_all(server.url, clips.distinct(paths[:8], measure.scratch("warm"), 8), 8)
        before = server.get("/v1/stats").json()
        with Load() as load:
            took = send_all(server.url, many, AT_ONCE)
        after = server.get("/v1/stats").json()
    rate = count / took
    busy = after["models"][name]["busy_s"] - before["models"][name]["busy_s"]
    runs = after["models"][name]["batches"] - before["models"][name]["batches"]
    shares = load.shares | {"disk": rate * size / 1e6 / disk, "model": busy / took}
    return {"clips_per_s": rate, "clips": count, "bound": bound(shares), "phases_s": phases_of(before, after, count),
            "model_clips_per_s": count / busy if busy else None, "clips_a_run": count / runs if runs else None}


def row(table, kind, way, result):
    table.append({"kind": kind, "way": way} | result)
    note = result.get("bound", result.get("note", ""))
    value = result.get("clips_per_s")
    measure.line(f"{kind}, {way}", "-" if value is None else f"{value:.1f}", note)
    if phases := result.get("phases_s"):
        print("    seconds a clip, waiting included: " +
              ", ".join(f"{key} {value:.3f}" for key, value in phases.items() if value >= 0.001), flush=True)


def python(paths, package):
    try:
        import gpu_python
    except ImportError as error:
        return {"clips_per_s": None, "note": f"not measured: {error}"}
    return {"clips_per_s": gpu_python.clips_per_s(paths, package)}


def one_kind(table, kind, name, options):
    paths = gpu_clips.made(kind, options.clips, options.preset)
    disk = disk_mb_s(paths)
    measure.line(f"{kind.name}, disk", f"{disk:.0f} MB/s", "write and fsync, 32 at once")
    table.append({"kind": kind.name, "way": "disk", "mb_per_s": disk})
    decoding = embed(paths, TINY, "tiny", options.seconds, ["--fingerprints", "off"])
    row(table, kind.name, "decoding, no fingerprints", decoding)
    row(table, kind.name, "decoding", embed(paths, TINY, "tiny", options.seconds))
    files = embed(paths, MODELS, name, options.seconds)
    row(table, kind.name, f"embed, {name}", files)
    served = http(paths, MODELS, name, files["clips_per_s"], options.seconds, disk)
    row(table, kind.name, f"http, {name}", served)
    row(table, kind.name, f"model alone, {name}", {"clips_per_s": served["model_clips_per_s"],
                                                   "note": f"{served['clips_a_run'] or 0:.1f} clips a run"})
    row(table, kind.name, "python", python(paths, MODELS / name))


def main(options):
    names = sorted(path.parent.name for path in MODELS.glob("*/manifest.json"))
    if not names:
        raise SystemExit(f"no model package in {MODELS}: tests/gpu/packages.py makes some")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    table = []
    for kind in gpu_clips.KINDS:
        if not options.kind or kind.name in options.kind:
            one_kind(table, kind, names[0], options)
    for name in names[1:]:
        paths = gpu_clips.made(gpu_clips.KINDS[0], options.clips, options.preset)
        row(table, gpu_clips.KINDS[0].name, f"embed, {name}", embed(paths, MODELS, name, options.seconds))
    for name in names:
        table += gpu_requests.measured(MODELS, name, gpu_clips.made(gpu_clips.KINDS[0], 1, options.preset)[0])
    out = measure.CACHE / "gpu.json"
    out.write_text(json.dumps({"clips": options.clips, "seconds": options.seconds, "preset": options.preset,
                               "rows": table}, indent=1) + "\n")
    print(f"written to {out}")

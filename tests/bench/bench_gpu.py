"""Videos to vectors on a GPU, and what bounds each row.

    VIDX_GPU_MODELS=build/models-gpu ./dev bench gpu [--clips 512] [--seconds 60] [--preset superfast]

One table, and the same as JSON in build/bench/gpu.json. For each kind of clip (gpu_clips.py):

  ceiling    NVDEC alone on the same files, every decoded picture read on the card once: the 8 frames that
             the model sees (spread), and a picture each half second (grid)
  embed      `vidx embed` over files in place, with --fingerprints frames and full, and --evidence off (see http)
  decoding   the same with the tiny model of the tests: what is left when the model costs nothing
  http       PUT /v1/videos, 64 at a time: durable, searchable, with a verdict; --fingerprints frames. Once
             without looking at the pictures of what hashes match (--evidence off), for these clips share
             pictures (gpu_clips.py) and real footage does not, and once with it
  python     PyNvVideoCodec and the same TorchScript, where that wheel is installed

`--cards` measures only `embed` on one GPU and on all of them. `--shots` only: every picture decoded and cut by
TransNet V2 (pictures a second, beside NVDEC alone), and `vidx embed --clip shots` of a film of `--film-seconds`.

Beside them the disk's rate of writing and syncing files of that size, the model alone (clips a second of
GPU time), one clip at a time, and texts. The rate of `embed` is a slope: a run with all clips and a run
with a few, so that loading the model does not count. Clips repeat, with other bytes, until a run takes
`--seconds`. What bounds a row is what was busiest: the processors, the GPU, NVDEC or the disk; `trace` in the
JSON has their load four times a second. Below a row of `embed` stands what went on side by side (overlap.py); the
trace itself stays in the folder of the bench.
"""
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path

import gpu_clips
import gpu_requests
import gpu_shots
import measure
import overlap
from client import send_all
from server import BINARY, Server

MODELS = Path(os.environ.get("VIDX_GPU_MODELS", measure.ROOT / "build/models-gpu"))
TINY = measure.ROOT / "build/models-test-cuda"
DISK_THREADS, UPLOADS, FEW = 32, 64, 16


class Load(threading.Thread):
    """What share of the processors, the GPU and NVDEC was busy while a `with` ran; `trace` has samples
    [seconds, processors, gpu, nvdec]."""

    def __enter__(self):
        self.trace, self.start_s, before = [], time.perf_counter(), self.cpu_s()
        self.first = (self.start_s, before)
        query = ["nvidia-smi", "--query-gpu=utilization.gpu,utilization.decoder", "--format=csv,noheader,nounits",
                 "-i", "0", "-lms", "250"]
        self.process = subprocess.Popen(query if shutil.which("nvidia-smi") else ["true"], stdout=subprocess.PIPE,
                                        text=True)
        self.start()
        return self

    def __exit__(self, *_):
        (start_s, before), end_s = self.first, time.perf_counter()
        self.shares = {"processors": (self.cpu_s() - before) / (end_s - start_s) / os.cpu_count()}
        self.process.kill()
        self.process.wait()
        self.join()
        for i, name in enumerate(("gpu", "nvdec"), 2):
            self.shares[name] = statistics.mean(row[i] for row in self.trace) if self.trace else 0

    @staticmethod
    def cpu_s():
        """Of the whole machine: a server is no child that has ended."""
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice, system, *_ = map(int, stat.readline().split()[1:])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK")

    def run(self):
        last_s, last = self.first
        for line in self.process.stdout:
            now_s, now = time.perf_counter(), self.cpu_s()
            gpu = [float(word) / 100 if word.strip().isdigit() else 0 for word in line.split(",")]
            if now_s - last_s > 0.05 and len(gpu) == 2:
                busy = (now - last) / (now_s - last_s) / os.cpu_count()
                self.trace.append([round(value, 3) for value in (now_s - self.start_s, busy, *gpu)])
                last_s, last = now_s, now


def bound(shares):
    name = max(shares, key=shares.get)
    text = ", ".join(f"{key} {value:.0%}" for key, value in shares.items())
    return f"{name if shares[name] >= 0.75 else 'none of them (waiting)'}: {text}"


def disk_mb_s(paths):
    """Bytes a second that DISK_THREADS threads write and sync, as the store does, in files of that size."""
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

    threads = [threading.Thread(target=work) for _ in range(DISK_THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(written) / (time.perf_counter() - start) / 1e6
    measure.scratch("disk")
    return rate


def embed_s(paths, models, name, flags, device="cuda:0"):
    output = measure.scratch("embedded")
    start = time.perf_counter()
    subprocess.run([BINARY, "embed", "--input", paths[0].parent, "--output", output, "--models", models, "--model", name,
                    "--clip", "whole", "--device", device, "--evidence", "off", "--quiet", *flags], check=True)
    return time.perf_counter() - start


def embed(paths, models, name, seconds, flags=(), device="cuda:0"):
    """Clips a second of `vidx embed`, and the load."""
    few = embed_s(measure.distinct(paths[:FEW], measure.scratch("few"), FEW, changed=True), models, name, flags, device)
    count = len(paths)
    while True:
        many = measure.distinct(paths, measure.scratch("files"), count)
        trace = measure.scratch("trace") / "embed.json"
        with Load() as load:
            took = embed_s(many, models, name, [*flags, "--trace", trace], device)
        rate = (count - FEW) / max(took - few, 1e-3)
        if took - few >= 0.8 * seconds or count >= 20 * len(paths):
            return {"clips_per_s": rate, "clips": count, "seconds": took - few, "bound": bound(load.shares),
                    "trace": load.trace, "overlap": overlap.shares(trace)}
        count = max(count + 1, int(rate * seconds))


def ceiling(paths, wanted, seconds):
    """NVDEC alone: clips a second, and pictures fed a clip."""
    check = measure.ROOT / "build/release/tests/gpu/nvdec_check"
    codec = "28" if "hevc" in str(paths[0]) else "14"
    if not check.exists():
        return {"clips_per_s": None, "note": "nvdec_check is not built"}
    run = subprocess.run([check, "bench", "24", codec, str(min(seconds, 4)), wanted, *paths[:64]],
                         capture_output=True, text=True, check=False)
    found = re.search(r"([\d.]+) clips/s +([\d.]+) pictures/s, fed +([\d.]+)", run.stdout)
    if not found or "refused" in run.stderr:
        return {"clips_per_s": None, "note": (run.stdout + run.stderr)[-200:].strip() or f"status {run.returncode}"}
    rate, pictures, fed = map(float, found.groups())
    return {"clips_per_s": rate, "note": f"{pictures:.0f} pictures a second, {fed:.0f} a clip"}


def phases_of(before, after, count):
    return {name: (phase["total_s"] - before["ingest"]["phases"][name]["total_s"]) / count
            for name, phase in after["ingest"]["phases"].items()}


def http(paths, models, name, rate, seconds, disk, evidence):
    """Clips a second through HTTP, seconds a clip in each phase, and the model alone."""
    count = max(len(paths), int(rate * seconds))
    many = measure.distinct(paths, measure.scratch("files"), count)
    size = statistics.mean(path.stat().st_size for path in paths)
    flags = ["--clip", "whole", "--fingerprints", "frames", "--evidence", evidence]
    with Server(measure.scratch("data"), models, name, flags) as server:
        send_all(server.url, measure.distinct(paths[:FEW], measure.scratch("warm"), UPLOADS, changed=True), UPLOADS)
        before = server.get("/v1/stats").json()
        with Load() as load:
            took = send_all(server.url, many, UPLOADS)
        after = server.get("/v1/stats").json()
    rate = count / took
    busy = after["models"][name]["busy_s"] - before["models"][name]["busy_s"]
    runs = after["models"][name]["batches"] - before["models"][name]["batches"]
    shares = load.shares | {"disk": rate * size / 1e6 / disk, "model": busy / took}
    return {"clips_per_s": rate, "clips": count, "bound": bound(shares), "phases_s": phases_of(before, after, count), "trace": load.trace,
            "decoded_by": after["ingest"].get("decoded"),
            "model_clips_per_s": count / busy if busy else None, "clips_a_run": count / runs if runs else None}


def row(table, kind, way, result):
    table.append({"kind": kind, "way": way} | result)
    note = result.get("bound", result.get("note", ""))
    value = result.get("clips_per_s")
    measure.line(f"{kind}, {way}", "-" if value is None else f"{value:.1f}", note)
    if "overlap" in result:
        print("    " + overlap.text(result["overlap"]), flush=True)
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
    rows = {"frames": ("spread", ["--fingerprints", "frames"]), "full": ("grid", ["--fingerprints", "full"])}
    for mode in options.mode or rows:
        wanted, flags = rows[mode]
        row(table, kind.name, f"ceiling, {wanted}", ceiling(paths, wanted, options.seconds))
        if not options.no_decoding:
            row(table, kind.name, f"decoding, {mode}",
                embed(paths, TINY, "tiny", options.seconds, flags))
        row(table, kind.name, f"embed, {mode}, {name}", embed(paths, MODELS, name, options.seconds, flags))
    rate = table[-1]["clips_per_s"]
    if kind is gpu_clips.KINDS[0]:
        row(table, kind.name, "python", python(paths, MODELS / name))
    if options.no_http:
        return
    served = http(paths, MODELS, name, rate, options.seconds, disk, "off")
    row(table, kind.name, f"http, frames, {name}", served)
    if kind is gpu_clips.KINDS[0]:
        looked = http(paths, MODELS, name, rate / 4, options.seconds, disk, "fast")
        row(table, kind.name, f"http, frames, --evidence fast, {name}", looked)
    row(table, kind.name, f"model alone, {name}", {"clips_per_s": served["model_clips_per_s"],
                                                   "note": f"{served['clips_a_run'] or 0:.1f} clips a run"})


def cards(table, kind, name, options):
    """One GPU and all of them, in turn."""
    paths = gpu_clips.made(kind, options.clips, options.preset)
    flags, rates = ["--fingerprints", "frames"], {"cuda:0": [], "all": []}
    for device in ("cuda:0", "all", "cuda:0", "all"):
        result = embed(paths, MODELS, name, options.seconds, flags, device)
        row(table, kind.name, f"embed, frames, {name}, --device {device}", result)
        rates[device].append(result["clips_per_s"])
    one, all_of_them = (statistics.median(rates[device]) for device in ("cuda:0", "all"))
    measure.line(f"{kind.name}, all GPUs to one", f"{all_of_them / one:.2f} x")


def shots(table, kind, name, options):
    paths = gpu_clips.made(kind, options.clips, options.preset)
    film = gpu_shots.long_film(paths, kind.seconds, options.film_seconds)
    result = ceiling(paths, "all", options.seconds)
    row(table, kind.name, "ceiling, all", result)
    gpu_shots.predicted(paths[0], "cuda:0")  # kernels are loaded
    rate, ends = gpu_shots.predicted(film, "cuda:0")
    measure.line(f"{kind.name}, shots", f"{rate:.0f} pictures/s", f"{len(ends)} shots")
    short = gpu_shots.long_film(paths, kind.seconds, 2 * kind.seconds)
    same = gpu_shots.predicted(short, "cuda:0")[1] == gpu_shots.predicted(short, "cpu")[1]
    measure.line(f"{kind.name}, shots of two clips", "those of the CPU" if same else "OTHERS than those of the CPU")
    seconds, clips = gpu_shots.embedded_s(film, MODELS / name)
    measure.line(f"{kind.name}, embed --clip shots, {name}", f"{seconds:.1f} s",
                 f"{options.film_seconds} s of film, {clips} clips, loading the models included")
    table.append({"kind": kind.name, "way": "shots", "pictures_per_s": rate, "shots": len(ends), "as_on_cpu": same,
                  "film_s": options.film_seconds, "embed_s": seconds, "clips": clips})


def save(table, options):
    out = measure.CACHE / "gpu.json"
    out.write_text(json.dumps({"clips": options.clips, "seconds": options.seconds, "preset": options.preset,
                               "rows": table}, indent=1) + "\n")
    return out


def main(options):
    names = sorted(path.parent.name for path in MODELS.glob("*/manifest.json"))
    if not names:
        raise SystemExit(f"no model package in {MODELS}: tests/gpu/packages.py makes some")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kinds = [kind for kind in gpu_clips.KINDS if not options.kind or kind.name in options.kind]
    table = []
    if options.cards or options.shots:
        for part in [cards] * options.cards + [shots] * options.shots:
            part(table, kinds[0], names[0], options)
        print(f"written to {save(table, options)}")
        return
    for kind in kinds:
        one_kind(table, kind, names[0], options)
        save(table, options)
    for name in names[1:]:
        paths = gpu_clips.made(kinds[0], options.clips, options.preset)
        row(table, kinds[0].name, f"embed, frames, {name}",
            embed(paths, MODELS, name, options.seconds, ["--fingerprints", "frames"]))
    for name in names if not options.no_requests else ():
        table += gpu_requests.measured(MODELS, name, gpu_clips.made(kinds[0], options.clips, options.preset))
    print(f"written to {save(table, options)}")

"""The other side of the benchmark: vidx's job as a Python program would do it, with usual libraries.

    python tests/bench/python_pipeline.py MODEL_DIR     (a line on stdin, JSON out, for each round)

PyAV decodes, Pillow resizes, torch runs the package's TorchScript file, faiss keeps the vectors; with
fingerprints, pdqhash hashes the frame at each half second too, made small by PyAV before (512 pixels
wide, as PDQ's authors advise), and the hashes are kept.
Written to be fast: frames are chosen from packet times before decoding, only the eight that the
model wants are converted, two videos are decoded at once beside the model (PyAV, Pillow and torch
let go of Python's lock), and the decoder may use its own threads. All frames up to the last wanted
one are decoded: PyAV has no way to know which ones others depend on.
"""
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import faiss
import numpy as np
import pdqhash
import torch
from PIL import Image

FPS = 2.0
HASHED_SIZE = (512, 288)


class Pipeline:
    def __init__(self, package):
        package = Path(package)
        manifest = json.loads((package / "manifest.json").read_text())
        picture = manifest["picture"]
        self.size = (picture["width"], picture["height"])
        self.mean = np.array(picture["mean"], np.float32)
        self.std = np.array(picture["std"], np.float32)
        self.n_frames = manifest["frames"]["count"]
        torch.set_num_threads(os.cpu_count())
        self.model = torch.jit.load(str(package / self.archive(manifest)))
        self.index = faiss.IndexFlatIP(manifest["dim"])
        self.seconds = {"frames": 0.0, "prepare": 0.0, "hash": 0.0, "embed": 0.0}
        self.hashes = []

    @staticmethod
    def archive(manifest):
        """The file that vidx takes on this machine, so that both run the same model."""
        has_amx = "amx_bf16" in Path("/proc/cpuinfo").read_text()
        return next(v["file"] for v in manifest["video"]
                    if v["device"] == "cpu" and (has_amx or not v.get("needs_amx")))

    def choose(self, times):
        """Numbers of the frames nearest to each half second, and of the model's among them, spread
        over the clip."""
        times = np.sort(times)
        wanted = np.arange(0, times[-1] + 0.5 / FPS, 1 / FPS)
        right = np.searchsorted(times, wanted).clip(1, len(times) - 1)
        nearer_left = wanted - times[right - 1] <= times[right] - wanted
        chosen = np.where(nearer_left, right - 1, right)
        n, t = len(chosen), self.n_frames
        return chosen.tolist(), [int(chosen[k * (n - 1) // (t - 1)]) for k in range(t)]

    def prepare(self, frame):
        picture = frame.to_image().resize(self.size, Image.Resampling.BILINEAR)
        return (np.asarray(picture, np.float32) / 255 - self.mean) / self.std

    def hash(self, frame):
        start = time.perf_counter()
        small = frame.reformat(*HASHED_SIZE, format="rgb24", interpolation="AREA").to_ndarray()
        self.hashes.append(pdqhash.compute(small))
        self.seconds["hash"] += time.perf_counter() - start

    def read(self, path, fingerprints):
        """float32 [T, 3, H, W]"""
        start, preparing, tensor = time.perf_counter(), 0.0, []
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            times = [float(p.pts * p.time_base) for p in file.demux(stream) if p.pts is not None]
            hashed, picks = self.choose(np.array(times) - min(times))
            hashed = set(hashed) if fingerprints else set()
            last = max(picks[-1], *hashed) if hashed else picks[-1]
            file.seek(0)
            stream.thread_type = "AUTO"
            for number, frame in enumerate(file.decode(stream)):
                if number in hashed:
                    self.hash(frame)
                while len(tensor) < len(picks) and picks[len(tensor)] == number:
                    before = time.perf_counter()
                    tensor.append(self.prepare(frame))
                    preparing += time.perf_counter() - before
                if number == last:
                    break
        self.seconds["prepare"] += preparing
        self.seconds["frames"] += time.perf_counter() - start - preparing
        return np.ascontiguousarray(np.stack(tensor).transpose(0, 3, 1, 2))

    @torch.inference_mode()
    def embed(self, tensor):
        start = time.perf_counter()
        vector = self.model(torch.from_numpy(tensor)[None]).numpy()
        self.index.add(vector)
        self.seconds["embed"] += time.perf_counter() - start

    def run(self, paths, fingerprints, at_once):
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        start = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            for tensor in pool.map(self.read, paths, [fingerprints] * len(paths)):
                self.embed(tensor)
        return {"clips": len(paths), "seconds": time.perf_counter() - start, **self.seconds}


def main():
    pipeline = Pipeline(sys.argv[1])
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    for line in sys.stdin:
        print(json.dumps(pipeline.run(**json.loads(line), at_once=at_once)), flush=True)


if __name__ == "__main__":
    main()

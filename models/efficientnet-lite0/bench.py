"""Milliseconds per clip of the default model on this machine, one variant after the other.

    build/venv/bin/python models/efficientnet-lite0/bench.py

The published network is timed in Python, the package's variants in vidx's own worker (the tool
tests/model/embed_clips of any build folder). Each figure is the fastest of several rounds: other
work on the machine makes them larger, never smaller.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(HERE)]
from export import check_clips, published  # noqa: E402

ROUNDS = 8


def main():
    import torch

    tools = sorted(ROOT.glob("build/*/tests/model/embed_clips"), key=lambda p: p.stat().st_mtime)
    if not tools:
        raise SystemExit("build vidx first: ./dev build")
    clips = check_clips()
    net, best = published(), float("inf")
    with torch.inference_mode():
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for clip in clips:
                net.extract_features(clip).mean((0, 2, 3))
            best = min(best, (time.perf_counter() - start) / len(clips))
    print(f"published network, eager, {torch.get_num_threads()} threads: {best * 1000:.1f} ms/clip")
    for dtype in ("fp32", "bf16"):
        run = subprocess.run(
            [tools[-1], ROOT / "build/models", "efficientnet-lite0", "cpu", dtype, str(ROUNDS)],
            input=clips.numpy().tobytes(), capture_output=True, check=True)
        facts = json.loads(run.stderr)
        print(f"package, {dtype}: {facts['clip_ms']} ms/clip, opened in {facts['open_ms']} ms")


if __name__ == "__main__":
    main()

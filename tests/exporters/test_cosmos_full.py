"""Cosmos-Embed1 224p at its full size, random weights: exported whole and run by vidx.

Takes some five minutes of two cores, 10 GiB of memory and 8 GB of disk, so it is no part of a plain
./dev test.
"""
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
NAME = "cosmos-embed1-224p"
sys.path[:0] = [str(ROOT / part) for part in ("tests/exporters", "models", "models/cosmos-embed1")]
import cosmos_repository as made  # noqa: E402
from common import safetensors  # noqa: E402
from cosmos import inputs, search, weights  # noqa: E402
from cosmos.network import Choices  # noqa: E402

CHOICES = {"temporal": "before-norm", "pooling": "project-mean", "text": "mean"}


def by_vidx(models, dtype, clips):
    tool = ROOT / os.environ.get("VIDX_BUILD", "build/release") / "tests/model/embed_clips"
    run = subprocess.run([tool, models, NAME, "cpu", dtype, "1"], input=clips.numpy().tobytes(),
                         check=True, stdout=subprocess.PIPE)
    return torch.from_numpy(np.frombuffer(run.stdout, np.float32).reshape(len(clips), -1).copy())


def test_full_size_is_exported_and_run(tmp_path):
    folder, output = tmp_path / "weights", tmp_path / "models" / NAME
    made.make(folder, *made.VARIANTS["224p"], CHOICES, made.FULL, made.FULL_QFORMER)
    assert len(list(folder.glob("*.safetensors"))) == 5
    subprocess.run([sys.executable, ROOT / "models" / NAME / "export.py", "--output", output,
                    "--weights", folder], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak memory of the export: {peak / 2**30:.1f} GiB")
    assert peak < 12 << 30
    check = json.loads((output / "manifest.json").read_text())["self_check"]
    assert check["way"] == {"video": "native", "text": "native"}
    assert Choices.parse(check["choices"]) == Choices(**CHOICES)
    assert min(check["native_cosine"].values()) >= 0.999999 and check["video.pt"] > 0.999
    config = json.loads((folder / "config.json").read_text())
    published = weights.Published(safetensors.read_folder(folder), config)
    clip = inputs.clips(published.geometry)[:1]
    with torch.inference_mode():
        wanted = published.video(Choices(**CHOICES))(clip)
    assert search.least(by_vidx(tmp_path / "models", "fp32", clip), wanted) > 0.999999
    assert search.least(by_vidx(tmp_path / "models", "bf16", clip), wanted) > 0.999

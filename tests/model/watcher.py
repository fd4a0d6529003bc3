"""A model package that answers with what it sees: its vector holds pixels of the prepared clip.

An 8191st part or more of the numbers of a clip, evenly strewn, and a constant to tell the scale by;
so the pictures can be read out of what `vidx embed` writes.
"""
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "models"))
from common import package  # noqa: E402

MAX_DIM = 8192


class Watcher(torch.nn.Module):
    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        seen = clips.flatten(1)[:, ::self.stride]
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        return torch.nn.functional.normalize(seen, dim=-1)


def stride_of(shape):
    """Odd, and no divisor of a row, so that all columns and rows take part."""
    n = np.prod(shape)
    return next(s for s in range(-(-n // (MAX_DIM - 1)) | 1, n, 2) if np.gcd(s, n) == 1)


def write(models, name, frames, picture):
    """Writes the package models/name for the given fields of a manifest."""
    shape = frames["count"], 3, picture["height"], picture["width"]
    stride = stride_of(shape)
    picture = picture | {"fit": "squash", "mean": [0, 0, 0], "std": [1, 1, 1]}
    manifest = {
        "format": 1, "name": name, "source": "tests", "revision": "1", "license": "Apache-2.0",
        "dim": len(range(0, int(np.prod(shape)), stride)) + 1, "metric": "cosine",
        "frames": frames, "picture": picture,
        "video": [{"file": "video.pt", "device": "cpu", "dtype": "fp32", "max_batch": 4}],
        "threshold": {"similar": 0.99, "measured": "not meant to compare"}}
    package.write(models / name, manifest, {"video.pt": torch.jit.script(Watcher(stride).eval())})
    return manifest


def seen(vector):
    """float [dim - 1]: the numbers in [0, 255] behind a vector."""
    return vector[:-1] / vector[-1] * 255


def expected(pictures):
    """The same of pictures uint8 [T,h,w,3]."""
    planes = pictures.transpose(0, 3, 1, 2)
    return planes.reshape(-1)[::stride_of(planes.shape)].astype(float)

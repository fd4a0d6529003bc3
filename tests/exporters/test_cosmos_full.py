"""Cosmos-Embed1 224p at its full size, random weights: exported, every choice told, run by vidx.

One clip, and what is costly once: the stand-in's process loads its model once and keeps what the
vision transformer makes of the clip, while it goes through all choices that come after it. Takes
minutes of two cores, 6 to 8 GB of memory and 7.5 GB of disk.
"""
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cosmos_repository as made
import numpy as np
import pytest
import tools
import torch

ROOT = Path(__file__).resolve().parents[2]
NAME = "cosmos-embed1-224p"
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "models" / "cosmos-embed1")]
from cosmos import environment, exporter, inputs, search  # noqa: E402
from cosmos.network import AXES, Choices  # noqa: E402

# What comes after the vision transformer; 224p needs no other positions than the stored ones.
LATE = ("temporal", "tokens", "pooling")
COMBINATIONS = [{"pixels": "raw", **dict(zip(LATE, values)), "text": AXES["text"][i % 2]}
                for i, values in enumerate(itertools.product(*(AXES[axis] for axis in LATE)))]
EXPORTED = 5  # before-norm, all tokens, project-mean, the mean over a text

EACH_CHOICE = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import official
given = torch.load(sys.argv[2], weights_only=True)
model = official.load(sys.argv[4])
official.load = lambda folder: model
look, seen = model.visual_encoder.forward, []
def look_once(frames):
    if not seen:
        seen.append(look(frames))
    return seen[0]
model.visual_encoder.forward = look_once
answers = []
with torch.no_grad():
    for choices in json.loads(sys.argv[5]):
        model.config.open_choices = choices
        answers.append(official.reference(None, given))
torch.save(answers, sys.argv[3])
"""


@pytest.fixture
def all_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(1)


@pytest.fixture
def seen(monkeypatch):
    """What passes during an export: {clip, references (of every combination), candidates}."""
    passed, clips, candidates = {}, inputs.clips, search.candidates

    def reference(command, folder, given, out):
        assert command == "reference", "our network was not found to be the same"
        torch.save(given, out.with_name("given.pt"))
        subprocess.run([environment.make(), "-c", EACH_CHOICE, environment.HERE,
                        out.with_name("given.pt"), out, folder, json.dumps(COMBINATIONS)], check=True)
        passed["references"] = torch.load(out, weights_only=True)
        torch.save(passed["references"][EXPORTED], out)

    def keep(name, function):
        def call(*arguments):
            passed[name] = function(*arguments)
            return passed[name]
        return call

    monkeypatch.setattr(environment, "official", reference)
    monkeypatch.setattr(inputs, "clips", keep("clip", lambda geometry: clips(geometry)[:1]))
    monkeypatch.setattr(search, "candidates", keep("candidates", candidates))
    return passed


def by_vidx(models, clips):
    """Vectors, and the dtype that this machine prefers."""
    run = tools.run("model/embed_clips", models, NAME, "cpu", "auto", 1,
                    input=clips.numpy().tobytes())
    vectors = torch.from_numpy(np.frombuffer(run.stdout, np.float32).reshape(len(clips), -1).copy())
    return vectors, json.loads(run.stderr)["dtype"]


def peak_gb():
    """Alone 5.9, of them 2.5 pages of mapped files; behind the other tests of the suite 7.7 was seen."""
    return max(resource.getrusage(who).ru_maxrss * 1024 / 1e9
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.fixture
def work():
    """pytest would keep its own folders, of 7 GB each."""
    with tempfile.TemporaryDirectory(prefix="vidx-full-") as path:
        yield Path(path)


def test_full_size_is_exported_and_run(work, all_threads, seen):
    folder, output = work / "weights", work / "models" / NAME
    made.make(folder, *made.VARIANTS["224p"], COMBINATIONS[EXPORTED], made.FULL, made.FULL_QFORMER)
    assert len(list(folder.glob("*.safetensors"))) == 5
    exporter.main("224p", ["--output", str(output), "--weights", str(folder)])
    print(f"peak memory of a process: {peak_gb():.1f} GB")
    assert peak_gb() < 10  # a second copy of the weights, 4.6, would show
    check = json.loads((output / "manifest.json").read_text())["self_check"]
    assert check["way"] == {"video": "native", "text": "native"}
    assert Choices.parse(check["choices"]) == Choices(**COMBINATIONS[EXPORTED])
    assert min(check["native_cosine"].values()) >= 0.999999 and check["video.pt"] > 0.999
    for choices, wanted in zip(COMBINATIONS, seen["references"], strict=True):
        figures = search.video(seen["candidates"], wanted["video"])
        (first, cosine), (_, second) = list(figures.items())[:2]
        assert first == Choices(**choices | {"text": "first"})
        assert cosine >= 0.999999 and second < search.SAME, (choices, second)
    vectors, dtype = by_vidx(output.parent, seen["clip"])
    cosine = search.least(vectors, seen["references"][EXPORTED]["video"])
    assert cosine > {"fp32": 0.999999, "bf16": 0.999}[dtype]

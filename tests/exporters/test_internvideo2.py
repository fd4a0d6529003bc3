"""The exporter of InternVideo2 on checkpoints of random weights, against the reference beside this."""
import hashlib
import http.server
import importlib
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import internvideo2_checkpoint as made
import internvideo2_reference as reference
import pytest
import tools
import torch
from tokenizers import BertWordPieceTokenizer
from torch.func import functional_call

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "internvideo2-1b"
NAME = "InternVideo2-stage2_1b-224p-f4.pt"
LENGTH = 40


@pytest.fixture(scope="module")
def parts():
    """The exporter's modules. Other exporters have some of the same names: none stays imported."""
    names = ("network", "checkpoint", "export")
    before = {name: sys.modules.pop(name, None) for name in names}
    path = [str(FOLDER), str(FOLDER.parent)]
    sys.path[:0] = path
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if module})
        sys.path[:] = [entry for entry in sys.path if entry not in path]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / NAME
    made.write(path, made.SMALL)
    return path


@pytest.fixture(scope="module")
def state(parts, weights):
    return parts["checkpoint"].read(weights)


@pytest.fixture(scope="module")
def towers(parts, state):
    """The plain modules (video, text) in float32."""
    checkpoint, network = parts["checkpoint"], parts["network"]
    sizes = checkpoint.geometry(state)
    return [checkpoint.build(kind, state, sizes) for kind in (network.Video, network.Text)]


@pytest.fixture(scope="module")
def exact(state):
    return {name: tensor.double() for name, tensor in state.items()}


def clips(n, seed=0):
    s, generator = made.SMALL, torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, s.frames * 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (s.size, s.size), mode="bilinear")
    tint = 2 * torch.randn(n, 1, 3, 1, 1, generator=generator)
    return smooth.view(n, s.frames, 3, s.size, s.size) + tint


def texts(n, seed=0):
    """(ids, mask): texts of 1, 4, 7 … tokens, padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(999, made.SMALL.words, (n, LENGTH), generator=generator)
    mask = (torch.arange(LENGTH) < 1 + 3 * torch.arange(n)[:, None]).long()
    return ids * mask, mask


def reference_video(exact, batch):
    return torch.stack([reference.video(exact, clip.double()) for clip in batch])


def reference_text(exact, ids, mask):
    return torch.stack([reference.text(exact, *row) for row in zip(ids, mask)])


def test_parameters_are_as_many_as_published(parts):
    network = parts["network"]
    with torch.device("meta"):
        video, text = network.Video(network.Geometry()), network.Text(network.Geometry())

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(video.vision_encoder) == 1_019_266_816
    assert count(video.vision_proj) == 393_728
    assert count(text) == 271_635_968


def test_made_checkpoint_has_the_published_size():
    sizes = {name: math.prod(shape) for name, shape in made.shapes_of(made.FULL).items()
             if name not in made.TIED and not name.endswith("position_ids")}

    def total(prefix):
        return sum(n for name, n in sizes.items() if name.startswith(prefix))

    assert total("vision_encoder.") == 1_049_117_056
    assert total("text_encoder.") == 360_108_858
    assert total("") == 1_410_146_493


def test_full_checkpoint_is_the_published_network(parts):
    """Every name of the published sizes is used or known to be unused, with the right shape."""
    checkpoint, network = parts["checkpoint"], parts["network"]
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in made.shapes_of(made.FULL).items()}
    sizes = checkpoint.geometry(state)
    assert sizes == network.Geometry()
    checkpoint.check(state, sizes, [network.Video, network.Text])


@torch.inference_mode()
def test_video_tower_equals_reference(towers, exact):
    batch = clips(4)
    wanted = reference_video(exact, batch)
    assert (towers[0](batch) - wanted).abs().max() <= 1e-5
    assert (wanted @ wanted.T).fill_diagonal_(0).max() < 0.9, "clips too much alike to tell"


@torch.inference_mode()
def test_text_tower_equals_reference(towers, exact):
    ids, mask = texts(13)
    wanted = reference_text(exact, ids, mask)
    assert (towers[1](ids, mask) - wanted).abs().max() <= 1e-5
    assert (wanted @ wanted.T).fill_diagonal_(0).max() < 0.97, "texts too much alike to tell"


@torch.inference_mode()
@pytest.mark.parametrize("which,inputs", [(0, (clips(1),)), (1, texts(3))])
def test_every_tensor_matters(towers, which, inputs):
    """But what adds the same to all keys, which softmax does not see."""
    tower = towers[which]
    before = tower(*inputs)
    unseen = {name for name, tensor in tower.state_dict().items()
              if torch.allclose(functional_call(tower, {name: tensor + torch.randn_like(tensor)}, inputs),
                                before, atol=1e-5)}
    assert {name.split(".")[-2] + "." + name.split(".")[-1] for name in unseen} == (
        {"norm1_k.bias", "cross_attn.k_bias"} if which == 0 else {"key.bias"})


def export(weights, output, *options, code=0):
    done = subprocess.run([sys.executable, FOLDER / "export.py", "--weights", weights, "--output", output,
                           *options], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "this was run" not in done.stdout + done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def package(weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "internvideo2-1b"
    export(weights.parent, output)
    return output


def test_package_says_what_it_is(package):
    facts = json.loads((package / "manifest.json").read_text())
    assert set(facts["files"]) == {"video.pt", "video.bf16.pt", "text.pt", "vocab.txt"}
    assert (facts["dim"], facts["frames"]["count"]) == (made.SMALL.dim, 4)
    assert facts["frames"]["sampling"] == "curator" and facts["picture"]["filter"] == "bilinear"
    assert facts["text"] == {"file": "text.pt", "vocab": "vocab.txt", "length": LENGTH}
    assert {(way["device"], way["dtype"]) for way in facts["video"]} == {
        (device, dtype) for device in ("cpu", "cuda") for dtype in ("fp32", "bf16")}
    assert facts["files"]["vocab.txt"].startswith("07eced37")


@torch.inference_mode()
@pytest.mark.parametrize("n", [1, 2, 5])
def test_archives_equal_reference_for_any_batch(package, exact, n):
    batch, (ids, mask) = clips(n, seed=n), texts(n, seed=n)
    wanted = reference_video(exact, batch)
    assert (torch.jit.load(package / "video.pt")(batch) - wanted).abs().max() <= 1e-5
    assert (torch.jit.load(package / "video.bf16.pt")(batch) * wanted).sum(-1).min() >= 0.999
    answer = torch.jit.load(package / "text.pt")(ids, mask)
    assert (answer - reference_text(exact, ids, mask)).abs().max() <= 1e-5


def test_vidx_gives_the_text_vectors_of_the_reference(package, exact):
    """On ids that another tokenizer makes; the last text is cut off."""
    lines = ["a dog", "Crème brûlée, twice!", "zwei Köche \u4e2d\u6587", "rain " * LENGTH]
    tokenizer = BertWordPieceTokenizer(str(package / "vocab.txt"), lowercase=True)
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    encoded = tokenizer.encode_batch(lines)
    wanted = reference_text(exact, *(torch.tensor([getattr(text, part) for text in encoded])
                                     for part in ("ids", "attention_mask")))
    run = tools.run("model/embed_texts", package.parent, package.name, "cpu",
                    input="\n".join(lines).encode())
    vectors = torch.frombuffer(bytearray(run.stdout), dtype=torch.float32).view(len(lines), -1)
    assert (vectors - wanted).abs().max() <= 1e-5
    assert (wanted @ wanted.T).fill_diagonal_(0).max() < 0.99, "texts too much alike to tell"


def test_package_is_written_once_and_the_same_elsewhere(package, weights, tmp_path):
    written = (package / "manifest.json").stat().st_ino
    export(weights, package)
    assert (package / "manifest.json").stat().st_ino == written
    export(weights, tmp_path / "internvideo2-1b", "--sampling", "spread")
    other, same = (json.loads((folder / "manifest.json").read_text())
                   for folder in (tmp_path / "internvideo2-1b", package))
    assert other["files"] == same["files"]
    assert [facts["frames"]["sampling"] for facts in (other, same)] == ["spread", "curator"]


@pytest.mark.parametrize("wrap", [lambda state: {"model": state}, lambda state: state])
def test_other_layouts_of_the_file_are_read(parts, tmp_path, wrap):
    torch.save(wrap({"a": torch.ones(2)}), tmp_path / NAME)
    assert list(parts["checkpoint"].read(tmp_path / NAME)) == ["a"]


BLOCK, LAYER = "vision_encoder.blocks.2", "text_encoder.bert.encoder.layer"
WRONG = {
    "missing": ({f"{BLOCK}.ls2.gamma": None}, f"{BLOCK}.ls2.gamma is missing"),
    "text missing": ({f"{LAYER}.0.output.dense.bias": None}, "output.dense.bias is missing"),
    "unknown": ({"vision_encoder.norm.weight": [4]}, "vision_encoder.norm.weight [4] is nothing that"),
    "unknown in a text layer": ({f"{LAYER}.0.lora": [1]}, f"{LAYER}.0.lora [1] is nothing that"),
    "shape": ({"text_proj.weight": [8, 8]}, "text_proj.weight is [8, 8], not [32, 128]"),
    "no position": ({"vision_encoder.pos_embed": None}, "vision_encoder.pos_embed is missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_checkpoint_is_refused_by_name(parts, state, case):
    checkpoint, network = parts["checkpoint"], parts["network"]
    changes, said = WRONG[case]
    changed = {name: tensor for name, tensor in state.items() if changes.get(name, True)}
    changed |= {name: torch.zeros(shape) for name, shape in changes.items() if shape}
    with pytest.raises(checkpoint.BadCheckpoint) as refusal:
        checkpoint.check(changed, checkpoint.geometry(changed), [network.Video, network.Text])
    assert said in str(refusal.value)


def test_refused_checkpoint_leaves_the_package_that_is_there(package, state, tmp_path):
    before = (package / "manifest.json").read_bytes()
    torch.save({"module": {"temp": state["temp"]}}, tmp_path / NAME)
    assert f"{NAME}: vision_encoder.pos_embed is missing" in export(tmp_path, package, code=1)
    assert (package / "manifest.json").read_bytes() == before


class Program:
    def __reduce__(self):
        return print, ("this was run",)


def test_checkpoint_that_is_a_program_is_not_run(tmp_path):
    torch.save({"module": Program()}, tmp_path / NAME)
    export(tmp_path, tmp_path / "internvideo2-1b", code=1)


def test_missing_checkpoint_is_named(tmp_path):
    assert f"{tmp_path / NAME} is not there" in export(tmp_path, tmp_path / "out", code=1)


REPOSITORY = "OpenGVLab/InternVideo2-Stage2_1B-224p-f4"
REVISION = "4362e1f" + 33 * "0"


class Hub(http.server.BaseHTTPRequestHandler):
    """The checkpoint `content`, for who has the token."""

    def do_GET(self):
        answers = {f"/api/models/{REPOSITORY}/revision/4362e1f?blobs=true": json.dumps(
            {"sha": REVISION, "siblings": [{"rfilename": NAME, "lfs": {"sha256": self.digest}},
                                           {"rfilename": "README.md"}]}).encode(),
                   f"/{REPOSITORY}/resolve/{REVISION}/{NAME}": self.content}
        allowed = self.headers["Authorization"] == "Bearer mine"
        self.send_response(200 if allowed and self.path in answers else 401)
        self.end_headers()
        if allowed:
            self.wfile.write(answers.get(self.path, b""))

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("token,digest,said", [
    ("mine", None, "vision_encoder.pos_embed is missing"), ("", None, "accept the licence at"),
    ("mine", "0" * 64, "has SHA-256")])
def test_download_gets_the_pinned_file(tmp_path, state, monkeypatch, token, digest, said):
    source, folder = tmp_path / "source.pt", tmp_path / "weights"
    torch.save({"temp": state["temp"]}, source)  # no network, so that the export ends there
    Hub.content = source.read_bytes()
    Hub.digest = digest or hashlib.sha256(Hub.content).hexdigest()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setitem(os.environ, "HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        monkeypatch.setitem(os.environ, "HF_TOKEN", token)
        assert said in export(folder, tmp_path / "out", "--download", code=1)
        hub.shutdown()
    found = [path.read_bytes() for path in folder.glob("*")]
    assert found == ([Hub.content] if said.startswith("vision") else [])

"""The exporter of Cosmos-Embed1 on random weights in the published layout.

cosmos_code/ stands in for the published code: written in its manner, apart from ours, and able to
implement every combination of what is open, and some things that our network cannot.
"""
import http.server
import itertools
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import cosmos_repository as made
import numpy as np
import pytest
import tools
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "models" / "cosmos-embed1")]
from common import hub, package, safetensors  # noqa: E402
from common.wordpiece import WordPiece  # noqa: E402
from cosmos import environment, exporter, inputs, search, weights  # noqa: E402
from cosmos.network import AXES, Choices  # noqa: E402

SIZE, DIM = 56, 40
NAME = "cosmos-embed1-224p"
VIDEO_AXES = [axis for axis in AXES if axis != "text"]
COMBINATIONS = [dict(zip(AXES, values[:-1] + (AXES["text"][i % 2],)))
                for i, values in enumerate(itertools.product(*(AXES[a] for a in VIDEO_AXES), [None]))]

# What the published variants have: parameters when loaded (MTEB), elements in the files, for a video
# alone, for a text alone.
PUBLISHED = {"224p": (1_172_696_698, 1_196_138_872, 1_091_322_624, 109_087_744),
             "336p": (1_173_934_714, 1_196_926_328, 1_092_166_912, 109_481_472),
             "448p": (1_174_565_498, 1_196_926_328, 1_092_797_696, 109_481_472)}


def small(folder, choices=None, **more):
    made.make(folder, SIZE, DIM, choices or {}, made.SMALL, made.SMALL_QFORMER, **more)
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The networks are small: threads cost more than they bring, much more on a busy machine."""
    before, os.environ["OMP_NUM_THREADS"] = torch.get_num_threads(), "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    del os.environ["OMP_NUM_THREADS"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small(tmp_path_factory.mktemp("cosmos") / "base")


def variant_of(base, folder, choices):
    """The same weights, other choices: only config.json is a file of its own."""
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "config.json").unlink()
    config = json.loads((base / "config.json").read_text()) | {"open_choices": choices}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def published(folder):
    config = json.loads((folder / "config.json").read_text())
    return weights.Published(safetensors.read_folder(folder), config)


def given(folder):
    p = published(folder)
    ids, mask = inputs.texts(folder / "vocab.txt")
    return {"clips": inputs.clips(p.geometry), "ids": ids, "mask": mask}


@pytest.fixture(scope="module")
def parsed(base):
    return published(base)


@pytest.fixture(scope="module")
def inside(base):
    """The inputs that the exporter compares on."""
    return given(base)


@pytest.fixture(scope="module")
def candidates(parsed, inside):
    return search.candidates(parsed, inside["clips"][:1])


OFFICIAL_ALL = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import official
given = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    torch.save([official.reference(folder, given) for folder in sys.argv[4:]], sys.argv[3])
"""


@pytest.fixture(scope="module")
def references(base, inside, tmp_path_factory):
    """The stand-in's vectors for every combination, by one process of the exporter's environment."""
    work = tmp_path_factory.mktemp("references")
    folders = [variant_of(base, work / f"c{i}", c) for i, c in enumerate(COMBINATIONS)]
    torch.save(inside, work / "given.pt")
    subprocess.run([environment.make(), "-c", OFFICIAL_ALL, environment.HERE, work / "given.pt",
                    work / "out.pt", *folders], check=True, capture_output=True)
    return torch.load(work / "out.pt", weights_only=True)


def meta(resolution, dim):
    """The published layout without memory: (tensors, config)."""
    table = made.shapes(dim, made.FULL, made.FULL_QFORMER)
    tensors = {name: torch.empty(shape, device="meta",
                                 dtype=torch.int64 if kind == "numbers" else torch.bfloat16)
               for name, (shape, kind) in table.items()}
    return tensors, {"resolution": resolution, "num_video_frames": 8, "embed_dim": dim}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    resolution, dim = made.VARIANTS[name]
    tensors, config = meta(resolution, dim)
    p = weights.Published(tensors, config)
    video, text = p.video(Choices()), p.text(Choices())
    loaded, on_disk, for_video, for_text = PUBLISHED[name]
    assert len(tensors) == 820
    assert sum(t.numel() for t in tensors.values()) == on_disk + 2  # two scalars are not counted there
    assert sum(t.numel() for t in video.parameters()) == for_video
    assert sum(t.numel() for t in text.parameters()) == for_text
    shared = set(video.state_dict()) & set(text.state_dict())
    count = for_video + for_text - sum(video.state_dict()[k].numel() for k in shared)
    count += sum(tensors[k].numel() for k in p.unused
                 if not k.endswith(("position_ids", "decoder.weight")))  # a buffer; tied
    assert count == loaded


def test_files_are_as_large_as_published():
    table = made.shapes(768, made.FULL, made.FULL_QFORMER)
    sizes = [sum(math.prod(table[name][0]) * (8 if table[name][1] == "numbers" else 2)
                 for name in part) / 1e6 for part in made.parts(table, torch.bfloat16, 500_000_000)]
    assert [int(size) for size in sizes] == [490, 487, 489, 487, 439]


def test_small_repository_has_the_published_files(base):
    wanted = {"__init__.py", "modeling_embed1.py", "configuration_embed1.py", "modeling_vit.py",
              "modeling_qformer.py", "modeling_utils.py", "vocab.txt", "config.json",
              "added_tokens.json", "model.safetensors.index.json", "processor_config.json"}
    assert wanted <= {path.name for path in base.iterdir()}
    assert package.digest(base / "vocab.txt") == exporter.VARIANTS["224p"]["sha256"]["vocab.txt"]
    assert (base / "added_tokens.json").stat().st_size == 21


@pytest.mark.parametrize("i", range(len(COMBINATIONS)), ids=lambda i: "-".join(
    COMBINATIONS[i].values()))
def test_combination_is_found(i, parsed, inside, candidates, references):
    wanted, choices = references[i], COMBINATIONS[i]
    figures = search.video(candidates, wanted["video"][:1])
    (first, cosine), (_, second) = list(figures.items())[:2]
    assert {axis: getattr(first, axis) for axis in VIDEO_AXES} == {
        axis: choices[axis] for axis in VIDEO_AXES}
    assert cosine >= 0.999999 and second < search.SAME
    text = search.text(parsed, inside["ids"], inside["mask"], wanted["text"])
    assert next(iter(text)) == choices["text"]
    assert text.pop(choices["text"]) >= 0.999999 and max(text.values()) < search.SAME


def export(folder, output, *more):
    exporter.main("224p", ["--output", str(output), "--weights", str(folder), "--any-size", *more])
    return json.loads((output / "manifest.json").read_text())


def vidx(tool, *arguments, stdin, rows):
    run = tools.run(f"model/{tool}", *arguments, input=stdin)
    return torch.from_numpy(np.frombuffer(run.stdout, np.float32).reshape(rows, -1).copy())


def by_vidx(models, dtype, clips):
    return vidx("embed_clips", models, NAME, "cpu", dtype, "1", stdin=clips.numpy().tobytes(),
                rows=len(clips))


def words_by_vidx(models):
    """All texts but the empty one, which vidx refuses."""
    lines = [text for text in inputs.TEXTS if text]
    return vidx("embed_texts", models, NAME, "cpu", stdin="\n".join(lines).encode(), rows=len(lines))


def without_empty(vectors):
    return vectors[[bool(text) for text in inputs.TEXTS]]


def test_native_export_records_and_vidx_gives_its_vectors(base, inside, references, tmp_path):
    """Among all, a combination that differs from the likeliest in every choice."""
    i = len(COMBINATIONS) - 1
    folder = variant_of(base, tmp_path / "weights", COMBINATIONS[i])
    manifest = export(folder, tmp_path / "models" / NAME)
    check = manifest["self_check"]
    assert check["way"] == {"video": "native", "text": "native"} and check["verified"]
    assert Choices.parse(check["choices"]) == Choices(**COMBINATIONS[i])
    assert len(check["video_choices"]) == 48 and len(check["text_choices"]) == 2
    assert min(check["native_cosine"].values()) >= search.SAME
    assert check["fast_cosine"] >= exporter.SAME_BF16 and manifest["operators"] == "vidx-1"
    assert "vidx::add_layer_norm" in str(torch.jit.load(tmp_path / "models" / NAME / "video.pt").inlined_graph)
    assert manifest["revision"] == "not the published files: their SHA-256 differ"
    assert (manifest["dim"], manifest["text"]) == (
        DIM, {"file": "text.pt", "vocab": "vocab.txt", "length": 128})
    clips = inside["clips"]
    assert search.least(by_vidx(tmp_path / "models", "fp32", clips), references[i]["video"]) > 0.999999
    assert search.least(by_vidx(tmp_path / "models", "bf16", clips), references[i]["video"]) > 0.999
    wanted = without_empty(references[i]["text"])
    assert search.least(words_by_vidx(tmp_path / "models"), wanted) > 0.999999


def test_archives_take_any_number_of_clips(base, inside, references, tmp_path):
    output = tmp_path / "models" / NAME
    export(variant_of(base, tmp_path / "weights", COMBINATIONS[0]), output)
    clips, ids, mask = inside.values()
    module, text = (torch.jit.load(output / name) for name in ("video.fp32.pt", "text.pt"))
    five = torch.cat([clips, clips, clips[:1]])
    with torch.inference_mode():
        assert torch.allclose(module(five)[[0, 1, 4]], references[0]["video"][[0, 1, 0]], atol=1e-5)
        frozen = torch.jit.freeze(module.eval())
        assert torch.allclose(frozen(clips), references[0]["video"], atol=1e-5)
        assert torch.allclose(text(ids[:1], mask[:1]), references[0]["text"][:1], atol=1e-5)
        assert torch.allclose(text(ids, mask), references[0]["text"], atol=1e-5)


def test_unknown_network_is_exported_as_published(base, inside, tmp_path, capsys):
    """Ours has no such pooling: both towers are traces of the repository's own code."""
    folder = variant_of(base, tmp_path / "weights", {"pooling": "max", "text": "last"})
    output = tmp_path / "models" / NAME
    check = export(folder, output)["self_check"]
    assert "video official, text official" in capsys.readouterr().out
    assert check["way"] == {"video": "official", "text": "official"}
    assert max(check["native_cosine"].values()) < search.SAME
    assert min(check["video.fp32.pt"], check["text.pt"]) >= search.SAME
    clips = inside["clips"]
    environment.official("reference", folder, inside, tmp_path / "out.pt")
    wanted = torch.load(tmp_path / "out.pt", weights_only=True)
    twice = torch.cat([clips, clips[:1]])
    assert search.least(by_vidx(tmp_path / "models", "fp32", twice)[:2], wanted["video"]) > 0.999999
    assert search.least(by_vidx(tmp_path / "models", "bf16", clips), wanted["video"]) > 0.999
    for name in ("video.pt", "video.fp32.pt"):  # or a GPU could not run them
        graph = str(torch.jit.load(output / name).graph)
        assert "prim::device" in graph and "Device = prim::Constant" not in graph
    words = without_empty(wanted["text"])
    assert search.least(words_by_vidx(tmp_path / "models"), words) > 0.999999


def test_one_known_and_one_unknown_tower(base, tmp_path):
    folder = variant_of(base, tmp_path / "weights", {"temporal": "before-norm", "text": "last"})
    check = export(folder, tmp_path / NAME)["self_check"]
    assert check["way"] == {"video": "native", "text": "official"}


def test_native_without_the_published_code_is_unverified(base, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "make", lambda: pytest.fail("made an environment"))
    words = "pixels=raw,temporal=before-norm"
    manifest = export(base, tmp_path / NAME, "--native", words, "--sampling", "curator")
    check = manifest["self_check"]
    assert check["verified"] is False and "native_cosine" not in check
    assert Choices.parse(check["choices"]) == Choices(pixels="raw", temporal="before-norm")
    assert manifest["frames"]["sampling"] == "curator"
    written = (tmp_path / NAME / "manifest.json").stat().st_mtime_ns
    export(base, tmp_path / NAME, "--native", words, "--sampling", "curator")
    assert (tmp_path / NAME / "manifest.json").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="no such choice: pixels=pink"):
        export(base, tmp_path / NAME, "--native", "pixels=pink")


def test_position_table_is_enlarged_too(tmp_path):
    """From 16x16 to the 24x24 of 336p, by another implementation of the same rule."""
    table = torch.randn(1, 257, 4, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(1))
    ours = weights.interpolate(table, 24, "bicubic")
    assert ours.shape == (1, 577, 4) and torch.equal(ours[:, 0], table[:, 0].float())

    def weight(x, a=-0.75):  # the cubic kernel of bicubic interpolation
        x = abs(x)
        return ((a + 2) * x ** 3 - (a + 3) * x ** 2 + 1 if x <= 1 else
                a * (x ** 3 - 5 * x ** 2 + 8 * x - 4) if x < 2 else 0)

    rows = np.zeros((24, 16))
    for i in range(24):
        place = (i + 0.5) * 16 / 24 - 0.5
        for j in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            rows[i, min(max(j, 0), 15)] += weight(place - j)
    picture = table[0, 1:].float().numpy().reshape(16, 16, 4)
    wanted = np.einsum("ai,bj,ijc->abc", rows, rows, picture).reshape(576, 4)
    assert np.abs(ours[0, 1:].numpy() - wanted).max() < 1e-5


def test_other_prefixes_and_float32_are_taken(tmp_path):
    folder = small(tmp_path / "f32", dtype=torch.float32, part_bytes=3_000_000)
    tensors = safetensors.read_folder(folder)
    assert len({t.dtype for t in tensors.values()}) == 2 and len(list(folder.glob("*.safet*"))) > 3
    config = json.loads((folder / "config.json").read_text())
    renamed = {name.replace("qformer.", "Qformer.").replace("vision_proj", "visual_projection"): t
               for name, t in tensors.items()}
    clip = inputs.clips(published(folder).geometry)[:1]
    with torch.inference_mode():
        a, b = (weights.Published(t, config).video(Choices())(clip) for t in (tensors, renamed))
    assert torch.equal(a, b)


@pytest.mark.parametrize("change, message", [
    (lambda t: t.pop("visual_encoder.blocks.1.attn.qkv.bias"), "no use or no tensor"),
    (lambda t: t.pop("visual_encoder.blocks.1.norm1.weight"), "numbers are missing"),
    (lambda t: t.update(surprise=torch.zeros(3, 5)), "no known use: surprise"),
    (lambda t: t.update({"visual_encoder.gamma": torch.zeros(3)}), "visual_encoder.gamma"),
    (lambda t: t.update({"ln_vision.weight": torch.zeros(65)}), "ln_vision.weight"),
    (lambda t: t.update({"visual_encoder.blocks.0.mlp.fc2.bias": torch.zeros(65)}), "takes"),
    (lambda t: t.pop("temporal_encoding.temporal_parameter"), "temporal vectors"),
    (lambda t: t.pop("qformer.bert.embeddings.word_embeddings.weight"), "word_embeddings"),
    (lambda t: t.pop("text_proj.bias"), "text_proj.bias"),
])
def test_wrong_tensors_are_refused_by_name(base, change, message):
    tensors = safetensors.read_folder(base)
    change(tensors)
    config = json.loads((base / "config.json").read_text())
    with pytest.raises(weights.Mismatch, match=message):
        weights.Published(tensors, config).video(Choices())


def test_damaged_files_are_refused(base, tmp_path):
    folder = variant_of(base, tmp_path / "weights", {})
    part = next(folder.glob("*.safetensors"))
    data = part.read_bytes()
    part.unlink()
    part.write_bytes(data[:-100])
    with pytest.raises(SystemExit, match="cut short"):
        export(folder, tmp_path / NAME)
    part.write_bytes(data)
    index = folder / "model.safetensors.index.json"
    text = index.read_text().replace('"logit_bias"', '"logit_bias_2"')
    index.unlink()
    index.write_text(text)
    with pytest.raises(SystemExit, match="disagree on logit_bias"):
        export(folder, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_weights_of_another_variant_are_refused(base, tmp_path):
    with pytest.raises(SystemExit, match="56 px and 40 numbers; 336p has 336 and 768"):
        exporter.main("336p", ["--output", str(tmp_path / "x"), "--weights", str(base)])


def test_what_is_missing_is_said(base, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="no weights in .*nvidia/Cosmos-Embed1-224p.*--download"):
        export(tmp_path / "nowhere", tmp_path / NAME)
    folder = variant_of(base, tmp_path / "weights", {})
    (folder / "modeling_vit.py").unlink()
    with pytest.raises(SystemExit, match="(?s)published code .*modeling_vit.*--native"):
        export(folder, tmp_path / NAME)
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "venv")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(SystemExit, match="(?s)transformers cannot be installed.*--native"):
        export(base, tmp_path / NAME)


def test_words_are_cut_and_padded_to_a_length(base):
    tokenizer = WordPiece(base / "vocab.txt")
    ids, mask = tokenizer.encode(["a dog", "dog " * 300], 128)
    assert ids.shape == mask.shape == (2, 128)
    assert ids[0, :5].tolist() == [101, 1037, 3899, 102, 0] and int(mask[0].sum()) == 4
    assert ids[1, -1] == 102 and int(mask[1].sum()) == 128


# ---- downloads, from a hub of our own ------------------------------------------------------------

REVISION = "787e0b996f5260a71ad474a283c90539a2e12986"
FILES = {"config.json": b'{"resolution": 224}', "model-00001-of-00001.safetensors": b"w" * 5000,
         "vocab.txt": b"[PAD]\n", "README.md": b"not wanted", "examples/example.json": b"{}"}


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        token = self.headers.get("Authorization") == "Bearer secret"
        if path.startswith("/cdn/"):
            return self.answer(200, self.server.files[path.removeprefix("/cdn/")])
        if not token and self.server.gated:
            return self.answer(401, b"")
        if path == f"/api/models/nvidia/Cosmos-Embed1-224p/revision/{REVISION}":
            entries = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            for entry in entries:
                if "safetensors" in entry["rfilename"]:
                    entry["lfs"] = {"sha256": self.server.lfs, "size": entry["size"]}
            return self.answer(200, json.dumps({"sha": self.server.revision,
                                                "siblings": entries}).encode())
        name = path.removeprefix(f"/nvidia/Cosmos-Embed1-224p/resolve/{REVISION}/")
        if name.endswith(".safetensors"):  # as the hub does: the large ones lie elsewhere
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/cdn/{name}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.answer(200 if name in self.server.files else 404,
                           self.server.files.get(name, b""))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.seen, server.gated, server.files = [], False, dict(FILES)
        server.revision = REVISION
        server.lfs = package.hashlib.sha256(FILES["model-00001-of-00001.safetensors"]).hexdigest()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
        server.shutdown()
        thread.join()


def download(folder, **more):
    hub.download("nvidia/Cosmos-Embed1-224p", REVISION, folder, exporter.PATTERNS, **more)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_download_brings_the_revision_once(server, tmp_path):
    download(tmp_path)
    wanted = [name for name in FILES if name != "README.md"]
    assert names(tmp_path) == sorted(wanted)
    assert all((tmp_path / name).read_bytes() == FILES[name] for name in wanted)
    assert all(REVISION in path or "/cdn/" in path for path, _ in server.seen)
    server.seen.clear()
    download(tmp_path)
    assert not any("safetensors" in path for path, _ in server.seen)


def test_token_goes_to_the_hub_alone(server, tmp_path, monkeypatch):
    server.gated = True
    monkeypatch.setenv("HF_TOKEN", "secret")
    download(tmp_path)
    asked = {path.startswith("/cdn/"): token for path, token in server.seen}
    assert asked == {True: None, False: "Bearer secret"}


def test_gated_repository_without_a_token_says_what_to_do(server, tmp_path, monkeypatch):
    server.gated = True
    with pytest.raises(hub.Failed, match="401: accept the licence at https://huggingface.co/nvidia/"
                                         "Cosmos-Embed1-224p and set HF_TOKEN .*not set"):
        download(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(SystemExit, match="it is set"):
        exporter.main("224p", ["--output", str(tmp_path / "x"), "--weights", str(tmp_path / "w"),
                               "--download"])
    assert names(tmp_path) == []


@pytest.mark.parametrize("case", ["known digest", "hub's digest", "cut short", "other revision"])
def test_wrong_download_is_refused_and_leaves_nothing(server, tmp_path, case):
    part, digests = "model-00001-of-00001.safetensors", {}
    if case == "known digest":
        digests = {part: "0" * 64}
    elif case == "hub's digest":
        server.files[part] = b"v" * 5000
    elif case == "cut short":
        server.files["vocab.txt"] = b"[PA"
    else:
        server.revision = "f" * 40
    message = {"cut short": "3 bytes came, 6 were announced", "other revision": "answers revision ff"}
    with pytest.raises(hub.Failed, match=message.get(case, "has SHA-256")):
        download(tmp_path, digests=digests)
    assert ("vocab.txt" if case == "cut short" else part) not in names(tmp_path)
    assert not any(name.endswith(".part") for name in names(tmp_path))


def test_missing_file_of_the_hub_is_named(server, tmp_path):
    with pytest.raises(hub.Failed, match="lacks modeling_vit.py"):
        download(tmp_path, digests={"modeling_vit.py": "0" * 64})
    del server.files["vocab.txt"]
    with pytest.raises(hub.Failed, match="vocab.txt: 404"):
        download(tmp_path)


def test_nothing_is_downloaded_unasked(server, tmp_path):
    with pytest.raises(SystemExit, match="no weights"):
        exporter.main("224p", ["--output", str(tmp_path / "x"), "--weights", str(tmp_path / "w")])
    assert server.seen == []


def test_dev_names_and_folders_agree():
    for name, facts in exporter.VARIANTS.items():
        script = ROOT / "models" / f"cosmos-embed1-{name}" / "export.py"
        done = subprocess.run([sys.executable, script, "--help"], check=True, capture_output=True)
        assert f"cosmos-embed1-{name}".encode() in done.stdout
        assert len(facts["revision"]) == 40 and facts["repository"].endswith(name)

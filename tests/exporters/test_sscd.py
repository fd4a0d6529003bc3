"""The exporter of SSCD on random weights in the published shape, against the network beside this."""
import functools
import http.server
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sscd_reference as reference
import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "sscd"
NAME = "sscd_disc_mixup.torchscript.pt"


@pytest.fixture(scope="module")
def export():
    """Other exporters have a module of this name too: it does not stay imported."""
    before, path = sys.modules.pop("export", None), [str(FOLDER), str(FOLDER.parent)]
    sys.path[:0] = path
    try:
        yield importlib.import_module("export")
    finally:
        del sys.modules["export"]
        if before:
            sys.modules["export"] = before
        sys.path[:] = [entry for entry in sys.path if entry not in path]


@pytest.fixture(scope="module")
def network():
    return reference.random()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / NAME
    reference.save(network, path)
    return path


def run(output, *options):
    return subprocess.run([sys.executable, FOLDER / "export.py", "--output", output, *options], capture_output=True,
                          text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_package_answers_as_the_plain_network(export, network, weights, tmp_path):
    assert sum(p.numel() for p in network.parameters()) == 24_557_120  # ResNet-50's and 2048 x 512 + 512
    done = run(tmp_path / "sscd", "--weights", weights.parent)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "sscd/manifest.json").read_text())
    assert (manifest["role"], manifest["dim"], manifest["frames"]["count"]) == ("copy", 512, 1)
    assert (manifest["picture"]["width"], manifest["picture"]["height"], manifest["picture"]["fit"]) == (320, 320, "squash")
    pictures = export.check_pictures()
    mixed = torch.stack([pictures[0], pictures[3], pictures[1] * .5])
    with torch.inference_mode():
        wanted = network(mixed[:, 0])
        for file, least in (("video.pt", .99999), ("video.bf16.pt", .999)):
            if file in manifest["files"]:
                vectors = torch.jit.load(str(tmp_path / "sscd" / file))(mixed)
                assert vectors.shape == (3, 512) and vectors.dtype == torch.float32
                assert float((vectors * wanted).sum(1).min()) > least
                assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert float((wanted @ wanted.T)[0, 1]) < .999  # else the cosines above would say little
    stamp = (tmp_path / "sscd/manifest.json").stat().st_mtime_ns
    again = run(tmp_path / "sscd", "--weights", weights)
    assert again.returncode == 0 and (tmp_path / "sscd/manifest.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("how", ["scripted", "frozen"])
def test_other_forms_of_the_archive_do_too(export, network, tmp_path, how):
    reference.save(network, tmp_path / NAME, how)
    archives, figures = export.build(tmp_path / NAME)
    assert figures["video.pt"]["min_cosine"] > .99999 and "video.pt" in archives
    assert ("video.bf16.pt" in archives) == ("left_out" not in figures.get("video.bf16.pt", {"left_out": ""}))


class Other(torch.nn.Module):
    """float [n,3,H,W] -> [n,dim]: `value` everywhere, or what the pictures' colour says."""

    def __init__(self, dim: int, value: float):
        super().__init__()
        self.dim, self.value = dim, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full([x.size(0), self.dim], self.value)


@pytest.mark.parametrize("module, reason", [
    (None, "no TorchScript archive"), (Other(1024, 1 / 32), "not 512 numbers"), (Other(512, 1.0), "unit length"),
    (Other(512, 512 ** -.5), "the same vector")])
def test_another_model_is_refused(tmp_path, module, reason):
    path = tmp_path / NAME
    path.write_bytes(b"no archive") if module is None else torch.jit.script(module).save(str(path))
    done = run(tmp_path / "sscd", "--weights", path)
    assert done.returncode and reason in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "sscd").exists()


def test_missing_weights_say_where_they_come_from(tmp_path):
    done = run(tmp_path / "sscd", "--weights", tmp_path / "nowhere")
    assert done.returncode and NAME in done.stderr and "--download" in done.stderr


@pytest.fixture
def site(weights):
    """Serves the weights; a path that has `cut` in it breaks off in the middle."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if "cut" not in self.path:
                return super().do_GET()
            data = weights.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=weights.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_download_keeps_whole_files_alone(export, weights, site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "URL", f"{site}/{NAME}")
    export.download(tmp_path / "good")
    assert (tmp_path / "good" / NAME).read_bytes() == weights.read_bytes()
    assert export.package.digest(weights) in capsys.readouterr().out
    for path in ("cut.pt", "missing.pt"):
        monkeypatch.setattr(export, "URL", f"{site}/{path}")
        with pytest.raises(SystemExit, match=path):
            export.download(tmp_path / "bad")
        assert list((tmp_path / "bad").iterdir()) == []

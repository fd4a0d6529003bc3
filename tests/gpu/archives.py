"""Which archives tests/gpu compares: prints, for each way that a package runs on CUDA, one line
`CUDA_ARCHIVE CPU_ARCHIVE T SIZE DIM FLOOR`.

    archives.py PACKAGE...            of packages (folders with a manifest.json)
    archives.py --random DIR NAME...  of full-size networks with random weights, written into DIR

The CPU's side is always float32; against it float32 must agree to 0.9999, bfloat16 to 0.999.
"""
import functools
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}


def of_package(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    reference = next(way["file"] for way in manifest["video"]
                     if way["device"] == "cpu" and way["dtype"] == "fp32")
    shape = manifest["frames"]["count"], manifest["picture"]["width"], manifest["dim"]
    for way in manifest["video"]:
        if way["device"] == "cuda":
            print(folder / way["file"], folder / reference, *shape, FLOORS[way["dtype"]])


def write(folder, name, towers, shape):
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for dtype, (module, example) in towers.items():
        with torch.no_grad():
            torch.jit.trace(module, example, check_trace=False).save(folder / f"{name}.{dtype}.pt")
    for dtype in towers:
        print(folder / f"{name}.{dtype}.pt", folder / f"{name}.fp32.pt", *shape, FLOORS[dtype])


def random_internvideo2(folder):
    sys.path[:0] = [str(ROOT / path) for path in ("models", "models/internvideo2-1b",
                                                  "tests/exporters")]
    import checkpoint
    import internvideo2_checkpoint as made
    import torch
    from network import Video

    state = made.state_dict(made.FULL)
    sizes = checkpoint.geometry(state)
    example = torch.rand(1, sizes.frames, 3, sizes.size, sizes.size)
    towers = {"fp32": (checkpoint.build(Video, state, sizes), example),
              "bf16": (checkpoint.build(Video, state, sizes, torch.bfloat16), example)}
    write(folder, "internvideo2-1b", towers, (sizes.frames, sizes.size, sizes.dim))


def random_cosmos(variant, folder):
    sys.path[:0] = [str(ROOT / path) for path in ("models", "models/cosmos-embed1",
                                                  "tests/exporters")]
    import cosmos_repository as made
    import torch
    from cosmos import exporter
    from cosmos.network import Choices

    weights = folder / f"cosmos-embed1-{variant}"
    weights.mkdir(parents=True, exist_ok=True)
    resolution, dim = made.VARIANTS[variant]
    table = made.shapes(dim, made.FULL, made.FULL_QFORMER)
    depths = (made.FULL["depth"], made.FULL_QFORMER["num_hidden_layers"])
    made.write_weights(weights, table, depths, torch.bfloat16, made.PART_BYTES, seed=0)
    made.write_config(weights, resolution, dim, {}, made.FULL, made.FULL_QFORMER)
    published = exporter.load(variant, weights, any_size=False)
    example = torch.rand(1, 1, 3, resolution, resolution)
    towers = {name: (published.video(Choices(), dtype), example)
              for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    write(folder, weights.name, towers, (published.geometry.frames, resolution, dim))


RANDOM = {"internvideo2-1b": random_internvideo2}
RANDOM |= {f"cosmos-embed1-{variant}": functools.partial(random_cosmos, variant)
           for variant in ("224p", "336p", "448p")}


def main():
    if sys.argv[1] == "--random":
        for name in sys.argv[3:]:
            RANDOM[name](Path(sys.argv[2]))
    else:
        for folder in sys.argv[1:]:
            of_package(Path(folder))


if __name__ == "__main__":
    main()

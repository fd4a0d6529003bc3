"""Packages of full-size networks with random weights, as the exporters make them.

    packages.py DIR NAME...        cosmos-embed1-224p, -336p, -448p, internvideo2-1b
    packages.py --quick DIR NAME   the same for measuring speed, in 20 s instead of three minutes
    packages.py --quick-fp8 DIR NAME   Cosmos-Embed1 so, with float8 as its first way to run

writes DIR/NAME, 5 GB each, and leaves alone what is there. The weights lie under DIR/weights
meanwhile. Cosmos-Embed1 is exported with --native, as no published code is at hand. --quick makes the
weights on the GPU, writes only what a GPU runs, and checks nothing.
"""
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/exporters"), str(ROOT / "models"), str(ROOT / "models/cosmos-embed1")]


def cosmos(name, weights):
    import cosmos_repository as made

    made.make(weights, *made.VARIANTS[name.removeprefix("cosmos-embed1-")], {}, made.FULL,
              made.FULL_QFORMER)
    return "--native", ""


def internvideo2(_, weights):
    import internvideo2_checkpoint as made

    weights.mkdir(parents=True)
    made.write(weights / "InternVideo2-stage2_1b-224p-f4.pt", made.FULL)
    return ()


def make(folder, name):
    weights = folder / "weights" / name
    shutil.rmtree(weights, ignore_errors=True)
    options = (cosmos if name.startswith("cosmos-embed1-") else internvideo2)(name, weights)
    subprocess.run([sys.executable, ROOT / "models" / name / "export.py", "--output",
                    folder / name, "--weights", weights, *options], check=True)
    shutil.rmtree(weights)


def quick(folder, name):
    (quick_cosmos if name.startswith("cosmos-embed1-") else quick_internvideo2)(folder, name)


def quick_cosmos(folder, name, with_fp8=False):
    import cosmos_repository as made
    import torch
    from common import fp8, operators, package
    from cosmos import exporter, inputs
    from cosmos.fast import FastVideoTower
    from cosmos.network import Choices
    from cosmos.weights import Published

    variant = name.removeprefix("cosmos-embed1-")
    resolution, dim = made.VARIANTS[variant]
    depths = made.FULL["depth"], made.FULL_QFORMER["num_hidden_layers"]
    tensors = {}
    with torch.device("cuda"):
        generator = torch.Generator("cuda").manual_seed(0)
        for key, (shape, kind) in made.shapes(dim, made.FULL, made.FULL_QFORMER).items():
            value = made.fill(shape, "query" if kind == "tied" else kind, depths, generator)
            tensors[key] = value.cpu() if kind == "numbers" else value.bfloat16().cpu()
    published = Published(tensors, {"num_video_frames": 8, "resolution": resolution})
    choices = Choices.parse("")
    frame = torch.rand(1, 1, 3, resolution, resolution)
    ids, mask = inputs.texts(made.vocabulary())
    archives = {"video.pt": exporter.trace(FastVideoTower(published.video(choices, torch.bfloat16)), (frame,)),
                "text.pt": exporter.trace(published.text(choices), (ids[:2], mask[:2])),
                "vocab.txt": made.vocabulary().read_bytes()}
    figures = {"text_length": inputs.TEXT_LENGTH, "operators": operators.SET}
    if with_fp8:
        plain = published.video(choices, torch.bfloat16).cuda()
        ranges = fp8.ranges(plain.visual_encoder.blocks, plain, [inputs.clips(published.geometry)[:1].cuda()])
        tower = FastVideoTower(published.video(choices, torch.bfloat16), ranges)
        archives[package.FP8_FILE] = exporter.trace(tower.cuda(), (frame.cuda(),))
        figures["operators"] = operators.SET_FP8
    facts = exporter.manifest(variant, published.geometry, {}, "spread", figures, archives)
    facts["video"] = [way for way in facts["video"] if way["device"] == "cuda"]
    package.write(folder / name, facts, archives)


def quick_internvideo2(folder, name):
    sys.path.append(str(ROOT / "models/internvideo2-1b"))
    import checkpoint
    import export
    import internvideo2_checkpoint as made
    import network
    import torch
    from common import package

    with torch.device("cuda"):
        state = {key: tensor.cpu() for key, tensor in made.state_dict(made.FULL).items()}
    sizes = checkpoint.geometry(state)
    clip = export.example_clips(sizes, 1)
    video = checkpoint.build(network.Video, state, sizes, torch.bfloat16)
    text = checkpoint.build(network.Text, state, sizes)
    archives = {"video.bf16.pt": export.script(video, [clip]), "text.pt": export.script(text, export.example_texts()),
                "vocab.txt": export.vocab().read_bytes()}
    weights = folder / "weights" / name  # nothing but its size and digest is told
    weights.parent.mkdir(parents=True, exist_ok=True)
    with open(weights, "wb") as file:
        file.truncate(sum(tensor.nbytes for tensor in state.values()))
    facts = export.manifest(archives, sizes, "spread", weights, {})
    weights.unlink()
    facts["video"] = [way for way in facts["video"] if (way["device"], way["dtype"]) == ("cuda", "bf16")]
    package.write(folder / name, facts, archives)


def quick_fp8(folder, name):
    quick_cosmos(folder, name, with_fp8=True)


MAKERS = {"--quick": quick, "--quick-fp8": quick_fp8}


def main():
    names, maker = sys.argv[1:], make
    if names[0] in MAKERS:
        names, maker = names[1:], MAKERS[names[0]]
    folder = Path(names[0]).resolve()
    for name in names[1:]:
        if not (folder / name / "manifest.json").exists():
            maker(folder, name)


if __name__ == "__main__":
    main()

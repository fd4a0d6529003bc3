"""Writes the package of SSCD (sscd_disc_mixup, ResNet-50), which describes single pictures to find copies.

    build/venv/bin/python models/sscd/export.py --output DIR [--weights FILE] [--download]

FILE is sscd_disc_mixup.torchscript.pt, or the folder that holds it. The published module goes into the package as it
is, behind the input and output that vidx has; nothing depends on the names of its parts. A package that is there
already and was made from the same file and sources is left alone. Before anything is written, the archives are
compared with the published module.
"""
import argparse
import json
import shutil
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "build/weights/sscd"
sys.path[:0] = [str(HERE.parent)]
from common import package  # noqa: E402

SOURCE = "https://github.com/facebookresearch/sscd-copy-detection"
FILE = "sscd_disc_mixup.torchscript.pt"
URL = f"https://dl.fbaipublicfiles.com/sscd-copy-detection/{FILE}"
SIZE, DIM = 320, 512
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TIMEOUT_S = 60

# Cosines with the published module; a bfloat16 archive below its own is not written.
MIN_COSINE, MIN_COSINE_BF16 = 0.99999, 0.999

THRESHOLD = {
    "similar": 0.75,
    "measured": "not here, for want of the weights: its authors say that pairs of DISC above it are copies with a "
                "precision of 0.9. vidx only takes it for whose pictures to compare"}


def download(folder):
    """Into a file beside its place, which takes its name when all bytes have come. Their digest is not known here: it
    is printed, and becomes the package's revision."""
    path, part = folder / FILE, folder / f"{FILE}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_S) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
            announced = answer.headers["Content-Length"]
        if announced and int(announced) != part.stat().st_size:
            raise SystemExit(f"{URL}: {part.stat().st_size} bytes came, {announced} were announced")
        part.rename(path)
    except OSError as error:
        raise SystemExit(f"{URL}: {error}") from None
    finally:
        part.unlink(missing_ok=True)
    print(f"downloaded {path}, SHA-256 {package.digest(path)}")


def find_weights(path):
    found = path / FILE if path.is_dir() else path
    if not found.is_file():
        raise SystemExit(f"no weights: {found} is not there; --weights names another place, --download gets it "
                         f"from {URL}")
    return found


def load(weights):
    """The published module, float [n,3,H,W] -> [n,512]."""
    import torch

    try:
        return torch.jit.load(str(weights), map_location="cpu").eval()
    except RuntimeError as problem:
        raise SystemExit(f"{weights} is no TorchScript archive: {str(problem).splitlines()[0]}") from None


def check_pictures():
    """Fixed inputs float [4,1,3,H,W], normalised: three made pictures and one of noise."""
    import torch
    from common.clips import dead_leaves

    noise = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    pictures = torch.stack([dead_leaves(seed, 1, SIZE) for seed in range(3)] + [noise])
    return (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def script(network, dtype):
    """A ScriptModule, float [B,1,3,H,W] -> unit vectors [B,512], that computes in dtype."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Pictures(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.dtype = network.to(dtype), dtype

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return F.normalize(self.network(clips[:, 0].to(self.dtype)).float(), dim=-1)

    return torch.jit.freeze(torch.jit.script(Pictures().eval()))


def published(network, pictures):
    """What the published module answers, if that is what SSCD's would be: another model is refused here."""
    import torch

    with torch.inference_mode():
        try:
            vectors = network(pictures[:, 0])
        except RuntimeError as problem:
            raise SystemExit(f"the weights take no pictures of {SIZE} x {SIZE}: {str(problem).splitlines()[-1]}") from None
        if not torch.is_tensor(vectors) or vectors.shape != (len(pictures), DIM):
            raise SystemExit(f"the weights answer {getattr(vectors, 'shape', type(vectors))}, not {DIM} numbers a picture")
        if not torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-3):
            raise SystemExit("the weights answer vectors that are not of unit length")
        if float((vectors @ vectors.T).min()) > 0.9999:
            raise SystemExit("the weights answer the same vector to different pictures")
    return vectors


def build(weights):
    """({file: ScriptModule}, figures): float32 for every device, bfloat16 for CPUs that multiply it in tiles, where
    this machine can check it and the module is near enough in it."""
    import torch
    from common.processor import runs_bfloat16

    pictures, figures, archives = check_pictures(), {"against": "the published module, float32, 4 fixed pictures"}, {}
    wanted = published(load(weights), pictures)
    ways = [("video.pt", torch.float32, MIN_COSINE), ("video.bf16.pt", torch.bfloat16, MIN_COSINE_BF16)]
    for file, dtype, least in ways[:1 + runs_bfloat16()]:
        with torch.inference_mode():
            try:
                archive = script(load(weights), dtype)
                vectors = archive(pictures)
            except RuntimeError as problem:  # of a module whose weights are constants of its code
                figures[file] = {"left_out": str(problem).strip().splitlines()[-1][:120]}
                continue
        cosine = float((vectors * wanted).sum(-1).min())
        figures[file] = {"min_cosine": round(cosine, 7), "max_abs": round(float((vectors - wanted).abs().max()), 7)}
        if cosine >= least:
            archives[file] = archive
        else:
            figures[file]["left_out"] = f"below {least}"
    if "video.pt" not in archives:
        raise SystemExit(f"the archive is off the published module: {figures['video.pt']}")
    return archives, figures


def manifest(archives, weights, figures):
    ways = [
        {"file": "video.pt", "device": "cuda", "dtype": "fp32", "max_batch": 32, "memory_bytes": 2 << 30},
        {"file": "video.bf16.pt", "device": "cpu", "dtype": "bf16", "needs_amx": True, "max_batch": 1},
        {"file": "video.pt", "device": "cpu", "dtype": "fp32", "max_batch": 1},
    ]
    return {
        "format": 1,
        "role": "copy",
        "name": "sscd",
        "source": SOURCE,
        "revision": f"sha256:{package.digest(weights)}",
        "license": "MIT",
        "dim": DIM,
        "metric": "cosine",
        "frames": {"count": 1, "fps": 2.0, "sampling": "spread"},
        "picture": {"width": SIZE, "height": SIZE, "filter": "bilinear_antialias", "fit": "squash", "mean": MEAN,
                    "std": STD},
        "video": [way for way in ways if way["file"] in archives],
        "threshold": THRESHOLD,
        "self_check": figures,
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    parser.add_argument("--weights", type=Path, default=WEIGHTS,
                        help="the published TorchScript file, or its folder (default: %(default)s)")
    parser.add_argument("--download", action="store_true", help="get it there first, about 100 MB")
    return parser.parse_args()


def main():
    options = parse()
    if options.download:
        download(options.weights)
    output, weights = options.output.resolve(), find_weights(options.weights)
    made_from = package.fingerprint([HERE / "export.py", weights], ["torch"])
    if package.is_current(output, made_from):
        return
    archives, figures = build(weights)
    package.write(output, manifest(archives, weights, figures | {"made_from": made_from}), archives)
    print(f"wrote {output}: {json.dumps(figures)}")


if __name__ == "__main__":
    main()

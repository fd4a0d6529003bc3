"""Precision and recall of the verdicts, per transform: `python tests/recall/study.py`.

Every copy is asked about twice: with its original stored, when the right answer names it, and with
the original taken away, when the right answer is "new"; the other clips of the same film are stored
both times. Naming the wrong clip, or any clip when the original is away, is a false alarm.

    recall     right answers / copies, original stored
    precision  right answers / (right answers + false alarms), over both questions

Pictures and hashes come from the product's C code (libvxtest.so), vectors from the model package's
TorchScript archive on the CPU, over the frames that the product would choose.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]
import corpus  # noqa: E402
import vxlib  # noqa: E402

STORED_STEP_S = 0.5  # what is stored is hashed at 2 frames a second
MODEL = corpus.ROOT / "build/models/efficientnet-lite0"


class Model:
    def __init__(self, folder, hash_fps=2.0, vectors=True):
        self.hash_fps, self.vectors = hash_fps, vectors
        self.manifest = json.loads((folder / "manifest.json").read_text())
        picture = self.manifest["picture"]
        filters = {"bilinear_antialias": 0, "bicubic_antialias": 1, "bilinear": 2}
        triple = vxlib.ct.c_float * 3
        self.spec = vxlib.Spec(picture["width"], picture["height"], filters[picture["filter"]],
                               {"squash": 0, "crop": 1}[picture["fit"]], triple(*picture["mean"]),
                               triple(*picture["std"]))
        self.n_frames = self.manifest["frames"]["count"]
        self.module = torch.jit.load(str(folder / "video.pt")).eval()

    def look(self, path):
        """One file as (hashes, mirrored hashes, vector)."""
        frames, flipped, tensor = vxlib.extract(path, self.spec, self.n_frames,
                                                hash_fps=self.hash_fps)
        if not self.vectors:
            return frames, flipped, np.zeros(1, np.float32)
        with torch.inference_mode():
            return frames, flipped, self.module(torch.from_numpy(tensor)[None])[0].numpy()


def gather(model, kind, names, limit=None):
    """originals [(name, look)], copies [(name, family, transform, look)]"""
    originals, copies = [], []
    for name, clip in corpus.clips(kind, limit).items():
        frames, flipped, vector = model.look(corpus.original(kind, name, clip))
        originals.append((name, (vxlib.thin(frames, STORED_STEP_S), flipped, vector)))
        for family, transform in names:
            path = corpus.copy(kind, name, clip, family, transform)
            copies.append((name, family, transform, model.look(path)))
        print(f"\r{kind}: {len(originals)} clips", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return originals, copies


def score(originals, copies):
    """For each copy and each original: the vector's cosine and the fingerprint's best match, as
    arrays [copies, originals] of float and of (share, n_matched, n_distinct, mirrored, copy)."""
    vectors = np.stack([look[2] for _, look in originals])
    cosine = np.stack([vectors @ look[2] for *_, look in copies])
    match = np.zeros(cosine.shape, [("share", "f4"), ("n_matched", "i4"), ("n_distinct", "i4"),
                                    ("mirrored", "?"), ("copy", "?")])
    for i, (*_, (frames, flipped, _)) in enumerate(copies):
        for j, (_, (stored, _, _)) in enumerate(originals):
            for side in (frames, flipped):
                m = vxlib.compare(side, stored)
                if m.share > match[i, j]["share"]:
                    match[i, j] = (m.share, m.n_matched, m.n_distinct, side is flipped,
                                   vxlib.is_copy(m))
    return cosine, match


def judge(strength, accepted, truth):
    """Right answers and false alarms, bool [copies] each, the latter for both questions added up.
    strength [copies, originals] ranks, accepted says which may be named."""
    strength = np.where(accepted, strength, -np.inf)
    rows = np.arange(len(truth))
    named = np.isfinite(strength).any(1)
    right = named & (strength.argmax(1) == truth)
    away = strength.copy()
    away[rows, truth] = -np.inf
    return right, (named & ~right).astype(int) + np.isfinite(away).any(1)


def precision(right, alarms):
    """NaN where nothing was named at all."""
    named = right.sum() + alarms.sum()
    return right.sum() / named if named else float("nan")


def pick_threshold(cosine, truth, wanted):
    """The lowest cosine from which on the precision is as wanted."""
    for threshold in np.arange(0.70, 1.0, 0.005):
        if precision(*judge(cosine, cosine >= threshold, truth)) >= wanted:
            return round(float(threshold), 3)
    return 1.0


def verdicts(cosine, match, threshold, truth):
    """The product's order: a copy by fingerprint, else similar by vector."""
    by_hash = judge(match["share"], match["copy"], truth)
    by_vector = judge(cosine, cosine >= threshold, truth)
    has_copy = match["copy"].any(1)
    both = np.where(match["copy"], 2 + match["share"],
                    np.where((cosine >= threshold) & ~has_copy[:, None], cosine, -np.inf))
    # With the original away the vector may speak up where the fingerprint had the answer.
    rest = match["copy"].copy()
    rest[np.arange(len(truth)), truth] = False
    away = np.where(rest.any(1)[:, None], rest, cosine >= threshold)
    away[np.arange(len(truth)), truth] = False
    right, wrong = judge(both, np.isfinite(both), truth)
    named = np.isfinite(both).any(1)
    return {"fingerprint": by_hash, "vector": by_vector,
            "verdict": (right, (named & ~right).astype(int) + away.any(1))}


def table(copies, answers):
    """Markdown rows: family, transform, recall by each way, false alarms."""
    lines = ["| transform | n | copy (fingerprint) | similar (vector) | either | precision |",
             "|---|---|---|---|---|---|"]
    families = np.array([c[1] for c in copies])

    def exact(way, rows):
        value = precision(answers[way][0][rows], answers[way][1][rows])
        return "–" if np.isnan(value) else f"{value:.3f}"
    transforms = np.array([c[2] for c in copies])

    def row(label, rows):
        cells = [f"{answers[way][0][rows].mean():.3f}" for way in answers]
        cells.append(" / ".join(exact(way, rows) for way in answers))
        lines.append(f"| {label} | {rows.sum()} | {' | '.join(cells)} |")
    for family in dict.fromkeys(families):
        members = dict.fromkeys(transforms[families == family])
        if len(members) > 1:
            row(f"**{family}**", families == family)
        for transform in members:
            row(transform, transforms == transform)
    row("**all**", np.ones(len(copies), bool))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL, help="model package")
    parser.add_argument("--kind", choices=["scenes", "shots"], action="append")
    parser.add_argument("--limit", type=int, help="film clips to take (default: all)")
    parser.add_argument("--hash-fps", type=float, default=2.0,
                        help="frames of a copy that are hashed (default: 2 a second)")
    parser.add_argument("--precision", type=float, default=0.99)
    parser.add_argument("--save", type=Path, help="folder for the raw scores")
    args = parser.parse_args()
    model = Model(args.model, args.hash_fps)
    for kind in args.kind or ["scenes", "shots"]:
        originals, copies = gather(model, kind, corpus.transforms(), args.limit)
        cosine, match = score(originals, copies)
        index = {name: i for i, (name, _) in enumerate(originals)}
        truth = np.array([index[c[0]] for c in copies])
        if args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            np.savez(args.save / f"{kind}.npz", cosine=cosine, match=match, truth=truth,
                     transform=[c[2] for c in copies], family=[c[1] for c in copies])
        threshold = pick_threshold(cosine, truth, args.precision)
        print(f"\n## {kind}: {len(originals)} clips, {len(copies)} copies; cosine >= {threshold}\n")
        print(table(copies, verdicts(cosine, match, threshold, truth)))


if __name__ == "__main__":
    main()

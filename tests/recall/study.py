"""Precision and recall of the program's verdicts, per kind of change: python tests/recall/study.py

    recall     right answers / copies, original stored
    precision  right answers / (right answers + false alarms); naming the wrong clip is a false
               alarm, and so is naming any while the original is away

"pictures" is a verdict by fingerprint, whichever: copy, part_of, contains or shared_segment. "relation"
is the right one of these: part_of for what lacks some of the time, copy for all else. "similar" is
what the vectors alone would say at a threshold, from the scores that a search answers; the threshold
is the lowest with the wanted precision on the clips of the film, and what it is worth is told by the
others. "verdict" is what the program says: one by fingerprint, else similar.

It takes an hour and more: --part I/N --save FILE does the I-th of N parts, and --load FILE ... puts
them together. --variants also measures the model in fp32 and with another normalisation.
"""
import argparse
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import corpus  # noqa: E402
import product  # noqa: E402


def fp32_only(manifest):
    manifest["video"] = [v for v in manifest["video"] if v["dtype"] == "fp32"]


def plain_normalisation(manifest):
    """(x - 127) / 128, as the network's first publication has it."""
    manifest["picture"]["mean"] = [127 / 255] * 3
    manifest["picture"]["std"] = [128 / 255] * 3


KINDS = ("film", "others")
VARIANTS = {"fp32": fp32_only, "fp32-127-128": lambda m: (fp32_only(m), plain_normalisation(m))}


RELATIONS = ["copy", "part_of", "contains", "shared_segment"]


def judge(strength, truth):
    """Right answers and false alarms, the latter over both questions, [copies] each. strength
    [copies, originals] ranks those that may be named; -inf says that one may not."""
    rows = np.arange(len(truth))
    named = np.isfinite(strength).any(1)
    right = named & (strength.argmax(1) == truth)
    away = strength.copy()
    away[rows, truth] = -np.inf
    return right, (named & ~right).astype(int) + np.isfinite(away).any(1)


def by_vector(answers, model, threshold):
    scores = answers.scores[model]
    return judge(np.where(scores >= threshold, scores, -np.inf), answers.truth)


def by_program(answers, verdicts, related=False):
    """Only answers whose verdict is one of these count as given; with related, one of another
    relation than the right one is a false alarm."""
    given = np.isin(answers.verdict, verdicts)
    right = given[0] & (answers.named[0] == answers.truth)
    if related:
        right &= answers.verdict[0] == answers.relation
    return right, (given[0] & ~right).astype(int) + given[1]


def precision(right, alarms):
    """NaN where nothing was named at all."""
    named = right.sum() + alarms.sum()
    return right.sum() / named if named else float("nan")


def pick_threshold(answers, model, wanted):
    """The lowest cosine from which on the precision is as wanted."""
    best = 1.0
    for threshold in np.arange(0.999, 0.70, -0.001):
        if precision(*by_vector(answers, model, threshold)) < wanted:  # NaN: nothing named yet
            break
        best = threshold
    return round(float(best), 3)


def ways_of(answers, threshold):
    return {"pictures": by_program(answers, RELATIONS),
            "relation": by_program(answers, RELATIONS, related=True),
            "similar": by_vector(answers, product.MODEL, threshold),
            "verdict": by_program(answers, [*RELATIONS, "similar"])}


def table(found, threshold):
    """Markdown: recall of the families and of their members, film / others; precision if not 1."""
    ways = {kind: ways_of(answers, threshold) for kind, answers in found.items()}
    lines = ["| copies | n | pictures | relation | similar | verdict |", "|---" * 6 + "|"]

    def cell(way, rows):
        parts = []
        for kind in found:
            right, alarms = (a[rows[kind]] for a in ways[kind][way])
            p = precision(right, alarms)
            parts.append(f"{right.mean():.2f}" + ("" if np.isnan(p) or p == 1 else f" (p {p:.3f})"))
        return " / ".join(parts)

    def row(name, rows):
        counts = " / ".join(str(rows[kind].sum()) for kind in found)
        cells = " | ".join(cell(way, rows) for way in ways[next(iter(found))])
        lines.append(f"| {name} | {counts} | {cells} |")

    for family, members in corpus.FAMILIES.items():
        row(f"**{family}**", {k: a.family == family for k, a in found.items()})
        for transform in members if len(members) > 1 else []:
            row(transform, {k: a.transform == transform for k, a in found.items()})
    row("all", {k: np.ones(len(a.truth), bool) for k, a in found.items()})
    return "\n".join(lines)


def relations(found):
    """Markdown: of the copies whose original is stored and named, which verdict was right, and which
    was given, film / others."""
    lines = ["| right | " + " | ".join(RELATIONS) + " |", "|---" * 5 + "|"]
    for right in ("copy", "part_of"):
        cells = [" / ".join(str(((a.relation == right) & (a.verdict[0] == given)
                                 & (a.named[0] == a.truth)).sum()) for a in found.values())
                 for given in RELATIONS]
        lines.append(f"| {right} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gather_all(limit, variants, kinds, part, frames):
    with tempfile.TemporaryDirectory(dir=corpus.CACHE) as folder:
        packages = Path(folder) / "models"
        names = [product.variant(packages, product.MODEL, lambda manifest: None)]
        names += [product.variant(packages, n, c) for n, c in VARIANTS.items() if variants]
        found = {}
        for kind in kinds:
            with product.Product(Path(folder) / kind, packages, names, frames) as program:
                found[kind] = product.gather(
                    program, kind, corpus.transforms(), limit,
                    say=lambda text: print(text, file=sys.stderr, flush=True), part=part)
        return found


def load(paths):
    found = {}
    for path in paths:
        for kind, answers in pickle.loads(path.read_bytes()).items():
            found.setdefault(kind, answers).add(answers)
    return {kind: found[kind] for kind in KINDS if kind in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, help="only so many clips of each kind")
    parser.add_argument("--precision", type=float, default=0.99)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--kind", choices=KINDS, help="only these clips")
    parser.add_argument("--frames", default="exact", choices=["exact", "keyframes"],
                        help="what the clips and the copies are made of")
    parser.add_argument("--part", default="1/1", help="I/N: ask only about each N-th clip")
    parser.add_argument("--save", type=Path, help="keeps the answers in a file, and prints nothing")
    parser.add_argument("--load", type=Path, nargs="+", help="prints what was kept, asks nothing")
    args = parser.parse_args()
    corpus.CACHE.mkdir(parents=True, exist_ok=True)
    number, parts = map(int, args.part.split("/"))
    kinds = [args.kind] if args.kind else KINDS
    found = load(args.load) if args.load else gather_all(args.limit, args.variants, kinds,
                                                         (number - 1, parts), args.frames)
    if args.save:
        args.save.write_bytes(pickle.dumps(found))
        return
    if not all(answers.asked.all() for answers in found.values()):
        sys.exit("not all copies were asked about: --load all parts")
    for model in found["film"].scores:
        threshold = pick_threshold(found["film"], model, args.precision)
        results = {kind: by_vector(answers, model, threshold) for kind, answers in found.items()}
        print(f"{model}: similar from {threshold} on; "
              + "; ".join(f"{kind}: precision {precision(*r):.3f}, recall {r[0].mean():.3f}"
                          for kind, r in results.items()))
    threshold = pick_threshold(found["film"], product.MODEL, args.precision)
    for kind, answers in found.items():
        print(f"{kind}: {len(answers.names)} clips, {len(answers.copies)} copies")
    print("\n" + table(found, threshold) + "\n\n" + relations(found))


if __name__ == "__main__":
    main()

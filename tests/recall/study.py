"""Precision and recall of the program's verdicts, per kind of change: python tests/recall/study.py

    recall     right answers / copies, original stored
    precision  right answers / (right answers + false alarms); naming the wrong clip is a false
               alarm, and so is naming any while the original is away

"copy" is the verdict by fingerprint. "similar" is what the vectors alone would say at a threshold,
from the scores that a search answers; the threshold is the lowest with the wanted precision on the
clips of the film, and what it is worth is told by the others. "verdict" is what the program says:
copy, else similar. --variants also measures the model in fp32 and with another normalisation.
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


VARIANTS = {"fp32": fp32_only, "fp32-127-128": lambda m: (fp32_only(m), plain_normalisation(m))}


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


def by_program(answers, verdicts):
    """Only answers whose verdict is one of these count as given."""
    given = np.isin(answers.verdict, verdicts)
    right = given[0] & (answers.named[0] == answers.truth)
    return right, (given[0] & ~right).astype(int) + given[1]


def precision(right, alarms):
    """NaN where nothing was named at all."""
    named = right.sum() + alarms.sum()
    return right.sum() / named if named else float("nan")


def pick_threshold(answers, model, wanted):
    """The lowest cosine from which on the precision is as wanted."""
    best = 1.0
    for threshold in np.arange(0.999, 0.70, -0.001):
        if not precision(*by_vector(answers, model, threshold)) >= wanted:
            return round(float(best), 3)
        best = threshold
    return round(float(best), 3)


def table(answers, ways):
    """Markdown: a row for each family and each transform, recall by each way, precision."""
    lines = ["| copies | n | " + " | ".join(ways) + " |", "|---" * (len(ways) + 2) + "|"]

    def row(name, rows):
        cells = []
        for right, alarms in ways.values():
            p = precision(right[rows], alarms[rows])
            note = "" if np.isnan(p) or p == 1 else f" (p {p:.3f})"
            cells.append(f"{right[rows].mean():.3f}{note}")
        lines.append(f"| {name} | {rows.sum()} | " + " | ".join(cells) + " |")

    for family in corpus.FAMILIES:
        members = [t for t in corpus.FAMILIES[family] if (answers.transform == t).any()]
        if members:
            row(f"**{family}**", answers.family == family)
        for transform in members if len(members) > 1 else []:
            row(transform, answers.transform == transform)
    row("all", np.ones(len(answers.truth), bool))
    return "\n".join(lines)


def ways_of(answers, threshold):
    return {"copy": by_program(answers, ["copy"]),
            "similar": by_vector(answers, product.MODEL, threshold),
            "verdict": by_program(answers, ["copy", "similar"])}


def gather_all(limit, variants):
    with tempfile.TemporaryDirectory(dir=corpus.CACHE) as folder:
        packages = Path(folder) / "models"
        names = [product.variant(packages, product.MODEL, lambda manifest: None)]
        names += [product.variant(packages, n, c) for n, c in VARIANTS.items() if variants]
        found = {}
        for kind in ("film", "others"):
            with product.Product(Path(folder) / kind, packages, names) as program:
                found[kind] = product.gather(
                    program, kind, corpus.transforms(), limit,
                    say=lambda text: print(text, file=sys.stderr, flush=True))
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, help="only so many clips of each kind")
    parser.add_argument("--precision", type=float, default=0.99)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--save", type=Path, help="keeps the answers in a file")
    parser.add_argument("--load", type=Path, help="prints what was kept, asks nothing")
    args = parser.parse_args()
    corpus.CACHE.mkdir(parents=True, exist_ok=True)
    found = (pickle.loads(args.load.read_bytes()) if args.load
             else gather_all(args.limit, args.variants))
    if args.save:
        args.save.write_bytes(pickle.dumps(found))
    for model in found["film"].scores:
        threshold = pick_threshold(found["film"], model, args.precision)
        results = {kind: by_vector(answers, model, threshold) for kind, answers in found.items()}
        print(f"{model}: similar from {threshold} on; "
              + "; ".join(f"{kind}: precision {precision(*r):.3f}, recall {r[0].mean():.3f}"
                          for kind, r in results.items()))
    threshold = pick_threshold(found["film"], product.MODEL, args.precision)
    for kind, answers in found.items():
        print(f"\n## {kind}: {len(answers.names)} clips, {len(answers.copies)} copies\n")
        print(table(answers, ways_of(answers, threshold)))


if __name__ == "__main__":
    main()

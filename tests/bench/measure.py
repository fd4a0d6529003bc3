"""What the benchmarks share: paths, alternating rounds, medians, tables."""
import os
import shutil
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "bench"
MODELS = ROOT / "build" / "models"
DEFAULT_MODEL = "efficientnet-lite0"
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("harness", "samples")]


def scratch(name):
    """An empty folder on the disk of the working tree."""
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def alternate(rounds, *sides):
    """Runs every side once a round, in turn, so that a slow minute of the machine hits all alike.
    A list of results per side."""
    results = [[] for _ in sides]
    for number in range(rounds):
        for side, result in zip(sides, results):
            result.append(side())
        print(f"  round {number + 1} of {rounds}: load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return results


def spread(values, digits=2):
    """'median (lowest to highest)'"""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


def line(name, value, note=""):
    print(f"{name:44}{value:>26}  {note}".rstrip(), flush=True)

"""What the benchmarks share: paths, alternating rounds, medians, tables."""
import os
import shutil
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
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


def distinct(paths, folder, n, changed=False):
    """n files of different bytes: these as links, then the same in turn, each with a box of its own at the end;
    changed: all with a box."""
    folder.mkdir(parents=True, exist_ok=True)

    def one(i):
        copy = folder / f"{i:04}.mp4"
        if i < len(paths) and not changed and paths[i].stat().st_dev == folder.stat().st_dev:
            os.link(paths[i], copy)
        else:
            copy.write_bytes(paths[i % len(paths)].read_bytes() + free_box(os.urandom(16)))
        return copy

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(n)))


def free_box(payload):
    """An MP4 box that players skip."""
    return (8 + len(payload)).to_bytes(4, "big") + b"free" + payload


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

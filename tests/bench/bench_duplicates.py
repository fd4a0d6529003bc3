"""All pairs of many vectors, beside the matrix products alone: same machine, same run.

    ./dev bench duplicates

The floor is sgemm over the same products, on as many threads. The ratio is that of the time of all pairs to it;
rounds alternate, the first one warms up. Quadratic: 1 M x 256 takes a hundred times as long as 100,000.
"""
import os
import statistics
import subprocess

import tools

SHAPES = ((100_000, 256), (50_000, 768))


def run(n, dim):
    done = subprocess.run([tools.ROOT / "build/release/tests/bench/bench_duplicates", str(n), str(dim)],
                          capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def main(rounds):
    subprocess.run(["ninja", "--quiet", "-C", tools.ROOT / "build/release", "tests/bench/bench_duplicates"], check=True)
    for n, dim in SHAPES:
        results = [run(n, dim) for _ in range(rounds)]
        ratios = sorted(r["pairs_s"] / r["floor_s"] for r in results)
        median = {name: statistics.median(r[name] for r in results) for name in results[0]}
        print(f"{n} x {dim}, {os.cpu_count()} cores: products alone {median['floor_s']:.1f} s, all pairs {median['pairs_s']:.1f} s, "
              f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); which to keep {median['keep_s']:.1f} s; "
              f"{median['pairs']:.0f} pairs; vectors {median['vectors_mb']:.0f} MB, more {median['extra_mb']:.0f} MB")

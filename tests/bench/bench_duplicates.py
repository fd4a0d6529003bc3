"""All pairs of many vectors, beside the matrix products alone: same machine, same run.

    ./dev bench duplicates

The floor is sgemm over the same products, on as many threads. The ratio is that of the time of all pairs to it, by the
clock and by processor time, which compares where others compute too; rounds alternate, the first one warms up. Of a million
vectors only every 25th stripe of rows meets all rows before it, on both sides.
"""
import os
import statistics
import subprocess

import tools

SHAPES = ((100_000, 256, 1), (50_000, 768, 1), (1_000_000, 256, 25))  # rows, numbers, of how many stripes one


def run(n, dim, every):
    done = subprocess.run([tools.ROOT / "build/release/tests/bench/bench_duplicates", str(n), str(dim), str(os.cpu_count()), str(every)],
                          capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def main(rounds):
    subprocess.run(["ninja", "--quiet", "-C", tools.ROOT / "build/release", "tests/bench/bench_duplicates"], check=True)
    for n, dim, every in SHAPES:
        results = [run(n, dim, every) for _ in range(rounds)]
        ratios = sorted(r["pairs_s"] / r["floor_s"] for r in results)
        median = {name: statistics.median(r[name] for r in results) for name in results[0]}
        keep = f"which to keep {median['keep_s']:.1f} s; " if every == 1 else ""
        print(f"{n} x {dim}, 1 of {every}, {os.cpu_count()} cores: products alone {median['floor_s']:.1f} s, all pairs {median['pairs_s']:.1f} s, "
              f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), by processor time "
              f"{median['pairs_cpu_s'] / median['floor_cpu_s']:.2f}; {keep}{median['pairs']:.0f} pairs; "
              f"vectors {median['vectors_mb']:.0f} MB, more {median['extra_mb']:.0f} MB")

"""All measurements of tests/bench/README.md, or those named.

    ./dev bench [--rounds N] [pipeline] [http] [server] [index] [shots] [tokenizer]
    ./dev bench search                 installs other engines, see bench_search.py; only when named
    ./dev bench [--rounds N] gpu       needs a GPU, see bench_gpu.py; only when named

Rounds alternate between the sides, and medians with the lowest and the highest are printed.
"""
import argparse
import os
import platform
import time

import measure  # noqa: F401  (the other parts find their helpers through it)

PARTS = ("pipeline", "http", "server", "index", "shots", "tokenizer")


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if "model name" in line),
                     platform.machine())
    return f"{os.cpu_count()} cores, {model}, load {os.getloadavg()[0]:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS, "search", "gpu"], metavar="part",
                        help=", ".join(PARTS))
    args = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}: {machine()}")
    for part in args.parts or PARTS:
        print(flush=True)
        __import__(f"bench_{part}").main(args.rounds)


if __name__ == "__main__":
    main()

"""All measurements of tests/bench/README.md, or those named.

    ./dev bench [--rounds N] [pipeline] [http] [server] [index] [shots] [tokenizer] [duplicates]
    ./dev bench search search-http     install other engines, see bench_search*.py; only when named
    ./dev bench copies                 builds peers, see bench_copies.py; 25 minutes, goes on when run again; only when named
    ./dev bench copy-pairs             the pictures of right and wrong pairs compared; some minutes; only when named
    ./dev bench evidence               the cost of the second look; only when named
    ./dev bench import                 installs Milvus too; only when named
    ./dev bench clusters               takes 4 GB of memory and disk and some minutes; only when named
    ./dev bench [--clips N] [--seconds S] [--preset P] [--kind K] gpu     needs a GPU, see bench_gpu.py

Rounds alternate between the sides, and medians with the lowest and the highest are printed.
"""
import argparse
import os
import platform
import time

import measure  # noqa: F401  (the other parts find their helpers through it)

PARTS = ("pipeline", "http", "server", "index", "shots", "tokenizer", "duplicates")


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if "model name" in line),
                     platform.machine())
    return f"{os.cpu_count()} cores, {model}, load {os.getloadavg()[0]:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS, "search", "search-http", "import", "clusters", "copies", "copy-pairs", "evidence", "gpu"], metavar="part",
                        help=", ".join(PARTS))
    gpu = parser.add_argument_group("gpu")
    gpu.add_argument("--clips", type=int, default=512, help="how many clips of each kind to make")
    gpu.add_argument("--seconds", type=float, default=60, help="how long a row is measured")
    gpu.add_argument("--preset", default="superfast", help="of x264 and x265, for the clips")
    gpu.add_argument("--mode", action="append", choices=["frames", "full"], help="one --fingerprints alone")
    gpu.add_argument("--no-decoding", action="store_true", help="without the rows of the tiny model")
    gpu.add_argument("--no-http", action="store_true", help="only files in place")
    gpu.add_argument("--no-requests", action="store_true", help="no single queries and texts")
    gpu.add_argument("--cards", action="store_true", help="only one GPU against all of them")
    gpu.add_argument("--shots", action="store_true", help="only cutting at shots, and a long film")
    gpu.add_argument("--film-seconds", type=int, default=7200, help="how long that film is")
    gpu.add_argument("--kind", action="append", help="one kind of clip alone, h264-30 for example")
    args = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}: {machine()}")
    for part in args.parts or PARTS:
        print(flush=True)
        if part == "gpu":
            __import__("bench_gpu").main(args)
        else:
            __import__("bench_" + part.replace("-", "_")).main(args.rounds)


if __name__ == "__main__":
    main()

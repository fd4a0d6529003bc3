"""Which archives tests/gpu compares: prints, for each way that a package runs on CUDA, one line
`CUDA_ARCHIVE CPU_ARCHIVE T SIZE DIM FLOOR`.

    archives.py PACKAGE...            folders with a manifest.json
    archives.py --speed PACKAGE...    one line a package instead, `T SIZE DIM SECONDS ARCHIVE...`, the last
                                      way first: what tests/gpu/speed.c takes

The CPU's side is always float32; against it float32 must agree to 0.9999, others to 0.999.
"""
import json
import sys
from pathlib import Path

FLOORS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "fp8": 0.999}
SPEED_S = 1.5  # a figure


def of_package(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    reference = next(way["file"] for way in manifest["video"]
                     if way["device"] == "cpu" and way["dtype"] == "fp32")
    shape = manifest["frames"]["count"], manifest["picture"]["width"], manifest["dim"]
    for way in manifest["video"]:
        if way["device"] == "cuda":
            print(folder / way["file"], folder / reference, *shape, FLOORS[way["dtype"]])


def for_speed(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    shape = manifest["frames"]["count"], manifest["picture"]["width"], manifest["dim"]
    files = [folder / way["file"] for way in manifest["video"] if way["device"] == "cuda" and way["dtype"] != "fp32"]
    print(*shape, SPEED_S, *reversed(files))


def main():
    tell, folders = (for_speed, sys.argv[2:]) if sys.argv[1:2] == ["--speed"] else (of_package, sys.argv[1:])
    for folder in folders:
        tell(Path(folder))


if __name__ == "__main__":
    main()

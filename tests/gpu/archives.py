"""Which archives tests/gpu compares: prints, for each way that a package runs on CUDA, one line
`CUDA_ARCHIVE CPU_ARCHIVE T SIZE DIM FLOOR`.

    archives.py PACKAGE...        folders with a manifest.json

The CPU's side is always float32; against it float32 must agree to 0.9999, bfloat16 to 0.999.
"""
import json
import sys
from pathlib import Path

FLOORS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}


def of_package(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    reference = next(way["file"] for way in manifest["video"]
                     if way["device"] == "cpu" and way["dtype"] == "fp32")
    shape = manifest["frames"]["count"], manifest["picture"]["width"], manifest["dim"]
    for way in manifest["video"]:
        if way["device"] == "cuda":
            print(folder / way["file"], folder / reference, *shape, FLOORS[way["dtype"]])


def main():
    for folder in sys.argv[1:]:
        of_package(Path(folder))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compiles kernels to a C file: image_of.py OUTPUT.c SYMBOL SOURCE.cu [NVCC ARGUMENT…]

Without nvcc the image is empty, and vx_card_load says so.
"""
import pathlib
import subprocess
import sys


def main(output, symbol, source, *nvcc):
    data = b""
    if nvcc:
        binary = pathlib.Path(output + ".fatbin")
        subprocess.run([*nvcc, "-fatbin", source, "-o", binary], check=True)
        data = binary.read_bytes()
    lines = ['#include "card/card.h"', f"extern const vx_card_image {symbol};",
             "static const unsigned char data[] __attribute__((aligned(16))) = {"]
    lines += ["".join(f"{byte}," for byte in data[at:at + 32]) for at in range(0, len(data), 32)] or ["0"]
    lines += ["};", f'const vx_card_image {symbol} = {{"{pathlib.Path(source).name}", data, {len(data)}}};']
    pathlib.Path(output).write_text("\n".join(lines) + "\n")


main(*sys.argv[1:])

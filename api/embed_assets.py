#!/usr/bin/env python3
"""Writes the C table of assets.h from files: embed_assets.py OUTPUT FILE…"""
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}


def main(output, *files):
    lines = ['#include "api/resources/assets.h"', ""]
    rows = []
    for number, name in enumerate(files):
        path = pathlib.Path(name)
        data = path.read_bytes()
        lines.append(f"static const unsigned char file_{number}[] = {{")
        for at in range(0, len(data), 24):
            lines.append("    " + "".join(f"{byte}," for byte in data[at : at + 24]))
        lines.append("};")
        served = "/" if path.name == "index.html" else "/" + path.name
        etag = hashlib.sha256(data).hexdigest()[:32]
        rows.append(
            f'    {{"{served}", "{TYPES[path.suffix]}", "\\"{etag}\\"", file_{number}, {len(data)}}},'
        )
    lines += ["", "const vx_asset vx_assets[] = {", *rows, "};"]
    lines.append(f"const size_t vx_assets_count = {len(rows)};")
    pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")


main(*sys.argv[1:])

#!/usr/bin/env python3
"""Writes the C table of assets.h from files: embed_assets.py OUTPUT FILE…

A YAML file is served a second time as JSON.
"""
import hashlib
import json
import pathlib
import sys

import yaml

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    ".json": "application/json",
}


def served_files(names):
    """(name, bytes) of everything that is served."""
    for name in names:
        path = pathlib.Path(name)
        data = path.read_bytes()
        yield path.name, data
        if path.suffix == ".yaml":
            yield path.stem + ".json", json.dumps(yaml.safe_load(data), ensure_ascii=False).encode() + b"\n"


def main(output, *files):
    lines = ['#include "api/resources/assets.h"', ""]
    rows = []
    for number, (name, data) in enumerate(served_files(files)):
        lines.append(f"static const unsigned char file_{number}[] = {{")
        for at in range(0, len(data), 24):
            lines.append("    " + "".join(f"{byte}," for byte in data[at : at + 24]))
        lines.append("};")
        served = "/" if name == "index.html" else "/" + name
        etag = hashlib.sha256(data).hexdigest()[:32]
        rows.append(
            f'    {{"{served}", "{TYPES[pathlib.Path(name).suffix]}", "\\"{etag}\\"", file_{number}, {len(data)}}},'
        )
    lines += ["", "const vx_asset vx_assets[] = {", *rows, "};"]
    lines.append(f"const size_t vx_assets_count = {len(rows)};")
    pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")


main(*sys.argv[1:])

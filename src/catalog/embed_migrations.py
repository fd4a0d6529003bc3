"""Writes the migrations (NNNN.sql, in order) as one C array: embed_migrations.py OUT.c IN.sql…"""

import pathlib
import sys

output, *inputs = map(pathlib.Path, sys.argv[1:])
lines = ['#include "catalog/catalog_internal.h"', "", "const char *const vx_catalog_migrations[] = {"]
for number, path in enumerate(inputs, start=1):
    assert path.name == f"{number:04}.sql", f"{path.name}: expected {number:04}.sql"
    lines.append("    (")  # clang takes two strings without a comma for a slip
    for text in path.read_text(encoding="utf-8").splitlines():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    "{escaped}\\n"')
    lines[-1] += "),"
lines += ["};", f"const int vx_catalog_n_migrations = {len(inputs)};", ""]
output.write_text("\n".join(lines), encoding="utf-8")

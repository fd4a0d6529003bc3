"""Functions and files stay short: over the aim is a warning, over the limit fails."""

import subprocess
import warnings

import pytest
from tree import REPO, c_files

FUNCTION_AIM, FUNCTION_LIMIT = 60, 100
FILE_AIM, FILE_LIMIT = 600, 1000


def functions(path):
    """(name, number of lines) of each function."""
    listing = subprocess.run(
        ["ctags", "-x", "--kinds-C=f", "--kinds-C++=f", "--fields=+e", "--_xformat=%N %n %e", path],
        cwd=REPO, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listing.splitlines():
        name, first, last = line.rsplit(" ", 2)
        yield name, int(last) - int(first) + 1


@pytest.mark.parametrize("path", c_files())
def test_size_is_under_the_limit(path):
    n_lines = (REPO / path).read_text(encoding="utf-8").count("\n")
    assert n_lines <= FILE_LIMIT, f"{path} has {n_lines} lines"
    if n_lines > FILE_AIM:
        warnings.warn(f"{path} has {n_lines} lines")
    for name, n in functions(path) if path.endswith((".c", ".cpp")) else ():
        assert n <= FUNCTION_LIMIT, f"{path}: {name} has {n} lines"
        if n > FUNCTION_AIM:
            warnings.warn(f"{path}: {name} has {n} lines")


def test_functions_are_measured():
    assert dict(functions("src/base/err.c")), "ctags finds no function"

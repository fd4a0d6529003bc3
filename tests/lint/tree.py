"""The repository's files as the checks see them: tracked, or about to be."""

import pathlib
import subprocess

REPO = pathlib.Path(__file__).resolve().parents[2]


def files(*patterns):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=REPO,
                           check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    return sorted({n for n in names if n and (REPO / n).is_file()})


def c_files():
    return files("*.c", "*.h", "*.cpp", "*.cu")

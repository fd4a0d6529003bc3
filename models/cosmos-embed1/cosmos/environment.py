"""build/venv-cosmos: transformers 4 for the published code, beside the project's environment.

It has no torch of its own: a .pth file lets it find the project's packages after its own, so that
both implementations are compared on one torch, and a second download of some GB is saved.
"""
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
REQUIREMENTS = HERE.parent / "requirements.txt"
FOLDER = ROOT / "build" / "venv-cosmos"


class Failed(Exception):
    """The published implementation cannot be had or run; the message says what is missing."""


def run(command, what):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failed(f"{what}:\n{done.stdout[-3000:]}")


def pip(python):
    """The project's pip, working for another Python: the environment has none of its own."""
    return [sys.executable, "-m", "pip", "--python", python, "install"]


def make():
    """Makes it unless it is there as requirements.txt says; returns its Python."""
    python, stamp = FOLDER / "bin" / "python", FOLDER / "done-requirements.txt"
    if stamp.exists() and filecmp.cmp(stamp, REQUIREMENTS, shallow=False):
        return python
    print(f"installing {REQUIREMENTS} into {FOLDER}", flush=True)
    venv.create(FOLDER, clear=True)
    run([*pip(python), "-q", "-c", ROOT / "models/requirements.txt", "-r", REQUIREMENTS],
        "transformers cannot be installed, which the published code needs")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (FOLDER / "lib" / version / "site-packages" / "project.pth").write_text(
        sysconfig.get_path("purelib") + "\n")
    shutil.copy(REQUIREMENTS, stamp)
    return python


def official(command, weights, given, out):
    """Runs official.py; its inputs `given` ({name: tensor}) pass through a file."""
    import torch

    python = make()
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        torch.save(given, file.name)
        run([python, HERE / "official.py", command, weights, file.name, out],
            f"the published code of {weights} fails (a package that it misses is added by: "
            f"{' '.join(map(str, pip(python)))} NAME)")

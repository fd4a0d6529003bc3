"""The clips of the tests: what a test finds out of them must not change from run to run."""

import hashlib
import os
import subprocess
import sys

import make
import pytest

MADE = ["h264_closed.mp4", "h264_odd_size.mp4", "h264_444.mkv", "hevc_open.mkv", "vp9.webm",
        "av1.webm", "mpeg4_b.mkv"]


def made_with_memory_of(byte, name, folder):
    """The digest of a clip made by a process in which fresh memory is full of this byte."""
    path = folder / name
    subprocess.run([sys.executable, "-c", "import make, pathlib, sys\n"
                    "make.SAMPLES[sys.argv[1]](pathlib.Path(sys.argv[2]))", name, path],
                   cwd=make.ROOT / "tests/samples", check=True,
                   env={**os.environ, "MALLOC_PERTURB_": str(byte)})
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", MADE)
def test_sample_made_again_has_the_same_bytes(name, tmp_path):
    assert len({made_with_memory_of(byte, name, tmp_path) for byte in (1, 85, 170, 255)}) == 1

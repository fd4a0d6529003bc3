"""The systemd unit is valid, and confines vidx as far as libtorch allows."""

import re
import shutil
import subprocess

import pytest
from tree import REPO

UNIT = REPO / "src/server/vidx.service"
# Exposure, 0 to 100 in `systemd-analyze security`; 14 with systemd 252.
MAX_EXPOSURE = 20

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that exists on this machine."""
    path = tmp_path / "vidx.service"
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    return path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_unit_is_valid(unit):
    done = analyze("verify", "--man=no", unit)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_unit_exposes_little(unit):
    done = analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout

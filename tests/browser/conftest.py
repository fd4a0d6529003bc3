"""The page in the real browser: Debian's Chromium, driven by Playwright, against the real server."""

import os
import shutil
import subprocess
from pathlib import Path

import make as samples
import pytest
from server import Server

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "browser"  # what the tests saw, for people


def pytest_configure(config):
    config.addinivalue_line("markers", "model(name, *flags): the server's model package, and flags")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    program = os.environ.get("VIDX_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        # Its sandbox needs user namespaces or a setuid helper, which root in a container lacks.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path, tiny_model, request):
    """With tiny, or with the model and flags that @pytest.mark.model says."""
    mark = request.node.get_closest_marker("model")
    model, *flags = mark.args if mark else ["tiny"]
    with Server(tmp_path / "data", tiny_model, model=model, flags=flags) as server:
        yield server


@pytest.fixture
def page(browser, server):
    """The page, opened; a test fails when its console shows an error that it did not expect."""
    context = browser.new_context(viewport={"width": 1100, "height": 850})
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.faults.append(message.text))
    page.goto(server.url)
    page.set_default_timeout(15_000)
    yield page
    SHOTS.mkdir(parents=True, exist_ok=True)
    assert page.faults == []
    context.close()


@pytest.fixture
def shot(page, request):
    """shot("name") keeps a picture of the page."""

    def take(name, full_page=True):
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.png", full_page=full_page)

    return take


@pytest.fixture(scope="session")
def cut(tmp_path_factory):
    """cut(name, (source, start, seconds), ...): a file of parts of two films, "zoom" and "cells", in this order."""
    folder = tmp_path_factory.mktemp("cuts")
    films = {"zoom": "mandelbrot=s=160x90:r=25:start_scale=3", "cells": "cellauto=s=160x90:r=25:rule=110"}

    def make(name, *parts, crf=20):
        inputs = [a for source, _, _ in parts for a in ("-f", "lavfi", "-i", films[source])]
        cuts = "".join(f"[{i}]trim={start}:{start + seconds},setpts=PTS-STARTPTS[p{i}];"
                       for i, (_, start, seconds) in enumerate(parts))
        pads = "".join(f"[p{i}]" for i in range(len(parts)))
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, "-filter_complex",
                        f"{cuts}{pads}concat=n={len(parts)}", "-pix_fmt", "yuv420p", "-c:v", "libvpx", "-deadline",
                        "realtime", "-b:v", "2M", "-crf", str(crf), folder / name], check=True)
        return folder / name

    return make


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """film(seed) is the path of a small video; VP8, which every Chromium plays."""
    folder = tmp_path_factory.mktemp("films")

    def make(seed, name=None, **more):
        path = folder / (name or f"film {seed}.webm")
        if not path.exists():
            samples.encode(path, "libvpx", n=more.pop("n", 50), size=(320, 180), rate=10, seed=seed,
                           options={"b": more.pop("bitrate", "400k"), "deadline": "realtime"}, **more)
        return path

    return make

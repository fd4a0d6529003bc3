"""Everything in the README that can be run works as it is pasted.

The commands run in a folder that looks like the repository after ./dev run, against a server with the
models of ./dev run. Only the port and the folder of the samples differ. tests/fresh runs the first
block, on a bare machine.
"""

import re
import shutil
import subprocess
import sys

import make as samples
import pytest
from server import Server

pytestmark = pytest.mark.release  # documents, with the models of ./dev run
ROOT = samples.ROOT
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.S | re.M)
URL = "http://127.0.0.1:8000"


def block(start):
    """The text of the one code block that begins so."""
    text, = [text for _, text in BLOCKS if text.startswith(start)]
    return text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """As ./dev run starts it."""
    with Server(tmp_path_factory.mktemp("readme") / "data", ROOT / "build/models", model="auto") as server:
        yield server


@pytest.fixture(scope="module")
def sample_videos(tmp_path_factory):
    """What ./dev sample makes."""
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run([ROOT / "dev", "sample", folder], check=True, capture_output=True)
    assert {path.name for path in folder.iterdir()} == {"clip.mp4", "copy.mkv", "long.mp4", "unknown.mp4"}
    return folder


@pytest.fixture
def checkout(tmp_path, sample_videos):
    """A folder with what the commands name: ./dev sample, the program and the models."""
    shutil.copytree(sample_videos, tmp_path / "build/sample")
    (tmp_path / "dev").write_text("#!/bin/sh\n[ \"$*\" = sample ]\n")
    (tmp_path / "dev").chmod(0o755)
    for name in ("release", "models"):
        (tmp_path / "build" / name).symlink_to((ROOT / "build" / name).resolve())
    return tmp_path


def paste(text, folder, before=""):
    return subprocess.run(["bash", "-eu", "-c", before + text], cwd=folder, capture_output=True, text=True,
                          timeout=120)


def test_every_code_block_is_run_by_a_test():
    assert [text.split("\n")[0] for _, text in BLOCKS] == [
        "git clone <this repository> vidx && cd vidx",  # tests/fresh
        block("./dev sample").split("\n")[0],
        "from openai import OpenAI",
        "build/release/vidx embed --input build/sample --output build/index"]


def test_curl_lines_answer_what_their_comments_say(server, checkout):
    text = block("./dev sample").replace(URL, server.url)
    # Each curl also reports its status, on stderr.
    report = "curl() { command curl -s -w '%{stderr}%{http_code}\\n' \"$@\"; }\n"
    done = paste(text, checkout, report)
    assert done.returncode == 0, done.stderr
    said = [int(status) for status in re.findall(r"^curl .*# (\d{3}):", text, re.M)]
    assert said == [201, 200, 409, 202, 202, 204]
    expected = [201, 200, 409, 202] + [200] * 8 + [202, 200, 200, 204]
    assert [int(line) for line in re.findall(r"^\d{3}$", done.stderr, re.M)] == expected, done.stdout
    assert (checkout / "build/thumbnail.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_openai_client_gets_vectors_of_texts(server, checkout):
    done = subprocess.run([sys.executable, "-c", block("from openai").replace(URL, server.url)], cwd=checkout,
                          capture_output=True, text=True, timeout=120)
    assert done.stdout == "2 vectors of 1280 numbers\n", done.stderr


def test_folder_is_embedded_without_a_server(checkout):
    done = paste("./dev sample\n" + block("build/release/vidx embed"), checkout)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (checkout / "build/index").iterdir()}
    assert {"video_index.faiss", "embeddings.npy", "clips.jsonl"} <= names

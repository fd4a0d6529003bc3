"""vidx dedup: duplicates among the videos of a folder, without a server."""

import csv
import io
import json
import subprocess

import pytest
from server import BINARY, Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film, small in a trash folder, and another film."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "Trash").mkdir()
    for name, source, size in (("film.mp4", "mandelbrot", "320x180"), ("Trash/film.mp4", "mandelbrot", "480x270"),
                               ("b/film.mp4", "mandelbrot", "240x136"), ("other.mp4", "testsrc2", "320x180")):
        (folder / name).parent.mkdir(exist_ok=True)
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"{source}=s=480x270:r=25", "-t", "4", "-vf",
                        f"scale={size}", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", folder / name], check=True)
    return folder


@pytest.fixture(scope="module")
def index(folder, tiny_model, tmp_path_factory):
    output = tmp_path_factory.mktemp("index")
    subprocess.run([BINARY, "embed", "--input", folder, "--output", output, "--models", tiny_model, "--model", "tiny", "--quiet"], check=True)
    return output


@pytest.fixture
def dedup(index, tiny_model):
    def run(*arguments, where=index):
        return subprocess.run([BINARY, "dedup", "--index", where, "--models", tiny_model, "--model", "tiny", *arguments],
                              capture_output=True, text=True, check=False, timeout=120)
    return run


def test_groups_are_listed_with_what_may_go(dedup):
    done = dedup()
    assert done.returncode == 0 and "1 groups" in done.stderr, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert [(r["filename"], r["action"]) for r in rows] == [
        ("film.mp4", "keep"), ("b/film.mp4", "delete"), ("Trash/film.mp4", "delete")]


def test_later_run_compares_only_what_came_since(dedup):
    dedup()
    assert "compared 0 new videos with 4" in dedup().stderr


def test_paths_are_the_files_that_may_go(dedup):
    assert dedup("--format", "paths", "--quiet", "--keep", "path:b").stdout.splitlines() == ["film.mp4", "Trash/film.mp4"]
    lines = [json.loads(line) for line in dedup("--format", "jsonl").stdout.splitlines()]
    assert [x["action"] for x in lines] == ["keep", "delete", "delete"]


def test_data_folder_of_a_stopped_server_works_too(dedup, folder, tiny_model, tmp_path):
    with Server(tmp_path / "data", tiny_model) as server:
        for name in ("film.mp4", "b/film.mp4"):
            assert server.upload(folder / name).ok
        busy = dedup(where=tmp_path / "data")
        assert busy.returncode == 1 and busy.stderr.startswith("vidx dedup: ")
    assert "1 groups" in dedup(where=tmp_path / "data").stderr


@pytest.mark.parametrize("arguments", [["--keep", "best"], ["--format", "xml"], ["--min-score", "2"], ["--x"]])
def test_wrong_usage_is_refused(dedup, arguments):
    assert dedup(*arguments).returncode == 2


def test_folder_without_a_catalog_is_refused(dedup, tmp_path):
    done = dedup(where=tmp_path)
    assert done.returncode == 1 and "has no catalog" in done.stderr


def test_help_says_that_nothing_is_deleted():
    done = subprocess.run([BINARY, "dedup", "--help"], capture_output=True, text=True, check=True)
    assert "Nothing is deleted" in done.stdout

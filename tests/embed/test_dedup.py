"""vidx dedup: duplicates among the videos of folders, without a server."""

import csv
import io
import json
import shutil
import sqlite3
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
    done = dedup("--format", "csv")
    assert done.returncode == 0 and "1 groups" in done.stderr, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert [(r["filename"], r["action"]) for r in rows] == [
        ("film.mp4", "keep"), ("b/film.mp4", "delete"), ("Trash/film.mp4", "delete")]
    assert {r["kept_filename"] for r in rows} == {"", "film.mp4"}


def test_later_run_compares_only_what_came_since(dedup):
    dedup()
    assert "compared 0 new videos with 4" in dedup().stderr


def test_groups_and_pairs_are_the_same_for_every_number_of_threads(dedup, index):
    def anew(threads):
        with sqlite3.connect(index / ".vidx/catalog.db") as catalog:
            catalog.execute("DELETE FROM duplicate_basis")
        done = dedup("--format", "jsonl", "--similar", "--threads", threads)
        assert "compared 4 new videos with 4" in done.stderr
        with sqlite3.connect(index / ".vidx/catalog.db") as catalog:
            return done.stdout, catalog.execute("SELECT * FROM duplicate_pairs").fetchall()
    wanted = anew("1")
    assert wanted[1] and anew("3") == wanted


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


@pytest.mark.parametrize("arguments", [["--keep", "best"], ["--format", "xml"], ["--min-score", "2"], ["--x"], ["also-a-place"]])
def test_wrong_usage_is_refused(dedup, arguments):
    assert dedup(*arguments).returncode == 2


def test_folder_without_a_catalog_is_refused(dedup, tmp_path):
    done = dedup(where=tmp_path)
    assert done.returncode == 1 and "has no catalog" in done.stderr


def test_help_says_that_nothing_is_deleted():
    done = subprocess.run([BINARY, "dedup", "--help"], capture_output=True, text=True, check=True)
    assert "Nothing is deleted" in done.stdout


# ---- folders and files that nobody has read yet ----

@pytest.fixture
def places(folder, tiny_model, tmp_path):
    """places(*arguments) runs vidx dedup in a folder of its own, which has a copy of the films as films/."""
    shutil.copytree(folder, tmp_path / "films")

    def run(*arguments, code=0):
        done = subprocess.run([BINARY, "dedup", "--state", "state", "--models", tiny_model, "--model", "tiny", *arguments],
                              cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        return done
    run.folder = tmp_path
    return run


def stored(places, query):
    with sqlite3.connect(places.folder / "state/.vidx/catalog.db") as catalog:
        return catalog.execute(query).fetchall()


def actions(places, done):
    """[(path below the folder, action, relation)] of a list as JSON lines."""
    return [(x["filename"].removeprefix(f"{places.folder}/"), x["action"], x.get("relation"))
            for x in map(json.loads, done.stdout.splitlines())]


def test_folder_is_read_and_its_groups_are_printed_with_the_reason(places):
    done = places("films")
    films = places.folder / "films"
    assert "4 new" in done.stderr and "1 groups" in done.stderr
    assert done.stdout.splitlines()[0].startswith("Group 1: 3 files, ")
    assert f"  keep    {films}/film.mp4 (320 × 180, 0:04, " in done.stdout
    assert ": it has the largest picture: 320 × 180, the next has 240 × 136\n" in done.stdout
    assert done.stdout.count(f": a copy of {films}/film.mp4\n") == 2
    assert {path.name for path in films.rglob("*.mp4")} == {"film.mp4", "other.mp4"}


def test_frames_are_hashed_in_full(places):
    places("films")
    assert stored(places, "SELECT DISTINCT fingerprints FROM videos") == [(2,)]


def test_second_run_reads_and_compares_nothing(places):
    first = places("films")
    again = places("films")
    assert "0 new, 4 unchanged" in again.stderr and "compared 0 new videos with 4" in again.stderr
    assert again.stdout == first.stdout


def test_files_with_the_same_bytes_are_a_group(places):
    (places.folder / "more").mkdir()
    shutil.copy(places.folder / "films/other.mp4", places.folder / "more/again.mp4")
    wanted = [("films/other.mp4", "keep", None), ("more/again.mp4", "delete", "exact")]
    assert actions(places, places("films/other.mp4", "more", "--format", "jsonl")) == wanted
    kept = places("films/other.mp4", "more", "--format", "jsonl", "--keep", "path:more")
    assert actions(places, kept) == [("more/again.mp4", "keep", None), ("films/other.mp4", "delete", "exact")]
    assert places("films/other.mp4", "more", "--format", "paths").stdout == f"{places.folder}/more/again.mp4\n"


def test_same_bytes_of_a_video_that_may_go_go_too(places):
    shutil.copy(places.folder / "films/b/film.mp4", places.folder / "films/c.mp4")
    assert actions(places, places("films", "--format", "jsonl")) == [
        ("films/film.mp4", "keep", None), ("films/b/film.mp4", "delete", "copy"), ("films/c.mp4", "delete", "exact"),
        ("films/Trash/film.mp4", "delete", "copy")]


def test_names_of_one_file_are_no_copies_of_it_and_free_its_bytes_once(places):
    films = places.folder / "films"
    (films / "c").mkdir()
    shutil.copy(films / "film.mp4", films / "c/copy.mp4")
    for name, link in (("film.mp4", "again.mp4"), ("b/film.mp4", "b/link.mp4"), ("c/copy.mp4", "c/link.mp4"), ("other.mp4", "other2.mp4")):
        (films / link).hardlink_to(films / name)
    smaller = [("films/b/film.mp4", "delete", "copy"), ("films/b/link.mp4", "delete", "exact"), ("films/Trash/film.mp4", "delete", "copy")]
    done = places("films", "--format", "jsonl")
    assert actions(places, done) == [
        ("films/again.mp4", "keep", None), ("films/film.mp4", "keep", "exact"),
        ("films/c/copy.mp4", "delete", "exact"), ("films/c/link.mp4", "delete", "exact"), *smaller]
    freed = sum(x["bytes"] for x in map(json.loads, done.stdout.splitlines()) if x["action"] == "delete")
    assert freed == sum((films / name).stat().st_size for name in ("c/copy.mp4", "b/film.mp4", "Trash/film.mp4"))
    text = places("films").stdout
    assert text.startswith("Group 1: 4 files, ") and f"of which {freed / 1e6:.1f} MB may go" in text
    assert f"  keep    {films}/film.mp4: another name (hard link) of {films}/again.mp4\n" in text
    assert [line.removeprefix(f"{films}/") for line in places("films", "--format", "paths").stdout.splitlines()] == [
        "c/copy.mp4", "c/link.mp4", "b/film.mp4", "b/link.mp4", "Trash/film.mp4"]
    assert actions(places, places("films", "--format", "jsonl", "--keep", "path:films/c")) == [
        ("films/c/copy.mp4", "keep", None), ("films/c/link.mp4", "keep", "exact"),
        ("films/again.mp4", "delete", "exact"), ("films/film.mp4", "delete", "exact"), *smaller]


def test_only_what_is_named_is_listed_and_the_rest_stays_known(places):
    places("films")
    assert "0 groups" in places("films/other.mp4", "films/film.mp4").stderr
    assert "0 new, 4 unchanged" in places("films").stderr


def test_file_that_is_gone_leaves_its_group(places):
    places("films")
    (places.folder / "films/b/film.mp4").unlink()
    done = places("films", "--format", "jsonl")
    assert "1 removed" in done.stderr
    assert actions(places, done) == [("films/film.mp4", "keep", None), ("films/Trash/film.mp4", "delete", "copy")]


def test_place_that_is_empty_now_is_refused_and_forgets_nothing(places):
    places("films")
    (places.folder / "films").rename(places.folder / "away")
    (places.folder / "films").mkdir()
    assert "is a disk not mounted?" in places("films", code=1).stderr
    assert len(stored(places, "SELECT 1 FROM videos")) == 4


def test_folders_above_all_places_do_not_set_a_file_aside(places):
    (places.folder / "films").rename(places.folder / ".films")
    assert [a for _, a, _ in actions(places, places(".films", "--format", "jsonl"))] == ["keep", "delete", "delete"]
    assert actions(places, places(".films", "--format", "jsonl"))[0][0] == ".films/film.mp4"


def test_list_is_written_as_csv_or_json_lines(places):
    places("films", "--list", "a.csv")
    rows = list(csv.DictReader((places.folder / "a.csv").open(newline="")))
    assert [r["action"] for r in rows] == ["keep", "delete", "delete"]
    places("films", "--list", "a.jsonl")
    assert [json.loads(line)["action"] for line in (places.folder / "a.jsonl").read_text().splitlines()] == ["keep", "delete", "delete"]


def test_bad_file_is_named_and_the_rest_is_compared(places):
    (places.folder / "films/bad.mp4").write_bytes(b"no video")
    done = places("films", code=3)
    assert "skipped: " in done.stderr and "1 groups" in done.stderr
    assert json.loads((places.folder / "state/failed.jsonl").read_text())["file"].endswith("/films/bad.mp4")


def test_name_with_control_characters_does_not_reach_the_terminal(places):
    (places.folder / "films/film.mp4").rename(places.folder / "films/a\x1b[2J\nb.mp4")
    done = places("films")
    assert "\x1b" not in done.stdout + done.stderr and "\\x1b[2J\\x0ab.mp4" in done.stdout
    assert "x1b" not in places("films", "--format", "paths", "--keep", "path:films/b").stdout


def test_place_that_is_not_there_is_named(places):
    assert "nowhere" in places("films", "nowhere", code=1).stderr


def test_nothing_to_look_at_is_wrong_usage(places):
    assert "--index DIR" in places(code=2).stderr

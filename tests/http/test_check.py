"""vidx check: what it finds in a data folder, what it mends, and what it says is lost."""

import json
import os
import shutil
import sqlite3
import subprocess

import make as samples
import pytest
from server import BINARY, Server

N = 3


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, tiny_model):
    """A data folder with N videos, stopped; and their ids, paths and digests."""
    folder = tmp_path_factory.mktemp("pristine")
    videos = []
    with Server(folder / "data", tiny_model) as server:
        for seed in range(1, N + 1):
            path = folder / f"clip-{seed}.mp4"
            samples.encode(path, "libx264", n=16, size=(96, 64), rate=8, seed=seed)
            videos.append(server.upload(path).json() | {"path": path})
    return folder / "data", videos


@pytest.fixture
def data(pristine, tmp_path):
    return shutil.copytree(pristine[0], tmp_path / "data")


@pytest.fixture
def videos(pristine):
    return pristine[1]


def check(data, *flags, code, kinds=(), repaired=None):
    """Runs it with --json and compares; gives the object."""
    done = subprocess.run([BINARY, "check", "--data", data, "--json", *flags], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert sorted(problem["kind"] for problem in report["problems"]) == sorted(kinds), report
    assert report["ok"] is (code == 0)
    if repaired is not None:
        assert report["repaired"] == repaired, report
    return report


def change(data, *statements):
    with sqlite3.connect(data / "catalog.db") as catalog:
        for statement in statements:
            catalog.execute(statement)
    catalog.close()


def stored_file(data, video):
    return data / "media" / video["sha256"][:2] / video["sha256"]


def test_sound_folder_has_no_problems(data):
    report = check(data, code=0)
    assert report["videos"] == report["files"] == N and report["clips"] == N and report["bytes"] > 0
    text = subprocess.run([BINARY, "check", "--data", data], capture_output=True, text=True, check=True).stdout
    assert text.startswith(f"{N} videos, {N} clips, {N} stored files") and text.endswith("no problems\n")


def test_missing_file_is_told_and_stays_so_until_the_same_bytes_come_again(data, videos, tiny_model):
    stored_file(data, videos[0]).unlink()
    report = check(data, code=1, kinds=["file-missing"])
    assert videos[0]["id"] in report["problems"][0]["detail"]
    report = check(data, "--repair", code=1, kinds=["file-missing"], repaired=0)
    assert report["videos"] == N  # no row goes silently
    with Server(data, tiny_model) as server:
        assert server.upload(videos[0]["path"]).status_code == 200
    check(data, code=0)


def test_file_with_one_wrong_bit_is_found_set_aside_and_replaced_by_the_same_bytes(data, videos, tiny_model):
    file = stored_file(data, videos[1])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    check(data, code=1, kinds=["file-damaged"])
    assert file.exists()
    check(data, "--repair", code=1, kinds=["file-damaged"], repaired=0)
    assert not file.exists() and file.with_name(file.name + ".damaged").read_bytes() == content
    check(data, code=1, kinds=["file-missing"])
    with Server(data, tiny_model) as server:
        assert server.upload(videos[1]["path"]).status_code == 200
        assert server.get(f"/v1/videos/{videos[1]['id']}/content").content == videos[1]["path"].read_bytes()
    check(data, code=0)


def test_file_that_is_cut_off_is_damaged(data, videos):
    os.truncate(stored_file(data, videos[0]), 10)
    check(data, code=1, kinds=["file-damaged"])


def test_orphans_are_removed_by_repair_alone_and_files_of_people_never(data):
    orphan = data / "media" / "ab" / ("ab" + 62 * "0")
    upload = data / "incoming" / (32 * "7")
    note = data / "media" / "ab" / "README"
    for path in (orphan, upload, note):
        path.write_bytes(b"x")
    check(data, code=1, kinds=["file-orphaned", "upload-orphaned"])
    assert orphan.exists() and upload.exists()
    check(data, "--repair", code=0, kinds=["file-orphaned", "upload-orphaned"], repaired=2)
    assert not orphan.exists() and not upload.exists() and note.exists()
    check(data, code=0)


@pytest.mark.parametrize("state", [0, 1, 5], ids=["queued", "running", "parked"])
def test_upload_that_an_unfinished_job_waits_for_is_no_orphan(data, state):
    upload = data / "incoming" / (32 * "7")
    upload.write_bytes(b"x")
    request = json.dumps({"file": upload.name})
    change(data, "INSERT INTO jobs (id, state, kind, request, result, created_us, finished_us)"
                 f" VALUES ('j1', {state}, 'ingest', '{request}', NULL, 1, 0)")
    check(data, "--repair", code=0)
    assert upload.exists()


def test_damaged_vector_is_dropped_and_made_again_by_a_backfill(data, videos, tiny_model):
    change(data, "UPDATE vectors SET data = (SELECT data FROM vectors ORDER BY key DESC LIMIT 1) WHERE key ="
                 " (SELECT min(key) FROM vectors)")
    report = check(data, code=1, kinds=["vector-damaged"])
    assert f"{videos[0]['id']}.0 of tiny" in report["problems"][0]["detail"]
    report = check(data, "--repair", code=0, kinds=["vector-damaged"], repaired=1)
    assert report["missing_vectors"] == 1
    with Server(data, tiny_model) as server:
        assert server.get("/v1/health/ready").status_code == 200
        job = server.http.post(f"{server.url}/v1/models/tiny/backfill").json()
        server.wait_for_job(job["id"])
    report = check(data, code=0)
    assert report["missing_vectors"] == 0


def damage_first_vector(data):
    change(data, "UPDATE vectors SET data = (SELECT data FROM vectors ORDER BY key DESC LIMIT 1) WHERE key ="
                 " (SELECT min(key) FROM vectors)")


def backfill(server):
    job = server.http.post(f"{server.url}/v1/models/tiny/backfill").json()
    return server.wait_for_job(job["id"])["report"]


def test_damaged_vector_is_made_again_by_a_backfill_without_a_repair(data, videos, tiny_model):
    damage_first_vector(data)
    with Server(data, tiny_model) as server:
        assert backfill(server) == {"embedded": 1, "deleted": 0, "failed": 0, "failures": []}
        found = server.http.post(f"{server.url}/v1/search", json={"video_id": videos[0]["id"]})
        assert found.status_code == 200 and len(found.json()["items"]) == N - 1
    assert check(data, code=0)["missing_vectors"] == 0


def test_damaged_vector_of_a_damaged_file_is_not_made_again(data, videos, tiny_model):
    damage_first_vector(data)
    file = stored_file(data, videos[0])
    content = bytearray(file.read_bytes())
    content[content.index(b"mdat") + 200] ^= 1  # it may well decode
    file.chmod(0o600)
    file.write_bytes(content)
    with Server(data, tiny_model) as server:
        report = backfill(server)
        assert (report["embedded"], report["failed"]) == (0, 1)
        assert report["failures"][0]["video_id"] == videos[0]["id"] and "damaged" in report["failures"][0]["detail"]
    check(data, code=1, kinds=["file-damaged", "vector-damaged"])


def test_vector_without_checksum_that_is_no_unit_vector_is_damaged(data):
    change(data, "UPDATE vectors SET checksum = NULL",
           "UPDATE vectors SET data = zeroblob(length(data)) WHERE key = (SELECT min(key) FROM vectors)")
    check(data, code=1, kinds=["vector-damaged"])


def test_rows_without_checksums_get_them_by_repair(data):
    change(data, "UPDATE vectors SET checksum = NULL", "UPDATE fingerprints SET checksum = NULL")
    check(data, code=0)
    check(data, "--repair", code=0)
    change(data, "UPDATE vectors SET data = zeroblob(length(data)) WHERE key = (SELECT min(key) FROM vectors)")
    check(data, code=1, kinds=["vector-damaged"])


def test_rows_without_their_other_half_are_removed(data):
    change(data, "PRAGMA foreign_keys = OFF", "INSERT INTO clips VALUES (77, 999, 0, 0, 1)",
           "INSERT INTO fingerprints VALUES (998, x'00', NULL)",
           "INSERT INTO vectors SELECT 1 << 40 | 12345, data, NULL FROM vectors LIMIT 1")
    kinds = ["catalog-reference", "catalog-reference", "vector-count", "vector-orphaned"]
    check(data, code=1, kinds=kinds)
    check(data, "--repair", code=0, kinds=kinds, repaired=4)
    check(data, code=0)


def test_damaged_fingerprint_is_dropped_and_told_to_be_lost(data):
    change(data, "UPDATE fingerprints SET data = x'00' WHERE video = 1")
    check(data, code=1, kinds=["fingerprint-damaged"])
    report = check(data, "--repair", code=0, kinds=["fingerprint-damaged"], repaired=1)
    assert "is lost" in report["problems"][0]["detail"]
    check(data, code=0)


def test_wrong_index_is_rebuilt(data):
    change(data, "PRAGMA writable_schema = ON",
           "UPDATE sqlite_master SET sql = 'CREATE INDEX videos_by_rules ON videos (bytes)'"
           " WHERE name = 'videos_by_rules'")
    report = check(data, code=1, kinds=["catalog-structure"] * N)
    assert "index videos_by_rules" in report["problems"][0]["detail"]
    check(data, "--repair", code=0, kinds=["catalog-structure"] * N, repaired=N)
    check(data, code=0)


def test_page_that_decayed_is_told_and_not_repaired(data):
    page = next(sqlite3.connect(data / "catalog.db").execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'clips'"))[0]
    with open(data / "catalog.db", "r+b") as file:
        file.seek((page - 1) * 16384)
        file.write(b"\xee" * 16384)
    done = subprocess.run([BINARY, "check", "--data", data, "--repair"], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "catalog-structure: " in done.stdout and "restore a backup" in done.stdout


def test_catalog_that_is_no_database_is_told_and_files_are_still_read(data, videos):
    (data / "catalog.db").write_bytes(b"x" * 32768)
    os.truncate(stored_file(data, videos[0]), 10)
    check(data, code=1, kinds=["catalog-unreadable", "file-damaged"])


def test_folder_that_a_server_holds_is_checked_but_not_repaired(data, tiny_model):
    with Server(data, tiny_model) as server:
        (data / "incoming" / (32 * "7")).write_bytes(b"x")  # as an upload on its way
        (data / "media" / "ab" / ("ab" + 62 * "0")).write_bytes(b"x")
        report = check(data, code=0)
        assert report["in_use"] is True and report["files"] == N
        done = subprocess.run([BINARY, "check", "--data", data, "--repair"], capture_output=True, text=True)
        assert done.returncode == 2 and f"another vidx (process {server.process.pid})" in done.stderr


def test_folder_without_a_catalog_is_refused_and_left_alone(tmp_path):
    done = subprocess.run([BINARY, "check", "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and "no catalog.db" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run([BINARY, "check", "--wrong"], capture_output=True).returncode == 2

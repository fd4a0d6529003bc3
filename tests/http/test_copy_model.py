"""The copy model (--copy-model): it describes pictures, and names videos whose pictures the second look compares."""
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from server import BINARY, wait_until

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import takes  # noqa: E402

CROP = corpus.crop(10)
SECONDS = 6
PICTURES = 3  # of a video of 6 s
DECOYS = 8  # as many as are looked at by vectors
FLAGS = ("--evidence", "full")


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """footage(room, change, take=1) is the path of a file."""
    folder = tmp_path_factory.mktemp("footage")

    def make(room, change=None, take=1, seconds=SECONDS, name="crop"):
        path = folder / f"{room}-{take}-{seconds}-{name if change else 'as_is'}.mp4"
        if not path.exists():
            frames, rate = takes.take(room, take, seconds), takes.RATE
            frames, rate = change(frames, rate) if change else (frames, rate)
            corpus.write(path, frames, rate, corpus.x264(23))
        return path
    return make


def done(server, answer):
    """The uploaded video once nothing is pending."""
    assert answer.status_code == 201, answer.text
    video = answer.json()

    def ended():
        now = server.get(f"/v1/videos/{video['id']}").json()
        return now["evidence"] != "pending" and now
    return wait_until(ended, "the second look does not end")


def looks(server, video):
    return server.get(f"/v1/videos/{video['id']}/evidence").json()["looks"]


def copy_model(server):
    return server.get("/v1/models").json()["copy_model"]


def described(server):
    """The copy model's figures once all is described."""
    return wait_until(lambda: (now := copy_model(server))["undescribed"] == 0 and now, "videos stay undescribed")


@pytest.fixture(scope="module")
def decoys(start, footage, tmp_path_factory):
    """decoys() is a new data folder with older videos, to which a blind model sends all looks."""
    server = start(*FLAGS, model="blind")
    for room in range(50, 50 + DECOYS):
        done(server, server.upload(footage(room)))
    server.stop()
    return lambda: shutil.copytree(server.data, tmp_path_factory.mktemp("decoys") / "data")


def upload_hidden(server, footage):
    """A video that the decoys hide, once it is looked at."""
    return done(server, server.upload(footage(1)))


def test_crop_that_hashes_and_vectors_miss_is_found_by_its_pictures(start, footage, decoys):
    without = start(*FLAGS, model="blind", data=decoys())
    upload_hidden(without, footage)
    missed = done(without, without.upload(footage(1, CROP)))
    assert missed["duplicate"]["verdict"] in ("similar", "new"), looks(without, missed)
    assert {look["found_by"] for look in looks(without, missed)} == {"vectors"} and copy_model(without) is None

    server = start(*FLAGS, "--copy-model", "pictures", model="blind", data=decoys())
    original = upload_hidden(server, footage)
    assert {look["found_by"] for look in looks(server, original)} == {"vectors"}  # none is near enough
    crop = done(server, server.upload(footage(1, CROP)))
    assert (crop["duplicate"]["verdict"], crop["duplicate"]["of"]) == ("copy", original["id"])
    (look,) = looks(server, crop)
    assert (look["found_by"], look["video_id"], look["relation"]) == ("copy_model", original["id"], "copy")
    assert look["score"] >= .65
    figures = described(server)
    assert (figures["name"], figures["threshold"], figures["dim"]) == ("pictures", pytest.approx(.65), 64)
    assert figures["pictures"] == PICTURES * (DECOYS + 2) and figures["index_bytes"] > 0
    stats = server.get("/v1/stats").json()["copy_model"]
    assert (stats["pictures"], stats["described"], stats["undescribed"]) == (figures["pictures"], DECOYS + 2, 0)
    assert f"vidx_copy_pictures {figures['pictures']}" in server.get("/v1/metrics").text

    # A restart describes nothing again; what is deleted is found no more.
    server.stop()
    server.start()
    assert copy_model(server)["pictures"] == figures["pictures"]
    assert server.get("/v1/stats").json()["copy_model"]["described"] == 0
    again = done(server, server.upload(footage(1, corpus.crop(12), name="crop-12")))
    assert again["duplicate"]["verdict"] == "copy"
    for video in (original, crop, again):
        assert server.delete(f"/v1/videos/{video['id']}").ok
    wait_until(lambda: copy_model(server)["pictures"] == PICTURES * DECOYS, "pictures of deleted videos stay")
    crop = done(server, server.upload(footage(1, CROP)))
    assert crop["duplicate"]["verdict"] in ("similar", "new")


def test_movement_decides_about_what_it_names(start, footage):
    """Another take of a fixed camera has the same pictures, and is no copy."""
    server = start(*FLAGS, "--copy-model", "pictures", model="blind")
    original = done(server, server.upload(footage(2)))
    take = done(server, server.upload(footage(2, CROP, take=2)))
    assert take["duplicate"]["verdict"] not in ("copy", "part_of", "contains", "shared_segment")
    look = next(look for look in looks(server, take) if look["video_id"] == original["id"])
    assert look["found_by"] == "copy_model" and look["score"] >= .65
    assert look["relation"] is None and look["result"] in ("other_take", "nothing")


def test_reject_asks_it_before_the_video_is_stored(start, footage, decoys):
    server = start(*FLAGS, "--copy-model", "pictures", model="blind", data=decoys())
    original = upload_hidden(server, footage)
    answer = server.upload(footage(1, CROP), on_duplicate="reject")
    assert answer.status_code == 409 and answer.json()["duplicate"]["of"] == original["id"], answer.text
    assert described(server)["pictures"] == PICTURES * (DECOYS + 1)


def test_upload_that_waits_for_its_look_is_described_once_and_found_later(start, footage, decoys):
    server = start(*FLAGS, "--copy-model", "pictures", model="blind", data=decoys())
    described(server)
    original = server.upload(footage(1), evidence="wait").json()
    assert original["evidence"] == "done" and copy_model(server)["pictures"] == PICTURES * (DECOYS + 1)
    crop = server.upload(footage(1, CROP), evidence="wait").json()
    assert (crop["duplicate"]["verdict"], crop["duplicate"]["of"]) == ("copy", original["id"])
    assert server.get("/v1/models/blind").ok and server.get("/v1/models/pictures").status_code == 404


def test_scan_finds_what_was_stored_without_it(start, footage, decoys):
    """Videos of before the model are described in the background; a scan's deep look then finds by it."""
    server = start(*FLAGS, model="blind", data=decoys())
    original = upload_hidden(server, footage)
    crop = done(server, server.upload(footage(1, CROP)))
    copy = server.upload(footage(3)).json()
    server.stop()
    again = start(*FLAGS, "--copy-model", "pictures", model="blind", data=server.data)
    assert described(again)["pictures"] == PICTURES * (DECOYS + 3)
    job = again.wait_for_job(again.post("/v1/duplicates/scan").json()["id"])
    assert job["state"] == "done", job
    groups = [{v["video_id"] for v in g["videos"]} for g in again.get("/v1/duplicates").json()["items"]]
    assert groups == [{original["id"], crop["id"]}] and copy["id"] not in groups[0]


def test_describing_goes_on_after_kill_9_and_begins_anew_with_another_digest(start, footage, tiny_model, tmp_path):
    server = start(*FLAGS)
    n = 6
    for room in range(60, 60 + n):
        done(server, server.upload(footage(room)))
    server.stop()
    models = shutil.copytree(tiny_model, tmp_path / "models")
    server.models, server.flags = models, [*FLAGS, "--copy-model", "pictures"]
    server.start()
    wait_until(lambda: copy_model(server)["undescribed"] < n, "nothing is described")
    server.kill()
    server.start()
    assert described(server)["pictures"] == PICTURES * n
    digest = copy_model(server)["digest"]
    server.stop()
    manifest = json.loads((models / "pictures/manifest.json").read_text())
    manifest["picture"]["mean"] = [.4, .4, .4]
    (models / "pictures/manifest.json").write_text(json.dumps(manifest))
    server.start()
    figures = described(server)
    assert figures["pictures"] == PICTURES * n and figures["digest"] != digest
    assert server.get("/v1/stats").json()["copy_model"]["described"] == n
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        assert catalog.execute("SELECT DISTINCT digest, tries FROM pictures").fetchall() == [(figures["digest"], 0)]


def test_video_at_which_the_process_ended_three_times_is_given_up(start, footage):
    server = start(*FLAGS)
    for room in (70, 71):
        done(server, server.upload(footage(room)))
    server.stop()
    server.flags += ["--copy-model", "pictures"]
    server.start()
    digest = described(server)["digest"]
    server.stop()
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("UPDATE pictures SET data = NULL, checksum = NULL, tries = 3 WHERE video = 1")
        catalog.execute("UPDATE pictures SET data = NULL, checksum = NULL, tries = 2 WHERE video = 2")
    server.start()
    assert described(server)["pictures"] == PICTURES and copy_model(server)["digest"] == digest


def test_missing_package_refuses_the_start_and_costs_nothing_without_the_flag(start, footage, tiny_model, tmp_path):
    server = start(*FLAGS, "--copy-model", "pictures")
    video = done(server, server.upload(footage(4)))
    server.stop()
    models = shutil.copytree(tiny_model, tmp_path / "models")
    shutil.rmtree(models / "pictures")
    server.models = models
    with pytest.raises(AssertionError, match="The model pictures is not in"):
        server.start()
    server.flags = list(FLAGS)
    server.start()
    assert copy_model(server) is None and server.get(f"/v1/videos/{video['id']}").ok
    server.stop()
    server.models, server.flags = tiny_model, [*FLAGS, "--copy-model", "pictures"]
    server.start()
    assert copy_model(server)["pictures"] == PICTURES
    assert server.get("/v1/stats").json()["copy_model"]["described"] == 0


@pytest.mark.parametrize("command, reason", [
    (["serve", "--copy-model", "tiny"], 'no "role": "copy". Name it with --model'),
    (["serve", "--model", "pictures"], "has the role copy"),
    (["embed", "--model", "pictures"], "has the role copy"),
    (["serve", "--copy-model", "nothing"], "The model nothing is not in"),
    (["serve", "--copy-model", "../pictures"], "is not a model name"),
    (["serve", "--copy-model", "answers-nan"], 'no "role": "copy"'),
    (["serve", "--copy-model", "pictures", "--evidence", "fast"], "needs --evidence full or deep"),
])
def test_each_role_is_for_its_own_setting(tiny_model, tmp_path, command, reason):
    name, *options = command
    rest = ["--data", tmp_path / "data", "--listen", "127.0.0.1:0"] if name == "serve" else [
        "--input", tmp_path, "--output", tmp_path / "out"]
    model = [] if "--model" in options else ["--model", "tiny"]
    told = subprocess.run([BINARY, name, "--models", tiny_model, *model, *rest, *options], capture_output=True, text=True,
                          timeout=180)
    assert told.returncode and reason in told.stderr, told.stderr


def test_video_on_which_it_fails_is_looked_at_without_it(start, footage):
    server = start(*FLAGS, "--copy-model", "pictures-moody")

    def dark(frames, rate):
        return (frames * .05).astype(frames.dtype), rate
    video = done(server, server.upload(footage(5, dark, name="dark")))
    assert video["evidence"] == "done"
    assert (copy_model(server)["failures"], copy_model(server)["pictures"]) == (1, 0)
    done(server, server.upload(footage(5, seconds=7)))
    assert copy_model(server)["pictures"] == PICTURES
    server.stop()
    server.start()
    assert described(server)["failures"] == 0  # it is not tried again


def test_unreadable_and_deleted_files_are_described_as_nothing(start, footage):
    server = start(*FLAGS)
    ids = [done(server, server.upload(footage(room)))["id"] for room in (80, 81, 82)]
    server.stop()
    for video_id, damage in ((ids[0], lambda p: p.unlink()), (ids[1], lambda p: p.write_bytes(b"x" * 9000))):
        (path,) = [p for p in (server.data / "media").rglob("*") if p.is_file() and p.stem.startswith(video_id[1:])]
        damage(path)
    for table in (server.data / "tables").rglob("*"):
        if table.is_file():
            table.unlink()
    server.flags += ["--copy-model", "pictures"]
    server.start()
    assert described(server)["pictures"] == PICTURES


def test_damaged_description_is_found_by_check_and_made_anew(start, footage):
    server = start(*FLAGS, "--copy-model", "pictures")
    for room in (83, 84):
        done(server, server.upload(footage(room)))
    server.stop()
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("UPDATE pictures SET data = zeroblob(length(data)) WHERE video = 1")
    catalog.close()

    def check(*flags):
        told = subprocess.run([BINARY, "check", "--data", server.data, "--json", *flags], capture_output=True, text=True)
        return told.returncode, [problem["kind"] for problem in json.loads(told.stdout)["problems"]]
    server.start()
    assert copy_model(server)["pictures"] == PICTURES
    assert "pictures of video 1" in server.get("/v1/health/ready").text + server.log.read_text()
    server.stop()
    assert check() == (1, ["pictures-damaged"])
    assert check("--repair") == (0, ["pictures-damaged"])
    assert check() == (0, [])
    server.start()
    assert described(server)["pictures"] == 2 * PICTURES

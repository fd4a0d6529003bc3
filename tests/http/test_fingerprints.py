"""The setting --fingerprints: which frames are hashed, what that costs, and which copies are then recognised."""

import subprocess

import pytest
from server import BINARY

# A long picture group of many pictures that nothing refers to: what is not wanted need not be decoded.
FILM = {"seconds": 20, "options": {"bf": "3", "g": "40", "sc_threshold": "0"}}


def store(server, path):
    answer = server.upload(path, clip="whole")
    assert answer.status_code == 201, answer.text
    return answer.json()


def copy_of(clip, seed):
    """The same pictures in another encoding, with key frames at the same times."""
    return clip(seed, codec="mpeg4", suffix=".mkv", seconds=FILM["seconds"], options={"g": "40", "sc_threshold": "1000000000"})


def film(clip, seed):
    return clip(seed, **FILM)


@pytest.mark.parametrize("mode", ["full", "frames"])
def test_copy_is_recognised_where_frames_are_hashed(start, clip, mode):
    server = start("--fingerprints", mode)
    original = store(server, film(clip, 800))
    assert original["decode"]["fingerprints"] == mode
    found = store(server, copy_of(clip, 800))["duplicate"]
    assert (found["verdict"], found["of"]) == ("copy", original["id"])
    assert store(server, film(clip, 801))["duplicate"]["verdict"] not in ("copy", "part_of")


def test_copy_is_not_recognised_where_none_are(start, clip):
    server = start("--fingerprints", "off")
    original = store(server, film(clip, 800))
    assert original["decode"]["fingerprints"] == "off"
    assert store(server, copy_of(clip, 800))["duplicate"]["verdict"] in ("similar", "new")
    same_bytes = server.upload(film(clip, 800), clip="whole")
    assert same_bytes.status_code == 200 and same_bytes.json()["duplicate"]["verdict"] == "exact"


def test_frames_decodes_less_than_full_and_hardly_more_than_off(start, clip):
    decoded = {mode: store(start("--fingerprints", mode), film(clip, 802))["decode"]["frames_decoded"]
               for mode in ("off", "frames", "full")}
    key_frames = FILM["seconds"] * 8 // 40
    assert decoded["off"] <= decoded["frames"] <= decoded["off"] + key_frames
    assert decoded["frames"] < decoded["full"]


@pytest.mark.parametrize("before", ["off", "frames"])
def test_stored_videos_are_brought_up_by_a_reread(start, clip, before):
    old = start("--fingerprints", before)
    video = store(old, film(clip, 803))
    copy = store(old, copy_of(clip, 803))
    assert old.stop() == 0
    server = start(data=old.data)
    assert server.get("/v1/stats").json()["videos_outdated"] == 2
    job = server.wait_for_job(server.post("/v1/reread").json()["id"])
    assert (job["state"], job["report"]["changed"], job["report"]["failed"]) == ("done", 2, 0)
    for job in server.get("/v1/jobs").json()["items"]:
        assert server.wait_for_job(job["id"])["state"] == "done"
    assert server.get("/v1/stats").json()["videos_outdated"] == 0
    now = server.get(f"/v1/videos/{video['id']}").json()
    assert now["decode"]["fingerprints"] == "full"
    assert [now[key] for key in ("clips", "media", "created_at")] == \
        [video[key] for key in ("clips", "media", "created_at")]
    verdict = server.get(f"/v1/videos/{copy['id']}").json()["duplicate"]
    assert (verdict["verdict"], verdict["of"]) == ("copy", video["id"])


def test_stored_videos_stay_when_less_is_asked_for(start, clip):
    full = start()
    store(full, film(clip, 804))
    assert full.stop() == 0
    assert start("--fingerprints", "frames", data=full.data).get("/v1/stats").json()["videos_outdated"] == 0


def test_unknown_value_is_refused_with_the_known_ones():
    for command in (["serve"], ["embed", "--input", ".", "--output", "/nonexistent"]):
        run = subprocess.run([BINARY, *command, "--fingerprints", "some"], capture_output=True, text=True, check=False)
        assert run.returncode == 2 and "--fingerprints must be full, frames or off, not 'some'" in run.stderr

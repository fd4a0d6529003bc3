"""A full disk: 507, nothing half-stored, and all goes on once there is room."""

import shutil
import subprocess

import pytest
import requests
from conftest import assert_problem, wait_until


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    """On a disk of 24 MB of its own."""
    disk = tmp_path_factory.mktemp("disk")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mount.stderr.strip()}")
    server = start(data=disk / "data")
    yield server
    assert server.stop() == 0, server.tail()
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def full(server):
    """Room for less than a megabyte."""
    ballast = server.data.parent / "ballast"
    with ballast.open("wb") as file:
        while shutil.disk_usage(ballast).free > 900_000:
            file.write(bytes(min(100_000, shutil.disk_usage(ballast).free - 800_000)))
            file.flush()
    yield
    ballast.unlink()


def assert_nothing_was_stored(server, before):
    assert list((server.data / "incoming").iterdir()) == []
    assert server.get("/v1/stats").json()["videos"] == before


def test_upload_that_says_its_length_is_refused_before_the_body(server, full):
    before = server.get("/v1/stats").json()["videos"]
    answer = requests.put(f"{server.url}/v1/videos/a.mp4", data=bytes(8 << 20),
                          headers={"Expect": "100-continue"}, timeout=180)
    assert_problem(answer, 507, "no-space")
    assert_nothing_was_stored(server, before)


@pytest.mark.parametrize("form", [False, True])
def test_disk_that_fills_up_during_an_upload_answers_507(server, full, form):
    before = server.get("/v1/stats").json()["videos"]
    blocks = [bytes(1 << 18) for _ in range(32)]
    headers = {}
    if form:
        headers["Content-Type"] = "multipart/form-data; boundary=frontier"
        blocks = [b'--frontier\r\nContent-Disposition: form-data; name="file"\r\n\r\n', *blocks, b"\r\n--frontier--\r\n"]
    answer = requests.post(f"{server.url}/v1/videos", data=iter(blocks), headers=headers, timeout=180)
    assert_problem(answer, 507, "no-space")
    assert_nothing_was_stored(server, before)


def test_room_again_and_the_same_upload_is_stored(server, clip):
    answer = server.upload(clip(90))
    assert answer.status_code == 201, answer.text
    assert server.get(f"/v1/videos/{answer.json()['id']}/content").content == clip(90).read_bytes()


def fill_to_the_last_byte(server):
    ballast = server.data.parent / "all"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                size = size if file.write(bytes(size)) else 0
            except OSError:
                size //= 2
    assert shutil.disk_usage(ballast).free == 0
    return ballast


def test_disk_without_a_byte_left_still_deletes(server, clip):
    """By the room that data/ballast takes for this, again and again."""
    for round in range(3):
        videos = [server.upload(clip(400 + 10 * round + i)).json()["id"] for i in range(3)]
        wait_until(lambda: (server.data / "ballast").exists())
        fillers = [fill_to_the_last_byte(server)]
        assert_problem(server.upload(clip(499)), 507, "no-space")
        assert server.delete(f"/v1/videos/{videos[0]}").status_code == 204, server.tail()
        assert server.get(f"/v1/videos/{videos[0]}").status_code == 404
        assert server.delete(f"/v1/videos/{videos[1]}").status_code == 204
        for filler in fillers:
            filler.unlink()
        assert server.delete(f"/v1/videos/{videos[2]}").status_code == 204
        assert server.get("/v1/health/ready").status_code == 200


def test_full_disk_still_answers_and_deletes(server, clip, full):
    video = server.get("/v1/videos").json()["items"][0]
    hits = server.post("/v1/search", json={"video_id": video["id"]})
    assert hits.status_code == 200
    assert server.delete(f"/v1/videos/{video['id']}").status_code == 204

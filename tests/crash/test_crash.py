"""kill -9 at random moments, under concurrent uploads, deletes and background jobs.

After each restart: what was acknowledged is there, whole and findable; what was deleted is gone;
what was in doubt is either whole or absent; nothing else lies on the disk.

    VIDX_CRASH_ROUNDS=1000 pytest tests/crash     more rounds than the 30 of every test run
    VIDX_CRASH_SEED=7                             another order of events
"""

import hashlib
import os
import random
import threading
import time

import make as samples
import pytest
import requests
from server import Server

ROUNDS = int(os.environ.get("VIDX_CRASH_ROUNDS", "30"))
SEED = int(os.environ.get("VIDX_CRASH_SEED", "1"))
CLIPS, CLIENTS = 24, 6
MODELS = ["tiny", "small"]  # two spaces: neither may be behind the other

# What is known of one clip. MAYBE: a request broke off, either outcome is right.
STORED, ABSENT, MAYBE = "stored", "absent", "maybe"


class Clip:
    def __init__(self, path):
        self.path = path
        self.bytes = path.read_bytes()
        self.sha256 = hashlib.sha256(self.bytes).hexdigest()
        self.id = "v" + self.sha256[:24]
        self.state = ABSENT
        self.jobs = []  # acknowledged with 202, end not seen
        self.lock = threading.Lock()  # one request per clip at a time: the order is then known


@pytest.fixture(scope="module")
def clips():
    return [Clip(samples.small(100 + i, seconds=1.5)) for i in range(CLIPS)]


class Client(threading.Thread):
    """Uploads and deletes random clips until the server is gone."""

    def __init__(self, server, clips, seed):
        super().__init__(daemon=True)
        self.url, self.clips, self.random = server.url, clips, random.Random(seed)
        self.http, self.acknowledged, self.wrong = requests.Session(), 0, []

    def run(self):
        while True:
            clip = self.random.choice(self.clips)
            if not clip.lock.acquire(blocking=False):
                continue
            try:
                before, clip.state = clip.state, MAYBE
                self.one_request(clip, before)
                self.acknowledged += 1
            except requests.RequestException:
                return
            finally:
                clip.lock.release()

    def one_request(self, clip, before):
        kind = self.random.choices(["upload", "job", "delete"], [6, 2, 3])[0]
        if kind == "delete":
            answer = self.http.delete(f"{self.url}/v1/videos/{clip.id}", timeout=180)
            expected, after = (204, 404), ABSENT
        else:
            answer = self.http.post(f"{self.url}/v1/videos", data=clip.bytes, timeout=30,
                                    params={"filename": clip.path.name,
                                            "wait": "false" if kind == "job" else "true"})
            expected, after = ((202,), before) if kind == "job" else ((201, 200), STORED)
        if answer.status_code == 202:
            clip.jobs.append(answer.json()["id"])
            after = MAYBE  # the job may overtake or follow the next request
        if answer.status_code not in expected:
            self.wrong.append(f"{kind} {clip.path.name}: {answer.status_code} {answer.text}")
        clip.state = MAYBE if clip.jobs and kind != "job" else after


def run_until_killed(server, clips, seed):
    chance = random.Random(seed)
    clients = [Client(server, clips, seed * 1000 + i) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(chance.uniform(0.02, 1.2))
    server.kill()
    for client in clients:
        client.join(40)
        assert not client.wrong, client.wrong
    return sum(client.acknowledged for client in clients)


def settle_jobs(server, clips):
    """Every acknowledged job goes on after the restart and ends well; then its clip is known."""
    for clip in clips:
        for job_id in clip.jobs:
            job = server.wait_for_job(job_id)
            assert job["state"] == "done", job
        clip.jobs.clear()


def check(server, clip):
    answer = server.get(f"/v1/videos/{clip.id}")
    assert answer.status_code in (200, 404), answer.text
    if clip.state == STORED:
        assert answer.status_code == 200, f"{clip.path.name} was acknowledged and is gone"
    if clip.state == ABSENT:
        assert answer.status_code == 404, f"{clip.path.name} was deleted and is back"
    clip.state = STORED if answer.status_code == 200 else ABSENT
    if clip.state == STORED:
        check_whole(server, clip)


def check_whole(server, clip):
    content = server.get(f"/v1/videos/{clip.id}/content")
    assert hashlib.sha256(content.content).hexdigest() == clip.sha256
    for model in MODELS:
        answer = server.get(f"/v1/videos/{clip.id}/vectors", params={"model": model})
        assert answer.status_code == 200, answer.text
        vector, = (item["vector"] for item in answer.json()["items"])
        hits = server.post("/v1/search", json={"vector": vector, "k": CLIPS, "model": model}).json()
        mine = [hit for hit in hits["items"] if hit["video_id"] == clip.id]
        assert mine and mine[0]["score"] > 0.9999, f"{clip.path.name} is stored and not found"


def check_disk(server, clips):
    """Files and index hold the stored clips and nothing else."""
    stored = {clip.sha256 for clip in clips if clip.state == STORED}
    on_disk = {path.name for path in (server.data / "media").glob("*/*")}
    assert on_disk == stored
    assert list((server.data / "incoming").iterdir()) == []
    videos = server.get("/v1/videos", params={"limit": 100}).json()["items"]
    assert {video["sha256"] for video in videos} == stored
    if stored:
        probe = server.get(f"/v1/videos/{videos[0]['id']}/vectors").json()["items"][0]["vector"]
        hits = server.post("/v1/search", json={"vector": probe, "k": 1000, "min_score": -1}).json()
        assert {hit["video_id"] for hit in hits["items"]} == {video["id"] for video in videos}


def test_server_killed_at_random_moments_keeps_every_promise(tmp_path, clips, tiny_model):
    server = Server(tmp_path / "data", tiny_model, model=",".join(MODELS))
    acknowledged = 0
    for round_number in range(ROUNDS):
        server.start()
        try:
            settle_jobs(server, clips)
            for clip in clips:
                check(server, clip)
            check_disk(server, clips)
            acknowledged += run_until_killed(server, clips, SEED * 100000 + round_number)
        except AssertionError as error:
            raise AssertionError(f"round {round_number}: {error}\n{server.tail()}") from error
        finally:
            if server.process.poll() is None:
                server.kill()
    with server:
        settle_jobs(server, clips)
        for clip in clips:
            check(server, clip)
        check_disk(server, clips)
    print(f"{ROUNDS} kills, {acknowledged} acknowledged requests")
    assert acknowledged > ROUNDS, "hardly a request got through: the test tests nothing"

"""Backup of a running server and restore, as src/server/README.md says it."""

import re
import shutil
import subprocess

import make as samples
import pytest
from server import Server

README = (samples.ROOT / "src/server/README.md").read_text()


def paste(start, folder):
    """Runs the commands of the code block that begins so, in the folder that has data/."""
    block, = [text for text in re.findall(r"^```sh\n(.*?)^```", README, re.S | re.M) if text.startswith(start)]
    commands = "".join(line for line in block.splitlines(True) if "vidx serve" not in line)
    subprocess.run(["bash", "-eu", "-c", commands], cwd=folder, check=True, timeout=180)


@pytest.fixture
def serve(tmp_path, tiny_model):
    """serve("folder") starts a server on that data folder; all are stopped at the end."""
    servers = []

    def start(data, model="tiny", *flags):
        servers.append(Server(tmp_path / data, tiny_model, model=model, flags=flags).start())
        return servers[-1]

    yield start
    for server in servers:
        assert server.stop() == 0, server.tail()


def test_restored_backup_has_and_finds_every_video(serve, clip, tmp_path):
    running = serve("data")
    videos = [running.upload(clip(seed), metadata='{"camera": 3}').json() for seed in (151, 152, 153)]
    paste("mkdir backup", tmp_path)
    later = running.upload(clip(154)).json()
    paste("mkdir restored", tmp_path)
    restored = serve("restored")
    for seed, video in zip((151, 152, 153), videos, strict=True):
        assert restored.get(f"/v1/videos/{video['id']}").json() == video
        assert restored.get(f"/v1/videos/{video['id']}/content").content == clip(seed).read_bytes()
        with open(clip(seed), "rb") as file:
            hits = restored.post("/v1/search", files={"file": file}).json()["items"]
        assert hits[0]["video_id"] == video["id"] and hits[0]["score"] > 0.9999
        assert restored.upload(clip(seed)).status_code == 200
    assert restored.get(f"/v1/videos/{later['id']}").status_code == 404
    assert restored.upload(clip(154)).status_code == 201


def test_video_deleted_during_the_backup_comes_back_without_its_file(serve, clip, tmp_path):
    running = serve("data")
    kept, deleted = (running.upload(clip(seed)).json()["id"] for seed in (155, 156))
    (tmp_path / "backup").mkdir()
    subprocess.run(["sqlite3", "data/catalog.db", ".backup backup/catalog.db"], cwd=tmp_path, check=True)
    assert running.delete(f"/v1/videos/{deleted}").status_code == 204
    shutil.copytree(tmp_path / "data/media", tmp_path / "backup/media")
    paste("mkdir restored", tmp_path)
    restored = serve("restored")
    assert restored.get(f"/v1/videos/{kept}/content").status_code == 200
    assert restored.get(f"/v1/videos/{deleted}").status_code == 200
    assert restored.get(f"/v1/videos/{deleted}/content").status_code >= 400
    assert restored.delete(f"/v1/videos/{deleted}").status_code == 204
    assert restored.upload(clip(156)).status_code == 201
    assert restored.get(f"/v1/videos/{deleted}/content").content == clip(156).read_bytes()


def test_job_that_waited_during_the_backup_ends_as_failed_after_the_restore(serve, clip, tmp_path):
    running = serve("data", "slow", "--clip", "fixed:0.2", "--ingest-threads", "1")
    clips = [clip(seed, seconds=20) for seed in range(170, 186)]  # first: making them takes as long as jobs do
    jobs = [running.upload(path, wait="false").json()["id"] for path in clips]
    job = jobs[-1]
    paste("mkdir backup", tmp_path)
    assert running.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    paste("mkdir restored", tmp_path)
    ended = serve("restored", "slow").wait_for_job(job)
    assert ended["state"] == "failed" and ended["problem"]["detail"]
    for each in jobs:
        assert running.delete(f"/v1/jobs/{each}").status_code == 200

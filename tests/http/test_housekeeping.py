"""What the server forgets by itself."""

import sqlite3

from server import Server, wait_until

WEEK_US = 7 * 24 * 3600 * 1_000_000


def test_job_finished_over_a_week_ago_is_forgotten_and_its_video_stays(tmp_path, tiny_model):
    import make as samples

    path = tmp_path / "clip.mp4"
    samples.encode(path, "libx264", n=8, size=(96, 64), rate=8)
    server = Server(tmp_path / "data", tiny_model)
    with server:
        old = server.upload(path, wait="false").json()["id"]
        video = server.wait_for_job(old)["video_id"]
        recent = server.upload(path, wait="false").json()["id"]
        server.wait_for_job(recent)
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("UPDATE jobs SET finished_us = finished_us - ? WHERE id = ?",
                        (WEEK_US + 60_000_000, old))
    with server:
        wait_until(lambda: server.get(f"/v1/jobs/{old}").status_code == 404, "the old job is still there")
        assert server.get(f"/v1/jobs/{recent}").status_code == 200
        assert server.get(f"/v1/videos/{video}").status_code == 200

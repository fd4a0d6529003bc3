"""Videos that an older version stored: counted, and read again by one job."""

import sqlite3
import time

import av
import make as samples
import numpy as np
import pytest
from conftest import wait_until

JUNK = 7


def hdr_film(path, seed, n=8, quality=18):
    """Moving pictures in grey, as PQ with SDR white at 203 nits."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=8, options={
            "preset": "ultrafast", "crf": str(quality), "x265-params":
            "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        for i in range(n):
            grey = samples.picture(i, 192, 128, seed=seed).mean(2)
            y = (203 * (grey / 255) ** 2.4 / 10000) ** 0.1593017578125
            planes = np.full((192, 192), 512, np.uint16)
            planes[:128] = 64 + 876 * ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def make_old(server, ids, *changes):
    """As a version stored them that knew neither rules nor HDR; the server is stopped meanwhile."""
    if server.process.poll() is None:
        assert server.stop() == 0
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        for id in ids:
            catalog.execute("UPDATE videos SET rules = 0, sample_aspect_ratio = NULL, rotation_deg = NULL, hdr = NULL,"
                            " clip_rule = NULL WHERE id = ?", (id,))
            for change in changes:
                catalog.execute(change.replace("THE_CLIPS", "(SELECT clips.row FROM clips JOIN videos ON"
                                " videos.row = clips.video WHERE videos.id = ?1)")
                                .replace("THE_VIDEO", "(SELECT row FROM videos WHERE id = ?1)"), (id,))
    catalog.close()
    return server.start()


# Vectors and fingerprints of pictures that were not made SDR.
OLD_VECTORS = ("UPDATE vectors SET data = zeroblob(length(data) - 4) || x'0000803f', checksum = NULL"
               " WHERE key & 0xffffffffff IN THE_CLIPS")
OLD_PRINTS = "UPDATE fingerprints SET data = zeroblob(0), checksum = NULL WHERE video = THE_VIDEO"


def outdated(server):
    return server.get("/v1/stats").json()["videos_outdated"]


def reread(server):
    answer = server.post("/v1/reread")
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}" and answer.json()["kind"] == "reread"
    return answer.json()["id"]


def ended(server, job_id, state="done"):
    job = server.wait_for_job(job_id)
    assert (job["state"], job["kind"], job["model"]) == (state, "reread", None), job
    return job


def counts(report):
    return {key: value for key, value in report.items() if key != "failures"}


def vectors(server, id):
    answer = server.get(f"/v1/videos/{id}/vectors")
    assert answer.status_code == 200, answer.text
    return np.array([item["vector"] for item in answer.json()["items"]])


def looks_old(server, id):
    return vectors(server, id)[0][-1] == 1


def state_of(server, ids):
    """Once nobody looks at them a second time any more."""
    wait_until(lambda: server.get("/v1/stats").json()["evidence"]["pending"] == 0, "second looks do not end")
    return [server.get(f"/v1/videos/{id}").json() for id in ids], [vectors(server, id) for id in ids]


def assert_same(now, before):
    assert now[0] == before[0]
    for a, b in zip(now[1], before[1]):
        np.testing.assert_allclose(a, b, atol=1e-6)


def rejudged(server):
    jobs = server.get("/v1/jobs").json()["items"]
    for job in jobs:
        if job["kind"] == "rejudge":
            assert server.wait_for_job(job["id"])["state"] == "done"


@pytest.fixture
def films(tmp_path):
    return [hdr_film(tmp_path / f"hdr-{seed}.mp4", 700 + seed) for seed in range(8)]


def test_hdr_videos_are_made_anew_and_the_others_keep_their_vectors(start, clip, films):
    server = start()
    hdr = [server.upload(path, clip=rule).json()["id"] for path, rule in zip(films[:2], ("whole", "fixed:0.5"))]
    sdr = [server.upload(clip(710 + i)).json()["id"] for i in range(2)]
    before = state_of(server, hdr + sdr)
    make_old(server, hdr + sdr, OLD_VECTORS)
    make_old(server, hdr, OLD_PRINTS)
    assert server.get(f"/v1/videos/{sdr[0]}").json()["media"]["hdr"] is None
    assert outdated(server) == 4 and "vidx_videos_outdated 4" in server.get("/v1/metrics").text
    assert "videos=4" in server.tail(100) and "POST /v1/reread" in server.tail(100)

    job = ended(server, reread(server))
    assert counts(job["report"]) == {"changed": 2, "unchanged": 2, "deleted": 0, "failed": 0}
    assert (job["done"], job["total"]) == (4, 4) or job["phase"] == "DONE"
    assert outdated(server) == 0
    rejudged(server)
    now = state_of(server, hdr)
    assert_same(now, (before[0][:2], before[1][:2]))
    for id, stored in zip(sdr, before[0][2:]):
        assert server.get(f"/v1/videos/{id}").json() == stored  # it says now what it did not
        assert looks_old(server, id)
    found = server.post("/v1/search", json={"vector": before[1][0][0].tolist(), "k": 1}).json()["items"][0]
    assert found["video_id"] == hdr[0] and found["score"] == pytest.approx(1, abs=1e-5)
    assert server.stop() == 0
    server.start()
    assert_same(state_of(server, hdr), (before[0][:2], before[1][:2]))
    assert counts(ended(server, reread(server))["report"]) == {"changed": 0, "unchanged": 0, "deleted": 0, "failed": 0}


@pytest.mark.parametrize("rule, spans", [("whole", 1), ("fixed:1", 3), ("fixed:1.5,0.5", 4)])
def test_video_whose_times_were_read_wrong_is_cut_anew_as_it_was(start, clip, rule, spans):
    """The rule was not noted: whole and fixed clips are recognised."""
    server = start()
    id = server.upload(clip(720), clip=rule).json()["id"]
    before = state_of(server, [id])
    assert len(before[0][0]["clips"]) == spans
    if server.process.poll() is None:
        assert server.stop() == 0
    with sqlite3.connect(server.data / "catalog.db") as catalog:  # the clips that the rule gives for 2.25 s
        last = {"whole": (0, 2.25), "fixed:1": (1, 2), "fixed:1.5,0.5": (0.5, 2)}[rule]
        keep = {"whole": 1, "fixed:1": 2, "fixed:1.5,0.5": 2}[rule]
        catalog.execute("UPDATE videos SET duration_s = 2.25")
        catalog.execute("DELETE FROM clips WHERE position >= ?", (keep,))
        catalog.execute("UPDATE clips SET start_s = ?, end_s = ? WHERE position = ?", (*last, keep - 1))
    catalog.close()
    make_old(server, [id])
    assert len(server.get(f"/v1/videos/{id}").json()["clips"]) == keep
    assert ended(server, reread(server))["report"]["changed"] == 1
    assert_same(state_of(server, [id]), before)
    listed, = server.get("/v1/models").json()["items"]
    assert (listed["vectors"], listed["missing"]) == (spans, 0)


def test_clips_that_are_gone_are_found_no_more(start, clip):
    server = start()
    id = server.upload(clip(725), clip="whole").json()["id"]
    make_old(server, [id], "UPDATE videos SET duration_s = 9 WHERE id = ?1",
             "UPDATE clips SET end_s = 3 WHERE video = THE_VIDEO",
             "INSERT INTO clips (video, position, start_s, end_s) VALUES (THE_VIDEO, 1, 3, 6), (THE_VIDEO, 2, 6, 9)")
    assert len(server.get(f"/v1/videos/{id}").json()["clips"]) == 3
    assert ended(server, reread(server))["report"]["changed"] == 1
    clip_0, = server.get(f"/v1/videos/{id}").json()["clips"]
    assert (clip_0["id"], clip_0["start_s"], clip_0["end_s"]) == (f"{id}.0", 0, 3)
    assert server.get(f"/v1/videos/{id}/clips/1/content").status_code == 404
    assert server.get("/v1/models").json()["items"][0]["missing"] == 0


def test_changed_video_is_judged_anew(start, tmp_path):
    server = start()
    first = server.upload(hdr_film(tmp_path / "a.mp4", 730, n=24)).json()
    copy = server.upload(hdr_film(tmp_path / "b.mp4", 730, n=24, quality=30)).json()
    assert (copy["duplicate"]["verdict"], copy["duplicate"]["of"]) == ("copy", first["id"])
    make_old(server, [first["id"], copy["id"]], OLD_VECTORS, OLD_PRINTS,
             "UPDATE videos SET verdict = 0, duplicate_of = '', score = NULL, share = NULL WHERE id = ?1")
    assert ended(server, reread(server))["report"]["changed"] == 2
    rejudged(server)
    found = server.get(f"/v1/videos/{copy['id']}").json()["duplicate"]
    assert (found["verdict"], found["of"]) == ("copy", first["id"])
    assert found["share"] == pytest.approx(copy["duplicate"]["share"], abs=0.01)
    assert server.get(f"/v1/videos/{first['id']}").json()["duplicate"]["verdict"] == "new"


def test_missing_file_is_told_and_its_video_stays_as_it_is(start, films):
    server = start()
    ids = [server.upload(path).json()["id"] for path in films[:2]]
    sha256 = server.get(f"/v1/videos/{ids[0]}").json()["sha256"]
    make_old(server, ids, OLD_VECTORS)
    next(server.data.glob(f"media/*/{sha256}")).unlink()
    report = ended(server, reread(server))["report"]
    assert counts(report) == {"changed": 1, "unchanged": 0, "deleted": 0, "failed": 1}
    failure, = report["failures"]
    assert failure["video_id"] == ids[0] and failure["detail"]
    assert outdated(server) == 1
    assert looks_old(server, ids[0]) and not looks_old(server, ids[1])
    server.upload(films[0])  # its file is there again
    assert ended(server, reread(server))["report"]["changed"] == 1
    assert outdated(server) == 0


@pytest.fixture
def old_films(start, films):
    """A server with a slow model, and videos of HDR as an older version stored them."""
    server = start(model="slow")
    ids = [server.upload(path).json()["id"] for path in films]
    before = state_of(server, ids)
    return make_old(server, ids, OLD_VECTORS, OLD_PRINTS), ids, before


def progress(server, job_id, at_least, seconds=180):
    deadline = time.monotonic() + seconds
    while server.get(f"/v1/jobs/{job_id}").json()["done"] < at_least:
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.005)


def is_old_or_new(server, id):
    """Not one thing of it old and another new. The job goes on while we look."""
    while True:
        hdr, old = (server.get(f"/v1/videos/{id}").json()["media"]["hdr"], looks_old(server, id))
        if server.get(f"/v1/videos/{id}").json()["media"]["hdr"] == hdr:
            return old == (hdr is None)


def test_reread_killed_in_the_middle_goes_on_where_it_was(old_films):
    server, ids, before = old_films
    job_id = reread(server)
    assert reread(server) == job_id
    progress(server, job_id, 2)
    server.kill()
    server.start()
    assert all(is_old_or_new(server, id) for id in ids)
    report = ended(server, job_id)["report"]
    assert report["changed"] <= 6 and report["failed"] == 0  # what was done before was not done again
    rejudged(server)
    assert_same(state_of(server, ids), before)
    assert outdated(server) == 0


def test_cancelled_reread_keeps_what_it_did(old_films):
    server, ids, before = old_films
    job_id = reread(server)
    progress(server, job_id, 2)
    assert server.delete(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    wait_until(lambda: ended(server, job_id, "cancelled")["report"])
    done = ended(server, job_id, "cancelled")["report"]["changed"]
    assert 2 <= done < 8 and outdated(server) == 8 - done
    assert sum(looks_old(server, id) for id in ids) == 8 - done
    assert ended(server, reread(server))["report"]["changed"] == 8 - done
    rejudged(server)
    assert_same(state_of(server, ids), before)

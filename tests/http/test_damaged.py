"""A catalog that has decayed: the server starts, answers from what is right, and says that it is not ready."""

import sqlite3
import time

from conftest import assert_problem, samples, wait_until
from server import Server


def test_vector_that_decayed_is_left_out_and_ready_says_503_until_a_backfill_has_mended_it(tmp_path, tiny_model):
    server = Server(tmp_path / "data", tiny_model)
    ids = []
    with server:
        for seed in (1, 2):
            path = tmp_path / f"clip-{seed}.mp4"
            samples.encode(path, "libx264", n=8, size=(96, 64), rate=8, seed=seed)
            ids.append(server.upload(path).json()["id"])
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        key, data = catalog.execute("SELECT key, data FROM vectors ORDER BY key LIMIT 1").fetchone()
        decayed = bytes([data[0] ^ 1]) + data[1:]
        catalog.execute("UPDATE vectors SET data = ? WHERE key = ?", (decayed, key))
    with server:
        assert_problem(server.get("/v1/health/ready"), 503, "catalog-damaged", "vector of clip 1")
        assert server.get("/v1/health/live").status_code == 200
        assert " damaged reason=" in server.tail()
        found = server.http.post(f"{server.url}/v1/search", json={"video_id": ids[1], "k": 5})
        assert found.status_code == 200 and ids[0] not in found.text
        assert server.get(f"/v1/videos/{ids[0]}/content").status_code == 200
        model = server.get("/v1/models").json()["items"][0]["name"]
        assert server.http.post(f"{server.url}/v1/models/{model}/backfill").status_code == 202
        wait_until(lambda: server.get("/v1/health/ready").status_code == 200)
        again = server.http.post(f"{server.url}/v1/search", json={"video_id": ids[1], "k": 5})
        assert ids[0] in again.text


def test_catalog_of_before_checksums_gets_them_and_is_ready(tmp_path, tiny_model):
    server = Server(tmp_path / "data", tiny_model)
    path = tmp_path / "clip.mp4"
    samples.encode(path, "libx264", n=8, size=(96, 64), rate=8)
    with server:
        server.upload(path)
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        before = catalog.execute("SELECT checksum FROM vectors").fetchall()
        for (name,) in catalog.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            catalog.execute(f"DROP TRIGGER {name}")
        catalog.executescript("""
            DROP TABLE duplicate_decision_videos; DROP TABLE duplicate_decisions; DROP TABLE duplicate_basis;
            DROP TABLE duplicate_scanned; DROP TABLE duplicate_pairs; DROP TABLE cluster_members;
            DROP TABLE clusterings; DROP TABLE stores; DROP TABLE changes;
            ALTER TABLE vectors DROP COLUMN checksum; ALTER TABLE fingerprints DROP COLUMN checksum;
            CREATE TRIGGER vectors_insert_counts AFTER INSERT ON vectors BEGIN
                UPDATE spaces SET vectors = vectors + 1 WHERE row = NEW.key >> 40; END;
            DROP INDEX jobs_parked; DROP INDEX videos_by_original; DROP INDEX videos_to_rejudge;
            ALTER TABLE jobs DROP COLUMN attempts; ALTER TABLE jobs DROP COLUMN crashes;
            ALTER TABLE jobs DROP COLUMN failing_us; ALTER TABLE jobs DROP COLUMN next_try_us;
            ALTER TABLE jobs DROP COLUMN last_error; ALTER TABLE videos DROP COLUMN share_of_new;
            ALTER TABLE videos DROP COLUMN share_of_stored; ALTER TABLE videos DROP COLUMN rejudge;
            DROP INDEX videos_by_rules; ALTER TABLE videos DROP COLUMN rules;
            ALTER TABLE videos DROP COLUMN sample_aspect_ratio; ALTER TABLE videos DROP COLUMN rotation_deg;
            ALTER TABLE videos DROP COLUMN hdr; ALTER TABLE videos DROP COLUMN clip_rule;
            DROP TABLE metadata_indexes; DROP INDEX videos_by_fingerprints;
            ALTER TABLE videos DROP COLUMN fingerprints; DROP INDEX videos_to_verify;
            ALTER TABLE videos DROP COLUMN evidence; ALTER TABLE videos DROP COLUMN looks;
            ALTER TABLE videos DROP COLUMN updated_us; ALTER TABLE videos DROP COLUMN frames;
            ALTER TABLE videos DROP COLUMN look_tries;
            DROP TABLE folders; DROP TABLE folder_files; DROP TABLE folder_forgotten;
            DROP TABLE pictures;
            CREATE INDEX videos_by_verdict ON videos (verdict);
            PRAGMA user_version = 2""")
    with server:
        assert server.get("/v1/health/ready").json() == {"status": "ready"}
        deadline = time.monotonic() + 20
        with sqlite3.connect(server.data / "catalog.db") as catalog:
            while catalog.execute("SELECT checksum FROM vectors").fetchall() != before:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert catalog.execute("SELECT count(*) FROM fingerprints WHERE checksum IS NULL").fetchone() == (0,)

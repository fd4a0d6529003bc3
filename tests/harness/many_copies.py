"""Many copies of one stored video, written straight into the catalog of a stopped server.

    python tests/harness/many_copies.py data/catalog.db VIDEO_ID N

Each is a row of its own with the video's clips, vectors and fingerprint, and a verdict that names what the
video's verdict names. Their files do not exist: nothing reads them but downloads.
"""
import hashlib
import sqlite3
import sys


def multiply(catalog_file, video_id, n):
    """Copies that video n times; gives their ids."""
    catalog = sqlite3.connect(catalog_file, isolation_level=None)
    catalog.row_factory = sqlite3.Row
    video = dict(catalog.execute("SELECT * FROM videos WHERE id = ?", (video_id,)).fetchone())
    clips = [dict(c) for c in catalog.execute("SELECT * FROM clips WHERE video = ? ORDER BY row", (video["row"],))]
    vectors = [list(catalog.execute("SELECT key >> 40, data FROM vectors WHERE key & ((1 << 40) - 1) = ?", (c["row"],)))
               for c in clips]
    fingerprint, = catalog.execute("SELECT data FROM fingerprints WHERE video = ?", (video["row"],)).fetchone()
    columns = [c for c in video if c != "row"]
    insert = f"INSERT INTO videos ({', '.join(columns)}) VALUES ({', '.join(':' + c for c in columns)})"
    ids = []
    catalog.execute("BEGIN")
    for i in range(n):
        sha256 = hashlib.sha256(f"copy {i} of {video_id}".encode()).digest()
        ids.append("v" + sha256.hex()[:24])
        row = catalog.execute(insert, {**video, "id": ids[-1], "sha256": sha256, "filename": f"copy-{i}.mp4"}).lastrowid
        for clip, of_spaces in zip(clips, vectors):
            number = catalog.execute("INSERT INTO clips (video, position, start_s, end_s) VALUES (?, ?, ?, ?)",
                                     (row, clip["position"], clip["start_s"], clip["end_s"])).lastrowid
            for space, data in of_spaces:
                catalog.execute("INSERT INTO vectors (key, data) VALUES (?, ?)", (space << 40 | number, data))
                catalog.execute("UPDATE spaces SET vectors = vectors + 1 WHERE row = ?", (space,))
        catalog.execute("INSERT INTO fingerprints (video, data) VALUES (?, ?)", (row, fingerprint))
    catalog.execute("COMMIT")
    catalog.close()
    return ids


if __name__ == "__main__":
    multiply(sys.argv[1], sys.argv[2], int(sys.argv[3]))

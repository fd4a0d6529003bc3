"""A data folder with many vectors that no video was decoded for.

    server.upload(clip); server.stop(); fill(server.data, vectors, clips_each=4); server.start()

Every new video is a copy of the one that is there, with other ids; its vectors are in the same vector space.
"""

import hashlib
import sqlite3

import numpy as np


def fill(data, vectors, clips_each=1):
    """vectors: float32 [n, dim] of unit length. Gives the ids of the new videos, in order."""
    catalog = sqlite3.connect(data / "catalog.db")
    columns = [row[1] for row in catalog.execute("PRAGMA table_info(videos)")]
    video = dict(zip(columns, catalog.execute("SELECT * FROM videos LIMIT 1").fetchone()))
    space = catalog.execute("SELECT max(row) FROM spaces").fetchone()[0]
    clip = catalog.execute("SELECT max(row) FROM clips").fetchone()[0]
    row, ids = catalog.execute("SELECT max(row) FROM videos").fetchone()[0], []
    with catalog:
        for first in range(0, len(vectors), clips_each):
            sha256 = hashlib.sha256(b"filled %d" % first).digest()
            row += 1
            ids.append("v" + sha256.hex()[:24])
            video |= {"row": row, "id": ids[-1], "sha256": sha256, "filename": f"filled {first}.mp4"}
            catalog.execute(f"INSERT INTO videos ({', '.join(video)}) VALUES ({', '.join('?' * len(video))})",
                            list(video.values()))
            for i, vector in enumerate(vectors[first:first + clips_each]):
                clip += 1
                catalog.execute("INSERT INTO clips (row, video, position, start_s, end_s) VALUES (?, ?, ?, ?, ?)",
                                (clip, row, i, float(i), i + 1.0))
                catalog.execute("INSERT INTO vectors (key, data) VALUES (?, ?)",
                                (space << 40 | clip, np.asarray(vector, np.float32).tobytes()))
        catalog.execute("UPDATE spaces SET vectors = vectors + ? WHERE row = ?", (len(vectors), space))
    catalog.close()
    return ids

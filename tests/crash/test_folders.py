"""kill -9 while folders are indexed and their files move, go and change: afterwards the index is what lies there.

    VIDX_CRASH_ROUNDS=200 pytest tests/crash/test_folders.py     more rounds than the 12 of every test run
"""

import hashlib
import os
import random
import shutil
import time

import make as samples
from server import Server, wait_until

ROUNDS = int(os.environ.get("VIDX_CRASH_ROUNDS", "48")) // 4
CLIPS = 16


def change(chance, folder, clips):
    """One thing that people do to files."""
    files = [path for path in folder.rglob("*.mp4") if ".Trash" not in str(path)]
    target = folder / chance.choice(("", "a", "a/b", "c")) / f"{chance.randrange(12)}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = chance.choice(("add", "add", "add", "move", "remove", "replace"))
    if kind == "add" or not files:
        part = folder / ".part"
        shutil.copyfile(chance.choice(clips), part)
        part.rename(target)
    elif kind == "move":
        chance.choice(files).rename(target)
    elif kind == "remove":
        chance.choice(files).unlink()
    else:
        shutil.copyfile(chance.choice(clips), chance.choice(files))


def id_of(path):
    return "v" + hashlib.sha256(path.read_bytes()).hexdigest()[:24]


def lie_there(folder):
    """{path: id} of what is in the folder."""
    return {str(path.relative_to(folder)): id_of(path)
            for path in folder.rglob("*.mp4") if ".Trash" not in str(path)}


def indexed(server):
    items = server.get("/v1/videos?limit=500").json()["items"]
    return {place["path"]: video["id"] for video in items for place in video["places"]}


def check(server, folder, deleted):
    expected = {path: id for path, id in lie_there(folder).items() if id not in deleted}
    wait_until(lambda: server.get("/v1/folders/nas").json()["state"] != "starting" and indexed(server) == expected,
               f"{expected}\n{server.tail()}", 180)
    assert list((server.data / "incoming").iterdir()) == []
    assert [path for path in (server.data / "media").glob("*/*") if path.is_file()] == []
    for path, id in expected.items():
        assert server.get(f"/v1/videos/{id}/content").content == (folder / path).read_bytes()
    for id in deleted:
        assert server.get(f"/v1/videos/{id}").status_code == 404


def test_index_is_what_lies_there_after_every_kill(tmp_path, tiny_model):
    folder = tmp_path / "nas"
    folder.mkdir()
    clips = [samples.small(100 + i, seconds=1.5) for i in range(CLIPS)]
    server = Server(tmp_path / "data", tiny_model,
                    flags=["--folder", f"nas={folder}", "--folder-quiet", "0", "--folder-walk", "2"])
    chance, deleted = random.Random(5), set()
    for n in range(ROUNDS):
        server.start()
        for _ in range(chance.randint(1, 6)):
            change(chance, folder, clips)
            time.sleep(chance.uniform(0, 0.05))
        there = indexed(server)
        if there and chance.random() < 0.3:
            id = chance.choice(sorted(there.values()))
            if server.delete(f"/v1/videos/{id}").status_code == 204:
                deleted.add(id)
        time.sleep(chance.uniform(0, 0.6))
        server.kill()
        if n % 3 == 2:
            with server:
                check(server, folder, deleted)


def test_trash_is_filled_after_a_kill(tmp_path, tiny_model):
    folder = tmp_path / "nas"
    folder.mkdir()
    server = Server(tmp_path / "data", tiny_model,
                    flags=["--folder", f"nas={folder}:trash", "--folder-quiet", "0"])
    for n in range(ROUNDS // 3):
        path = folder / "a.mp4"
        shutil.copyfile(samples.small(100 + n, seconds=1.5), path)
        server.start()
        id = id_of(path)
        wait_until(lambda: indexed(server) == {"a.mp4": id}, server.tail(), 180)
        assert server.delete(f"/v1/videos/{id}").status_code == 204
        server.kill()  # the file may be where it was, or in the trash
        with server:
            wait_until(lambda: not path.exists(), server.tail(), 180)
            assert len(list((folder / f".Trash-{os.geteuid()}" / "files").iterdir())) == n + 1
            wait_until(lambda: server.get("/v1/forgotten").json()["items"] == [], server.tail(), 180)

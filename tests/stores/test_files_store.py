"""A store that is a folder of files: what a check finds, what is never touched, and where it may lie. That it gets every
change, and stands kill -9, is in test_stores.py, with the other stores."""

import json
import os
import subprocess

import pytest
from conftest import files_store
from server import BINARY, wait_until
from test_stores import FILES, add, assert_same, collection, upload, wait_equal


@pytest.fixture(params=FILES)
def store(request, tmp_path):
    return files_store(tmp_path / "files", request.param.removeprefix("files-"))


@pytest.fixture
def parquet(tmp_path):
    return files_store(tmp_path / "files", "parquet")


def names(store):
    index = json.loads((store.folder / "index.json").read_text())
    return {name for part in index["parts"] for name in (part["vectors"], part.get("clips")) if name}


def check(server):
    assert server.post("/v1/stores/out/check").status_code == 202
    return wait_equal(server)["check"]


def test_folder_has_nothing_but_what_its_index_names(store, start, clip):
    server = start(store)
    video = upload(server, clip, 1)
    add(server, store)
    wait_equal(server)
    first = names(store)
    upload(server, clip, 2)
    wait_equal(server)
    assert not names(store) & first
    assert {path.name for path in store.folder.iterdir()} == {"index.json", "lock", *names(store)}
    for path in [video, next(iter({row["video"] for _, row in store.rows().values()} - {video}))]:
        server.delete(f"/v1/videos/{path}")
    wait_equal(server)
    assert store.rows() == {} and {path.name for path in store.folder.iterdir()} == {"index.json", "lock"}


def test_check_mends_files_that_were_changed_lost_or_added(store, start, clip):
    server = start(store)
    for seed in range(3):
        upload(server, clip, seed)
    add(server, store)
    wait_equal(server)
    count = len(names(store))
    found = check(server)
    assert (found["points"], found["differing"], found["missing"], found["stray"], found["foreign"]) == (count, 0, 0, 0, 0)
    before = names(store)
    changed = store.folder / sorted(names(store))[-1]
    with changed.open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-9, os.SEEK_END)
        file.write(bytes([byte ^ 255]))
    (store.folder / "part-000007.g999.npy").write_bytes(b"x")
    (store.folder / "part-000000.g1.parquet.Abc123").write_bytes(b"x")
    (store.folder / "notes.txt").write_text("mine")
    found = check(server)
    assert (found["points"], found["differing"], found["missing"], found["stray"], found["foreign"]) == (count, 1, 0, 2, 1)
    assert_same(server, store)
    assert not names(store) & before
    assert {path.name for path in store.folder.iterdir()} == {"index.json", "lock", "notes.txt", *names(store)}
    for name in names(store):
        (store.folder / name).unlink()
    assert check(server)["missing"] == count
    assert_same(server, store)
    (store.folder / "index.json").unlink()
    upload(server, clip, 9)
    wait_until(lambda: (store.folder / "index.json").exists())
    wait_equal(server)
    assert_same(server, store)


def test_only_parts_that_changed_are_written_again(parquet, start, clip):
    """Rows of videos rise for ever: 1,024 of them later a video is in another part."""
    import sqlite3

    server = start(parquet)
    first = upload(server, clip, 1)
    add(server, parquet)
    wait_equal(server)
    server.stop()
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'videos'")
    server.start()
    before = names(parquet)
    second = upload(server, clip, 2)
    wait_equal(server)
    assert before < names(parquet) and len(names(parquet)) == 2
    assert_same(server, parquet)
    server.delete(f"/v1/videos/{first}")
    wait_equal(server)
    assert {row["video"] for _, row in parquet.rows().values()} == {second} and len(names(parquet)) == 1


def test_sync_writes_the_files_and_then_only_what_changed(parquet, start, clip, run_sync):
    store = parquet
    server = start(store)
    upload(server, clip, 1)
    server.stop()
    assert "sent 1 clips" in run_sync(server, store)
    assert "sent 0 clips, deleted 0" in run_sync(server, store)
    inodes = {path.name: path.stat().st_ino for path in store.folder.iterdir()}
    assert "compared" in run_sync(server, store, "--check")
    assert {path.name: path.stat().st_ino for path in store.folder.iterdir() if path.name in names(store)} == \
           {name: inodes[name] for name in names(store)}
    server.start()
    assert_same(server, store)


def test_place_outside_of_the_named_folders_is_refused(parquet, start):
    server = start(parquet)
    before = set(parquet.root.parent.iterdir())
    for url in ("files://other/clips", "files://out/../clips", "files://out/a/b", "files://out/.", "files://out",
                "files:///tmp/clips", "files://out/clips?format=csv", "files://out/%2e%2e", "files://out/clips?table=x",
                "files://a@out/clips", "files://out:80x/clips", "files://../clips", "files://./clips"):
        answer = server.post("/v1/stores", json={"name": "out", "url": url})
        assert answer.status_code == 400, answer.text
    assert list(parquet.root.iterdir()) == [] and set(parquet.root.parent.iterdir()) == before


def state(server, *states, name="out"):
    return wait_until(lambda: (s := server.get(f"/v1/stores/{name}").json())["state"] in states and s)


def test_link_and_the_index_of_someone_else_are_left_alone(parquet, start, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    parquet.folder.symlink_to(tmp_path / "elsewhere")
    server = start(parquet)
    add(server, parquet)
    assert "or a link" in state(server, "blocked")["last_error"] and list((tmp_path / "elsewhere").iterdir()) == []
    parquet.folder.unlink()
    parquet.folder.mkdir()
    (parquet.folder / "index.json").write_text('{"name": "my site"}')
    server.post("/v1/stores/out/check")
    wait_until(lambda: "not of vidx" in state(server, "blocked")["last_error"])
    assert (parquet.folder / "index.json").read_text() == '{"name": "my site"}'


def test_two_stores_do_not_write_to_one_folder(parquet, start, clip):
    server = start(parquet)
    upload(server, clip, 1)
    add(server, parquet)
    wait_equal(server)
    assert server.post("/v1/stores", json={"name": "two", "url": "files://out/clips?format=npy"}).status_code == 201
    assert "another store" in state(server, "blocked", name="two")["last_error"]
    assert_same(server, parquet)


def test_folder_that_is_not_mounted_is_not_filled(parquet, start, clip):
    server = start(parquet)
    upload(server, clip, 1)
    add(server, parquet)
    wait_equal(server)
    server.stop()
    parquet.root.rename(parquet.root.with_name("away"))
    parquet.root.mkdir()
    server.start()
    upload(server, clip, 2)
    assert "mounted" in state(server, "waiting")["last_error"] and list(parquet.root.iterdir()) == []
    parquet.root.rmdir()
    parquet.root.with_name("away").rename(parquet.root)
    wait_equal(server)
    assert_same(server, parquet)
    assert len(collection(server)) == 2


@pytest.mark.parametrize("given, word", [("nodir", "NAME=DIR"), ("a/b=/tmp", "NAME=DIR"), ("=x", "NAME=DIR"), ("a=", "NAME=DIR"),
                                         ("a=DATA/files", "inside the data folder")])
def test_store_folder_that_is_wrong_is_told_at_start(tmp_path, given, word):
    done = subprocess.run([BINARY, "serve", "--data", tmp_path / "data", "--store-folder",
                           given.replace("DATA", str(tmp_path / "data"))], capture_output=True, text=True, timeout=180)
    assert done.returncode == 2 and word in done.stderr

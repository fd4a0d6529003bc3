"""vidx backup and vidx restore: beside a running server, again and again, killed, and put back elsewhere."""

import shutil
import signal
import subprocess
import threading

import pytest
from server import BINARY, Server


def vidx(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def backup(server, folder):
    done = vidx("backup", "--data", server.data, "--to", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(folder, target):
    done = vidx("restore", "--from", folder, "--data", target)
    assert done.returncode == 0, done.stderr
    assert vidx("check", "--data", target).returncode == 0
    return done.stdout


@pytest.fixture
def running(tmp_path, tiny_model):
    with Server(tmp_path / "data", tiny_model) as server:
        yield server


def test_restored_folder_has_every_video_with_its_file_and_vectors(running, clip, tmp_path, tiny_model):
    videos = {seed: running.upload(clip(seed), metadata='{"a": 1}').json() for seed in (501, 502, 503)}
    assert "3 videos, 3 files: 3 copied" in backup(running, tmp_path / "backup")
    later = running.upload(clip(504)).json()["id"]
    restore(tmp_path / "backup", tmp_path / "elsewhere")
    with Server(tmp_path / "elsewhere", tiny_model) as server:
        for seed, video in videos.items():
            assert server.get(f"/v1/videos/{video['id']}").json() == video
            assert server.get(f"/v1/videos/{video['id']}/content").content == clip(seed).read_bytes()
            assert server.get(f"/v1/videos/{video['id']}/vectors").content == \
                running.get(f"/v1/videos/{video['id']}/vectors").content
        assert server.get(f"/v1/videos/{later}").status_code == 404


def test_second_backup_copies_what_is_new_and_removes_what_is_gone(running, clip, tmp_path):
    first, second = (running.upload(clip(seed)).json()["id"] for seed in (511, 512))
    backup(running, tmp_path / "backup")
    running.upload(clip(513))
    assert running.delete(f"/v1/videos/{first}").status_code == 204
    assert "2 videos, 2 files: 1 copied" in (told := backup(running, tmp_path / "backup"))
    assert "1 were there, 1 removed" in told
    assert len([path for path in (tmp_path / "backup/media").rglob("*") if path.is_file()]) == 2
    assert "2 files: 2 copied" in restore(tmp_path / "backup", tmp_path / "elsewhere")


def test_backup_while_videos_come_and_go_is_whole(running, clip, tmp_path):
    running.upload(clip(521))
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for seed in (522, 523):
                running.delete(f"/v1/videos/{running.upload(clip(seed)).json()['id']}")
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for i in range(3):
            backup(running, tmp_path / "backup")
            restore(tmp_path / "backup", tmp_path / f"restored{i}")
    finally:
        stop.set()
        thread.join()


def test_backup_that_is_killed_leaves_the_one_before_and_goes_on(running, clip, tmp_path):
    running.upload(clip(531))
    backup(running, tmp_path / "backup")
    for seed in range(532, 535):
        running.upload(clip(seed))
        process = subprocess.Popen([BINARY, "backup", "--data", running.data, "--to", tmp_path / "backup"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        restore(tmp_path / "backup", tmp_path / f"restored{seed}")
    assert "4 videos" in backup(running, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "last")


def stored_files(folder):
    return [path for path in (folder / "media").rglob("*") if path.is_file()]


def damage(file):
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def test_damaged_file_of_a_backup_is_not_restored(running, clip, tmp_path, tiny_model):
    whole, lost = (running.upload(clip(seed)).json() for seed in (541, 542))
    backup(running, tmp_path / "backup")
    file, = (path for path in stored_files(tmp_path / "backup") if path.name == lost["sha256"])
    damage(file)
    left = tmp_path / "elsewhere/media" / file.name[:2] / file.name  # of an earlier try, as damaged
    left.parent.mkdir(parents=True)
    left.write_bytes(file.read_bytes())
    done = vidx("restore", "--from", tmp_path / "backup", "--data", tmp_path / "elsewhere")
    assert done.returncode == 1 and "damaged" in done.stderr and file.name in done.stderr
    assert "1 copied" in done.stdout
    assert [path.name for path in stored_files(tmp_path / "elsewhere")] == [whole["sha256"]]
    with Server(tmp_path / "elsewhere", tiny_model) as server:
        assert server.get(f"/v1/videos/{whole['id']}/content").content == clip(541).read_bytes()


def test_damaged_file_is_not_backed_up_and_the_others_are(running, clip, tmp_path):
    whole, lost = (running.upload(clip(seed)).json() for seed in (543, 544))
    file, = (path for path in stored_files(running.data) if path.name == lost["sha256"])
    file.chmod(0o600)
    damage(file)
    done = vidx("backup", "--data", running.data, "--to", tmp_path / "backup")
    assert done.returncode == 1 and "damaged" in done.stderr and file.name in done.stderr
    assert [path.name for path in stored_files(tmp_path / "backup")] == [whole["sha256"]]


def test_restore_mends_a_damaged_file_that_an_earlier_try_left(running, clip, tmp_path):
    running.upload(clip(545))
    backup(running, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "elsewhere")
    (tmp_path / "elsewhere/catalog.db").unlink()
    damage(*stored_files(tmp_path / "elsewhere"))
    assert "1 copied" in restore(tmp_path / "backup", tmp_path / "elsewhere")
    assert stored_files(tmp_path / "elsewhere")[0].read_bytes() == clip(545).read_bytes()


def test_log_of_a_catalog_that_is_gone_does_not_reach_the_restored_one(running, clip, tmp_path, tiny_model):
    """The server is killed, so its log keeps its last changes; then the catalog and the files are taken away."""
    videos = [running.upload(clip(seed)).json()["id"] for seed in (546, 547)]
    backup(running, tmp_path / "backup")
    other = Server(tmp_path / "elsewhere", tiny_model).start()
    other.upload(clip(548))
    other.kill()
    assert (tmp_path / "elsewhere/catalog.db-wal").stat().st_size
    (tmp_path / "elsewhere/catalog.db").unlink()
    shutil.rmtree(tmp_path / "elsewhere/media")
    restore(tmp_path / "backup", tmp_path / "elsewhere")
    with Server(tmp_path / "elsewhere", tiny_model) as server:
        assert {video["id"] for video in server.get("/v1/videos").json()["items"]} == set(videos)


def test_wrong_folders_are_refused(running, tmp_path):
    backup(running, tmp_path / "backup")
    assert "catalog already" in vidx("restore", "--from", tmp_path / "backup", "--data", running.data).stderr
    assert "no backup" in vidx("restore", "--from", tmp_path, "--data", tmp_path / "x").stderr
    assert "no data folder" in vidx("backup", "--data", tmp_path, "--to", tmp_path / "y").stderr
    assert vidx("backup").returncode == 2 and vidx("restore").returncode == 2


def test_backup_into_a_data_folder_is_refused_and_changes_nothing(running, clip, tmp_path, tiny_model):
    with Server(tmp_path / "other", tiny_model) as other:
        video = other.upload(clip(551)).json()["id"]
        (tmp_path / "link").symlink_to(running.data)
        for folder in (running.data, tmp_path / "link", other.data):
            done = vidx("backup", "--data", running.data, "--to", folder)
            assert done.returncode == 1 and f"{folder} is a data folder" in done.stderr
        (other.data / "incoming").rename(tmp_path / "aside")  # the lock alone says it
        assert "is a data folder" in vidx("backup", "--data", running.data, "--to", other.data).stderr
        (tmp_path / "aside").rename(other.data / "incoming")
        assert other.get(f"/v1/videos/{video}/content").content == clip(551).read_bytes()
    assert "is a data folder" in vidx("backup", "--data", running.data, "--to", tmp_path / "other").stderr
    assert vidx("check", "--data", tmp_path / "other").returncode == 0

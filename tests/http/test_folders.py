"""Folders in place: videos are indexed where they lie, and the index follows what happens to the files."""

import base64
import errno
import os
import shutil
import subprocess
import time

import pytest
from conftest import assert_problem, wait_until
from server import BINARY
from trouble import Troubled

LIMIT_S = 180


class Folder:
    """A folder of files, and the server that indexes it."""

    def __init__(self, start, path, *flags, suffix="", **more):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.server = start("--folder", f"nas={path}{suffix}", "--folder-quiet", "0.3", *flags, **more)

    def put(self, name, source):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(".part")
        shutil.copyfile(source, part)
        part.rename(target)
        return target

    def view(self):
        return self.server.get("/v1/folders/nas").json()

    def files(self, **params):
        return self.server.get("/v1/folders/nas/files", params=params).json()["items"]

    def videos(self):
        """{path: video} of those in the folder."""
        items = self.server.get("/v1/videos?limit=500").json()["items"]
        return {place["path"]: video for video in items for place in video["places"]}

    def until(self, happened, what="it did not happen"):
        return wait_until(happened, f"{what}: {self.view()}\n{self.server.tail()}", LIMIT_S)

    def until_paths(self, *paths):
        self.until(lambda: set(self.videos()) == set(paths) and not self.view()["files"]["waiting"],
                   f"not exactly {paths} but {set(self.videos())}")
        return self.videos()


@pytest.fixture
def folder(start, tmp_path):
    return Folder(start, tmp_path / "nas")


def search(server, video):
    items = server.post("/v1/search", json={"video_id": video["id"], "k": 3}).json()["items"]
    return [item["video_id"] for item in items]


def media_files(server):
    return [path for path in (server.data / "media").glob("*/*") if path.is_file()]


def snapshot(path):
    return {p: (p.stat().st_size, p.stat().st_mtime_ns, p.read_bytes()) for p in path.rglob("*") if p.is_file()}


def test_files_are_indexed_where_they_lie_without_a_second_copy(start, tmp_path, clip):
    for name, seed in (("a.mp4", 1), ("year/b.MP4", 2), ("year/deep/er/c.mp4", 3)):
        target = tmp_path / "nas" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip(seed), target)
    before = snapshot(tmp_path / "nas")
    folder = Folder(start, tmp_path / "nas")
    videos = folder.until_paths("a.mp4", "year/b.MP4", "year/deep/er/c.mp4")
    server = folder.server
    video = videos["year/b.MP4"]
    assert video["filename"] == "b.MP4" and video["has_file"] and video["bytes"] == clip(2).stat().st_size
    assert video["places"] == [{"folder": "nas", "path": "year/b.MP4"}]
    assert server.get(f"/v1/videos/{video['id']}/content").content == clip(2).read_bytes()
    part = server.get(f"/v1/videos/{video['id']}/content", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == clip(2).read_bytes()[100:200]
    assert server.get(f"/v1/videos/{video['id']}/thumbnail").content[:2] == b"\xff\xd8"
    cut = server.get(f"/v1/videos/{video['id']}/clips/0/content")
    assert cut.status_code in (200, 501), cut.text
    assert video["id"] not in search(server, video)[1:] and len(search(server, video)) == 2
    assert media_files(server) == [] and list((server.data / "incoming").iterdir()) == []
    view = folder.view()
    assert view["state"] == "ready" and view["problem"] is None and view["path"] == str(tmp_path / "nas")
    assert view["files"] == {"indexed": 3, "waiting": 0, "failed": 0, "forgotten": 0, "missing": 0}
    assert view["bytes"]["indexed"] == sum(clip(i).stat().st_size for i in (1, 2, 3))
    assert view["watch"] == {"dirs": 4, "limited": False}
    assert snapshot(tmp_path / "nas") == before
    assert server.get("/v1/folders/0").json()["name"] == "nas"
    assert [item["name"] for item in server.get("/v1/folders").json()["items"]] == ["nas"]


def test_what_changes_is_followed(folder, clip):
    folder.put("a.mp4", clip(1))
    first = folder.until_paths("a.mp4")["a.mp4"]
    folder.put("new/b.mp4", clip(2))
    folder.until_paths("a.mp4", "new/b.mp4")
    # renamed, and moved to a folder that is new: the same video, whose name follows
    (folder.path / "other").mkdir()
    (folder.path / "a.mp4").rename(folder.path / "other" / "z.mp4")
    moved = folder.until_paths("other/z.mp4", "new/b.mp4")["other/z.mp4"]
    assert moved["id"] == first["id"] and moved["created_at"] == first["created_at"]
    assert moved["filename"] == "z.mp4"
    # a whole folder
    (folder.path / "new").rename(folder.path / "renamed")
    folder.until_paths("other/z.mp4", "renamed/b.mp4")
    # other bytes under the same path are another video
    folder.put("other/z.mp4", clip(3))
    folder.until(lambda: folder.videos().get("other/z.mp4", first)["id"] != first["id"])
    old = folder.server.get(f"/v1/videos/{first['id']}").json()
    assert old["places"] == [] and not old["has_file"]
    assert_problem(folder.server.get(f"/v1/videos/{first['id']}/content"), 404, "file-away", "missing")
    # gone, and back
    (folder.path / "renamed" / "b.mp4").rename(folder.path / ".b")
    folder.until(lambda: folder.view()["files"]["missing"] == 2)
    (folder.path / ".b").rename(folder.path / "renamed" / "b.mp4")
    folder.until_paths("other/z.mp4", "renamed/b.mp4")
    assert folder.view()["files"]["missing"] == 1


def test_same_bytes_at_two_paths_are_one_video(folder, clip):
    folder.put("a.mp4", clip(1))
    folder.until_paths("a.mp4")
    folder.put("copies/b.mp4", clip(1))
    videos = folder.until_paths("a.mp4", "copies/b.mp4")
    assert videos["a.mp4"]["id"] == videos["copies/b.mp4"]["id"]
    (folder.path / "a.mp4").unlink()
    videos = folder.until_paths("copies/b.mp4")
    answer = folder.server.get(f"/v1/videos/{videos['copies/b.mp4']['id']}/content")
    assert answer.content == clip(1).read_bytes()


def test_verdicts_see_files_in_place_and_uploads_alike(folder, clip):
    original = folder.server.upload(clip(7)).json()
    folder.put("again.mp4", clip(7))
    video = folder.until_paths("again.mp4")["again.mp4"]
    assert video["id"] == original["id"]
    folder.put("encoded.avi", clip(7, codec="mpeg4", suffix=".avi"))
    copy = folder.until_paths("again.mp4", "encoded.avi")["encoded.avi"]
    assert copy["duplicate"]["verdict"] == "copy" and copy["duplicate"]["of"] == original["id"]
    folder.put("first.mp4", clip(8))
    first = folder.until_paths("again.mp4", "encoded.avi", "first.mp4")["first.mp4"]
    answer = folder.server.upload(clip(8))
    assert answer.status_code == 200 and answer.json()["id"] == first["id"]
    assert len(media_files(folder.server)) == 1  # that of the first upload alone


def test_upload_of_a_missing_file_is_stored(folder, clip):
    folder.put("a.mp4", clip(1))
    video = folder.until_paths("a.mp4")["a.mp4"]
    (folder.path / "a.mp4").unlink()
    folder.until(lambda: folder.view()["files"]["missing"] == 1)
    answer = folder.server.upload(clip(1))
    assert answer.status_code == 200 and answer.json()["id"] == video["id"]
    assert folder.server.get(f"/v1/videos/{video['id']}/content").content == clip(1).read_bytes()
    assert [path.name for path in media_files(folder.server)] == [video["sha256"]]


def test_what_is_left_out(start, tmp_path, clip):
    path = tmp_path / "nas"
    outside = tmp_path / "outside.mp4"
    shutil.copyfile(clip(9), outside)
    for name in (".hidden.mp4", ".hidden/a.mp4", ".Trash-1000/files/a.mp4", "#recycle/a.mp4", "@eaDir/a.mp4",
                 "private/.nomedia", "private/a.mp4", "private/below/b.mp4", "notes.txt", "seen/a.mp4"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip(1), path / name)
    (path / "link.mp4").symlink_to(outside)
    (path / "loop").symlink_to(path)
    os.mkfifo(path / "pipe.mp4")
    folder = Folder(start, path, data=path / "vidx-data")
    folder.until_paths("seen/a.mp4")
    folder.until(lambda: folder.view()["walk"]["links"] == 2)  # told once the walk has ended
    (path / "seen" / ".nomedia").touch()
    folder.until(lambda: folder.view()["files"]["missing"] == 1)
    (path / "seen" / ".nomedia").unlink()
    folder.until_paths("seen/a.mp4")


HOSTILE = [b"new\nline.mp4", b"not-utf8-\xff\xfe.mp4", b"quote\"'`$(x).mp4", b"-rf.mp4", b" space .mp4",
           b"tab\t.mp4", ("\u202e" + "x" * 120 + ".mp4").encode(), b"y" * 251 + b".mp4"]


def test_hostile_names(start, tmp_path, clip):
    path = tmp_path / "nas"
    path.mkdir()
    for i, name in enumerate(HOSTILE):
        with open(bytes(path) + b"/" + name, "wb") as file:
            file.write(clip(30 + i).read_bytes())
    deep = bytes(path)
    for _ in range(18):  # together longer than any path may be
        deep += b"/" + b"d" * 250
        try:
            os.mkdir(deep)
        except OSError:
            break
    folder = Folder(start, path)
    folder.until(lambda: folder.view()["files"]["indexed"] == len(HOSTILE))
    ids = {file["path"]: file for file in folder.files()}
    assert len(ids) == len(HOSTILE)
    for i, name in enumerate(HOSTILE):
        video = next(file for file in ids.values()
                     if base64.b64decode(file.get("path_base64", "")) == name or file["path"].encode() == name)
        answer = folder.server.get(f"/v1/videos/{video['video_id']}/content")
        assert answer.status_code == 200 and answer.content == clip(30 + i).read_bytes(), name
        shown = folder.server.get(f"/v1/videos/{video['video_id']}").json()["filename"]
        assert shown.isprintable() or "\u202e" in shown, name
    raw = folder.server.get("/v1/folders/nas/files", params={"format": "paths0"}).content
    assert set(raw.split(b"\0")[:-1]) == {bytes(path) + b"/" + name for name in HOSTILE}


def test_bad_files_cost_only_themselves(folder, clip):
    (folder.path / "empty.mp4").touch()
    (folder.path / "text.mp4").write_text("no video")
    folder.put("good.mp4", clip(1))
    folder.until_paths("good.mp4")
    folder.until(lambda: folder.view()["files"]["failed"] == 2)
    failed = {file["path"]: file["error"] for file in folder.files(state="failed")}
    assert set(failed) == {"empty.mp4", "text.mp4"} and all(failed.values()), failed
    assert "empty" in failed["empty.mp4"]
    # mended
    folder.put("text.mp4", clip(2))
    folder.until_paths("good.mp4", "text.mp4")
    (folder.path / "empty.mp4").unlink()
    folder.until(lambda: folder.view()["files"]["failed"] == 0)


def test_file_that_cannot_be_read_costs_only_itself_and_is_tried_again(tmp_path, tiny_model, clip):
    path = tmp_path / "nas"
    path.mkdir()
    for i, name in enumerate(("a.mp4", "bad.mp4", "c.mp4")):
        shutil.copyfile(clip(1 + i), path / name)
    server = Troubled(tmp_path, tiny_model)
    server.flags = ["--folder", str(path), "--folder-quiet", "0"]
    server.fail("read", errno.EIO, "nas/bad")
    with server:
        folder = Folder(lambda *_: server, path)
        folder.until_paths("a.mp4", "c.mp4")
        folder.until(lambda: folder.view()["files"]["failed"] == 1)
        file, = folder.files(state="failed")
        assert file["path"] == "bad.mp4" and os.strerror(errno.EIO) in file["error"]
        server.recover()
        assert server.post("/v1/folders/nas/walk").status_code == 202
        folder.until_paths("a.mp4", "bad.mp4", "c.mp4")
        # a file that cannot even be looked at is not missing
        server.fail("stat", errno.EIO, "bad.mp4")
        (path / "a.mp4").unlink()
        assert server.post("/v1/folders/nas/walk").status_code == 202
        folder.until(lambda: folder.view()["files"]["missing"] == 1 and folder.view()["walk"]["unreadable"] == 1)
        folder.until_paths("bad.mp4", "c.mp4")
        server.recover()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_listed_and_tried_again(folder, clip):
    path = folder.put("a.mp4", clip(1))
    path.chmod(0)
    folder.until(lambda: folder.view()["files"]["failed"] == 1)
    path.chmod(0o644)
    folder.until_paths("a.mp4")


def test_file_that_is_being_written_is_left_until_it_is_quiet(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas", "--folder-quiet", "2")
    data = clip(1).read_bytes()
    with open(folder.path / "slow.mp4", "wb") as file:
        for i in range(6):
            file.write(data[i * len(data) // 6:(i + 1) * len(data) // 6])
            file.flush()
            time.sleep(0.5)
    video = folder.until_paths("slow.mp4")["slow.mp4"]
    assert video["bytes"] == len(data)
    assert folder.view()["files"] == {"indexed": 1, "waiting": 0, "failed": 0, "forgotten": 0, "missing": 0}
    assert folder.server.get("/v1/videos?count=true").json()["total"] == 1


def test_folder_that_is_not_mounted_marks_nothing(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas", "--folder-walk", "1")
    folder.put("a.mp4", clip(1))
    folder.put("b/c.mp4", clip(2))
    videos = folder.until_paths("a.mp4", "b/c.mp4")
    folder.path.rename(tmp_path / "elsewhere")
    folder.until(lambda: folder.view()["state"] == "away")
    assert folder.view()["files"]["missing"] == 0 and folder.view()["problem"]
    folder.path.mkdir()  # the empty directory that an unmounted disk leaves
    (folder.path / "lost+found").mkdir()
    folder.until(lambda: folder.view()["state"] == "empty")
    assert folder.view()["files"]["missing"] == 0
    assert_problem(folder.server.get(f"/v1/videos/{videos['a.mp4']['id']}/content"), 404, "file-away")
    assert folder.server.get("/v1/health/ready").json() == {"status": "ready"}
    (folder.path / "lost+found").rmdir()
    folder.path.rmdir()
    (tmp_path / "elsewhere").rename(folder.path)
    folder.until(lambda: folder.view()["state"] == "ready")
    assert set(folder.until_paths("a.mp4", "b/c.mp4")) == {"a.mp4", "b/c.mp4"}
    # if all is really gone, somebody must say so
    (folder.path / "a.mp4").unlink()
    shutil.rmtree(folder.path / "b")
    answer = folder.server.post("/v1/folders/nas/walk?accept_empty=true")
    assert answer.status_code == 202, answer.text
    folder.until(lambda: folder.view()["files"]["missing"] == 2)


def test_missing_videos_are_deleted_after_a_time(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas", "--folder-keep", str(3 / 86400))
    path = folder.put("a.mp4", clip(1))
    folder.put("b.mp4", clip(2))
    video = folder.until_paths("a.mp4", "b.mp4")["a.mp4"]
    path.unlink()
    folder.until(lambda: folder.server.get(f"/v1/videos/{video['id']}").status_code == 404)
    folder.until(lambda: folder.view()["files"]["missing"] == 0)
    assert folder.server.get("/v1/forgotten").json()["items"] == []
    folder.put("again.mp4", clip(1))  # nobody has wished that it goes
    folder.until_paths("again.mp4", "b.mp4")


def test_deleted_video_is_not_indexed_again_until_that_is_undone(folder, clip):
    folder.put("a.mp4", clip(1))
    folder.put("b.mp4", clip(2))
    video = folder.until_paths("a.mp4", "b.mp4")["a.mp4"]
    before = snapshot(folder.path)
    assert folder.server.delete(f"/v1/videos/{video['id']}").status_code == 204
    assert snapshot(folder.path) == before
    assert folder.view()["files"]["forgotten"] == 1
    folder.put("moved/a.mp4", clip(1))
    folder.until(lambda: folder.view()["files"]["forgotten"] == 2)
    raw = folder.server.get("/v1/folders/nas/files", params={"state": "forgotten", "format": "paths0"}).content
    assert set(raw.split(b"\0")[:-1]) == {bytes(folder.path / "a.mp4"), bytes(folder.path / "moved" / "a.mp4")}
    assert folder.server.stop() == 0
    folder.server.start()
    folder.until(lambda: folder.view()["state"] == "ready")
    folder.until(lambda: folder.view()["files"]["waiting"] == 0)
    assert set(folder.videos()) == {"b.mp4"}
    item, = folder.server.get("/v1/forgotten").json()["items"]
    assert (item["video_id"], item["filename"], item["bytes"]) == (video["id"], "a.mp4", video["bytes"])
    assert folder.server.delete(f"/v1/forgotten/{video['id']}").status_code == 204
    folder.until_paths("a.mp4", "moved/a.mp4", "b.mp4")
    assert_problem(folder.server.delete(f"/v1/forgotten/{video['id']}"), 404, "not-found")
    # an upload says that it is wanted, too
    assert folder.server.delete(f"/v1/videos/{video['id']}").status_code == 204
    assert folder.server.upload(clip(1)).status_code == 201
    assert folder.server.get("/v1/forgotten").json()["items"] == []


def test_trash_takes_what_is_deleted(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas", suffix=":trash")
    odd = "ü b%.mp4"
    folder.put(f"year/{odd}", clip(1))
    folder.put("copy.mp4", clip(1))
    folder.put("stays.mp4", clip(2))
    assert folder.view()["trash"]
    video = folder.until_paths(f"year/{odd}", "copy.mp4", "stays.mp4")["copy.mp4"]
    assert folder.server.delete(f"/v1/videos/{video['id']}").status_code == 204
    trash = folder.path / f".Trash-{os.geteuid()}"
    folder.until(lambda: not (folder.path / "copy.mp4").exists() and not (folder.path / "year" / odd).exists())
    assert {p.name for p in (trash / "files").iterdir()} == {odd, "copy.mp4"}
    assert (trash / "files" / odd).read_bytes() == clip(1).read_bytes()
    info = (trash / "info" / f"{odd}.trashinfo").read_text().splitlines()
    assert info[0] == "[Trash Info]" and info[1] == "Path=year/%C3%BC%20b%25.mp4"
    assert time.strptime(info[2], "DeletionDate=%Y-%m-%dT%H:%M:%S")
    assert (folder.path / "stays.mp4").exists() and set(folder.until_paths("stays.mp4")) == {"stays.mp4"}
    folder.until(lambda: folder.server.get("/v1/forgotten").json()["items"] == [])
    # taken out of the trash it is back; and a second one of that name finds a place there
    (trash / "files" / "copy.mp4").rename(folder.path / "copy.mp4")
    video = folder.until_paths("copy.mp4", "stays.mp4")["copy.mp4"]
    assert folder.server.delete(f"/v1/videos/{video['id']}").status_code == 204
    folder.until(lambda: not (folder.path / "copy.mp4").exists())


def test_file_that_changed_since_is_not_moved_to_the_trash(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas", suffix=":trash")
    path = folder.put("a.mp4", clip(1))
    video = folder.until_paths("a.mp4")["a.mp4"]
    assert folder.server.stop() == 0
    folder.server.flags += ["--folder-quiet", "3600"]
    folder.server.start()
    folder.until(lambda: folder.view()["state"] == "ready")
    path.write_bytes(clip(2).read_bytes())
    assert folder.server.delete(f"/v1/videos/{video['id']}").status_code == 204
    folder.until(lambda: folder.view()["files"]["waiting"] == 1)
    assert path.read_bytes() == clip(2).read_bytes()


def test_filters_by_folder_and_path(start, tmp_path, clip):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(clip(3), other / "c.mp4")
    folder = Folder(start, tmp_path / "nas", "--folder", str(other))
    folder.put("a.mp4", clip(1))
    folder.put("trip/b.mp4", clip(2))
    folder.until_paths("a.mp4", "trip/b.mp4", "c.mp4")

    def names(filter):
        answer = folder.server.get("/v1/videos", params={"filter": filter})
        assert answer.status_code == 200, answer.text
        return sorted(video["filename"] for video in answer.json()["items"])

    assert names('{"folder": "other"}') == ["c.mp4"]
    assert names('{"folder": {"$in": ["nas", "other"]}}') == ["a.mp4", "b.mp4", "c.mp4"]
    assert names('{"path": {"$prefix": "nas/trip/"}}') == ["b.mp4"]
    (folder.path / "trip" / "b.mp4").rename(folder.path / "b.mp4")
    folder.until_paths("a.mp4", "b.mp4", "c.mp4")
    assert names('{"path": {"$prefix": "nas/trip/"}}') == []
    assert names('{"path": "nas/b.mp4"}') == ["b.mp4"]
    (other / "c.mp4").unlink()
    folder.until(lambda: names('{"has_file": false}') == ["c.mp4"] or folder.server.post(
        "/v1/folders/other/walk?accept_empty=true").status_code != 202)


def test_duplicates_know_where_files_lie(folder, clip):
    folder.put("best/b.avi", clip(5, codec="mpeg4", suffix=".avi"))
    folder.until_paths("best/b.avi")
    folder.put("phone/a.mp4", clip(5))
    videos = folder.until_paths("best/b.avi", "phone/a.mp4")
    server = folder.server
    job = server.post("/v1/duplicates/scan").json()
    assert server.wait_for_job(job["id"])["state"] == "done"
    for keep, kept in (("path:nas/best", "best/b.avi"), ("path:nas/phone", "phone/a.mp4")):
        group, = server.get("/v1/duplicates", params={"keep": keep}).json()["items"]
        assert {video["filename"]: video["action"] for video in group["videos"]} == {
            f"nas/{path}": "keep" if path == kept else "delete" for path in videos}
    # a kept video whose file is missing does not let another one go
    (folder.path / "best" / "b.avi").rename(folder.path / "best" / ".b")
    folder.until(lambda: folder.view()["files"]["missing"] == 1)
    group, = server.get("/v1/duplicates", params={"keep": "path:nas/best"}).json()["items"]
    assert {video["video_id"]: video["action"] for video in group["videos"]}[videos["phone/a.mp4"]["id"]] == "keep"
    (folder.path / "best" / ".b").rename(folder.path / "best" / "b.avi")
    folder.until_paths("best/b.avi", "phone/a.mp4")
    group, = server.get("/v1/duplicates", params={"keep": "path:nas/best"}).json()["items"]
    answer = server.post(f"/v1/duplicates/{group['id']}/resolve", json={"action": "delete", "keep": "path:nas/best"})
    assert answer.ok, answer.text
    folder.until_paths("best/b.avi")
    raw = server.get("/v1/folders/nas/files", params={"state": "forgotten", "format": "paths0"}).content
    assert raw == bytes(folder.path / "phone" / "a.mp4") + b"\0" and (folder.path / "phone" / "a.mp4").exists()


def vidx(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=LIMIT_S)


def test_check_and_backup_know_files_in_place(folder, clip, tmp_path):
    path = folder.put("a.mp4", clip(1))
    folder.put("b.mp4", clip(2))
    folder.until_paths("a.mp4", "b.mp4")
    assert folder.server.stop() == 0
    data = str(folder.server.data)
    ran = vidx("check", "--data", data)
    assert ran.returncode == 0 and "no problems" in ran.stdout, ran
    (folder.path / "b.mp4").unlink()
    ran = vidx("check", "--data", data)
    assert ran.returncode == 0 and "1 videos in folders" in ran.stdout, ran
    facts = path.stat()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    ran = vidx("check", "--data", data)
    assert ran.returncode == 1 and "file-damaged" in ran.stdout and "in place" in ran.stdout, ran
    path.write_bytes(clip(1).read_bytes())
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    ran = vidx("backup", "--data", data, "--to", str(tmp_path / "backup"))
    assert ran.returncode == 0 and "2 videos lie in folders" in ran.stdout and " 0 files" in ran.stdout, ran
    ran = vidx("restore", "--from", str(tmp_path / "backup"), "--data", str(tmp_path / "restored"))
    assert ran.returncode == 0, ran
    folder.server.data = tmp_path / "restored"
    folder.server.log = tmp_path / "restored.log"
    folder.server.start()
    folder.until_paths("a.mp4")
    folder.until(lambda: folder.view()["files"]["missing"] == 1)


def test_file_whose_bytes_change_behind_its_time_is_another_video(folder, clip):
    path = folder.put("a.mp4", clip(1))
    video = folder.until_paths("a.mp4")["a.mp4"]
    facts = path.stat()
    path.chmod(0o640)  # changes ctime alone: it is the same video all the time
    folder.until(lambda: not folder.view()["files"]["waiting"])
    data = bytearray(clip(1).read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    folder.until(lambda: folder.videos().get("a.mp4", video)["id"] != video["id"]
                 or folder.view()["files"]["failed"] == 1)


def test_folder_that_is_no_longer_given(start, tmp_path, clip):
    folder = Folder(start, tmp_path / "nas")
    folder.put("a.mp4", clip(1))
    video = folder.until_paths("a.mp4")["a.mp4"]
    assert_problem(folder.server.delete("/v1/folders/nas"), 409, "folder-in-use")
    assert folder.server.stop() == 0
    flags = folder.server.flags
    folder.server.flags = []
    folder.server.start()
    view = folder.view()
    assert view["state"] == "unused" and view["files"]["indexed"] == 1
    assert_problem(folder.server.get(f"/v1/videos/{video['id']}/content"), 404, "file-away", "--folder")
    assert_problem(folder.server.post("/v1/folders/nas/walk"), 409, "folder-unused")
    assert folder.server.delete("/v1/folders/nas").status_code == 204
    wait_until(lambda: folder.server.get(f"/v1/videos/{video['id']}").status_code == 404, folder.server.tail(),
               LIMIT_S)
    assert folder.server.get("/v1/folders").json()["items"] == []
    assert_problem(folder.server.get("/v1/folders/nas"), 404, "not-found")
    assert folder.server.stop() == 0
    folder.server.flags = flags
    folder.server.start()
    folder.until_paths("a.mp4")


@pytest.mark.parametrize("flags, words", [
    (["--folder", "nas={0}/a", "--folder", "nas={0}/b"], "nas"),
    (["--folder", "{0}/a", "--folder", "{0}/a/below"], "inside"),
    (["--folder", "{0}/data/media"], "data folder"),
    (["--folder", "7={0}/a"], "number"),
    (["--folder", ":trash"], "NAME=")])
def test_folders_that_cannot_be_given(tmp_path, tiny_model, flags, words):
    (tmp_path / "a" / "below").mkdir(parents=True)
    (tmp_path / "data" / "media").mkdir(parents=True)
    ran = subprocess.run([BINARY, "serve", "--data", tmp_path / "data", "--models", tiny_model, "--listen",
                          "127.0.0.1:0", *(flag.format(tmp_path) for flag in flags)],
                         capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 2 and words in ran.stderr, ran


def test_clients_cannot_name_what_was_not_given(server):
    for name in ("..", "%2e%2e", "%2fetc", "0", "nas", "x" * 500):
        assert server.get(f"/v1/folders/{name}").status_code in (400, 404), name
        assert server.get(f"/v1/folders/{name}/files").status_code in (400, 404), name
    assert server.get("/v1/folders").json() == {"items": [], "next": None}

"""Duplicates: a scan finds all related pairs, groups propose what to keep, decisions are remembered."""

import csv
import io
import itertools
import json
import sqlite3

import numpy as np
import pytest
from conftest import assert_problem, wait_until
from films import ffmpeg, film
from server import Server
from test_import_job import lines, npy, send


@pytest.fixture(scope="module")
def films():
    """name → path: one scene as it is, smaller, in worse quality, mirrored; its first part; it and more; others."""
    return {
        "zoom.mp4": film("zoom.mp4", ("zoom", 0, 8)),
        "small.mp4": film("small.mp4", ("zoom", 0, 8), filters="scale=240:136"),
        "worse.mp4": film("worse.mp4", ("zoom", 0, 8), crf=34),
        "flipped.mp4": film("flipped.mp4", ("zoom", 0, 8), filters="hflip"),
        "part.mp4": film("part.mp4", ("zoom", 0, 4)),
        "more.mp4": film("more.mp4", ("zoom", 0, 8), ("cells", 2, 6)),
        "cells.mp4": film("cells.mp4", ("cells", 20, 6)),
        "test.mp4": film("test.mp4", ("test", 0, 6)),
        "test2.mp4": film("test2.mp4", ("test", 0, 6), crf=35),
    }


COPIES = ("zoom.mp4", "small.mp4", "worse.mp4", "flipped.mp4")


def upload(server, films, *names):
    """name → id."""
    return {name: server.upload(films[name]).json()["id"] for name in names}


def scan(server, **params):
    """Without the deep look, which test_evidence.py has."""
    answer = server.post("/v1/duplicates/scan", params={"evidence": "fast"} | params)
    assert answer.status_code == 202, answer.text
    job = wait_until(lambda: (j := server.get(f"/v1/jobs/{answer.json()['id']}").json())["finished_at"] and j, "no end of the scan")
    assert job["state"] == "done" and job["kind"] == "duplicates", job
    return job["report"]


def groups(server, **params):
    answer = server.get("/v1/duplicates", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def members(server, **params):
    return sorted(sorted(v["filename"] for v in g["videos"]) for g in groups(server, **params))


def resolve(server, group, action, **fields):
    return server.post(f"/v1/duplicates/{group['id']}/resolve", json={"action": action, **fields})


def test_scan_groups_copies_parts_and_wholes(empty, films):
    upload(empty, films, *films)
    report = scan(empty)
    assert report["videos"] == report["among"] == len(films)
    assert members(empty) == [["flipped.mp4", "more.mp4", "part.mp4", "small.mp4", "worse.mp4", "zoom.mp4"],
                              ["test.mp4", "test2.mp4"]]


def test_pair_says_relation_shares_offset_and_segments(empty, films):
    ids = upload(empty, films, "zoom.mp4", "more.mp4", "part.mp4", "flipped.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    group = empty.get(f"/v1/duplicates/{group['id']}").json()
    pairs = {}
    for p in group["pairs"]:
        pairs[p["a"], p["b"]] = p

    def pair(a, b):
        """What b is to a."""
        if (ids[a], ids[b]) in pairs:
            return pairs[ids[a], ids[b]]
        p = pairs[ids[b], ids[a]]
        turned = {"part_of": "contains", "contains": "part_of"}
        return p | {"relation": turned.get(p["relation"], p["relation"]), "share_of_a": p["share_of_b"],
                    "share_of_b": p["share_of_a"], "offset_s": -p["offset_s"],
                    "segments": [{"a_start_s": s["b_start_s"], "a_end_s": s["b_end_s"], "b_start_s": s["a_start_s"],
                                  "b_end_s": s["a_end_s"]} for s in p["segments"]]}

    copy = pair("zoom.mp4", "small.mp4")
    assert copy["relation"] == "copy" and not copy["mirrored"] and copy["smaller"] == ids["small.mp4"]
    assert copy["share_of_a"] == copy["share_of_b"] == 1 and copy["score"] > 0.5
    assert pair("zoom.mp4", "flipped.mp4")["mirrored"]
    assert pair("zoom.mp4", "part.mp4")["relation"] == "part_of"
    whole = pair("zoom.mp4", "more.mp4")
    assert whole["relation"] == "contains" and whole["share_of_b"] == pytest.approx(8 / 14, abs=0.1)
    [segment] = whole["segments"]
    assert segment == {key: pytest.approx(value, abs=0.6) for key, value in
                       {"a_start_s": 0, "a_end_s": 8, "b_start_s": 0, "b_end_s": 8}.items()}


def test_verdicts_of_the_scan_are_those_of_inserts(empty, films):
    """The oracle: each pair in a server of its own pairs's order, one inserted after the other."""
    names = [n for n in films if n not in ("test.mp4", "test2.mp4", "cells.mp4")]
    ids = upload(empty, films, *names)
    scan(empty)
    [group] = groups(empty)
    group = empty.get(f"/v1/duplicates/{group['id']}").json()
    found = {frozenset((p["a"], p["b"])): p for p in group["pairs"]}
    assert len(found) == len(names) * (len(names) - 1) // 2
    for old, new in itertools.combinations(names, 2):
        for name in names:
            empty.delete(f"/v1/videos/{ids[name]}")
        upload(empty, films, old)
        verdict = empty.upload(films[new]).json()["duplicate"]
        pair = found[frozenset((ids[old], ids[new]))]
        relation = pair["relation"]
        if pair["a"] == ids[new]:
            relation = {"part_of": "contains", "contains": "part_of"}.get(relation, relation)
        assert (relation, pair["mirrored"]) == (verdict["verdict"], verdict["mirrored"]), (old, new)


def test_groups_are_the_same_whatever_the_order_of_inserts(start, films):
    def found(names):
        server = start()
        upload(server, films, *names)
        scan(server)
        return [(g["id"], g["revision"], g["bytes"], g["removable_bytes"], g["keeper"]["video_id"],
                 sorted((v["video_id"], v["action"]) for v in g["videos"]), len(g["pairs"])) for g in groups(server)]
    assert found(films) == found(reversed(films))


class Stored:
    """Videos of one to three clips in a server, and the pairs whose nearest clips reach the threshold, by NumPy."""

    def __init__(self, server):
        self.server, self.clips = server, {}
        self.threshold = server.get("/v1/models").json()["items"][0]["similar_threshold"]

    def add(self, name, clips):
        """clips: a list of unit vectors for each new video."""
        rows = [{"video_id": f"{name}{i}", "filename": f"{name}{i}.mp4", "start_s": k, "end_s": k + 1}
                for i, video in enumerate(clips) for k in range(len(video))]
        answer = send(self.server, npy(np.concatenate(clips)), lines(rows), name=name)
        assert answer.status_code == 200 and answer.json()["report"]["stored"] == len(clips), answer.text
        self.clips |= {f"{name}{i}.mp4": video for i, video in enumerate(clips)}

    def remove(self, name):
        [video] = self.server.get("/v1/videos", params={"filename": name}).json()["items"]
        assert self.server.delete(f"/v1/videos/{video['id']}").ok
        del self.clips[name]

    def pairs(self):
        best = {frozenset(two): float((self.clips[two[0]] @ self.clips[two[1]].T).max())
                for two in itertools.combinations(self.clips, 2)}
        return {two: score for two, score in best.items() if score >= self.threshold}


def connected(pairs):
    left, found = set().union(*pairs), []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = {n for two in pairs if two & edge for n in two} - group
        found.append(sorted(group))
        left -= group
    return sorted(found)


def test_scan_agrees_with_brute_force_also_after_inserts_and_deletions(start):
    random = np.random.default_rng(15)
    middles = random.standard_normal((25, 64)) * 2

    def video(middle):
        made = middles[middle] + 0.3 * random.standard_normal((random.integers(1, 4), 64))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    stored = Stored(start())
    crowd = [video(0) for _ in range(30)]  # more than all of whose pairs are kept
    stored.add("a", crowd + [video(i % 25) for i in range(1, 80)])
    for step in range(2):
        if step:
            for i in range(0, 100, 7):
                stored.remove(f"a{i}.mp4")
            stored.add("b", [video(i % 25) for i in range(30)])
        scan(stored.server)
        wanted, n_pairs = stored.pairs(), 0
        assert len(connected(wanted)) > 10 and members(stored.server, kind="similar", limit=100) == connected(wanted)
        for group in groups(stored.server, kind="similar", limit=100):
            group = stored.server.get(f"/v1/duplicates/{group['id']}", params={"kind": "similar"}).json()
            names = {v["video_id"]: v["filename"] for v in group["videos"]}
            for pair in group["pairs"]:
                assert pair["relation"] == "similar"
                assert pair["score"] == pytest.approx(wanted[frozenset((names[pair["a"]], names[pair["b"]]))], abs=1e-5)
            possible = sum(two <= set(names.values()) for two in wanted)
            assert len(group["pairs"]) == possible or (len(names) > 17 and len(group["pairs"]) < possible)
            n_pairs += len(group["pairs"])
        assert n_pairs > 300


def test_later_scan_compares_only_what_came_since(empty, films):
    upload(empty, films, "zoom.mp4", "test.mp4")
    assert scan(empty)["videos"] == 2
    assert scan(empty)["videos"] == 0
    upload(empty, films, "small.mp4")
    report = scan(empty)
    assert (report["videos"], report["among"]) == (1, 3)
    assert members(empty) == [["small.mp4", "zoom.mp4"]]


def test_scan_by_filter_compares_only_what_passes(empty, films):
    upload(empty, films, "zoom.mp4", "small.mp4", "test.mp4", "test2.mp4")
    report = scan(empty, filter=json.dumps({"filename": {"$prefix": "test"}}))
    assert report["among"] == 2 and members(empty) == [["test.mp4", "test2.mp4"]]
    assert scan(empty)["videos"] == 4
    assert members(empty, filter=json.dumps({"filename": {"$ne": "zoom.mp4"}})) == [["test.mp4", "test2.mp4"]]
    assert_problem(empty.post("/v1/duplicates/scan", params={"filter": '{"x": 1}'}), 422, "bad-filter")


def test_filter_of_clips_takes_the_videos_of_which_some_clip_passes(start, films):
    """Rows of clips are not those of their videos, where a video has several."""
    empty = start("--clip", "fixed:2")
    upload(empty, films, "zoom.mp4", "small.mp4", "part.mp4")
    late = json.dumps({"clips.start_s": {"$gte": 5}})  # part.mp4 ends before
    passing = {v["filename"] for v in empty.get("/v1/videos", params={"filter": late}).json()["items"]}
    assert passing == {"zoom.mp4", "small.mp4"}
    assert scan(empty, filter=late)["among"] == 2 and members(empty) == [["small.mp4", "zoom.mp4"]]
    scan(empty)
    assert members(empty) == [["part.mp4", "small.mp4", "zoom.mp4"]]
    assert members(empty, filter=late) == [["small.mp4", "zoom.mp4"]]


# ---- what is kept ----

def keeper(server, keep):
    [group] = groups(server, keep=keep)
    return next(v["filename"] for v in group["videos"] if v["video_id"] == group["keeper"]["video_id"]), group["keeper"]["why"]


def test_policy_chooses_the_keeper_and_says_why(empty, films):
    ids = upload(empty, films, "worse.mp4", "small.mp4", "zoom.mp4")
    empty.patch(f"/v1/videos/{ids['small.mp4']}", json={"metadata": {"a": {"rating": 5}}})
    scan(empty)
    assert keeper(empty, "largest_picture")[0] == "zoom.mp4"
    assert keeper(empty, "largest_picture")[1].startswith("none has a larger picture; of the equal ones it has the highest bit rate: ")
    assert keeper(empty, "highest_bitrate")[0] == "zoom.mp4"
    assert keeper(empty, "oldest") == ("worse.mp4", "it is the oldest")
    assert keeper(empty, "newest") == ("zoom.mp4", "it is the newest")
    assert keeper(empty, "metadata:a.rating") == ("small.mp4", "it has the greatest metadata.a.rating")
    empty.patch(f"/v1/videos/{ids['worse.mp4']}", json={"filename": "best/of/worse.mp4"})
    assert keeper(empty, "path:best/of,other") == ("best/of/worse.mp4", "it is in the folder best/of")


@pytest.mark.parametrize("folder", ["Trash/x", ".hidden", "a/$RECYCLE.BIN"])
def test_video_in_a_trash_or_hidden_folder_never_wins(empty, films, folder):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    empty.patch(f"/v1/videos/{ids['zoom.mp4']}", json={"filename": f"{folder}/zoom.mp4"})
    scan(empty)
    for keep in ("largest_picture", "oldest", f"path:{folder}"):
        assert keeper(empty, keep) == ("small.mp4", "the others are in trash or hidden folders")


def test_video_without_a_file_never_wins_and_lets_none_go(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4", "worse.mp4")
    scan(empty)
    empty.stop()
    with sqlite3.connect(empty.data / "catalog.db") as catalog:  # as if they had been imported
        catalog.execute("UPDATE videos SET source_path = '' WHERE id = ?", (ids["zoom.mp4"],))
    empty.start()
    [group] = groups(empty, filter=json.dumps({"filename": {"$ne": "worse.mp4"}}))
    assert group["keeper"] == {"video_id": ids["small.mp4"], "why": "the others have no file"}
    answer = resolve(empty, group, "delete", videos=[ids["small.mp4"]], filter={"filename": {"$ne": "worse.mp4"}}, dry_run=True)
    assert_problem(answer, 400, "bad-parameter")
    empty.stop()
    with sqlite3.connect(empty.data / "catalog.db") as catalog:
        catalog.execute("UPDATE videos SET source_path = ''")
    empty.start()
    [group] = groups(empty)
    assert {v["action"] for v in group["videos"]} == {"keep"}


def titled(n, folder):
    """name → path: files with the same pictures, of which only the title is another."""
    film_of_all, made = film("film.mp4", ("zoom", 0, 2), filters="scale=160:90"), {}
    for i in range(n):
        made[f"{i}.mp4"] = folder / f"{i}.mp4"
        ffmpeg("-i", film_of_all, "-c", "copy", "-metadata", f"title={i}", made[f"{i}.mp4"])
    return made


@pytest.mark.release  # some hundred looks, each of which takes a sanitizer seconds
def test_unrelated_videos_of_a_large_group_do_not_go_for_each_other(empty, tmp_path):
    """Of 19 copies not every pair is stored: those that are missing are compared, but not these two."""
    copies = titled(19, tmp_path)
    ids = upload(empty, copies, *copies)
    scan(empty)
    two = {"filename": {"$in": ["0.mp4", "18.mp4"]}}
    [group] = groups(empty, keep="oldest")
    assert [v["video_id"] for v in empty.get(f"/v1/duplicates/{group['id']}", params={"keep": "oldest"}).json()["videos"]
            if v["action"] == "keep"] == [ids["0.mp4"]]
    [pair] = groups(empty, filter=json.dumps(two))
    assert resolve(empty, pair, "not_duplicates", filter=two).ok
    group = empty.get(f"/v1/duplicates/{group['id']}", params={"keep": "oldest"}).json()
    assert {v["video_id"] for v in group["videos"] if v["action"] == "keep"} == {ids["0.mp4"], ids["18.mp4"]}


@pytest.mark.release  # as above
def test_request_about_a_large_group_decodes_few_files_and_a_scan_for_its_policy_the_rest(empty, tmp_path):
    """Of 40 copies 23 have no pair with the newest one; a request compares 16 of them."""
    copies = titled(40, tmp_path)
    upload(empty, copies, *copies)
    scan(empty)

    def unchecked():
        [group] = groups(empty, keep="newest")
        videos = empty.get(f"/v1/duplicates/{group['id']}", params={"keep": "newest"}).json()["videos"]
        assert sum(v["action"] == "keep" for v in videos) == 1 + sum(v["unchecked"] for v in videos)
        return sum(v["unchecked"] for v in videos)
    left = unchecked()
    assert 0 < left <= 23 - 16
    scan(empty, keep="newest")
    assert unchecked() == 0


def test_nothing_goes_that_no_kept_video_holds(empty, films):
    """more.mp4 has all of zoom.mp4, but not the other way round: with the shorter one kept first, both stay."""
    ids = upload(empty, films, "zoom.mp4", "more.mp4", "part.mp4")
    scan(empty)
    [group] = groups(empty, keep="oldest")
    actions = {v["video_id"]: v["action"] for v in group["videos"]}
    assert actions == {ids["zoom.mp4"]: "keep", ids["more.mp4"]: "keep", ids["part.mp4"]: "delete"}
    [group] = groups(empty, keep="longest")
    assert {v["video_id"] for v in group["videos"] if v["action"] == "keep"} == {ids["more.mp4"]}


# ---- decisions ----

def test_dry_run_lists_what_would_go_and_changes_nothing(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    plan = resolve(empty, group, "delete", dry_run=True).json()
    assert [v["video_id"] for v in plan["deleted"]] == [ids["small.mp4"]]
    assert plan["decision"]["bytes"] == films["small.mp4"].stat().st_size == group["removable_bytes"]
    assert plan["decision"]["id"] is None and empty.get("/v1/duplicate-decisions").json()["items"] == []
    assert members(empty) == [["small.mp4", "zoom.mp4"]]


def test_delete_removes_copies_and_keeps_the_keeper(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4", "worse.mp4")
    scan(empty)
    [group] = groups(empty)
    done = resolve(empty, group, "delete", keep="largest_picture", revision=group["revision"]).json()
    assert {v["video_id"] for v in done["deleted"]} == {ids["small.mp4"], ids["worse.mp4"]}
    wait_until(lambda: not empty.get(f"/v1/duplicate-decisions/{done['decision']['id']}").json()["pending"])
    assert [v["id"] for v in empty.get("/v1/videos").json()["items"]] == [ids["zoom.mp4"]]
    assert groups(empty, state="all") == []


def test_delete_with_a_delay_can_be_undone_until_then(empty, films):
    upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    decision = resolve(empty, group, "delete", delay_s=3600).json()["decision"]
    assert decision["pending"] == 1 and decision["due_at"] > decision["created_at"]
    assert groups(empty) == [] and groups(empty, state="decided")[0]["decision"] == decision["id"]
    assert empty.delete(f"/v1/duplicate-decisions/{decision['id']}").status_code == 204
    assert members(empty) == [["small.mp4", "zoom.mp4"]]
    assert_problem(empty.delete(f"/v1/duplicate-decisions/{decision['id']}"), 404, "not-found")


def stored(server):
    return {v["id"] for v in server.get("/v1/videos").json()["items"]}


def pending(server, decision):
    return server.get(f"/v1/duplicate-decisions/{decision['id']}").json()["pending"]


def make_due(server, *decisions):
    """As if their delays were over, the first one's first."""
    server.stop()
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        for due, decision in enumerate(decisions, 1):
            catalog.execute("UPDATE duplicate_decisions SET due_us = ? WHERE row = ?", (due, int(decision["id"][1:], 16)))
    server.start()
    for decision in decisions:
        wait_until(lambda d=decision: not pending(server, d), "what is due stays pending")


def test_deletion_stops_when_its_keeper_was_deleted_by_another_decision(empty, films):
    """small.mp4 goes for zoom.mp4, and zoom.mp4, in a decision that says nothing of small.mp4, for worse.mp4."""
    ids = upload(empty, films, "zoom.mp4", "small.mp4", "worse.mp4")
    scan(empty)

    def decide(keep, *names):
        some = {"filename": {"$in": names}}
        [group] = groups(empty, filter=json.dumps(some), keep=keep, state="all")
        return resolve(empty, group, "delete", filter=some, keep=keep, delay_s=3600).json()
    first, second = decide("oldest", "zoom.mp4", "small.mp4"), decide("newest", "zoom.mp4", "worse.mp4")
    assert [v["video_id"] for v in first["deleted"] + second["deleted"]] == [ids["small.mp4"], ids["zoom.mp4"]]
    make_due(empty, second["decision"], first["decision"])
    assert stored(empty) == {ids["small.mp4"], ids["worse.mp4"]}


def test_deletion_stops_when_a_client_deleted_the_keeper(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    decision = resolve(empty, group, "delete", delay_s=3600).json()["decision"]
    assert empty.delete(f"/v1/videos/{ids['zoom.mp4']}").ok
    make_due(empty, decision)
    assert stored(empty) == {ids["small.mp4"]}


@pytest.mark.parametrize("action", ["keep", "not_duplicates", "delete"])
def test_newest_decision_about_a_video_wins(empty, films, action):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    older = resolve(empty, group, "delete", delay_s=3600).json()["decision"]
    body = {"videos": [ids["zoom.mp4"]], "delay_s": 3600} if action == "delete" else {}
    newer = resolve(empty, group, action, **body).json()["decision"]
    assert pending(empty, older) == 0 and pending(empty, newer) == (action == "delete")
    make_due(empty, older, newer)
    assert stored(empty) == ({ids["small.mp4"]} if action == "delete" else set(ids.values()))


def test_group_that_has_changed_is_not_resolved(empty, films):
    upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    upload(empty, films, "worse.mp4")
    scan(empty)
    assert_problem(resolve(empty, group, "delete", revision=group["revision"]), 409, "group-changed")


def test_not_duplicates_is_remembered_by_scans_inserts_and_restarts(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    decision = resolve(empty, group, "not_duplicates").json()["decision"]
    small = f"/v1/videos/{ids['small.mp4']}"

    def forgotten():
        wait_until(lambda: empty.get(small).json()["duplicate"]["verdict"] == "new", "the verdict stays")
        scan(empty)
        return groups(empty, state="all") == []
    assert forgotten()
    empty.stop()
    empty.start()
    assert forgotten()
    assert empty.delete(small).ok
    again = empty.upload(films["small.mp4"]).json()
    assert again["id"] == ids["small.mp4"] and again["duplicate"]["verdict"] == "new"
    assert forgotten()
    assert empty.delete(f"/v1/duplicate-decisions/{decision['id']}").status_code == 204
    wait_until(lambda: empty.get(small).json()["duplicate"]["of"] == ids["zoom.mp4"], "the verdict does not come back")
    assert members(empty) == [["small.mp4", "zoom.mp4"]]


def test_one_video_can_be_taken_out_of_a_group(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4", "worse.mp4")
    scan(empty)
    [group] = groups(empty)
    assert resolve(empty, group, "not_duplicates", videos=[ids["worse.mp4"]]).ok
    assert members(empty) == [["small.mp4", "zoom.mp4"]]


def test_kept_group_is_open_again_when_another_copy_comes(empty, films):
    upload(empty, films, "zoom.mp4", "small.mp4")
    scan(empty)
    [group] = groups(empty)
    assert resolve(empty, group, "keep").ok
    assert groups(empty) == [] and len(groups(empty, state="decided")) == 1
    upload(empty, films, "worse.mp4")
    scan(empty)
    assert len(groups(empty)) == 1


# ---- kinds, pages, files ----

def test_kinds_and_scores_choose_the_pairs(empty, films):
    upload(empty, films, *films)
    scan(empty)
    assert members(empty, kind="copy") == [["flipped.mp4", "small.mp4", "worse.mp4", "zoom.mp4"], ["test.mp4", "test2.mp4"]]
    wide = members(empty, kind="copy,part_of,contains,shared_segment,similar")
    assert all(any(set(narrow) <= set(group) for group in wide) for narrow in members(empty))
    assert members(empty, kind="similar", min_score=1) == []


def test_pages_give_every_group_once(empty, films):
    upload(empty, films, "zoom.mp4", "small.mp4", "test.mp4", "test2.mp4")
    scan(empty)
    first = empty.get("/v1/duplicates", params={"limit": 1}).json()
    second = empty.get("/v1/duplicates", params={"limit": 1, "cursor": first["next"]}).json()
    assert first["total"] == 2 and second["next"] is None
    assert first["items"][0]["removable_bytes"] >= second["items"][0]["removable_bytes"]
    assert {first["items"][0]["id"], second["items"][0]["id"]} == {g["id"] for g in groups(empty)}
    assert first["total_removable_bytes"] == sum(g["removable_bytes"] for g in groups(empty))


def test_export_has_a_line_for_each_video(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4")
    name = 'a "b", c.mp4'
    empty.patch(f"/v1/videos/{ids['small.mp4']}", json={"filename": name})
    scan(empty)
    table = empty.get("/v1/duplicates", params={"format": "csv"})
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [(r["video_id"], r["filename"], r["action"], r["relation"]) for r in rows] == [
        (ids["zoom.mp4"], "zoom.mp4", "keep", ""), (ids["small.mp4"], name, "delete", "copy")]
    lines = [json.loads(line) for line in empty.get("/v1/duplicates", params={"format": "jsonl"}).text.splitlines()]
    assert [(x["video_id"], x["action"], x.get("kept_video_id")) for x in lines] == [
        (ids["zoom.mp4"], "keep", None), (ids["small.mp4"], "delete", ids["zoom.mp4"])]


def test_scan_for_a_policy_is_another_job_than_that_for_the_default(empty, films):
    """Jobs that wait or run are shared by those who ask for the same."""
    upload(empty, films, "zoom.mp4", "small.mp4")
    ids = [empty.post("/v1/duplicates/scan", params=params).json()["id"] for params in ({}, {"keep": "oldest"})]
    for job in ids:
        wait_until(lambda job=job: empty.get(f"/v1/jobs/{job}").json()["finished_at"], "the scan does not end")
        assert empty.get(f"/v1/jobs/{job}").json()["state"] == "done"
    assert ids[0] != ids[1]
    assert_problem(empty.post("/v1/duplicates/scan", params={"keep": "best"}), 400, "bad-parameter")


# ---- hostile ----

@pytest.mark.parametrize("params", [{"kind": "copies"}, {"kind": "copy,"}, {"kind": "new"}, {"keep": "best"}, {"keep": "path:"},
                                    {"keep": "metadata"}, {"keep": "oldest:x"}, {"keep": "path:a,,b"}, {"keep": "path:" + "x" * 400},
                                    {"min_score": "2"}, {"min_score": "nan"}, {"limit": "0"}, {"cursor": "x"},
                                    {"cursor": "ffffffffffffffffff.g" + "0" * 24}, {"state": "x"}, {"format": "xml"}])
def test_wrong_parameter_is_refused(server, params):
    assert_problem(server.get("/v1/duplicates", params=params), 400, "bad-parameter")


@pytest.mark.parametrize("body", [{}, {"action": "burn"}, {"action": "delete", "videos": []}, {"action": "delete", "videos": [1]},
                                  {"action": "keep", "videos": ["v" + "0" * 24]}, {"action": "delete", "delay_s": -1},
                                  {"action": "delete", "delay_s": 1e12}, {"action": "delete", "keep": "x"},
                                  {"action": "delete", "dry_run": "yes"}, {"action": "delete", "kind": "x"}, {"action": "delete", "x": 1}])
def test_wrong_resolution_is_refused(server, body):
    answer = server.post("/v1/duplicates/g" + "0" * 24 + "/resolve", json=body)
    assert answer.status_code == 400, answer.text


def test_resolving_what_is_not_there_is_not_found(server):
    for group in ("g" + "0" * 24, "x", "v" + "f" * 24, "%00", "g" * 5000):
        answer = server.post(f"/v1/duplicates/{group}/resolve", json={"action": "delete"})
        assert answer.status_code in (400, 404, 414), answer.text


def test_videos_of_another_group_cannot_be_deleted_by_resolving(empty, films):
    ids = upload(empty, films, "zoom.mp4", "small.mp4", "cells.mp4")
    scan(empty)
    [group] = groups(empty)
    for videos in ([ids["cells.mp4"]], [ids["small.mp4"]] * 2, [ids["zoom.mp4"], ids["small.mp4"]], ["v" * 9999]):
        assert_problem(resolve(empty, group, "delete", videos=videos), 400, "bad-parameter")
    assert len(empty.get("/v1/videos").json()["items"]) == 3

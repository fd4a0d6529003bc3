"""What is stored: list, change, delete."""

import threading
import unicodedata

import pytest
import requests
from conftest import assert_problem


@pytest.fixture(scope="module")
def videos(server, clip):
    """Seven, oldest first."""
    return [server.upload(clip(seed), filename=f"Film {seed} 100%_.mp4").json() for seed in range(30, 37)]


def listed(server, **params):
    answer = server.get("/v1/videos", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_list_is_newest_first_and_complete(server, videos):
    page = listed(server)
    assert [v["id"] for v in page["items"]] == [v["id"] for v in reversed(videos)]
    assert page["items"][0] == videos[-1]
    assert page["next"] is None


def test_pages_join_to_the_whole_list(server, videos):
    found, cursor, pages = [], None, 0
    while cursor or not pages:
        page = listed(server, limit=3, **({"cursor": cursor} if cursor else {}))
        found += [v["id"] for v in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert pages == 3
    assert found == [v["id"] for v in reversed(videos)]


def test_page_that_ends_with_the_list_has_no_next(server, videos):
    assert listed(server, limit=7)["next"] is None


def test_pages_have_what_stays_once_while_others_come_and_go(server, videos, clip):
    ended = threading.Event()

    def come_and_go():
        while not ended.is_set():
            with clip(500).open("rb") as file:
                id = requests.post(f"{server.url}/v1/videos", data=file).json()["id"]
            requests.delete(f"{server.url}/v1/videos/{id}")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(20):
            found, cursor = [], None
            while cursor or not found:
                page = listed(server, limit=2, **({"cursor": cursor} if cursor else {}))
                found += [v["id"] for v in page["items"]]
                cursor = page["next"]
            assert len(found) == len(set(found))
            assert [id for id in found if id in {v["id"] for v in videos}] == [v["id"] for v in reversed(videos)]
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("text, count", [("film 3", 7), ("FILM 31", 1), ("%", 7), ("_", 7), ("100%_", 7),
                                         ("F%m", 0), ("nothing", 0)])
def test_filename_filter_is_literal(server, videos, text, count):
    assert len(listed(server, filename=text)["items"]) == count


def test_verdict_filter_keeps_that_verdict(server, videos):
    assert len(listed(server, verdict="new")["items"]) == 7
    assert listed(server, verdict="copy")["items"] == []


@pytest.mark.parametrize("params, name, word", [
    ({"limit": "0"}, "bad-parameter", "from 1 to 500"), ({"limit": "501"}, "bad-parameter", "500"),
    ({"limit": "ten"}, "bad-parameter", "whole number"), ({"limit": " 5"}, "bad-parameter", "limit"),
    ({"limit": "99999999999999999999"}, "bad-parameter", "limit"),
    ({"cursor": "x"}, "bad-parameter", "cursor"), ({"cursor": "r"}, "bad-parameter", "cursor"),
    ({"cursor": "r-5"}, "bad-parameter", "cursor"), ({"cursor": "r0"}, "bad-parameter", "cursor"),
    ({"verdict": "fine"}, "bad-parameter", "new, exact, copy, similar, part_of, contains, shared_segment"),
    ({"lmit": "5"}, "unknown-parameter", "lmit"),
])
def test_wrong_list_parameter_is_refused(server, params, name, word):
    assert_problem(server.get("/v1/videos", params=params), 400, name, word)


def test_parameter_given_twice_is_refused(server):
    assert_problem(server.get("/v1/videos?limit=1&limit=2"), 400, "bad-parameter", "twice")


@pytest.mark.parametrize("id", ["v000000000000000000000000", "x", "v" * 3000, "v%27--", "%E2%82%AC"])
def test_unknown_id_is_not_found(server, id):
    for path in ("", "/content", "/thumbnail", "/vectors"):
        assert_problem(server.get(f"/v1/videos/{id}{path}"), 404, "not-found")
    assert_problem(server.delete(f"/v1/videos/{id}"), 404, "not-found")
    answer = requests.patch(f"{server.url}/v1/videos/{id}", json={"metadata": {}})
    assert_problem(answer, 404, "not-found")


# ---- Metadata -----------------------------------------------------------------------------------


def patch(server, id, body, **more):
    return requests.patch(f"{server.url}/v1/videos/{id}", json=body, timeout=30, **more)


def test_patch_merges_as_rfc_7396_says(server, videos):
    id = videos[0]["id"]
    assert patch(server, id, {"metadata": {"a": 1, "b": {"c": [1, 2], "d": "ü"}}}).status_code == 200
    answer = patch(server, id, {"metadata": {"a": None, "b": {"c": [3]}, "e": 2.5}})
    expected = {"b": {"c": [3], "d": "ü"}, "e": 2.5}
    assert answer.json()["metadata"] == expected
    assert server.get(f"/v1/videos/{id}").json()["metadata"] == expected


def test_patches_at_once_all_count(server, videos):
    id = videos[1]["id"]
    threads = [threading.Thread(target=patch, args=(server, id, {"metadata": {f"k{i}": i}}))
               for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.get(f"/v1/videos/{id}").json()["metadata"] == {f"k{i}": i for i in range(20)}


@pytest.mark.parametrize("body, name, word", [
    ({}, "bad-parameter", "metadata"), ({"metadata": None}, "bad-parameter", "object"),
    ({"metadata": [1]}, "bad-parameter", "object"), ({"metadata": {}, "name": "x"}, "unknown-parameter", "name"),
    ({"filename": ""}, "bad-parameter", "filename"), ({"filename": None}, "bad-parameter", "string"),
    ({"filename": "a\nb"}, "bad-parameter", "control"), ({"filename": "é" * 256}, "bad-parameter", "255"),
])
def test_wrong_patch_is_refused(server, videos, body, name, word):
    assert_problem(patch(server, videos[0]["id"], body), 400, name, word)


def test_metadata_that_grows_without_end_is_refused(server, videos):
    id = videos[2]["id"]
    codes = [patch(server, id, {"metadata": {f"k{i}": "x" * 60_000}}).status_code for i in range(6)]
    assert codes == [200] * 4 + [413] * 2


def test_patch_gives_a_video_another_name(server, videos):
    id = videos[3]["id"]
    answer = patch(server, id, {"filename": "Ferien am Meer – 日本.mp4", "metadata": {"place": "Ōsaka"}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == "Ferien am Meer – 日本.mp4" and answer.json()["metadata"] == {"place": "Ōsaka"}
    assert patch(server, id, {"filename": "b" * 255}).json()["metadata"] == {"place": "Ōsaka"}
    assert server.get(f"/v1/videos/{id}").json()["filename"] == "b" * 255
    hits = server.post("/v1/search", json={"video_id": videos[0]["id"], "k": 50}).json()["items"]
    assert "b" * 255 in [hit["filename"] for hit in hits]
    assert [v["id"] for v in listed(server, filename="B" * 255)["items"]] == [id]
    assert patch(server, id, {"filename": "Film 33 100%_.mp4"}).status_code == 200
    assert_problem(patch(server, "v" + "0" * 24, {"filename": "x"}), 404, "not-found")


def test_filename_filter_sees_what_people_see(server, videos):
    """macOS sends é as e and an accent; case does not matter, in any script."""
    id = videos[3]["id"]
    composed, decomposed = "CAFÉ Größe Ёлка.mp4", unicodedata.normalize("NFD", "CAFÉ Größe Ёлка.mp4")
    assert composed != decomposed
    for stored_name in (composed, decomposed):
        assert patch(server, id, {"filename": stored_name}).json()["filename"] == stored_name  # as it was sent
        for text in ("café", "CAFE\u0301", "größe", unicodedata.normalize("NFD", "GRÖSSE"), "ёлка", "É gr"):
            assert [v["id"] for v in listed(server, filename=text)["items"]] == [id], (stored_name, text)
        for text in ("cafe ", "grosse", "кафе", "é%"):
            assert listed(server, filename=text)["items"] == [], (stored_name, text)
    assert patch(server, id, {"filename": "Film 33 100%_.mp4"}).status_code == 200


def test_count_gives_the_total_of_all_pages(server, videos):
    whole = listed(server, limit=1, count="true")
    assert whole["total"] == len(videos) and len(whole["items"]) == 1
    assert listed(server, limit=1, count="true", cursor=whole["next"])["total"] == len(videos)
    assert listed(server, count="true", filename="FILM 3", verdict="new")["total"] == len(
        listed(server, filename="film 3", verdict="new", limit=500)["items"])
    assert listed(server, count="true", filename="nothing")["total"] == 0
    assert "total" not in listed(server) and "total" not in listed(server, count="false")
    assert_problem(server.get("/v1/videos?count=yes"), 400, "bad-parameter", "count")


# ---- Delete -------------------------------------------------------------------------------------


def test_deleted_video_is_gone_everywhere_also_after_restart(start, clip):
    server = start()
    kept = server.upload(clip(30)).json()
    gone = server.upload(clip(31)).json()
    vector = server.get(f"/v1/videos/{gone['id']}/vectors").json()["items"][0]["vector"]
    assert server.delete(f"/v1/videos/{gone['id']}").status_code == 204
    for _ in range(2):
        assert_problem(server.get(f"/v1/videos/{gone['id']}"), 404, "not-found")
        assert_problem(server.delete(f"/v1/videos/{gone['id']}"), 404, "not-found")
        assert [v["id"] for v in listed(server)["items"]] == [kept["id"]]
        hits = server.post("/v1/search", json={"vector": vector, "k": 10}).json()["items"]
        assert [hit["video_id"] for hit in hits] == [kept["id"]]
        files = [path.name for path in (server.data / "media").glob("*/*")]
        assert files == [kept["sha256"]]
        assert server.stop() == 0
        server.start()
    again = server.upload(clip(31))
    assert again.status_code == 201 and again.json()["id"] == gone["id"]


def test_deleted_video_of_many_clips_leaves_the_others_as_they_were(start, clip):
    server = start(model="tiny,small")
    first, gone, last = (server.upload(clip(seed, seconds=8), clip="fixed:0.2").json() for seed in (32, 33, 34))
    rest = len(first["clips"]) + len(last["clips"])
    assert len(gone["clips"]) > 20

    def hits(model):
        vector = server.get(f"/v1/videos/{last['id']}/vectors", params={"model": model}).json()["items"][7]["vector"]
        found = server.post("/v1/search", json={"vector": vector, "k": 1000, "group_by": "clip", "model": model})
        return [(hit["clip_id"], hit["score"]) for hit in found.json()["items"] if hit["video_id"] != gone["id"]]

    before = {model: hits(model) for model in ("tiny", "small")}
    assert server.delete(f"/v1/videos/{gone['id']}").status_code == 204
    assert {model: hits(model) for model in ("tiny", "small")} == before
    assert [len(found) for found in before.values()] == [rest, rest]
    assert [model["vectors"] for model in server.get("/v1/models").json()["items"]] == [rest, rest]


def test_delete_while_the_file_is_being_sent_lets_it_end(server, clip):
    video = server.upload(clip(37)).json()
    answer = server.get(f"/v1/videos/{video['id']}/content", stream=True)
    assert requests.delete(f"{server.url}/v1/videos/{video['id']}").status_code == 204
    assert answer.content == clip(37).read_bytes()

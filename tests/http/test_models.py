"""Several models at once: one decode, a vector of each, spaces that never meet."""

import json
import shutil
import threading

import av
import make as samples
import numpy as np
import openai
import pytest
from conftest import assert_problem, wait_until
from server import Server

DIM = {"tiny": 64, "small": 48}


@pytest.fixture(scope="module")
def server(start):
    return start(model="tiny,small")


@pytest.fixture(scope="module")
def videos(server, clip):
    answers = [server.upload(clip(seed, seconds=4), clip="fixed:2") for seed in range(300, 305)]
    assert [answer.status_code for answer in answers] == [201] * 5, answers[0].text
    return [answer.json() for answer in answers]


def film(path, change, n=24):
    """Pictures of one scene, each changed."""
    with av.open(str(path), "w") as out:
        stream = samples.add_video(out, "libx264", 8, (96, 64))
        for i in range(n):
            image = np.ascontiguousarray(change(samples.picture(i, 96, 64, seed=320)))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


def models(server):
    return {item["name"]: item for item in server.get("/v1/models").json()["items"]}


def vectors(server, video, model):
    answer = server.get(f"/v1/videos/{video['id']}/vectors", params={"model": model})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"] == model and body["dim"] == DIM[model]
    return np.array([item["vector"] for item in body["items"]])


def search(server, **query):
    answer = server.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- What is stored -----------------------------------------------------------------------------


def test_every_video_has_a_vector_of_each_model(server, videos):
    for video in videos:
        for model, dim in DIM.items():
            rows = vectors(server, video, model)
            assert rows.shape == (2, dim)
            assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4)


def test_vectors_are_those_of_a_server_with_that_model_alone(server, videos, start, clip):
    """One decode for two models of different frame counts and sizes changes neither."""
    for model in DIM:
        alone = start(model=model)
        video = alone.upload(clip(300, seconds=4), clip="fixed:2").json()
        assert np.allclose(vectors(alone, video, model), vectors(server, videos[0], model), atol=1e-6)


def test_models_are_listed_with_what_they_hold(server, videos):
    listed = models(server)
    assert list(listed) == ["tiny", "small"]
    assert [item["default"] for item in listed.values()] == [True, False]
    for model, dim in DIM.items():
        item = listed[model]
        assert (item["dim"], item["vectors"], item["missing"], item["failures"]) == (dim, 10, 0, 0)
        assert item["device"] == "cpu" and 0 < item["similar_threshold"] <= 1
    assert listed["tiny"]["digest"] != listed["small"]["digest"]


def test_models_are_listed_as_openai_does_too(server, videos):
    answer = server.get("/v1/models").json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == [model["name"] for model in answer["items"]]
    for model in answer["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]


@pytest.mark.parametrize("model", DIM)
def test_one_model_is_the_same_as_in_the_list(server, videos, model):
    answer = server.get(f"/v1/models/{model}")
    assert answer.status_code == 200 and answer.json() == models(server)[model]
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    assert client.models.retrieve(model).id == model


def test_model_that_is_not_loaded_is_404(server):
    assert_problem(server.get("/v1/models/nix"), 404, "not-found", "nix", "tiny")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.NotFoundError) as refusal:
        client.models.retrieve("nix")
    assert "nix" in refusal.value.response.json()["detail"]


def test_metrics_and_stats_are_by_model(server, videos):
    text = server.get("/v1/metrics").text
    for model in DIM:
        assert f'vidx_index_vectors{{model="{model}"}} 10' in text
        assert f'vidx_index_missing_vectors{{model="{model}"}} 0' in text
        assert f'vidx_model_clips_total{{model="{model}"}} ' in text
    stats = server.get("/v1/stats").json()
    assert {name: row["clips"] >= 10 for name, row in stats["models"].items()} == dict.fromkeys(DIM, True)


# ---- What is asked ------------------------------------------------------------------------------


def test_search_is_in_the_space_that_is_named(server, videos):
    for model in DIM:
        mine = vectors(server, videos[0], model)
        for query in ({"video_id": videos[0]["id"]}, {"vector": mine[0].tolist()}):
            answer = search(server, model=model, k=100, group_by="clip", **query)
            assert answer["model"] == model
            asked = mine if "video_id" in query else mine[:1]
            for hit in answer["items"]:
                video = next(v for v in videos if v["id"] == hit["video_id"])
                theirs = vectors(server, video, model)[int(hit["clip_id"].rsplit(".")[-1])]
                assert hit["score"] == pytest.approx(float((asked @ theirs).max()), abs=1e-5)


def test_search_that_names_no_model_asks_the_first(server, videos):
    query = {"video_id": videos[0]["id"], "k": 100}
    assert search(server, **query) == search(server, model="tiny", **query)


def test_file_search_is_in_the_space_that_is_named(server, videos, clip):
    for model in DIM:
        with clip(301, seconds=4).open("rb") as file:
            answer = server.post("/v1/search", files={"file": file}, data={"k": "1", "model": model})
        assert answer.status_code == 200 and answer.json()["model"] == model


def test_vector_of_another_length_is_refused_and_told_where_it_fits(server):
    answer = server.post("/v1/search", json={"vector": [1] * 48})
    assert_problem(answer, 422, "wrong-space", "48 numbers", "tiny has 64", "name model small")
    answer = server.post("/v1/search", json={"vector": [1] * 64, "model": "small"})
    assert_problem(answer, 422, "wrong-space", "64 numbers", "small has 48")


def test_model_that_is_not_loaded_is_refused_with_those_that_are(server, videos):
    answer = server.post("/v1/search", json={"video_id": videos[0]["id"], "model": "slow"})
    assert_problem(answer, 422, "wrong-space", "slow", "tiny, small")
    answer = server.get(f"/v1/videos/{videos[0]['id']}/vectors", params={"model": "slow"})
    assert_problem(answer, 422, "wrong-space", "slow", "tiny, small")


# ---- What goes, and what comes back -------------------------------------------------------------


def test_delete_takes_the_vectors_out_of_every_space(server, videos, clip):
    video = server.upload(clip(310, seconds=4), clip="fixed:2").json()
    mine = {model: vectors(server, video, model)[0].tolist() for model in DIM}
    assert server.delete(f"/v1/videos/{video['id']}").status_code == 204
    for model, vector in mine.items():
        hits = search(server, vector=vector, model=model, k=100)["items"]
        assert video["id"] not in [hit["video_id"] for hit in hits]
        assert (models(server)[model]["vectors"], models(server)[model]["missing"]) == (10, 0)


def test_both_spaces_are_there_after_a_restart(start, clip):
    server = start(model="tiny,small")
    video = server.upload(clip(300)).json()
    before = {model: vectors(server, video, model) for model in DIM}
    server.kill()
    server.model = "small,tiny"  # the order decides which is the default, and nothing else
    server.start()
    for model in DIM:
        assert np.array_equal(vectors(server, video, model), before[model])
        hit, = search(server, vector=before[model][0].tolist(), model=model)["items"]
        assert hit["video_id"] == video["id"] and hit["score"] > 0.9999
    assert search(server, vector=before["small"][0].tolist())["model"] == "small"


@pytest.mark.parametrize("models, verdict", [("tiny,small", "new"), ("small,tiny", "similar")])
def test_similar_is_the_verdict_of_the_default_model(start, tmp_path, models, verdict):
    """A film and the same with red and blue exchanged: small sees grey alone, tiny colour too."""
    film(tmp_path / "a.mp4", lambda image: image)
    film(tmp_path / "b.mp4", lambda image: image[:, :, ::-1])
    server = start("--fingerprints", "off", model=models)
    first, second = (server.upload(tmp_path / name).json() for name in ("a.mp4", "b.mp4"))
    assert first["duplicate"]["verdict"] == "new"
    assert second["duplicate"]["verdict"] == verdict


# ---- What goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("names, words", [
    ("tiny,answers-nan", ["answers-nan", "NaN"]), ("tiny,nix", ["nix"]), ("tiny,,small", ["''"]),
    ("tiny,tiny", ["tiny", "twice"]), ("answers-dim,tiny", ["[1, 65]"])])
def test_package_that_is_refused_refuses_the_start_with_the_reason(start, names, words):
    with pytest.raises(AssertionError, match="did not start") as refusal:
        start(model=names)
    last = str(refusal.value).splitlines()[-1]
    assert last.startswith("vidx serve: ") and all(word in last for word in words), last


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A video that moody fails on."""
    path = tmp_path_factory.mktemp("dark") / "dark.mp4"
    film(path, lambda image: image // 32)
    return path


def test_device_that_is_lost_answers_503_with_the_reason_and_comes_back(start, clip, dark):
    """fragile fails on dark clips in the words of CUDA; its device is the CPU."""
    server = start(model="fragile")
    answer = server.upload(dark)
    assert_problem(answer, 503, "busy", "cpu was lost", "unspecified launch failure")
    assert int(answer.headers["Retry-After"]) > 0

    def device():
        found, = server.get("/v1/models").json()["items"][0]["devices"]
        return found

    assert device()["device"] == "cpu" and "unspecified launch failure" in device()["last_lost"]
    wait_until(lambda: device()["state"] == "ready", "the device does not come back")
    assert server.upload(clip(330)).status_code == 201
    assert device()["clips"] == 1
    job = server.upload(dark, wait="false").json()  # is tried again, and loses the device each time
    wait_until(lambda: server.get(f"/v1/jobs/{job['id']}").json()["attempts"] >= 1, "the job is not begun")
    assert server.delete(f"/v1/jobs/{job['id']}").status_code == 200
    wait_until(lambda: device()["state"] == "ready", "the device does not come back")
    assert server.upload(clip(331)).status_code == 201


def test_model_that_fails_costs_its_own_vectors_alone(start, clip, dark):
    server = start(model="tiny,moody")
    answer = server.upload(dark)
    assert answer.status_code == 201, answer.text
    video = answer.json()
    assert vectors(server, video, "tiny").shape == (1, 64)
    assert_problem(server.get(f"/v1/videos/{video['id']}/vectors", params={"model": "moody"}),
                   404, "not-found", "moody")
    moody = models(server)["moody"]
    assert (moody["vectors"], moody["missing"], moody["failures"]) == (0, 1, 1)
    with dark.open("rb") as file:
        answer = server.post("/v1/search", files={"file": file}, data={"model": "moody"})
    assert_problem(answer, 500, "internal")
    assert "too dark" in server.tail()
    other = server.upload(clip(330)).json()  # and it goes on
    assert server.get(f"/v1/videos/{other['id']}/vectors", params={"model": "moody"}).status_code == 200
    assert search(server, video_id=video["id"])["items"][0]["video_id"] == other["id"]


def test_model_that_fails_early_in_a_film_is_counted_and_logged_once(start, tmp_path):
    film(tmp_path / "long.mp4", lambda image: image // 32, n=480)
    server = start("--clip", "fixed:0.5", model="slow,moody")
    assert server.upload(tmp_path / "long.mp4").status_code == 201
    assert models(server)["moody"]["failures"] == 1
    assert server.tail().count("too dark") == 1


def test_default_model_that_fails_fails_the_upload_alone(start, clip, dark):
    server = start(model="moody,tiny")
    assert_problem(server.upload(dark), 500, "internal")
    assert server.upload(clip(331)).status_code == 201
    listed = models(server)
    assert [(m["vectors"], m["missing"]) for m in listed.values()] == [(1, 0), (1, 0)]


# ---- Batches and memory -------------------------------------------------------------------------


def test_clips_of_several_uploads_share_batches_of_each_model(start, clip):
    server = start("--ingest-threads", "8", model="tiny,slow")
    paths = [clip(340 + i) for i in range(8)]
    threads = [threading.Thread(target=server.upload, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slow = server.get("/v1/stats").json()["models"]["slow"]
    assert slow["clips"] == 8 and slow["batches"] < 8, slow


def test_model_that_runs_out_of_memory_goes_on_with_smaller_batches(start, clip):
    server = start(model="tiny,hungry-slow")
    before = models(server)["hungry-slow"]
    assert (before["batch"], before["max_batch"], before["out_of_memory"]) == (8, 8, 0)
    assert before["weights_bytes"] > 0 and before["run_bytes"] is None
    video = server.upload(clip(350, seconds=4), clip="fixed:0.5").json()
    after = models(server)["hungry-slow"]
    # A run that fails halves the batch. As many clips as had gathered were in the first: 3 or 4, or up to 8.
    assert after["batch"] == 2 and after["out_of_memory"] in (1, 2)
    assert (after["vectors"], after["missing"]) == (8, 0)
    assert models(server)["tiny"]["batch"] == 8
    alone = start(model="small")
    assert alone.upload(clip(350, seconds=4), clip="fixed:0.5").json()["id"] == video["id"]
    theirs = alone.get(f"/v1/videos/{video['id']}/vectors").json()["items"]
    mine = server.get(f"/v1/videos/{video['id']}/vectors", params={"model": "hungry-slow"}).json()["items"]
    assert np.allclose([i["vector"] for i in mine], [i["vector"] for i in theirs], atol=1e-5)


# ---- --model auto -------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path, tiny_model):
    """Packages under names that auto knows; the large one is meant for a GPU, which is not here."""
    for name, like in (("efficientnet-lite0", "tiny"), ("cosmos-embed1-336p", "small")):
        shutil.copytree(tiny_model / like, tmp_path / "models" / name)
        path = tmp_path / "models" / name / "manifest.json"
        manifest = json.loads(path.read_text()) | {"name": name}
        if like == "small":
            on_cpu, = manifest["video"]
            on_gpu = on_cpu | {"device": "cuda", "memory_bytes": 1 << 41}
            manifest["video"] = [on_gpu, on_cpu | {"slow": True}]
        path.write_text(json.dumps(manifest))
    return tmp_path / "models"


def loaded(server):
    item, = server.get("/v1/models").json()["items"]
    return item


def test_auto_without_a_gpu_takes_the_model_made_for_that(tmp_path, packages):
    with Server(tmp_path / "data", packages, "auto") as server:
        item = loaded(server)
        assert item["name"] == "efficientnet-lite0" and "without a GPU" in item["chosen"]
        assert item["device_note"] is None and item["kernels_note"] is None
        assert 0 <= item["slots"]["count"] <= item["slots"]["max"] and item["slots"]["bytes_each"] > 0
        assert item["graphs"] == {"count": 0, "max": 0}  # on a CPU
        assert server.get("/v1/models").json()["gpu"] is None
        assert 'model=efficientnet-lite0 device=cpu' in server.tail() and "chosen=" in server.tail()


def test_auto_stays_with_the_model_of_the_collection(tmp_path, packages, clip):
    with Server(tmp_path / "data", packages, "cosmos-embed1-336p") as server:
        assert loaded(server)["chosen"] == "named"
        note = loaded(server)["device_note"]  # and the log has it
        assert "slow for this model" in note and "no GPU with the 2048.0 GiB of memory that it needs" in note
        assert "slow for this model" in server.tail()
        server.upload(clip(360))
    with Server(tmp_path / "data", packages, "auto") as server:
        item = loaded(server)
        assert item["name"] == "cosmos-embed1-336p" and "has vectors of it" in item["chosen"]
        assert item["missing"] == 0


def test_auto_skips_a_package_that_is_refused_with_a_warning(tmp_path, packages, clip):
    with Server(tmp_path / "data", packages, "cosmos-embed1-336p") as server:
        server.upload(clip(360))
    (packages / "cosmos-embed1-336p" / "video.pt").write_bytes(b"other bytes")
    with Server(tmp_path / "data", packages, "auto") as server:
        assert loaded(server)["name"] == "efficientnet-lite0"
        assert "warn model model=cosmos-embed1-336p used=no error=" in server.tail()
        assert "is damaged" in server.tail()


def test_auto_without_any_package_says_how_to_make_one(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(AssertionError, match="./dev model efficientnet-lite0"):
        Server(tmp_path / "data", tmp_path / "none", "auto").start()

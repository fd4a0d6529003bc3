"""Long random stories of one collection, against a plain model of it in Python.

Hypothesis draws the steps: uploads, changes, deletions, cancelled jobs, restarts (also by kill -9, also with
another model), backfills, searches with filters and pages. After every step catalog, index and disk must hold
exactly what the model does. A failing story is printed. (It is not made shorter: every try would start a server.)
"""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from server import Server, wait_until

SEEDS = [140, 141, 142, 143]
CAMERAS = ["front", "rear", "Ängstrom"]
PLACES = st.integers(0, 11)
METADATA = st.fixed_dictionaries({}, optional={
    "camera": st.sampled_from(CAMERAS), "n": st.integers(-2, 2) | st.just(1.5) | st.just("1"),
    "tags": st.lists(st.sampled_from("ab"), max_size=2)})


def at_least(value, bound):
    return isinstance(value, (int, float)) and value >= bound


# filter -> whether metadata pass
FILTERS = [
    (None, lambda m: True),
    ({"metadata.camera": "rear"}, lambda m: m.get("camera") == "rear"),
    ({"metadata.camera": {"$ne": "rear"}}, lambda m: m.get("camera") != "rear"),
    ({"metadata.n": {"$gte": 1}}, lambda m: at_least(m.get("n"), 1)),
    ({"$or": [{"metadata.tags": "a"}, {"metadata.n": {"$exists": False}}]},
     lambda m: "a" in m.get("tags", []) or "n" not in m),
    ({"$not": {"metadata.camera": {"$prefix": "f"}}}, lambda m: not m.get("camera", "").startswith("f")),
]


class Collection(RuleBasedStateMachine):
    """self.videos: id -> {"seed", "metadata", "clips": [id], "order"}; self.vectors: model -> clip -> vector."""

    folder, models, clip = None, None, None  # set by the test

    # What Hypothesis draws must not depend on what the server does (it chooses ids, and a job may end before it
    # is cancelled): a step draws a number, and takes the video or clip at that place.

    def __init__(self):
        super().__init__()
        self.made = len(os.listdir(self.folder))
        self.server = Server(self.folder / f"s{self.made}" / "data", self.models, model="tiny").start()
        self.videos, self.vectors, self.order, self.declared = {}, {"tiny": {}}, 0, []

    def teardown(self):
        assert self.server.stop() == 0, self.server.tail()

    # ---- steps ----

    @rule(seed=st.sampled_from(SEEDS), metadata=METADATA, wait=st.booleans())
    def upload(self, seed, metadata, wait):
        answer = self.server.upload(self.clip(seed, seconds=4), clip="fixed:2", metadata=json.dumps(metadata),
                                    wait="true" if wait else "false")
        known = next((id for id, video in self.videos.items() if video["seed"] == seed), None)
        if answer.status_code == 202:
            job = self.server.wait_for_job(answer.json()["id"])
            assert job["state"] == "done", job
            video = self.server.get(f"/v1/videos/{job['video_id']}").json()
        else:
            assert answer.status_code == (200 if known else 201), answer.text
            video = answer.json()
        if known:
            assert video["id"] == known
        else:
            self.remember(video, seed, metadata)

    def remember(self, video, seed, metadata):
        self.order += 1
        self.videos[video["id"]] = {"seed": seed, "metadata": metadata, "order": self.order,
                                    "clips": [clip["id"] for clip in video["clips"]]}
        for model in self.loaded():
            self.learn(video["id"], model)

    def loaded(self):
        return self.server.model.split(",")

    def learn(self, id, model):
        answer = self.server.get(f"/v1/videos/{id}/vectors", params={"model": model})
        assert answer.status_code == 200, answer.text
        for item in answer.json()["items"]:
            self.vectors.setdefault(model, {})[item["clip_id"]] = np.array(item["vector"], np.float32)

    @rule(seed=st.sampled_from(SEEDS))
    def upload_and_cancel(self, seed):
        if any(video["seed"] == seed for video in self.videos.values()):
            return
        answer = self.server.upload(self.clip(seed, seconds=4), clip="fixed:2", wait="false")
        job = self.server.delete(f"/v1/jobs/{answer.json()['id']}").json()
        job = self.server.wait_for_job(job["id"])
        assert job["state"] in ("done", "cancelled"), job
        if job["state"] == "done":
            self.remember(self.server.get(f"/v1/videos/{job['video_id']}").json(), seed, {})

    def nth(self, place):
        """An id; None while there is no video."""
        ids = sorted(self.videos, key=lambda id: self.videos[id]["order"])
        return ids[place % len(ids)] if ids else None

    @rule(place=PLACES, metadata=METADATA)
    def patch(self, place, metadata):
        id = self.nth(place)
        if not id:
            return
        answer = self.server.http.patch(f"{self.server.url}/v1/videos/{id}", json={"metadata": metadata}, timeout=180)
        assert answer.status_code == 200, answer.text
        self.videos[id]["metadata"] |= metadata  # a merge patch
        assert answer.json()["metadata"] == self.videos[id]["metadata"]

    @rule(place=PLACES)
    def delete(self, place):
        id = self.nth(place)
        if not id:
            return
        assert self.server.delete(f"/v1/videos/{id}").status_code == 204
        for clip in self.videos.pop(id)["clips"]:
            for vectors in self.vectors.values():
                vectors.pop(clip, None)

    @rule(kill=st.booleans(), model=st.sampled_from(["tiny", "tiny,tiny-text"]))
    def restart(self, kill, model):
        self.server.kill() if kill else self.server.stop()
        self.server.model = model
        self.server.start()

    @rule()
    def backfill(self):
        if "," not in self.server.model:
            return
        answer = self.server.post("/v1/models/tiny-text/backfill")
        assert answer.status_code == 202, answer.text
        job = self.server.wait_for_job(answer.json()["id"])
        assert job["state"] == "done", job
        for id in self.videos:
            self.learn(id, "tiny-text")

    @rule(fields=st.sampled_from([[], ["metadata.camera"], ["metadata.n", "metadata.tags"]]))
    def declare(self, fields):
        answer = self.server.http.put(f"{self.server.url}/v1/metadata-indexes", json={"fields": fields}, timeout=180)
        assert answer.status_code in (200, 202), answer.text

    # ---- questions ----

    def expected(self, vector, passes, group_by, model):
        """(score, clip) of all hits in order; ties by upload."""
        hits = []
        for id, video in self.videos.items():
            if not passes(video["metadata"]):
                continue
            own = [(float(np.float32(np.dot(vector.astype(float), self.vectors[model][clip].astype(float)))),
                    video["order"], i, clip)
                   for i, clip in enumerate(video["clips"]) if clip in self.vectors[model]]
            own.sort(key=lambda hit: (-hit[0], hit[2]))
            hits += own[:1] if group_by == "video" else own
        hits.sort(key=lambda hit: (-hit[0], hit[1], hit[2]))
        return [(hit[0], hit[3]) for hit in hits]

    @rule(place=PLACES, chosen=st.sampled_from(range(len(FILTERS))), group_by=st.sampled_from(["clip", "video"]),
          k=st.integers(1, 5))
    def search_in_pages(self, place, chosen, group_by, k):
        models = [model for model in self.loaded() if self.vectors.get(model)]
        if not models:
            return
        model = models[place % len(models)]
        clips = [clip for video in self.videos.values() for clip in video["clips"] if clip in self.vectors[model]]
        vector = self.vectors[model][clips[place % len(clips)]]
        # 1 + 2^-23 and the like: what the server makes of a vector that is not of length 1
        vector = (vector.astype(float) / np.linalg.norm(vector.astype(float))).astype(np.float32)
        wanted, passes = FILTERS[chosen]
        body = {"vector": vector.tolist(), "k": k, "group_by": group_by, "model": model}
        if wanted is not None:
            body["filter"] = wanted
        found, cursor = [], None
        while True:
            answer = self.server.post("/v1/search", json=body | ({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            found += [(hit["score"], hit["clip_id"]) for hit in answer.json()["items"]]
            cursor = answer.json()["next"]
            if cursor is None:
                break
        expected = self.expected(vector, passes, group_by, model)
        assert [clip for _, clip in found] == [clip for _, clip in expected]
        assert np.allclose([score for score, _ in found], [score for score, _ in expected], atol=1e-6)

    @rule(chosen=st.sampled_from(range(1, len(FILTERS))))
    def list_filtered(self, chosen):
        wanted, passes = FILTERS[chosen]
        answer = self.server.get("/v1/videos", params={"filter": json.dumps(wanted), "limit": 100})
        assert answer.status_code == 200, answer.text
        assert {video["id"] for video in answer.json()["items"]} == {
            id for id, video in self.videos.items() if passes(video["metadata"])}

    # ---- after every step ----

    @invariant()
    def catalog_index_and_disk_agree(self):
        items = self.server.get("/v1/videos", params={"limit": 100}).json()["items"]
        assert [video["id"] for video in items] == sorted(self.videos, key=lambda id: -self.videos[id]["order"])
        assert all(video["metadata"] == self.videos[video["id"]]["metadata"] for video in items)
        stored = {path.name.partition(".")[0] for path in (self.server.data / "media").rglob("*") if path.is_file()}
        assert stored == {video["sha256"] for video in items}
        # a cancelled upload's file goes once its job has ended
        wait_until(lambda: not list((self.server.data / "incoming").iterdir()), "a file is left in incoming/")
        for model in self.loaded():
            known = self.vectors.get(model, {})
            told = next(m for m in self.server.get("/v1/models").json()["items"] if m["name"] == model)
            assert told["vectors"] == len(known), (told, len(known))


@pytest.mark.parametrize("part", range(2))
def test_collection_is_what_its_history_says(tmp_path_factory, tiny_model, clip, part):
    Collection.folder = tmp_path_factory.mktemp("stories")
    Collection.models, Collection.clip = tiny_model, staticmethod(clip)
    run_state_machine_as_test(Collection, settings=settings(
        max_examples=8, stateful_step_count=25, deadline=None, derandomize=True, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate]))

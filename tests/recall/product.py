"""What the running program says about a copy: uploads over HTTP to `vidx serve` with the real model.

Every copy is asked about twice: with its original stored, when the right answer names it, and with
the original taken away, when the right answer is "new"; the other clips are stored both times. A
copy is deleted after its question, so that copies never meet each other.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]
import corpus  # noqa: E402
from server import Server  # noqa: E402

MODEL = "efficientnet-lite0"
PACKAGES = corpus.ROOT / "build/models"


def variant(folder, name, change):
    """A package like the default one but for what change(manifest) does; returns its name."""
    source, target = PACKAGES / MODEL, folder / name
    manifest = json.loads((source / "manifest.json").read_text())
    manifest["name"] = name
    change(manifest)
    target.mkdir(parents=True, exist_ok=True)
    (target / "manifest.json").write_text(json.dumps(manifest))
    for file in manifest["files"]:
        if not (target / file).exists():
            os.symlink((source / file).resolve(), target / file)
    return name


class Answers:
    """Arrays over the copies, in the order of `copies` [(original, family, transform)]:
    verdict [2, n] and named [2, n], a number of `names` or -1, each for original stored and away;
    relation [n], the right verdict; mirrored [n]; scores {model: [n, originals]} cosine, -1 if below
    all. Not of clips whose turn it was not: asked [n] is False."""

    def __init__(self, names, copies, models):
        self.names, self.copies = names, copies
        n = len(copies)
        self.verdict = np.full((2, n), "new", "<U14")
        self.named = np.full((2, n), -1)
        self.mirrored = np.zeros(n, bool)
        self.scores = {m: np.full((n, len(names)), -1.0, np.float32) for m in models}
        self.truth = np.array([names.index(c[0]) for c in copies])
        self.family = np.array([c[1] for c in copies])
        self.transform = np.array([c[2] for c in copies])
        self.relation = np.array([corpus.relation(*c[1:]) for c in copies])
        self.asked = np.zeros(n, bool)

    def add(self, other):
        """Takes over what another run over the same copies has asked."""
        assert self.copies == other.copies
        at = other.asked
        for mine, its in ((self.verdict.T, other.verdict.T), (self.named.T, other.named.T),
                          (self.mirrored, other.mirrored), (self.asked, other.asked),
                          *((self.scores[m], other.scores[m]) for m in self.scores)):
            mine[at] = its[at]


class Product:
    def __init__(self, data, models_folder, models, frames="exact"):
        self.models, self.frames = models, frames
        self.server = Server(data, models_folder, model=",".join(models))
        self.ids = {}

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    def store(self, name, path):
        answer = self.server.upload(path, frames=self.frames)
        assert answer.status_code == 201, f"{path}: {answer.text}"
        self.ids[name] = answer.json()["id"]

    def remove(self, name):
        assert self.server.delete(f"/v1/videos/{self.ids.pop(name)}").ok

    def ask(self, path, with_scores):
        """(the verdict object, {model: {original's name: cosine}}) of a file that is then removed."""
        answer = self.server.upload(path, frames=self.frames)
        assert answer.status_code == 201, f"{path}: {answer.text}"
        video = answer.json()
        name_of = {video_id: name for name, video_id in self.ids.items()}
        scores = {}
        for model in self.models if with_scores else []:
            hits = self.server.post("/v1/search", json={
                "video_id": video["id"], "k": 1000, "min_score": -1, "model": model,
                "group_by": "video"}).json()["items"]
            scores[model] = {name_of[h["video_id"]]: h["score"] for h in hits}
        assert self.server.delete(f"/v1/videos/{video['id']}").ok
        duplicate = video["duplicate"]
        return duplicate, name_of.get(duplicate["of"]), scores


def gather(product, kind, transforms, limit=None, say=lambda text: None, part=(0, 1)):
    """Answers to all questions about the clips of one kind; part (i, n): about each n-th from the
    i-th on, among all of them."""
    clips = corpus.clips(kind, limit)
    names = list(clips)
    copies = [(name, *t) for name in names for t in transforms]
    answers = Answers(names, copies, product.models)
    for name in names:
        product.store(name, corpus.original(kind, name, clips[name]))
    mine = names[part[0]::part[1]]
    for done, name in enumerate(mine):
        for away in (1, 0):
            if away:
                product.remove(name)
            else:
                product.store(name, corpus.original(kind, name, clips[name]))
            for t in transforms:
                i = copies.index((name, *t))
                path = corpus.copy(kind, name, clips[name], *t)
                verdict, of, scores = product.ask(path, with_scores=not away)
                answers.asked[i] = True
                answers.verdict[away, i] = verdict["verdict"]
                answers.named[away, i] = names.index(of) if of else -1
                if not away:
                    answers.mirrored[i] = bool(verdict["mirrored"])
                for model, by_name in scores.items():
                    for other, score in by_name.items():
                        answers.scores[model][i, names.index(other)] = score
        say(f"{kind}: {done + 1} of {len(mine)} clips")
    return answers

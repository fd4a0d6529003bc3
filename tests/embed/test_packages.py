"""A model package that is wrong is refused before a video is read, with the reason in words."""

import hashlib
import json
import shutil

import pytest


def edit(package, change):
    path = package / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def sign(package):
    """Gives every file the digest that it has."""
    edit(package, lambda m: m["files"].update(
        {name: hashlib.sha256((package / name).read_bytes()).hexdigest() for name in m["files"]}))


def flip(package):
    data = bytearray((package / "video.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (package / "video.pt").write_bytes(data)


def shorten(package):
    path = package / "video.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    sign(package)


DAMAGE = {
    "no folder": (shutil.rmtree, "The model tiny-text is not in "),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "The model tiny-text is not in "),
    "missing file": (lambda p: (p / "video.pt").unlink(), "video.pt"),
    "file that is a folder": (lambda p: ((p / "video.pt").unlink(), (p / "video.pt").mkdir()),
                              "video.pt"),
    "changed byte": (flip, "video.pt"),
    "archive cut short, digest right": (shorten, "video.pt"),
    "no frames": (lambda p: edit(p, lambda m: m["frames"].update(count=0)),
                  "frames.count is 0, not within 1..64"),
    "no dim": (lambda p: edit(p, lambda m: m.update(dim=0)), "dim is 0, not within 1..8192"),
    "other dim": (lambda p: edit(p, lambda m: m.update(dim=63)), "64"),
    "no size": (lambda p: edit(p, lambda m: m["picture"].update(width=0)), "picture.width is 0"),
    "operators of another set": (lambda p: edit(p, lambda m: m.update(operators="vidx-0")),
                                 "operators is 'vidx-0', but this vidx has vidx-1 and vidx-2"),
    "operators that are no text": (lambda p: edit(p, lambda m: m.update(operators=1)), "operators is not a string"),
    "file elsewhere": (lambda p: edit(p, lambda m: m["files"].update({"../video.pt": "0" * 64})),
                       "../video.pt is no file name"),
    "other folder's": (lambda p: edit(p, lambda m: m.update(name="other")), "name is 'other'"),
    "vocabulary missing": (lambda p: (p / "vocab.txt").unlink(), "vocab.txt"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_package_is_refused(batch, clip, tmp_path, case):
    damage, said = DAMAGE[case]
    batch.put("clip.mp4", clip(1))
    shutil.copytree(batch.models / "tiny-text", tmp_path / "models" / "tiny-text")
    batch.models = tmp_path / "models"
    damage(batch.models / "tiny-text")
    refusal = batch.run(code=1, model="tiny-text")
    assert said in refusal and "tiny-text" in refusal
    assert not (batch.output / "clips.jsonl").exists()


ANSWERS = {"answers-nan": "NaN", "answers-long": "length", "answers-dim": "65", "answers-tuple": "tensor",
           "throws": "is invalid for input of size", "no-script": "video.pt", "text-nan": "NaN", "text-dim": "65",
           "text-no-unk": "[UNK]"}


@pytest.mark.parametrize("name", ANSWERS)
def test_module_that_answers_nonsense_is_refused(batch, clip, name):
    batch.put("clip.mp4", clip(1))
    refusal = batch.run(code=1, model=name)
    assert name in refusal and ANSWERS[name] in refusal
    assert not (batch.output / "clips.jsonl").exists()

"""The recall study on a few clips, with floors: a change that makes verdicts worse fails here.

The whole study, and where the thresholds come from: study.py and models/README.md.
"""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import corpus  # noqa: E402
import study  # noqa: E402

CLIPS = 5
PRODUCT_FPS = 2.0  # src/extract.c hashes so many frames of a second
NAMES = [("re-encode", "h264-crf28"), ("re-encode", "mpeg4"), ("resize", "half"),
         ("resize", "double"), ("trim", "first-75%"), ("trim", "last-75%"), ("light", "darker"),
         ("mirrored", "mirrored"), ("timing", "15-fps")]
TRIMS = [("trim", name) for name in corpus.FAMILIES["trim"]]


def ask(hash_fps, names, vectors=True):
    """(answers by way, families, matches, truth)"""
    model = study.Model(study.MODEL, hash_fps, vectors)
    originals, copies = study.gather(model, "scenes", names, CLIPS)
    cosine, match = study.score(originals, copies)
    index = {name: i for i, (name, _) in enumerate(originals)}
    truth = np.array([index[copy[0]] for copy in copies])
    threshold = model.manifest["threshold"]["similar"]
    answers = study.verdicts(cosine, match, threshold, truth)
    return answers, np.array([copy[1] for copy in copies]), match, truth


@pytest.fixture(scope="module")
def product():
    return ask(PRODUCT_FPS, NAMES)


@pytest.fixture(scope="module")
def dense():
    return ask(8.0, TRIMS, vectors=False)


@pytest.mark.parametrize("way,family,floor", [
    ("fingerprint", "re-encode", 0.95),
    ("fingerprint", "resize", 0.95),
    ("fingerprint", "light", 0.95),
    ("fingerprint", "mirrored", 0.95),
    ("verdict", "re-encode", 0.95),
    ("verdict", "resize", 0.95),
    ("verdict", "trim", 0.5),
])
def test_recall_is_kept(product, way, family, floor):
    answers, families, _, _ = product
    assert answers[way][0][families == family].mean() >= floor


def test_trims_are_found_when_the_query_is_dense(dense):
    answers, _, _, _ = dense
    assert answers["fingerprint"][0].mean() >= 0.85


@pytest.mark.parametrize("way", ["fingerprint", "vector", "verdict"])
def test_no_false_alarm_between_scenes_of_one_film(product, way):
    assert product[0][way][1].sum() == 0


def test_no_false_alarm_when_the_query_is_dense(dense):
    assert dense[0]["fingerprint"][1].sum() == 0


def test_mirrored_copy_is_told_from_a_plain_one(product):
    _, families, match, truth = product
    own = match[np.arange(len(truth)), truth]
    found = own["copy"]
    assert (own["mirrored"] == (families == "mirrored"))[found].all()

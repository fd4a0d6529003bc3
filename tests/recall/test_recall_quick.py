"""The recall study on a few clips, with floors: a change that makes verdicts worse fails here.

The whole study, and where the thresholds come from: study.py and models/README.md.
"""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import corpus  # noqa: E402
import product  # noqa: E402
import study  # noqa: E402

CLIPS = 5
TRANSFORMS = [("re-encode", "h264-crf28"), ("re-encode", "mpeg4"), ("resize", "half"),
              ("resize", "double"), ("light", "darker"), ("mirrored", "mirrored"),
              ("crop", "crop-5%"), ("crop", "crop-10%"), ("timing", "15-fps"), ("bars", "letterbox"), ("bars", "pillarbox"),
              *[("trim", name) for name in corpus.FAMILIES["trim"]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recall")
    with product.Product(folder / "data", product.PACKAGES, [product.MODEL]) as program:
        return product.gather(program, "film", TRANSFORMS, CLIPS)


@pytest.mark.parametrize("family, floor", [
    ("re-encode", 0.95), ("resize", 0.95), ("light", 0.95), ("mirrored", 0.95), ("bars", 0.95),
    ("crop", 0.9), ("trim", 0.8)])
def test_copies_are_named_with_the_right_relation(answers, family, floor):
    """A trim is a part_of, all else a copy."""
    right, _ = study.by_program(answers, study.RELATIONS, related=True)
    assert right[answers.family == family].mean() >= floor


def test_no_false_alarm_between_scenes_of_one_film(answers):
    _, alarms = study.by_program(answers, [*study.RELATIONS, "similar"])
    assert alarms.sum() == 0


def test_mirrored_copy_is_told_from_a_plain_one(answers):
    found = np.isin(answers.verdict[0], study.RELATIONS)
    assert (answers.mirrored == (answers.family == "mirrored"))[found].all()


def test_vectors_find_light_reencodes(answers):
    """At a threshold of which nobody can say that it is loose: above every other scene's score."""
    right, alarms = study.by_vector(answers, product.MODEL, 0.99)
    chosen = (answers.transform == "mpeg4") | (answers.transform == "double")
    assert right[chosen].mean() >= 0.8 and alarms.sum() == 0

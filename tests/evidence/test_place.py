"""Where one picture lies in another, without corners."""
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import evidence  # noqa: E402

W, H = 320, 180


def fog(seed, n=12, w=W, h=H):
    """Soft grey that drifts and changes, without a corner: uint8 [n, h, w]."""
    rng = np.random.default_rng(seed)
    ends = [Image.fromarray(rng.integers(90, 160, (6, 10), np.uint8)).resize((w, h), Image.BICUBIC) for _ in range(2)]
    return np.stack([np.asarray(Image.blend(*ends, i / (n - 1))) for i in range(n)])


def resize(frames, w, h):
    return np.stack([np.asarray(Image.fromarray(f).resize((w, h), Image.BICUBIC)) for f in frames])


def times(frames, start_s=0.0):
    return start_s + np.arange(len(frames)) * .5


def best(a, b, start_s=0.0, mirrored=False):
    return max(evidence.places(a, times(a), b, times(b, start_s), mirrored), key=lambda place: place.alike)


@pytest.mark.parametrize("left, top, w, h", [(160, 86, 144, 81), (10, 20, 200, 112), (203, 0, 117, 66), (60, 30, 150, 110)])
def test_small_picture_is_found_in_a_large_one_both_ways(left, top, w, h):
    inner, outer = fog(1), fog(2)
    outer[:, top:top + h, left:left + w] = resize(inner, w, h)
    box, whole = [left, top, left + w, top + h], [0, 0, W, H]
    found = best(outer, inner)
    assert found.alike > .95 and list(found.box_a) == pytest.approx(box, abs=5) and list(found.box_b) == whole
    found = best(inner, outer)
    assert found.alike > .95 and list(found.box_b) == pytest.approx(box, abs=5) and list(found.box_a) == whole


def test_part_of_a_picture_is_found_in_it():
    whole = fog(3)
    found = best(resize(whole[:, 9:144, 80:320], W, H), whole)
    assert found.alike > .95 and list(found.box_b) == pytest.approx([80, 9, 320, 144], abs=4)


def test_it_is_found_at_another_time():
    inner, outer = fog(4, n=20), fog(5, n=12)
    outer[:, 80:161, 20:164] = resize(inner[6:18], 144, 81)
    found = best(outer, inner, start_s=7.0)
    assert found.alike > .95 and list(found.box_a) == pytest.approx([20, 80, 164, 161], abs=5)


@pytest.mark.parametrize("inside", [False, True])
def test_mirrored_box_is_in_the_pixels_of_the_picture_as_it_is(inside):
    """Either lies in the other; the box is one of the picture before it is flipped."""
    small, large = fog(6), fog(7)
    large[:, 20:101, 40:184] = resize(small, 144, 81)
    if inside:
        found = best(np.ascontiguousarray(small[:, :, ::-1]), large, mirrored=True)
        assert list(found.box_b) == pytest.approx([40, 20, 184, 101], abs=5)
    else:
        found = best(np.ascontiguousarray(large[:, :, ::-1]), small, mirrored=True)
        assert list(found.box_a) == pytest.approx([W - 184, 20, W - 40, 101], abs=5)
    assert found.alike > .95


@pytest.mark.parametrize("w, h", [(320, 3), (3, 180), (20, 20), (19, 40), (48, 320), (97, 55), (96, 54)])
def test_pictures_of_any_size_are_no_danger(w, h):
    odd = fog(8, w=w, h=h)
    for a, b in ((odd, fog(9)), (fog(9), odd), (odd[:1], fog(9, 256)), (fog(9, 2), odd)):
        for place in evidence.places(a, np.arange(len(a)) * .5, b, np.arange(len(b)) * .25):
            assert -1 <= place.alike <= 1.001
            for box, f in ((place.box_a, a), (place.box_b, b)):
                assert 0 <= box[0] < box[2] <= f.shape[2] and 0 <= box[1] < box[3] <= f.shape[1]


def test_one_grey_is_nowhere():
    grey = np.full((8, H, W), 128, np.uint8)
    for a, b in ((grey, fog(10)), (fog(10), grey), (grey, grey)):
        assert not [p for p in evidence.places(a, times(a), b, times(b)) if p.alike > .3]

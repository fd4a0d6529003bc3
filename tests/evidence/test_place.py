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


def filmed(frame, corners, fill=60):
    """A picture as a camera sees it whose corners then lie there: left and right above, left and right below."""
    h, w = frame.shape[:2]
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (w, 0), (0, h), (w, h))):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    back = np.linalg.solve(np.array(rows, float), np.array(values, float))
    return np.asarray(Image.fromarray(frame).transform((W, H), Image.PERSPECTIVE, back, Image.BICUBIC, fillcolor=fill))


def times(frames, start_s=0.0):
    return start_s + np.arange(len(frames)) * .5


def best(a, b, start_s=0.0, mirrored=False):
    return max(evidence.places(a, times(a), b, times(b, start_s), mirrored), key=lambda place: place.alike)


def box(place, of_b=False):
    """[left, top, right, bottom] of pictures of a in those of b, or the other way round."""
    seen = place.corners((W, H), of_b)
    return [*seen.min(0), *seen.max(0)]


@pytest.mark.parametrize("left, top, w, h", [(160, 86, 144, 81), (10, 20, 200, 112), (203, 0, 117, 66), (60, 30, 150, 110)])
def test_small_picture_is_found_in_a_large_one_both_ways(left, top, w, h):
    inner, outer = fog(1), fog(2)
    outer[:, top:top + h, left:left + w] = resize(inner, w, h)
    found = best(outer, inner)
    assert found.alike > .95 and box(found, of_b=True) == pytest.approx([left, top, left + w, top + h], abs=5)
    found = best(inner, outer)
    assert found.alike > .95 and box(found) == pytest.approx([left, top, left + w, top + h], abs=5)


def test_part_of_a_picture_is_found_in_it():
    whole = fog(3)
    found = best(resize(whole[:, 9:144, 80:320], W, H), whole)
    assert found.alike > .95 and box(found) == pytest.approx([80, 9, 320, 144], abs=4)


def test_it_is_found_at_another_time():
    inner, outer = fog(4, n=20), fog(5, n=12)
    outer[:, 80:161, 20:164] = resize(inner[6:18], 144, 81)
    found = best(outer, inner, start_s=7.0)
    assert found.alike > .95 and box(found, of_b=True) == pytest.approx([20, 80, 164, 161], abs=5)


@pytest.mark.parametrize("corners", [[(30, 10), (300, 30), (10, 160), (280, 175)], [(40, 30), (250, 10), (60, 140), (270, 170)]])
@pytest.mark.parametrize("of_b", [False, True])
def test_flat_picture_filmed_at_an_angle_is_found_with_its_corners(corners, of_b):
    film = fog(11, w=640, h=360)
    seen = np.stack([filmed(f, corners) for f in film])
    found = best(seen, resize(film, W, H)) if of_b else best(resize(film, W, H), seen)
    assert found.alike > .97 and np.abs(found.corners((W, H), of_b) - corners).max() < 8


@pytest.mark.parametrize("inside", [False, True])
def test_mirrored_box_is_in_the_pixels_of_the_picture_as_it_is(inside):
    """Either lies in the other; the box is one of the picture before it is flipped."""
    small, large = fog(6), fog(7)
    large[:, 20:101, 40:184] = resize(small, 144, 81)
    if inside:
        found = best(np.ascontiguousarray(small[:, :, ::-1]), large, mirrored=True)
        assert box(found) == pytest.approx([40, 20, 184, 101], abs=5)
    else:
        found = best(np.ascontiguousarray(large[:, :, ::-1]), small, mirrored=True)
        assert box(found, of_b=True) == pytest.approx([W - 184, 20, W - 40, 101], abs=5)
    assert found.alike > .95


@pytest.mark.parametrize("w, h", [(320, 3), (3, 180), (20, 20), (19, 40), (48, 320), (97, 55), (96, 54)])
def test_pictures_of_any_size_are_no_danger(w, h):
    odd = fog(8, w=w, h=h)
    for a, b in ((odd, fog(9)), (fog(9), odd), (odd[:1], fog(9, 256)), (fog(9, 2), odd)):
        for place in evidence.places(a, np.arange(len(a)) * .5, b, np.arange(len(b)) * .25):
            assert -1 <= place.alike <= 1.001
            seen = place.corners(a.shape[:0:-1])
            assert np.isfinite(seen).all() and np.ptp(seen[:, 0]) > 0 and np.ptp(seen[:, 1]) > 0


def test_one_grey_is_nowhere():
    grey = np.full((8, H, W), 128, np.uint8)
    for a, b in ((grey, fog(10)), (fog(10), grey), (grey, grey)):
        assert not [p for p in evidence.places(a, times(a), b, times(b)) if p.alike > .3]

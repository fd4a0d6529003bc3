"""Movement against NumPy, and what it says about copies and other takes of one camera."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import evidence  # noqa: E402

W, H, FPS = 96, 54, 2
SPEEDS = (1.0, 0.8, 0.9, 1.1, 1.25, -1.0)
COPY, OTHER_TAKE = 0.49, 0.35


def smooth_noise(rng, w, h, coarse):
    from PIL import Image
    cells = rng.integers(0, 256, (h // coarse + 2, w // coarse + 2), np.uint8)
    return np.asarray(Image.fromarray(cells).resize((w, h), Image.BICUBIC))


ROOM = smooth_noise(np.random.default_rng(0), W, H, 9)


def take(seed, seconds, fps=50):
    """One camera that stands still: the same room each time, and three things that wander in it by the seed.
    uint8 [n, H, W] at `fps`."""
    rng = np.random.default_rng(seed)
    n, out = round(seconds * fps), ROOM[None].repeat(round(seconds * fps), 0).copy()
    for thing in range(3):
        texture = smooth_noise(rng, 24, 24, 6)
        t = np.arange(n) / fps
        x = 36 + 34 * np.sin(t * rng.uniform(.3, 1.1) + rng.uniform(0, 6))
        y = 15 + 14 * np.sin(t * rng.uniform(.3, 1.1) + rng.uniform(0, 6))
        for i in range(n):
            out[i, int(y[i]):int(y[i]) + 24, int(x[i]):int(x[i]) + 24] = texture
    return out


def sampled(frames, fps=50, every=FPS, start=0.0, end=None, speed=1.0):
    """(pictures, their own times) as a copy shows them that runs from start to end at a speed."""
    end = len(frames) / fps if end is None else end
    at = np.arange(start, end, speed / every)
    return np.ascontiguousarray(frames[(at * fps).astype(int)]), np.arange(len(at)) / every


def reencoded(pictures, seed=1):
    noisy = pictures.astype(float) * 0.8 + 20 + np.random.default_rng(seed).normal(0, 3, pictures.shape)
    return noisy.clip(0, 255).round().astype(np.uint8)


def by_numpy(a, b, pairs, mask):
    """(correlation, change of a, change of b) by definition."""
    best = None
    for side in range(2):
        x, y = a[pairs[:, 0]].astype(float), b[pairs[:, 1]].astype(float)
        x, y = x - x.mean(0), y - y.mean(0)
        var_x, var_y = (x * x).mean(0), (y * y).mean(0)
        own, other = ((var_x, var_y), (var_y, var_x))[side]
        kept = (own <= 6 * other + 60) & (mask != 0)
        if not kept.any() or 2 * kept.sum() < (mask != 0).sum():
            continue
        change = [v[kept].mean() for v in (var_x, var_y)]
        found = (x * y).mean(0)[kept].mean() / np.sqrt(max(change[0], 1.5) * max(change[1], 1.5))
        if best is None or found > best[0]:
            best = (found, *change)
    return best


def test_correlation_along_a_line_equals_numpy():
    rng = np.random.default_rng(3)
    for trial in range(20):
        a, _ = sampled(take(trial, 12))
        b = reencoded(a if trial % 2 else sampled(take(trial + 50, 12))[0])
        if trial % 3 == 0:
            b[::2, 40:, 20:70] = 250  # a subtitle
        pairs = np.stack([np.sort(rng.permutation(len(a))[:12]), np.sort(rng.permutation(len(b))[:12])], 1)
        if trial % 2:
            pairs[:, 1] = pairs[:, 0]
        mask = (rng.random((H, W)) < (1 if trial < 10 else .7)).astype(np.uint8)
        ours = evidence.motion_along(a, b, pairs, mask)
        expected = by_numpy(a, b, pairs, mask)
        assert ours.n_pairs == 12
        assert (ours.correlation, ours.change_a, ours.change_b) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_search_finds_what_trying_every_line_in_numpy_finds():
    """The search tries lines on small pictures first, so it may miss the very best by a little."""
    for seed, cut in ((1, 0.0), (2, 1.5), (3, 3.0)):
        scene = take(seed, 20)
        (a, times_a), (b, times_b) = sampled(scene, start=cut, end=cut + 10), sampled(scene, every=4)
        a, best = reencoded(a), -1.0
        for offset in np.arange(-10, 20.001, 0.125):
            near = np.abs(times_b[None] - (times_a + offset)[:, None])
            pairs = np.stack([np.arange(len(a)), near.argmin(1)], 1)[near.min(1) <= 0.15]
            if len(pairs) >= 4:
                best = max(best, by_numpy(a, b, pairs, np.ones((H, W)))[0])
        ours = evidence.motion(a, times_a, b, times_b)
        assert best - 0.05 <= ours.correlation <= best + 1e-3
        assert ours.correlation >= COPY and ours.offset_s == pytest.approx(cut, abs=0.13)


@pytest.mark.parametrize("speed", SPEEDS)
def test_copy_at_another_speed_or_reversed_is_found_with_it(speed):
    scene = take(7, 30)
    b, times_b = sampled(scene, every=4)
    source = scene[::-1] if speed < 0 else scene
    a, times_a = sampled(source, start=4, end=24, speed=abs(speed))
    found = evidence.motion(reencoded(a), times_a, b, times_b, SPEEDS)
    assert found.correlation >= COPY and found.speed == speed
    expected = 26 if speed < 0 else 4
    assert found.offset_s == pytest.approx(expected, abs=0.3)


def test_two_takes_of_one_camera_are_no_copies_though_their_pictures_look_alike():
    for seed in range(12):
        a, times_a = sampled(take(seed, 15))
        b, times_b = sampled(take(seed + 100, 15), every=4)
        half = len(a) // 2
        found = evidence.motion(reencoded(a), times_a, b, times_b, min_pairs=half)
        assert found.still > 0.5 and found.change_a > 10
        assert found.correlation < OTHER_TAKE, (seed, found.correlation, found.n_pairs)


def test_subtitles_of_one_side_do_not_hide_the_copy():
    scene = take(5, 15)
    (a, times_a), (b, times_b) = sampled(scene), sampled(scene, every=4)
    for written, other in ((a, b), (b, a)):
        clean = written.copy()
        text = np.random.default_rng(1).integers(0, 2, (H // 6, W), np.uint8)
        for i in range(len(written)):
            if i % 3:
                written[i, -(H // 6):] = np.roll(text, 11 * i, 1) * 255
        assert evidence.motion(a, times_a, b, times_b).correlation >= COPY
        written[:] = clean


def test_scene_without_movement_says_so():
    still = ROOM[None].repeat(20, 0).copy()
    times = np.arange(20) / FPS
    found = evidence.motion(reencoded(still), times, reencoded(still, 2), times)
    assert abs(found.correlation) < 0.2, "only noise"
    found = evidence.motion(still, times, still.copy(), times)
    assert found.change_a < 1.5 and found.change_b < 1.5


def test_pixels_outside_the_mask_do_not_count():
    scene = take(9, 10)
    (a, times_a), (b, times_b) = sampled(scene), sampled(scene, every=4)
    a, b = a.copy(), b.copy()
    a[:, :, W // 2:] = np.random.default_rng(0).integers(0, 256, a[:, :, W // 2:].shape, np.uint8)
    mask = np.ones((H, W), np.uint8)
    mask[:, W // 2:] = 0
    assert evidence.motion(a, times_a, b, times_b, mask=mask).correlation >= 0.7


@pytest.mark.parametrize("n_a, n_b", [(0, 0), (0, 9), (3, 9), (256, 256), (1, 1)])
def test_any_number_of_pictures_is_taken(n_a, n_b):
    rng = np.random.default_rng(n_a)
    a, b = (rng.integers(0, 256, (n, H, W), np.uint8) for n in (n_a, n_b))
    found = evidence.motion(a, np.arange(n_a) / 2, b, np.arange(n_b) / 2, SPEEDS)
    assert found.n_pairs == 0 if min(n_a, n_b) < 4 else found.n_pairs <= n_a


@pytest.mark.parametrize("w, h", [(96, 3), (1, 1), (5, 96), (96, 96)])
def test_any_shape_of_picture_is_taken(w, h):
    rng = np.random.default_rng(w)
    a = rng.integers(0, 256, (9, h, w), np.uint8)
    times = np.arange(9) / 2
    found = evidence.motion(a, times, a.copy(), times)
    assert found.n_pairs == 0 or found.correlation == pytest.approx(1, abs=1e-3)

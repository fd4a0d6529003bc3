"""What two files are to each other, on made pairs with known truth."""
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import evidence  # noqa: E402
from takes import H, RATE, W, noise, take  # noqa: E402

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evidence")


def write(folder, name, frames, rate=RATE, crf=23):
    path = folder / f"{name}.mp4"
    return corpus.write(path, frames, rate, corpus.x264(crf)), len(frames) / float(rate)


def look(fresh, stored, offset_s=0.0, **params):
    """(path, seconds) of both to an Evidence."""
    of_new, of_stored = evidence.windows(fresh[1], stored[1], offset_s)
    return evidence.compare(evidence.Video(fresh[0], of_new), evidence.Video(stored[0], of_stored), **params)


@pytest.fixture(scope="module")
def original(folder):
    return write(folder, "original", take(1, 1), crf=18)


def frame_with(frames, rate):
    """Picture in picture: at half the size in a corner of another film."""
    out = take(77, 77)[:len(frames)].copy()
    small = corpus.scale(.5, .5)(frames, rate)[0]
    out[:, 80:80 + small.shape[1], 150:150 + small.shape[2]] = small
    return out, rate


def blurred_sides(frames, rate):
    """A portrait part between blurred, enlarged sides."""
    wide = np.stack([np.asarray(Image.fromarray(f).resize((20, 12)).resize((W, H), Image.BICUBIC))
                     for f in frames])
    part = frames[:, :, 80:240]
    wide[:, :, 80:240] = part
    return wide, rate


def turned(frames, rate):
    return np.stack([np.asarray(Image.fromarray(f).rotate(-3, Image.BICUBIC)) for f in frames]), rate


def quarter_turn(frames, rate):
    return np.rot90(frames, -1, (1, 2)), rate


def backwards(frames, rate):
    return frames[::-1], rate


COPIES = {  # name: (transform, expected scale and turn of the new one in the stored one, or None)
    "as-it-is": (corpus.as_is, (1, 0)), "small": (corpus.scale(.5, .5), None),
    "squeezed": (corpus.scale(.75, 1), None), "dark": (corpus.levels(.6, 0), None),
    "crop-30%": (corpus.crop(30), (.7, 0)), "subtitles": (corpus.subtitles, None), "logo": (corpus.logo, None),
    "bars": (corpus.bars(1.2, 1.2), None), "picture-in-picture": (frame_with, (2, 0)),
    "blurred-sides": (blurred_sides, (1, 0)), "turned-3": (turned, (1, -3)),
    "quarter-turn": (quarter_turn, (1, -90)),
    "cropped-light-logo": (corpus.chain(corpus.crop(10), corpus.levels(1, 25), corpus.logo), None),
    "faster": (corpus.faster(Fraction(5, 4)), None), "backwards": (backwards, None),
    "trimmed": (corpus.trim(.25, .9), None),
}


@pytest.mark.parametrize("name", COPIES)
def test_copy_is_found_with_its_geometry(folder, original, name):
    change, geometry = COPIES[name]
    copy = write(folder, name, *change(take(1, 1), RATE), crf=28)
    found = look(copy, original)
    assert found.name == "copy", found
    if geometry and not found.plain:
        assert found.scale == pytest.approx(geometry[0], rel=.02), found
        assert found.turn_deg == pytest.approx(geometry[1], abs=1), found
    assert found.speed == {"faster": 1.25, "backwards": -1}.get(name, 1), found


def test_mirrored_copy_is_found_when_it_is_asked_for(folder, original):
    copy = write(folder, "mirrored", take(1, 1)[:, :, ::-1])
    assert look(copy, original, mirrored=True).name == "copy"
    found = look(copy, original, either_way=True)
    assert found.name == "copy" and found.mirrored
    assert look(copy, original).name != "copy"


def test_box_says_where_the_stored_picture_sits(folder, original):
    found = look(write(folder, "framed", *frame_with(take(1, 1), RATE)), original)
    box = [found.in_new.left * W, found.in_new.top * H, found.in_new.right * W, found.in_new.bottom * H]
    assert box == pytest.approx([150, 80, 310, 170], abs=4), found
    whole = found.in_stored
    assert (whole.left, whole.top, whole.right, whole.bottom) == pytest.approx((0, 0, 1, 1), abs=.03)


@pytest.mark.parametrize("stored_is_small", [True, False])
def test_flat_film_without_corners_is_found_in_a_frame_and_other_fog_is_not(folder, stored_is_small):
    fog, rate = corpus.fog(1)
    framed = take(77, 77)[:len(fog)].copy()
    framed[:, 80:161, 150:294] = corpus.scale(144 / 256, 81 / 144)(fog, rate)[0]
    frame = write(folder, "framed-fog", framed)
    for seed, kind in ((1, "copy"), (2, "other")):
        small = write(folder, f"fog-{seed}", corpus.fog(seed)[0])
        found = look(frame, small) if stored_is_small else look(small, frame)
        assert (found.name == "copy") == (kind == "copy"), found
        if kind == "copy":
            box = found.in_new if stored_is_small else found.in_stored
            assert [box.left * W, box.top * H, box.right * W, box.bottom * H] == pytest.approx([150, 80, 294, 161], abs=4)


def off_screen(frames, rate, seed):
    """Filmed at an angle: the screen's corners lie anywhere in a tenth of the picture, darker and with noise."""
    rng = np.random.default_rng(seed)
    h, w = frames.shape[1:3]
    corners = [(x * w + rng.uniform(0, .12) * w * (1 - 2 * x), y * h + rng.uniform(0, .12) * h * (1 - 2 * y))
               for y in (0, 1) for x in (0, 1)]
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (w, 0), (0, h), (w, h))):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    back = np.linalg.solve(np.array(rows), np.array(values, float))
    seen = np.stack([np.asarray(Image.fromarray(f).transform((w, h), Image.PERSPECTIVE, back, Image.BICUBIC, fillcolor=(60, 50, 45)))
                     for f in frames]).astype(np.int16) * 3 // 4 + 40
    return (seen + rng.integers(-8, 9, seen.shape[:3] + (1,))).clip(0, 255).astype(np.uint8), rate


@pytest.mark.parametrize("seed", range(4))
def test_copy_filmed_from_a_screen_is_found_and_other_takes_are_not(folder, original, seed):
    for kind, frames in (("copy", take(1, 1)), ("other", take(1, 2))):
        film = write(folder, f"screen-{kind}-{seed}", *off_screen(frames, RATE, seed))
        found = look(film, original)
        assert (found.name == "copy") == (kind == "copy"), found
        if kind == "copy":
            assert found.motion > .9 and found.speed == 1, found


@pytest.mark.parametrize("seed", range(2))
def test_fog_filmed_from_a_screen_is_found_and_other_fog_is_not(folder, seed):
    fog, rate = corpus.fog(1)
    film = write(folder, f"fog-screen-{seed}", *off_screen(fog, rate, seed))
    for of in (1, 2):
        found = look(film, write(folder, f"fog-{of}", corpus.fog(of)[0]))
        assert (found.name == "copy") == (of == 1), found


@pytest.mark.parametrize("room", range(6))
def test_other_takes_of_one_camera_are_told_from_copies(folder, room):
    for first, second in ((1, 2), (3, 4)):
        a = write(folder, f"take-{room}-{first}", take(room, first))
        b = write(folder, f"take-{room}-{second}", take(room, second))
        for fresh, stored in ((a, b), (b, a)):
            found = look(fresh, stored)
            assert found.name == "other_take", found


@pytest.mark.parametrize("passage", [False, True])
def test_takes_behind_the_same_intro_are_no_copies_and_a_copy_with_it_is_one(folder, passage):
    def film(name, seed, crf=23):
        return write(folder, name, np.concatenate([take(70, 1, 4), take(3, seed, 10)]), crf=crf)
    a, b = film("intro-1", 1), film("intro-2", 2)
    found = look(a, b, passage=passage)
    assert found.contradicts and found.name == "other_take", found
    found = look(film("intro-copy", 1, crf=34), a, passage=passage)
    assert not found.contradicts and found.name == "copy", found


def test_passage_in_a_compilation_is_found_with_its_ends(folder, original):
    parts = [take(60, 1, 8), corpus.crop(20)(take(1, 1)[100:275], RATE)[0], take(61, 1, 8)]
    h, w = parts[1].shape[1:3]
    film = write(folder, "compilation", np.concatenate([p[:, :h, :w] for p in parts]))
    found = look(film, original, offset_s=-4, passage=True, either_way=True)
    assert found.name == "copy" and found.speed == 1
    assert found.offset_s == pytest.approx(4 - 8, abs=.25)
    assert found.first_s == pytest.approx(8, abs=.75) and found.last_s == pytest.approx(15, abs=.75)


def test_passage_of_another_take_is_no_copy(folder):
    film = write(folder, "other-compilation", np.concatenate([take(62, 1, 8), take(2, 2, 8), take(63, 1, 8)]))
    assert look(film, write(folder, "take-2-1", take(2, 1)), passage=True, either_way=True).name != "copy"


def test_still_scene_says_that_nothing_moves(folder):
    room = noise(np.random.default_rng(5), W, H, 12)[None].repeat(100, 0)
    found = look(write(folder, "still-1", room), write(folder, "still-2", room, crf=30))
    assert found.name == "still", found


def test_different_scenes_say_nothing(folder, original):
    found = look(write(folder, "other-room", take(9, 9)), original)
    assert found.name == "nothing", found


def test_wrong_offset_of_a_trimmed_copy_does_no_harm(folder, original):
    """A camera that stands still matches at any offset by hashes."""
    copy = write(folder, "trim-late", take(1, 1)[150:])
    for offset in (0, 6, -3):
        found = look(copy, original, offset)
        assert found.name == "copy" and found.offset_s == pytest.approx(6, abs=.2), (offset, found)


@pytest.mark.parametrize("new_s, stored_s, fps", [
    (30, 60, (2, 4)), (4, 4, (2, 4)), (3.9, 60, (8, 256 / 60)), (2, 2, (8, 16)), (2, 64, (8, 4)), (.1, .1, (8, 16)),
    (30, 2, (8, 16)), (32, 64, (2, 4)), (0, 0, (8, 16))])
def test_short_videos_are_sampled_more_densely_and_long_ones_as_ever(new_s, stored_s, fps):
    a, b = evidence.Window(5, 5 + new_s), evidence.Window(0, stored_s)
    evidence.set_rates(a, b)
    assert (a.fps, b.fps) == pytest.approx(fps)


def test_two_seconds_give_many_pictures_and_are_found_in_the_middle(folder, original):
    copy = write(folder, "two-seconds", corpus.crop(20)(take(1, 1)[110:160], RATE)[0], crf=30)
    of_new, of_stored = evidence.windows(copy[1], original[1], 4.4)
    fresh, stored = evidence.Video(copy[0], of_new), evidence.Video(original[0], of_stored)
    found = evidence.compare(fresh, stored, either_way=True, passage=True)
    assert len(fresh) >= 15 and found.n_pairs >= 15, found
    assert found.name == "copy" and found.offset_s == pytest.approx(4.4, abs=.1), found
    assert evidence.relation(found, copy[1], original[1]) == "part_of"


@pytest.mark.parametrize("speed, motion, n, step_s, related", [
    (1, .55, 11, .5, True), (-1, .55, 11, .5, False), (-1, .65, 11, .5, True), (1.25, .55, 20, .5, False), (1, .5, 8, .5, False),
    (1, .85, 5, .5, False), (1, .95, 5, .5, True), (1, .7, 16, .125, False), (1, .8, 16, .125, True), (1, .55, 26, .125, False)])
def test_fewer_pictures_and_unusual_lines_must_agree_more(speed, motion, n, step_s, related):
    last_s = step_s * (n - 1)
    found = evidence.Evidence(kind=1, motion=motion, still=.95, n_new=n, n_meet=n, n_pairs=n, n_between=n, speed=speed, last_s=last_s,
                              offset_s=last_s if speed < 0 else 0, change_new=100, change_stored=100, n_inliers=20)
    assert (evidence.relation(found, last_s, last_s) != "new") == related


def test_half_of_two_seconds_is_a_part_of_them(folder):
    whole = write(folder, "whole-2s", take(1, 1)[100:150], crf=18)
    half = write(folder, "half-2s", take(1, 1)[112:137], crf=28)
    for fresh, stored, relation in ((half, whole, "part_of"), (whole, half, "contains"), (whole, whole, "copy"), (half, half, "copy")):
        assert evidence.relation(look(fresh, stored, passage=True), fresh[1], stored[1]) == relation


@pytest.mark.parametrize("new_s, stored_s, offset_s", [
    (10, 10, 0), (10, 3600, 1800), (3600, 10, -1800), (3600, 3600, 0), (3600, 3600, 3590), (5, 5, 100), (0, 0, 0),
    (.04, .04, 0)])
def test_windows_lie_inside_the_videos_and_meet(new_s, stored_s, offset_s):
    a, b = evidence.windows(new_s, stored_s, offset_s)
    assert 0 <= a.start_s <= a.end_s <= new_s and a.end_s - a.start_s <= 32
    assert 0 <= b.start_s <= b.end_s <= stored_s and b.end_s - b.start_s <= 64
    if abs(offset_s) < min(new_s, stored_s):
        assert b.start_s <= a.start_s + offset_s + 1e-9 or b.start_s == 0
        assert b.end_s >= a.end_s + offset_s - 1e-9 or b.end_s == stored_s


@pytest.mark.parametrize("bad", [b"", b"no video at all", None])
def test_file_that_is_no_video_fails_alone(folder, original, bad):
    path = folder / "bad.mp4"
    path.write_bytes(Path(original[0]).read_bytes()[:2000] if bad is None else bad)
    with pytest.raises(evidence.MediaError) as failed:
        evidence.Video(path, evidence.Window(0, 10, 2))
    assert 300 <= failed.value.args[0] < 400


def test_videos_of_one_picture_say_nothing(folder):
    one = write(folder, "one", take(1, 1)[:1])
    assert look(one, one).name == "nothing"


def test_long_window_takes_256_pictures_at_most(folder):
    path, seconds = write(folder, "long", take(1, 1, 30)[:, ::4, ::4])
    assert len(evidence.Video(path, evidence.Window(0, seconds, 25))) == 256

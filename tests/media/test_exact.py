"""Pictures decoded without the rest of the stream are those of a full decode, bit for bit.

The oracle is PyAV, which brings its own newer FFmpeg, decodes every packet in one thread and knows
nothing of plans.
"""

import fractions
import random

import av
import pytest
from make import REAL, SAMPLES, names, real, remux, sample
from media_dump import decode_all, dump

# Pictures to decode for 2 a second, where leaving packets out is possible at all: an upper bound
# on the share that says that the plan works for this kind of stream. 1: nothing can be left out.
SHARE = {
    "h264_closed.mp4": 0.5, "h264_open.mp4": 0.5, "h264_open.ts": 0.5, "h264_no_b.mp4": 0.75,
    "h264_pyramid_off.mp4": 0.5, "h264_pyramid_strict.mkv": 0.5, "h264_long_gop.mp4": 0.7,
    "h264_vfr.mp4": 0.5, "h264_edit_list.mp4": 0.5, "h264_repeat_headers.ts": 0.5,
    "hevc_open.mp4": 0.5, "hevc_open.ts": 0.5, "hevc_closed.mkv": 0.5, "hevc_radl.mp4": 0.5,
    "vp8.webm": 0.9, "vp9.webm": 0.8, "av1.mp4": 0.8, "mpeg2.ts": 0.4, "mpeg4_b.mkv": 0.5,
    "mjpeg.avi": 0.2, "prores.mov": 0.2, "bikes.mp4": 0.6, "film.mp4": 0.6,
    "h264_intra_refresh.mp4": 1,
}


def path_of(name):
    return real(name) if name in REAL else sample(name)


@pytest.fixture(scope="module")
def full():
    """Full decodes by name; each clip is decoded once."""
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = decode_all(path_of(name))
        return kept[name]

    return get


def check(got, expected):
    for kind in ("pictures", "extras"):
        wrong = [(i, t) for i, t, md5 in got[kind] if md5 != expected[i][1]]
        assert not wrong, f"other {kind} at (frame, s) {wrong[:5]}"
    assert got["order"] == sorted(set(got["order"])), "not ascending, or a frame came twice"
    assert got["passes"] == 1, "the plan fell short and everything was decoded once more"


@pytest.mark.parametrize("name", [*SAMPLES, *REAL])
def test_every_frame_is_found_at_its_time(name, full):
    expected = full(name)
    got = dump(path_of(name), "all")
    assert got["n_frames"] == len(expected)
    assert [p[0] for p in got["pictures"]] == list(range(len(expected)))
    check(got, expected)
    times = [t for t, _ in expected]
    if None not in times and times == sorted(times):  # not where the clock jumps back
        assert [p[1] for p in got["pictures"]] == pytest.approx(times, abs=2e-6)


@pytest.mark.parametrize("name", [*SAMPLES, *REAL])
def test_wanted_frames_are_exact_whatever_is_left_out(name, full):
    expected = full(name)
    rng = random.Random(name)
    for size in (2, 5, 15, 60):
        n = max(1, len(expected) // size)
        wanted = sorted(rng.sample(range(len(expected)), n))
        got = dump(path_of(name), wanted, threads=rng.choice([1, 2, 3]))
        assert [p[0] for p in got["pictures"]] == wanted
        check(got, expected)


@pytest.mark.parametrize("name", names("h264_open", "h264_interlaced", "hevc_open", "hevc_fields", "mpeg2"))
def test_each_single_frame_of_open_gops_is_exact(name, full):
    expected = full(name)
    for i in range(25, min(40, len(expected))):  # around the second key picture
        check(dump(path_of(name), [i], threads=1), expected)


@pytest.mark.parametrize("name", SHARE)
def test_two_frames_a_second_leave_packets_out(name, full, record_property):
    got = dump(path_of(name), 2)
    check(got, full(name))
    share = got["frames_decoded"] / got["frames_total"]
    record_property("decoded", f"{got['frames_decoded']}/{got['frames_total']}")
    print(f"{name}: decoded {got['frames_decoded']} of {got['frames_total']}")
    assert share <= SHARE[name]
    if SHARE[name] == 1:
        assert share == 1, "an intra refresh has no point to start at"


def test_pictures_stay_in_order_when_everything_is_decoded_once_more(tmp_path):
    """One wanted picture is broken: what came out before is not handed out again."""
    def break_one(_, packet):
        if packet.pts * packet.time_base != fractions.Fraction(13, 10):
            return [packet]
        broken = av.Packet(bytes(packet)[:5] + b"\xff" * (packet.size - 5))
        broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
        return [broken]

    path = tmp_path / "broken.mp4"
    remux(sample("h264_closed.mp4"), path, break_one)
    wanted = list(range(3, 90, 6))
    got = dump(path, wanted)
    assert got["passes"] == 2
    assert [p[0] for p in got["pictures"]] == wanted
    assert got["order"] == sorted(set(got["order"])) and len(got["extras"]) >= 15


def test_key_frame_marks_of_the_container_are_not_believed(full):
    """Every packet of this file is marked as a key frame; only the pictures say what is one."""
    check(dump(path_of("h264_all_marked.mkv"), [20, 50, 80]),
          full("h264_all_marked.mkv"))

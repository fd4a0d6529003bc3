"""One timeline: a time means the same frame for thumbnails as for everything else, whatever clock the
file has; what is no time of the film does not count."""

import os

import av
import numpy as np
import pytest
import ramp
from media_dump import dump
from PIL import Image
from ramp import FPS, NO_B_FRAMES, N, encode, shift, shown_at, write

LATE = shift(3600 * FPS)
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CMAF = {"movflags": "frag_keyframe+empty_moov+default_base_moof+cmaf"}

FILES = {
    "mkv that starts late": lambda p: write(p / "x.mkv", change=LATE),
    "webm that starts late": lambda p: write(p / "x.webm", "libvpx-vp9", LATE),
    "ts that starts late": lambda p: write(p / "x.ts", change=LATE),
    "mp4 that starts late": lambda p: write(p / "x.mp4", change=LATE),
    "fragmented mp4": lambda p: write(p / "x.mp4", container_options=FRAGMENTS),
    "fragments that start late": lambda p: write(p / "x.mp4", change=LATE, container_options=FRAGMENTS),
    "cmaf": lambda p: write(p / "x.mp4", container_options=CMAF),
    "avi": lambda p: write(p / "x.avi", "mpeg4"),
    "program stream": lambda p: write(p / "x.mpg", "mpeg2video"),
    "raw h264": lambda p: write(p / "x.h264", format="h264"),
    "raw hevc": lambda p: write(p / "x.hevc", "libx265", format="hevc"),
    "flv": lambda p: write(p / "x.flv"),
}


def players_times(path):
    """Times of the pictures as FFmpeg's decoder hands them out, from the first."""
    with av.open(str(path)) as file:
        times = [frame.time for frame in file.decode(video=0)]
    return None if None in times else np.array(times) - times[0]


@pytest.mark.parametrize("kind", FILES)
def test_thumbnail_at_the_time_of_a_frame_shows_that_frame(kind, tmp_path):
    path = FILES[kind](tmp_path)
    got = dump(path, what="none")
    times = [seconds for _, seconds, _ in got["pictures"]]
    assert got["n_frames"] == N and got["duration"] == pytest.approx(N / FPS, abs=0.002)
    np.testing.assert_allclose(times, np.arange(N) / FPS, atol=0.002)
    known = players_times(path)
    if known is not None and "raw" not in kind:  # FFmpeg makes up the times of raw streams
        np.testing.assert_allclose(times, known, atol=0.002)
    for frame in (0, 1, 11, 12, 13, 25, 36, 47, 49):
        assert shown_at(path, frame / FPS) == frame


@pytest.mark.parametrize("kind", FILES)
def test_thumbnail_from_a_kept_table_is_the_same(kind, tmp_path):
    path, table = FILES[kind](tmp_path), tmp_path / "table"
    shown_at(path, 0, table)
    written = table.read_bytes()
    for frame in (0, 12, 14, 31, 49):
        assert shown_at(path, frame / FPS, table) == frame
    assert table.read_bytes() == written and len(written) < 20 * N + 1000


def test_table_that_is_damaged_or_of_another_video_is_made_anew(tmp_path):
    path, table = write(tmp_path / "x.mp4"), tmp_path / "table"
    shown_at(path, 0, table)
    good = table.read_bytes()
    for bad in (b"", b"x", good[:-1], good[:300] + bytes([good[300] ^ 1]) + good[301:]):
        table.write_bytes(bad)
        assert shown_at(path, 1, table) == 25
        assert table.read_bytes() == good
    write(tmp_path / "x.mp4", first=10, n=40)
    os.utime(path, ns=(1, 1))
    assert shown_at(path, 1, table) == 35
    assert table.read_bytes() != good


def test_time_between_two_frames_shows_the_nearer_and_beyond_the_end_the_last(tmp_path):
    path = write(tmp_path / "x.mkv", change=LATE)
    for seconds, frame in ((0.401, 10), (0.419, 10), (0.421, 11), (1.96, 49), (1e6, 49)):
        assert shown_at(path, seconds) == frame


# ---------------------------------------------------------------- clocks that jump


def spliced(path, *parts, codec="libx264", suffix="ts"):
    """Files of 25 frames each, one behind the other; parts: (first frame, where its clock begins)."""
    with open(path, "wb") as out:
        for k, (first, seconds) in enumerate(parts):
            part = write(path.with_name(f"{k}.{suffix}"), codec, shift(seconds * FPS), first=first, n=25)
            out.write(part.read_bytes())
    return path


@pytest.mark.parametrize("clocks", [(10, 36000), (36000, 10), (10, 90000), (90000, 10), (10, 40), (100, 99)])
@pytest.mark.parametrize("codec, suffix", [("libx264", "ts"), ("mpeg2video", "mpg")])
def test_clock_that_jumps_at_a_splice_goes_on(clocks, codec, suffix, tmp_path):
    path = spliced(tmp_path / f"x.{suffix}", (0, clocks[0]), (25, clocks[1]), codec=codec, suffix=suffix)
    got = dump(path, what="none")
    assert got["n_frames"] == N and got["duration"] == pytest.approx(2, abs=0.1)
    times = [seconds for _, seconds, _ in got["pictures"]]
    for frame in (0, 12, 24, 27, 36, 49):
        assert shown_at(path, times[frame]) == frame


def test_clock_that_jumps_there_and_back_goes_on(tmp_path):
    path = spliced(tmp_path / "x.ts", (0, 10), (25, 50000), (0, 12))
    got = dump(path, what="none")
    assert got["n_frames"] == 75 and got["duration"] == pytest.approx(3, abs=0.15)


def test_pause_of_a_recording_is_kept(tmp_path):
    """Nine seconds without a picture are in every player's timeline."""
    def pause(_, packet):
        late = packet.pts >= 25
        packet.pts += 9 * FPS * late
        packet.dts += 9 * FPS * (packet.dts >= 25)
    path = write(tmp_path / "x.ts", change=pause, options=NO_B_FRAMES)
    assert dump(path, what="none")["duration"] == pytest.approx(11, abs=0.3)


# ---------------------------------------------------------------- one wrong time


def wrong_at(number, seconds, both=False):
    def change(i, packet):
        if i == number:
            packet.pts += seconds * FPS
            packet.dts += seconds * FPS * both
    return change


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("number", [20, 31, 49])
def test_one_picture_thousands_of_seconds_away_is_no_length(suffix, number, tmp_path):
    path = write(tmp_path / f"x.{suffix}", change=wrong_at(number, 5000))
    got = dump(path, what="none")
    assert got["n_frames"] == N and got["duration"] == pytest.approx(2, abs=0.1)
    assert shown_at(path, 0.4) == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_last_picture_alone_behind_a_gap_of_hours_is_no_length(suffix, tmp_path):
    path = write(tmp_path / f"x.{suffix}", change=wrong_at(49, 9000, both=True), options=NO_B_FRAMES)
    assert dump(path, what="none")["duration"] == pytest.approx(2, abs=0.1)


def test_long_pause_that_the_film_goes_on_after_is_its_length(tmp_path):
    def pause(i, packet):
        packet.pts += 300 * FPS * (i >= 25)
        packet.dts += 300 * FPS * (i >= 25)
    path = write(tmp_path / "x.mkv", change=pause, options=NO_B_FRAMES)
    assert dump(path, what="none")["duration"] == pytest.approx(302, abs=10)


# ---------------------------------------------------------------- the last frame


def held(frames, number=N - 1):
    def change(i, packet):
        if i == number:
            packet.duration = frames
    return change


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2", "x264-params": "b-adapt=0"}])
def test_last_frame_lasts_as_long_as_the_mp4_says(options, tmp_path):
    path = write(tmp_path / "x.mp4", change=held(200), options=options | {"qp": "4"})
    with av.open(str(path)) as file:
        stated = float(file.streams.video[0].duration * file.streams.video[0].time_base)
    assert dump(path, what="none")["duration"] == pytest.approx(stated, abs=0.1)
    assert stated > 9


def test_last_frame_of_a_gif_lasts_as_long_as_its_delay(tmp_path):
    pictures = [Image.new("L", (64, 48), 20 * k) for k in range(10)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:],
                     duration=[100] * 9 + [3000], loop=0)
    got = dump(tmp_path / "x.gif", what="none")
    assert got["n_frames"] == 10 and got["duration"] == pytest.approx(3.9, abs=0.001)


# ---------------------------------------------------------------- which stream


def add_still(out, size=(640, 480), n=1):
    stream = out.add_stream("mjpeg", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
    packets = []
    for i in range(n):
        frame = av.VideoFrame.from_ndarray(np.full((size[1] * 3 // 2, size[0]), 90, np.uint8), "yuv420p")
        frame = frame.reformat(format="yuvj420p")
        frame.pts = i
        packets += stream.encode(frame)
    return packets + stream.encode(None)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
@pytest.mark.parametrize("still_first", [True, False])
def test_still_picture_beside_the_film_is_not_taken_for_it(suffix, still_first, tmp_path):
    film, packets = encode()
    with av.open(str(tmp_path / f"x.{suffix}"), "w") as out:
        still = add_still(out) if still_first else None
        target = out.add_stream_from_template(film)
        still = still or add_still(out)
        for packet in packets:
            packet.stream = target
        for packet in still + packets:
            out.mux(packet)
    got = dump(tmp_path / f"x.{suffix}", what="none")
    assert (got["width"], got["n_frames"]) == (ramp.SIZE[0], N)
    assert shown_at(tmp_path / f"x.{suffix}", 1) == 25


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_default_track_is_taken_and_not_the_largest(suffix, tmp_path):
    film, packets = encode()
    large, more = encode(size=(320, 192), first=5, n=40)
    with av.open(str(tmp_path / f"x.{suffix}"), "w") as out:
        other, target = out.add_stream_from_template(large), out.add_stream_from_template(film)
        other.disposition, target.disposition = av.stream.Disposition(0), av.stream.Disposition.default
        for stream, some in ((other, more), (target, packets)):
            for packet in some:
                packet.stream = stream
                out.mux(packet)
    got = dump(tmp_path / f"x.{suffix}", what="none")
    assert (got["width"], got["n_frames"]) == (ramp.SIZE[0], N)


def test_file_of_one_picture_is_that_picture(tmp_path):
    with av.open(str(tmp_path / "x.mkv"), "w") as out:
        for packet in add_still(out):
            out.mux(packet)
    assert dump(tmp_path / "x.mkv", what="none")["n_frames"] == 1

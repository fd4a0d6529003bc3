"""Which of several video tracks is the film."""

import fractions

import av
import make as samples
import numpy as np
import pytest
from av.stream import Disposition

RATE = 10


def add_film(out, size):
    stream = samples.add_video(out, "libx264", RATE, size, {"preset": "ultrafast"})
    stream.codec_context.time_base = fractions.Fraction(1, RATE)
    return stream


def two_tracks(path, sizes, dispositions, n=30):
    with av.open(str(path), "w") as out:
        streams = [add_film(out, size) for size in sizes]
        for stream, disposition in zip(streams, dispositions):
            stream.disposition = disposition
        for i in range(n):
            for seed, (stream, size) in enumerate(zip(streams, sizes)):
                frame = av.VideoFrame.from_ndarray(samples.picture(i, *size, seed=900 + seed), "rgb24")
                frame.pts, frame.time_base = i, fractions.Fraction(1, RATE)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))


def media(server, path):
    answer = server.upload(path)
    assert answer.status_code == 201, answer.text
    return answer.json()["media"]


@pytest.mark.parametrize("default", [0, 1])
def test_default_track_is_taken_though_the_other_is_larger(server, tmp_path, default):
    sizes = [(640, 480), (640, 480)]
    sizes[default] = (160, 120)
    path = tmp_path / f"{default}.mkv"
    two_tracks(path, sizes, [Disposition.default if i == default else Disposition(0) for i in (0, 1)])
    assert media(server, path)["width"] == 160


def test_larger_of_two_default_tracks_is_taken(server, tmp_path):
    path = tmp_path / "both.mkv"
    two_tracks(path, [(160, 120), (320, 240)], [Disposition.default] * 2)
    assert media(server, path)["width"] == 320


@pytest.mark.parametrize("still_first", [True, False])
def test_single_still_picture_is_not_taken_for_the_film(server, tmp_path, still_first):
    """A cover that the muxer did not mark as one, and that has more pixels than the film."""
    path = tmp_path / f"cover-{still_first}.mov"
    with av.open(str(path), "w") as out:
        film = None if still_first else add_film(out, (160, 120))
        still = out.add_stream("mjpeg", rate=RATE)
        still.width, still.height, still.pix_fmt = 1280, 720, "yuvj420p"
        film = film or add_film(out, (160, 120))
        cover = av.VideoFrame.from_ndarray(np.full((720, 1280, 3), 200, np.uint8), "rgb24")
        out.mux(still.encode(cover.reformat(format="yuvj420p")))
        out.mux(still.encode(None))
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(samples.picture(i, 160, 120, seed=910), "rgb24")
            frame.pts, frame.time_base = i, fractions.Fraction(1, RATE)
            out.mux(film.encode(frame))
        out.mux(film.encode(None))
    found = media(server, path)
    assert found["width"] == 160 and found["duration_s"] == pytest.approx(4, abs=0.05)

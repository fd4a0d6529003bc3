"""A thumbnail has the shape and the brightness that a player shows."""

import fractions
import io
import math

import av
import make as samples
import numpy as np
import pytest
from PIL import Image


def thumbnail(server, path, **params):
    video = server.upload(path)
    assert video.status_code == 201, video.text
    answer = server.get(f"/v1/videos/{video.json()['id']}/thumbnail", params=params)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize("size, aspect, shown", [
    ((720, 576), (64, 45), (320, 180)),  # PAL, wide screen
    ((720, 480), (8, 9), (320, 240)),    # NTSC
    ((192, 108), (1, 1), (192, 108)),    # square pixels, and never larger than the film
])
def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(server, tmp_path, size, aspect, shown):
    def not_square(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(*aspect)

    path = tmp_path / "anamorphic.mp4"
    samples.encode(path, "libx264", n=4, size=size, rate=8, seed=size[1], setup=not_square,
                   options={"preset": "ultrafast"})
    assert thumbnail(server, path, size=320).size == shown


def pq(nits):
    """SMPTE ST 2084: light to signal, both 0 to 1."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(scene):
    """ITU-R BT.2100: light of the scene to signal, both 0 to 1."""
    if scene <= 1 / 12:
        return math.sqrt(3 * scene)
    return 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073


def signal_of(curve, grey):
    """The HDR signal of a grey of SDR whose white is at 203 nits, as ITU-R BT.2408 has it."""
    nits = 203 * (grey / 255) ** 2.4
    return pq(nits) if curve == "smpte2084" else hlg((nits / 1000) ** (1 / 1.2))


def hdr_film(path, curve, code, grey, size=(320, 180), n=5):
    """A film of that grey of SDR, graded to PQ or HLG."""
    luma = round(64 + 876 * signal_of(curve, grey))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=10, options={
            "preset": "ultrafast", "x265-params": "log-level=none:colorprim=bt2020:"
            f"transfer={curve}:colormatrix=bt2020nc:range=limited"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, code, 9, 1
        for i in range(n):
            planes = np.full((size[1] * 3 // 2, size[0]), 512, np.uint16)
            planes[:size[1]] = luma
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def looks(server, path):
    answer = server.upload(path)
    assert answer.status_code in (200, 201), answer.text
    media = answer.json()["media"]
    return media["sample_aspect_ratio"], media["rotation"], media["hdr"]


def test_the_video_says_how_its_pictures_are_meant_to_be_shown(server, tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(64, 45)

    samples.encode(tmp_path / "wide.mp4", "libx264", n=4, size=(720, 576), rate=8, seed=91, setup=wide,
                   options={"preset": "ultrafast"})
    assert looks(server, tmp_path / "wide.mp4") == (pytest.approx(64 / 45, abs=1e-6), 0, "sdr")
    for degrees in (90, 180, 270):
        assert looks(server, samples.sample(f"rotate_{degrees}.mp4")) == (1, degrees, "sdr")
    for name, curve, code in (("pq", "smpte2084", 16), ("hlg", "arib-std-b67", 18)):
        assert looks(server, hdr_film(tmp_path / f"{name}.mp4", curve, code, 120)) == (1, 0, name)


@pytest.mark.parametrize("curve, code", [("smpte2084", 16), ("arib-std-b67", 18)], ids=["pq", "hlg"])
@pytest.mark.parametrize("grey", [90, 180, 235])
def test_grey_of_an_hdr_film_is_as_bright_as_in_sdr(server, tmp_path, curve, code, grey):
    path = hdr_film(tmp_path / f"{curve}-{grey}.mp4", curve, code, grey)
    shown = np.asarray(thumbnail(server, path).convert("L"), float).mean()
    assert shown == pytest.approx(grey, abs=25)


def test_gif_is_served_as_what_browsers_show(server, tmp_path):
    frames = [Image.new("RGB", (64, 48), (40 * i, 200 - 30 * i, 90)) for i in range(6)]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=200)
    answer = server.post("/v1/videos", data=data.getvalue(), params={"filename": "a.gif"})
    assert answer.status_code == 201, answer.text
    content = server.get(f"/v1/videos/{answer.json()['id']}/content")
    assert content.headers["Content-Type"] == "image/gif" and content.content == data.getvalue()

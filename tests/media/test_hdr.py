"""PQ and HLG pictures come out as SDR: what was graded as SDR and put into HDR is as it was.

The expectations are the equations of ITU-R BT.2100 and the points that BT.2408 gives for them: SDR white
at 203 nits is 58 % of PQ and 75 % of HLG.
"""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from media_dump import call, dump
from PIL import Image

W, H, PATCHES = 256, 128, 8
TRC = {"pq": 16, "hlg": 18}  # H.273


def pq(nits):
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (nits / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(nits):
    scene = (nits / 1000) ** (1 / 1.2)  # of grey, on the display of 1000 nits
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def encode(path, transfer, codes, sar=None):
    """A 10-bit film of grey patches, losslessly."""
    luma = np.repeat(np.rint(64 + 876 * codes), W // PATCHES).astype(np.uint16)
    frame = av.VideoFrame(W, H, "yuv420p10le")
    for plane, value in zip(frame.planes, (luma, 512, 512)):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = value
        plane.update(rows.tobytes())
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", 25, options={"x265-params": "lossless=1:log-level=none:" + (
            f"colorprim=9:transfer={TRC[transfer]}:colormatrix=9")})
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p10le"
        stream.codec_context.color_trc = TRC[transfer]
        if sar:
            stream.codec_context.sample_aspect_ratio = Fraction(*map(int, sar.split(":")))
        for i in range(25):
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def greys(path, what, tmp_path):
    shape = (H, W, 3) if what == "rgb" else (H, W)
    raw = tmp_path / "raw"
    dump(path, [0], 1, what, raw)
    picture = np.frombuffer(raw.read_bytes(), np.uint8).reshape(shape)
    middle = picture[H // 2, W // PATCHES // 2 :: W // PATCHES]
    assert what == "luma" or (np.ptp(middle.astype(int), axis=1) <= 2).all(), "grey has a colour"
    return middle.reshape(PATCHES, -1).mean(1)


def test_equations_give_the_published_points():
    assert pq(203) == pytest.approx(0.58, abs=0.005)
    assert float(hlg(203)) == pytest.approx(0.75, abs=0.005)
    assert pq(10000) == pytest.approx(1)
    assert float(hlg(1000)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("what", ["rgb", "luma"])
@pytest.mark.parametrize("transfer, curve", [("pq", pq), ("hlg", hlg)])
def test_sdr_grey_in_hdr_keeps_its_level(transfer, curve, what, tmp_path):
    levels = np.array([16, 32, 64, 96, 128, 150, 165, 180])
    encode(tmp_path / "x.mp4", transfer, curve(203 * (levels / 255) ** 2.4))
    assert greys(tmp_path / "x.mp4", what, tmp_path) == pytest.approx(levels, abs=2)


@pytest.mark.parametrize("transfer, curve", [("pq", pq), ("hlg", hlg)])
def test_highlights_are_compressed_in_order_and_end_at_white(transfer, curve, tmp_path):
    encode(tmp_path / "x.mp4", transfer, curve(np.array([0, 88, 120, 160, 203, 300, 500, 1000])))
    got = greys(tmp_path / "x.mp4", "rgb", tmp_path)
    assert got[0] == 0 and got[-1] >= 254
    assert (np.diff(got) > 0).all()
    assert 205 <= got[4] <= 240, "SDR white keeps room for highlights above it"


def test_sdr_with_ten_bits_is_not_tone_mapped(tmp_path):
    TRC["sdr"] = 1
    codes = np.linspace(0, 1, PATCHES)
    encode(tmp_path / "x.mp4", "sdr", codes)
    assert greys(tmp_path / "x.mp4", "rgb", tmp_path) == pytest.approx(255 * codes, abs=1)


def test_info_tells_hdr_and_the_aspect_of_a_pixel(tmp_path):
    for transfer, name in (("pq", 1), ("hlg", 2)):
        encode(tmp_path / f"{transfer}.mp4", transfer, np.zeros(PATCHES), "4:3")
        info = dump(tmp_path / f"{transfer}.mp4", [0])
        assert info["hdr"] == name
        assert info["sample_aspect_ratio"] == pytest.approx(4 / 3)


@pytest.mark.parametrize("sar, size", [("16:9", (160, 45)), ("9:16", (144, 128)), ("1:1", (160, 80))])
def test_thumbnail_has_square_pixels(sar, size, tmp_path):
    encode(tmp_path / "x.mp4", "pq", np.zeros(PATCHES), sar)
    jpeg = call("--thumbnail", tmp_path / "x.mp4", 0, 160)
    assert Image.open(io.BytesIO(jpeg)).size == pytest.approx(size, abs=1)

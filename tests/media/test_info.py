"""What is said about a file, which frames stand for it, and its pictures as luma, RGB and JPEG."""

import io

import av
import numpy as np
import pytest
from make import real, sample
from media_dump import Refused, call, dump, visible
from PIL import Image


def frames_of(name, n):
    """The first n pictures as PyAV decodes them."""
    with av.open(str(sample(name))) as container:
        return [f for f, _ in zip(container.decode(video=0), range(n))]


def pixels(name, what, wanted, shape, tmp_path):
    raw = tmp_path / "raw"
    dump(sample(name), wanted, 1, what, raw)
    return np.frombuffer(raw.read_bytes(), np.uint8).reshape(len(wanted), *shape)


@pytest.mark.parametrize("name, container, codec", [
    ("h264_closed.mp4", "mov", "h264"), ("hevc_closed.mkv", "matroska", "hevc"),
    ("vp9.webm", "matroska", "vp9"), ("av1.mp4", "mov", "av1"), ("mpeg4.avi", "avi", "mpeg4"),
    ("mpeg2.ts", "mpegts", "mpeg2video"), ("flv1.flv", "flv", "flv1"),
])
def test_info_of_a_clip_is_what_was_encoded(name, container, codec):
    info = dump(sample(name), [0])
    assert (info["container"], info["codec"]) == (container, codec)
    assert (info["width"], info["height"], info["n_frames"]) == (192, 128, 90)
    # Matroska and FLV count in milliseconds
    assert info["fps"] == pytest.approx(30, abs=0.02)
    assert info["duration"] == pytest.approx(3, abs=0.002)


@pytest.mark.parametrize("seed", range(40))
def test_chosen_frames_are_those_of_the_numpy_rule(seed):
    """numpy's own arange and search in float32; twice as a check of ties and repetitions."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    step = rng.choice([1 / 30, 1001 / 30000, 0.04, 0.25, 0.5, 1 / 3])
    jitter = rng.choice([0, 0.4]) * rng.standard_normal(n) * step
    times = np.sort((rng.choice([0, 7.3]) + np.arange(n) * step + jitter).astype(np.float32))
    fps = float(rng.choice([0.5, 1, 2, 3, 7.5, 30]))

    start, stop = times[0], times[-1] + np.float32(0.5 / fps)
    samples = np.arange(start, stop, 1 / fps, dtype=np.float32)
    distance = np.abs(samples[:, None] - times[None, :])
    expected = distance.argmin(1)  # the first of equals: ties go to the earlier frame
    # equal timestamps at the end stand for the last of them
    expected[samples >= times[-1]] = n - 1

    text = "\n".join(f"{t:.9g}" for t in times)
    got = np.array(call("--choose", fps, input=text.encode()).split(), int)
    assert len(got) == len(samples)
    assert (times[got] == times[expected]).all()


@pytest.mark.parametrize("name, turned, degrees", [
    ("rotate_90.mp4", lambda a: np.rot90(a, -1), 90), ("rotate_180.mp4", lambda a: a[::-1, ::-1], 180),
    ("rotate_270.mp4", np.rot90, 270), ("mirror.mp4", lambda a: a[:, ::-1], 0),
])
@pytest.mark.parametrize("what, channels", [("luma", ()), ("rgb", (3,))])
def test_turned_video_comes_out_upright(name, turned, degrees, what, channels, tmp_path):
    info = dump(sample(name), [0])
    assert info["rotation"] == degrees
    shape = (info["height"], info["width"])
    assert shape == ((192, 128) if degrees in (90, 270) else (128, 192))
    plain = pixels("h264_closed.mp4", what, [0, 40], (128, 192, *channels), tmp_path)
    got = pixels(name, what, [0, 40], (*shape, *channels), tmp_path)
    for a, b in zip(plain, got):
        assert (turned(a) == b).all()


@pytest.mark.parametrize("name, bits", [("h264_closed.mp4", 8), ("h264_10bit.mp4", 10),
                                        ("h264_odd_size.mp4", 8), ("vp9.webm", 8)])
def test_luma_of_limited_range_is_stretched_to_full(name, bits, tmp_path):
    frames = frames_of(name, 3)
    h, w = frames[0].height, frames[0].width
    got = pixels(name, "luma", [0, 1, 2], (h, w), tmp_path)
    for frame, luma in zip(frames, got):
        y = visible(frame.planes[0], 1 if bits == 8 else 2)
        y = y.view(np.uint16 if bits > 8 else np.uint8).astype(float)
        scale = 1 << (bits - 8)
        expected = np.clip(np.floor((y - 16 * scale) * 255 / (219 * scale) + 0.5), 0, 255)
        assert (luma == expected).all()


def test_luma_of_full_range_is_kept(tmp_path):
    frames = frames_of("mjpeg.avi", 2)
    got = pixels("mjpeg.avi", "luma", [0, 1], (128, 192), tmp_path)
    for frame, luma in zip(frames, got):
        # decoders may round the inverse transform differently
        assert np.abs(luma.astype(int) - visible(frame.planes[0], 1)).max() <= 1


MATRIX = {601: (0.299, 0.114), 709: (0.2126, 0.0722)}


def to_rgb(frame, standard):
    """RGB by the book in floating point, chroma repeated: exact where chroma is flat."""
    kr, kb = MATRIX[standard]
    y, cb, cr = (visible(p, 1).astype(float) for p in frame.planes)
    cb, cr = (c.repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]] for c in (cb, cr))
    y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b], -1) * 255, 0, 255)


@pytest.mark.parametrize("name, standard", [("bars_601.mp4", 601), ("bars_709.mp4", 709),
                                            ("bars_unmarked.mp4", 601),
                                            ("bars_unmarked_hd.mp4", 709)])
def test_rgb_follows_the_colour_matrix_of_the_stream(name, standard, tmp_path):
    frame = frames_of(name, 1)[0]
    expected = to_rgb(frame, standard)
    got = pixels(name, "rgb", [0], expected.shape, tmp_path)[0].astype(int)
    h, w = expected.shape[:2]
    for k in range(8):  # inside each bar, away from the edges that chroma smears
        x = slice(k * w // 8 + 6, (k + 1) * w // 8 - 6)
        assert np.abs(got[8 : h - 8, x] - expected[8 : h - 8, x]).max() <= 2
    other = to_rgb(frame, {601: 709, 709: 601}[standard])
    assert np.abs(expected - other).max() > 8, "the bars do not tell the matrices apart"


def thumbnail(path, seconds, side=64):
    return Image.open(io.BytesIO(call("--thumbnail", path, seconds, side)))


@pytest.mark.parametrize("name, size", [
    ("h264_closed.mp4", (64, 43)), ("rotate_90.mp4", (43, 64)), ("hevc_open.ts", (64, 43)),
    ("vp9.webm", (64, 43)), ("mpeg4_b.mkv", (64, 43)), ("av1.webm", (64, 43)),
    ("h264_open.ts", (64, 43)), ("mpeg2.ts", (64, 43)), ("mjpeg.mov", (64, 43)),
    ("h264_edit_list.mp4", (64, 43)), ("flv1.flv", (64, 43)),
])
def test_thumbnail_shows_the_frame_at_that_time(name, size, tmp_path):
    n_frames = dump(sample(name), [0])["n_frames"]
    for seconds in (0, 0.95, 1.37, 2.9, 1000):
        image = thumbnail(sample(name), seconds)
        assert (image.format, image.size) == ("JPEG", size)
        frame = min(round(seconds * 30), n_frames - 1)
        full = (192, 128) if size[0] < size[1] else (128, 192)
        rgb = pixels(name, "rgb", [frame], (*full, 3), tmp_path)[0]
        expected = Image.fromarray(rgb).resize(size, Image.BOX).convert("L")
        error = np.abs(np.asarray(image.convert("L"), float) - np.asarray(expected, float))
        assert error.mean() < 6, f"{seconds} s"  # a neighbouring frame differs by 10 and more


def test_thumbnail_is_never_enlarged():
    assert thumbnail(sample("h264_closed.mp4"), 1, 4000).size == (192, 128)


def test_thumbnail_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(Refused) as refused:
        thumbnail(tmp_path / "x.mp4", 1)
    assert refused.value.code == 1


def test_film_is_chosen_and_decoded_at_two_frames_a_second():
    got = dump(real("film.mp4"), 2)
    assert got["n_frames"] == 5301 and got["duration"] == pytest.approx(212.04)
    assert len(got["pictures"]) == 425

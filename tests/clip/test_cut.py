"""Clips as files: through the tool on every kind of input, and over HTTP."""
import io
import socket
import time
from fractions import Fraction
from urllib.parse import urlparse

import av
import make
import numpy as np
import pytest
import tools
from PIL import Image
from conftest import FILMS, MODELS, write_film
from server import Server


def frames(source):
    """([time], uint8 [n,h,w,3]) of a file as a player shows it."""
    times, pictures = [], []
    with av.open(source if hasattr(source, "read") else str(source)) as file:
        for frame in file.decode(video=0):
            times.append(frame.time)
            pictures.append(frame.to_ndarray(format="rgb24"))
    return np.array(times), np.stack(pictures)


def cut(path, start, end, to, how="auto"):
    done = tools.run("clip/cut_tool", path, f"{start:.9f}", f"{end:.9f}", to, how, code=None)
    return done.returncode, done.stdout.decode().split(), done.stderr.decode()


def assert_is_the_span(clip, film, start, end):
    """Same count, same times from 0 on, and each picture nearest to the one it was made from, or hardly further."""
    times, pictures = frames(film)
    inside = (times >= start - 1e-6) & (times < end - 1e-6)
    got_times, got = frames(clip)
    wanted = pictures[inside]
    assert len(got) == len(wanted)
    np.testing.assert_allclose(got_times, times[inside] - times[inside][0], atol=2e-5)
    for i in (0, 1, len(got) // 2, len(got) - 1):
        first = int(np.flatnonzero(inside)[0])
        near = range(max(0, first + i - 2), min(len(pictures), first + i + 3))
        error = [np.abs(got[i].astype(int) - pictures[k]).mean() for k in near]
        assert error[near.index(first + i)] < min(error) + 0.1 and min(error) < 4


@pytest.mark.parametrize("encoder", ["auto", "libx264", "mpeg4"])
def test_clip_has_the_frames_of_the_span_and_their_times(film, tmp_path, encoder):
    path, cuts = film
    to = tmp_path / "clip.mp4"
    code, said, _ = cut(path, cuts[2], cuts[3], to, encoder)
    assert code == 0
    if encoder != "auto":
        assert said[0] == encoder
    assert_is_the_span(to, path, cuts[2], cuts[3])
    head = to.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays while it loads


def test_whole_groups_are_copied_to_the_bit_and_nothing_else_is(tmp_path):
    path, to = tmp_path / "film.mp4", tmp_path / "clip.mp4"
    cuts = write_film(path, (60, 60, 60), (24,))
    with av.open(str(path)) as film:
        keys = [float(p.pts * p.time_base) for p in film.demux(video=0) if p.is_keyframe]
    assert cuts[1] in np.round(keys, 6)  # the encoder put keyframes on the cuts
    code, said, _ = cut(path, cuts[1], cuts[2], to, "copy")
    assert code == 0 and said[0] == "copied"
    times, pictures = frames(path)
    got_times, got = frames(to)
    np.testing.assert_array_equal(got, pictures[60:120])
    np.testing.assert_allclose(got_times - got_times[0], times[60:120] - times[60], atol=2e-5)
    code, said, _ = cut(path, cuts[1] + 0.04, cuts[2], to, "copy")
    assert code == 0 and said[0] != "copied"
    assert_is_the_span(to, path, cuts[1] + 0.04, cuts[2])


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_whole_groups_with_b_frames_are_copied_to_the_bit(suffix, tmp_path):
    """Matroska has no decode times, and FFmpeg leaves the first of them open."""
    path, to = tmp_path / f"film.{suffix}", tmp_path / "clip.mp4"
    options = {"g": "25", "bf": "3", "x264-params": "b-adapt=0:open-gop=0:scenecut=0:threads=1"}
    make.encode(path, "libx264", n=100, rate=25, options=options)
    times, pictures = frames(path)
    for start, end in ((0, 25), (25, 75), (75, 100), (0, 100)):
        stop = times[end] if end < 100 else 4.0
        code, said, text = cut(path, times[start], stop, to, "copy")
        assert code == 0 and said == ["copied", str(end - start)], text
        got_times, got = frames(to)
        np.testing.assert_array_equal(got, pictures[start:end])
        np.testing.assert_allclose(got_times - got_times[0], times[start:end] - times[start], atol=2e-3)
        with av.open(str(to)) as file:
            packets = [p for p in file.demux(video=0) if p.size]
        assert all(p.dts <= p.pts for p in packets)
        assert all(a.dts < b.dts for a, b in zip(packets, packets[1:]))


def recording(path, seconds, clock_s, beeps_from_s):
    """25 pictures a second and a sound that is silent at first; its clock begins at clock_s."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"g": "25", "x264-params": "threads=1"})
        video.width, video.height, video.pix_fmt = 192, 128, "yuv420p"
        sound = out.add_stream("aac", rate=48000, layout="mono")
        t = np.arange(seconds * 48000) / 48000
        samples = (0.5 * np.sin(2000 * t) * (t >= beeps_from_s)).astype(np.float32)
        at = 0
        for i in range(25 * seconds):
            picture = av.VideoFrame.from_ndarray(make.picture(i), "rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = i + 25 * clock_s, Fraction(1, 25)
            out.mux(video.encode(picture))
            while at + 1024 <= min(len(samples), (i + 1) * 1920):
                block = av.AudioFrame.from_ndarray(samples[None, at:at + 1024], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = 48000, at + 48000 * clock_s, Fraction(1, 48000)
                out.mux(sound.encode(block))
                at += 1024
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("clocks", [(10, 36000), (36000, 10)])
def test_clip_of_a_film_whose_clock_jumps_has_the_sound_of_its_pictures(clocks, tmp_path):
    path, to = tmp_path / "film.ts", tmp_path / "clip.mp4"
    path.write_bytes(recording(tmp_path / "a.ts", 6, clocks[0], 9) + recording(tmp_path / "b.ts", 6, clocks[1], 3))
    assert cut(path, 8.0, 10.0, to)[0] == 0  # two to four seconds of the second part
    with av.open(str(to)) as file:
        blocks = [f for f in file.decode(audio=0)]
    t = np.concatenate([f.time + np.arange(f.samples) / f.sample_rate for f in blocks])
    loud = np.abs(np.concatenate([f.to_ndarray()[0] for f in blocks])) > 0.2
    assert 1.9 < t[-1] < 2.1
    assert t[np.flatnonzero(loud)[0]] == pytest.approx(1, abs=0.1)


def with_sound(path, to):
    """The same film with a beep of AAC that grows louder every second."""
    with av.open(str(path)) as film, av.open(str(to), "w") as out:
        video = out.add_stream_from_template(film.streams.video[0])
        sound = out.add_stream("aac", rate=48000, layout="mono")
        packets = [p for p in film.demux(video=0) if p.dts is not None]
        seconds = int(max(float(p.pts * p.time_base) for p in packets)) + 1
        t = np.arange(seconds * 48000) / 48000
        samples = (np.sin(t * 2000) * (1 + np.floor(t)) / (seconds + 1)).astype(np.float32)
        for at in range(0, len(samples) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, at:at + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, at
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
        for packet in packets:
            packet.stream = video
            out.mux(packet)
    return to


def test_sound_goes_with_the_pictures(tmp_path):
    silent = tmp_path / "silent.mp4"
    write_film(silent, (75, 75, 75), (24,))
    path, to = with_sound(silent, tmp_path / "film.mp4"), tmp_path / "clip.mp4"
    assert cut(path, 3.0, 6.0, to)[0] == 0
    with av.open(str(to)) as file:
        blocks = [f for f in file.decode(audio=0)]
    t = np.concatenate([f.time + np.arange(f.samples) / f.sample_rate for f in blocks])
    loud = np.abs(np.concatenate([f.to_ndarray()[0] for f in blocks]))
    assert t[0] < 0.05 and 2.9 < t[-1] < 3.1
    for second in range(3):  # 4/10, 5/10, 6/10 of full scale
        middle = loud[(t > second + 0.3) & (t < second + 0.7)].max()
        assert middle == pytest.approx((4 + second) / 10, abs=0.04)


@pytest.mark.parametrize("name", ["h264_10bit.mp4", "hevc_open.mp4", "h264_open.ts", "vp9.webm", "mpeg4_b.avi",
                                  "rotate_90.mp4", "h264_odd_size.mp4", "mjpeg.mov", "h264_edit_list.mp4"])
def test_any_stored_kind_can_be_cut(name, tmp_path):
    import make as samples

    to = tmp_path / "clip.mp4"
    code, said, error = cut(samples.sample(name), 0.5, 1.5, to)
    assert code == 0, error
    times, pictures = frames(to)
    assert len(times) == int(said[1]) > 1 and times[0] == 0


def test_missing_encoder_is_named_and_leaves_no_file(film, tmp_path):
    to = tmp_path / "clip.mp4"
    code, _, error = cut(film[0], 0, 1, to, "libnothing")
    assert code == 5 and "libnothing" in error and not to.exists()


def grey_film(path, curve, grey, told_by="container", size=(256, 128)):
    """A film of that grey of SDR in PQ or HLG with SDR white at 203 nits (ITU-R BT.2408), in closed groups of 10
    pictures."""
    nits = 203 * (grey / 255) ** 2.4
    if curve == "smpte2084":
        y = (nits / 10000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    else:
        scene = (nits / 1000) ** (1 / 1.2)
        signal = np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    options = f"log-level=none:keyint=10:min-keyint=10:scenecut=0:open-gop=0:transfer={curve}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=10, options={
            "preset": "ultrafast", "x265-params": options + ":colorprim=bt2020:colormatrix=bt2020nc:range=limited"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p10le"
        if told_by == "container":
            context = stream.codec_context
            context.color_primaries, context.colorspace, context.color_range = 9, 9, 1
            context.color_trc = {"smpte2084": 16, "arib-std-b67": 18}[curve]
        planes = np.full((size[1] * 3 // 2, size[0]), 512, np.uint16)
        planes[:size[1]] = round(64 + 876 * signal)
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("told_by", ["container", "stream"])
@pytest.mark.parametrize("how", ["auto", "copy"])
@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_clip_of_an_hdr_film_is_sdr(curve, how, told_by, tmp_path):
    to = tmp_path / "clip.mp4"
    code, said, text = cut(grey_film(tmp_path / "film.mp4", curve, 160, told_by), 1, 2, to, how)
    assert code == 0 and said[0] != "copied" and said[1] == "10", text
    with av.open(str(to)) as file:
        context = file.streams.video[0].codec_context
        assert (context.pix_fmt, int(context.color_trc), int(context.colorspace)) == ("yuv420p", 1, 1)
        pictures = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    assert np.mean(pictures) == pytest.approx(160, abs=3) and np.ptp(pictures[5]) <= 3


@pytest.mark.parametrize("aspect, size, shown", [((64, 45), (720, 576), (1024, 576)),  # PAL, wide screen
                                                 ((8, 9), (720, 480), (720, 540)),     # NTSC
                                                 ((1, 1), (192, 108), (192, 108))])
@pytest.mark.parametrize("how", ["libx264", "copy"])
def test_clip_has_square_pixels(aspect, size, shown, how, tmp_path):
    def set_aspect(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)

    path, to = tmp_path / "film.mp4", tmp_path / "clip.mp4"
    make.encode(path, "libx264", n=20, size=size, rate=10, setup=set_aspect,
                options={"preset": "ultrafast", "g": "10", "x264-params": "open-gop=0:scenecut=0:threads=1"})
    code, said, text = cut(path, 1, 2, to, how)
    assert code == 0 and (said[0] == "copied") == (how == "copy" and aspect == (1, 1)), text
    _, pictures = frames(to)
    assert pictures.shape == (10, shown[1], shown[0], 3)
    with av.open(str(to)) as file:
        assert file.streams.video[0].sample_aspect_ratio in (None, 1)
    _, film = frames(path)  # what is drawn stays where it is
    wanted = [Image.fromarray(p).resize(shown, Image.BICUBIC) for p in film[10:]]
    assert np.mean([np.abs(np.asarray(a, float) - b).mean() for a, b in zip(wanted, pictures)]) < 6


def test_clip_of_a_turned_film_with_wide_pixels_is_as_tall_as_it_is_shown(tmp_path):
    def set_aspect(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    plain, path, to = tmp_path / "plain.mp4", tmp_path / "film.mp4", tmp_path / "clip.mp4"
    make.encode(plain, "libx264", n=10, size=(96, 128), rate=10, setup=set_aspect)
    make.turned(plain, path, 0, 1, -1, 0)
    assert cut(path, 0, 1, to)[0] == 0
    with av.open(str(to)) as file:
        stream = file.streams.video[0]
        frame = next(file.decode(stream))
        assert (stream.width, stream.height, frame.rotation % 360) == (192, 128, 270)


@pytest.mark.parametrize("name", ["mjpeg.mov", "ffv1.mkv", "film.gif"])
def test_clip_is_as_bright_and_coloured_as_the_film(name, tmp_path):
    """Full range, and RGB: what is drawn is not what its numbers say."""
    path, to = tmp_path / name, tmp_path / "clip.mp4"
    if name == "film.gif":
        pictures = [Image.fromarray(make.picture(i, 160, 96)) for i in range(8)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    else:
        path = make.sample(name)
    code, _, text = cut(path, 0, 0.5, to)
    assert code == 0, text
    _, film = frames(path)
    _, clip = frames(to)
    assert np.abs(clip[0].astype(float) - film[0][:clip.shape[1], :clip.shape[2]]).mean() < 6
    np.testing.assert_allclose(clip[0].mean((0, 1)), film[0].mean((0, 1)), atol=3)


# ---- over HTTP ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "film.mp4"
    cuts = write_film(path, (75, 60, 80), FILMS["variable"])
    with Server(folder / "data", MODELS, "efficientnet-lite0") as server:
        video = server.upload(path, clip="shots").json()
        assert len(video["clips"]) == 3
        yield server, video, path, cuts


def test_clip_is_served_whole_and_in_ranges(served):
    server, video, path, cuts = served
    url = f"/v1/videos/{video['id']}/clips/1/content"
    answer = server.get(url)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "video/mp4"
    assert 'filename="film.1.mp4"' in answer.headers["Content-Disposition"]
    assert_is_the_span(io.BytesIO(answer.content), path, cuts[1], cuts[2])
    part = server.get(url, headers={"Range": "bytes=100-299"})
    assert part.status_code == 206 and part.content == answer.content[100:300]
    assert part.headers["ETag"] == answer.headers["ETag"]
    known = server.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert known.status_code == 304
    copied = server.get(url, params={"copy": "true"})
    assert_is_the_span(io.BytesIO(copied.content), path, cuts[1], cuts[2])
    span = "{:.6f}-{:.6f}".format(video["clips"][1]["start_s"], video["clips"][1]["end_s"])
    kept = {p.name for p in (server.data / "clips").iterdir()}
    assert kept == {f"{video['id']}.1.{span}.mp4", f"{video['id']}.1.{span}.copy.mp4"}


@pytest.mark.parametrize("n, status", [("3", 404), ("-1", 404), ("x", 404), ("0?copy=maybe", 400)])
def test_clip_that_is_not_there_is_a_problem(served, n, status):
    server, video, *_ = served
    path, _, query = n.partition("?")
    answer = server.get(f"/v1/videos/{video['id']}/clips/{path}/content?{query}")
    assert answer.status_code == status and answer.json()["detail"]


def test_deleted_video_takes_its_clips_along(served):
    server, _, path, _ = served
    other = path.with_name("other.mp4")
    write_film(other, (30,), (24,))
    video = server.upload(other).json()
    assert server.get(f"/v1/videos/{video['id']}/clips/0/content").status_code == 200
    assert list((server.data / "clips").glob(f"{video['id']}.*"))
    assert server.delete(f"/v1/videos/{video['id']}").status_code == 204
    assert not list((server.data / "clips").glob(f"{video['id']}.*"))
    assert server.get(f"/v1/videos/{video['id']}/clips/0/content").status_code == 404


def test_client_that_goes_away_ends_the_cutting(served):
    server, _, path, _ = served
    long = path.with_name("long.mp4")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with av.open(str(long), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 640, 480
        for i in range(300):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, i * 997, (0, 1)), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    video = server.upload(long, clip="whole").json()
    address = urlparse(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET /v1/videos/{video['id']}/clips/0/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        deadline = time.monotonic() + 20
        while not (server.data / "clips" / "new.mp4").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    deadline = time.monotonic() + 30
    while (server.data / "clips" / "new.mp4").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not (server.data / "clips" / "new.mp4").exists()
    assert not list((server.data / "clips").glob(f"{video['id']}.*"))


def test_server_without_an_encoder_answers_501(tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, (60,), (24,))
    with Server(tmp_path / "data", MODELS, "efficientnet-lite0", flags=["--encoder", "libnothing"]) as server:
        video = server.upload(path).json()
        url = f"/v1/videos/{video['id']}/clips/0/content"
        answer = server.get(url)
        assert answer.status_code == 501 and answer.json()["type"] == "/problems/no-encoder"
        assert server.get(url, params={"copy": "true"}).status_code == 200

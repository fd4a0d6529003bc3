"""Films whose pictures tell their own number: frame n is one grey, four levels above frame n - 1."""

import fractions
import io

import av
import numpy as np
from media_dump import call
from PIL import Image

N, FPS, SIZE = 50, 25, (160, 96)


def grey(n):
    return 16 + 4 * n


DEFAULTS = {"libx264": {"qp": "4", "g": "12", "bf": "2", "x264-params": "b-adapt=0:threads=1"},
            "libx265": {"x265-params": "qp=4:keyint=12:bframes=2:log-level=none:pools=1"},
            "mpeg4": {"g": "12", "bf": "2", "qmin": "1", "qmax": "1"},
            "mpeg2video": {"g": "12", "bf": "2", "qmin": "1", "qmax": "1"},
            "libvpx-vp9": {"crf": "4", "b": "0", "cpu-used": "8", "g": "12"}}
NO_B_FRAMES = {"qp": "4", "g": "12", "bf": "0", "x264-params": "threads=1"}


def encode(codec="libx264", n=N, first=0, options=None, size=SIZE):
    """(the stream to take as a template, packets) of a ramp, in decode order; times in frames."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as out:
        stream = out.add_stream(codec, rate=FPS, options=options or DEFAULTS[codec])
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, FPS)
        for i in range(n):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = grey(first + i)
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = i, fractions.Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    memory.seek(0)
    file = av.open(memory)
    stream = file.streams.video[0]
    packets = [p for p in file.demux(stream) if p.size]
    start = min(p.pts for p in packets)
    dts = sorted(p.pts for p in packets)  # one frame apart, and early enough for the reordering
    frame = fractions.Fraction(1, FPS) / stream.time_base
    delay = max(0, *(round((d - p.pts) / frame) for d, p in zip(dts, packets)))
    for i, packet in enumerate(packets):
        packet.pts, packet.dts = round((packet.pts - start) / frame), i - delay
        packet.duration, packet.time_base = 1, fractions.Fraction(1, FPS)
    return stream, packets


def mux(path, stream, packets, change=None, container_options=None, format=None):
    """Writes the packets; change(i, packet) may alter each, in decode order, with times in frames."""
    with av.open(str(path), "w", options=container_options or {}, **({"format": format} if format else {})) as out:
        target = out.add_stream_from_template(stream)
        target.time_base = fractions.Fraction(1, FPS)
        for i, packet in enumerate(packets):
            packet.stream = target
            packet.time_base = fractions.Fraction(1, FPS)
            if change:
                change(i, packet)
            out.mux(packet)
    return path


def write(path, codec="libx264", change=None, container_options=None, format=None, **encoding):
    return mux(path, *encode(codec, **encoding), change, container_options, format)


def shift(frames):
    def change(_, packet):
        packet.pts += frames
        packet.dts += frames
    return change


def shown_at(path, seconds, *table):
    """The number of the frame that the thumbnail at that time shows."""
    jpeg = call("--thumbnail", path, f"{seconds:.6f}", 160, *table)
    level = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float).mean() * 219 / 255 + 16
    return round((level - grey(0)) / 4)

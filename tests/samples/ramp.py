"""A film whose pictures tell their number: picture n is grey, of luma 16 + 2n. At most 105 pictures."""

import fractions
import io

import av
import make
import numpy as np

SIZE = (128, 96)


def grey(luma, pix_fmt="yuv420p"):
    """A picture of one grey, limited range."""
    height, width = SIZE[1], SIZE[0]
    depth = np.uint16 if "10" in pix_fmt else np.uint8
    planes = np.full((height * 3 // 2, width), 512 if depth is np.uint16 else 128, depth)
    planes[:height] = luma
    return av.VideoFrame.from_ndarray(planes, format=pix_fmt)


def write(path, codec="libx264", n=100, rate=25, start_s=0, options=None, format=None,
          container_options=None, first=0):
    """n pictures of the ramp from number `first` on, the first of them shown at start_s."""
    with av.open(str(path), "w", format=format,
                 options=make.SAME_BYTES | (container_options or {})) as out:
        stream = make.add_video(out, codec, rate, SIZE, options)
        stream.codec_context.time_base = fractions.Fraction(1, rate)
        for i in range(n):
            frame = grey(16 + 2 * (first + i))
            frame.pts, frame.time_base = start_s * rate + i, fractions.Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def number_shown(jpeg):
    """The number of the picture that a JPEG shows."""
    from PIL import Image

    luma = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float).mean() * 219 / 255
    return round(luma / 2)

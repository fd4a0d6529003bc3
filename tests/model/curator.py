"""A clip as NeMo Curator prepares it, with the libraries that it uses: PyAV, OpenCV, PyTorch.

Nothing here is taken from vidx. Colour is converted by its definition: PyAV's own quick
conversion to RGB repeats chroma, and takes every file for BT.601.
"""
from dataclasses import dataclass

import av
import cv2
import numpy as np
import torch

MODE = {"bilinear_antialias": "bilinear", "bicubic_antialias": "bicubic"}
MATRIX = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}


def upsample(chroma, h, w):
    """Linear between the samples of 4:2:0: left of every second pixel, half-way between two rows."""
    x, y = np.arange(w, dtype=np.float32) / 2, (np.arange(h, dtype=np.float32) - 0.5) / 2
    x, y = np.clip(x, 0, chroma.shape[1] - 1), np.clip(y, 0, chroma.shape[0] - 1)
    x0, y0 = x.astype(int), y.astype(int)
    x1, y1 = np.minimum(x0 + 1, chroma.shape[1] - 1), np.minimum(y0 + 1, chroma.shape[0] - 1)
    rows = chroma[y0] * (1 - (y - y0))[:, None] + chroma[y1] * (y - y0)[:, None]
    return rows[:, x0] * (1 - (x - x0)) + rows[:, x1] * (x - x0)


def to_rgb(frame):
    """uint8 [h,w,3] of a decoded picture in 8-bit 4:2:0, limited range."""
    assert frame.format.name == "yuv420p" and frame.color_range != 2
    h, w = frame.height, frame.width
    planes = frame.to_ndarray().reshape(-1).astype(np.float32)
    y = (planes[:h * w].reshape(h, w) - 16) / 219
    cb, cr = (upsample(plane - 128, h, w) / 224
              for plane in planes[h * w:].reshape(2, h // 2, w // 2))
    kr, kb = MATRIX["bt709" if h >= 720 else "bt601"]  # the films say nothing: what players assume
    blue, red = 2 * (1 - kb) * cb, 2 * (1 - kr) * cr
    rgb = np.stack([y + red, y - (kb * blue + kr * red) / (1 - kr - kb), y + blue], -1)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


@dataclass
class Film:
    times: np.ndarray  # float32, of every frame, ascending, from 0
    frames: list  # of PyAV, decoded
    known: dict  # {number: RGB}, of frames that were asked for

    @classmethod
    def read(cls, path):
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            times = sorted(float(packet.pts * stream.time_base)
                           for packet in file.demux(stream) if packet.pts is not None)
        with av.open(str(path)) as file:
            frames = list(file.decode(video=0))
        assert len(frames) == len(times)
        return cls((np.array(times) - times[0]).astype(np.float32), frames, {})

    def rgb(self, number):
        if number not in self.known:
            self.known[number] = to_rgb(self.frames[number])
        return self.known[number]


def at_rate(times, fps):
    """Numbers of the frames nearest to start, start + 1/fps, …"""
    wanted = np.arange(times[0], times[-1] + np.float32(0.5 / fps), 1 / fps, dtype=np.float32)
    return [int(np.abs(times - time).argmin()) for time in wanted]


def pick(times, spec):
    """Numbers of the T frames that the model sees, by the manifest's `frames`."""
    t, fps = spec["count"], spec["fps"]
    numbers = at_rate(times, fps)
    if spec["sampling"] == "spread":
        return [numbers[k * (len(numbers) - 1) // (t - 1)] for k in range(t)]
    while len(numbers) < t:
        fps *= 2
        assert fps <= 20, "Curator gives up"
        numbers = at_rate(times, fps)
    return [numbers[k * (len(numbers) // t)] for k in range(t)]


def resize(rgb, spec):
    size = spec["width"], spec["height"]
    if spec["filter"] == "bilinear":
        return cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]  # as torchvision resizes a uint8 tensor
    return torch.nn.functional.interpolate(picture, size[::-1], mode=MODE[spec["filter"]],
                                           antialias=True)[0].permute(1, 2, 0).numpy()


def clip(film, start_s, end_s, manifest):
    """uint8 [T,h,w,3]: what the model sees of the frames in [start_s, end_s), resized."""
    inside = np.flatnonzero((film.times >= np.float32(start_s)) & (film.times < np.float32(end_s)))
    return np.stack([resize(film.rgb(inside[i]), manifest["picture"])
                     for i in pick(film.times[inside], manifest["frames"])])


def normalised(pictures, manifest):
    """float32 [1,T,3,h,w]"""
    spec = manifest["picture"]
    values = (pictures.astype(np.float32) / 255 - np.float32(spec["mean"])) / np.float32(spec["std"])
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)[None]))

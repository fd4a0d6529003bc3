"""Films with cuts at known frames, and what src/clip makes of a file."""
import fractions
import json
from pathlib import Path

import av
import make as samples
import numpy as np
import pytest
import tools

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "build" / "models"
TICKS = 600  # a second


@pytest.fixture(scope="session")
def dump():
    """dump(path, rule) -> {"frames": [[time, probability]…], "spans": [[start, end]…], …}"""
    def run(path, rule="shots", device="cpu"):
        return json.loads(tools.run("clip/shots_dump", MODELS, path, rule, device).stdout)

    return run


def scenes(lengths, size=(160, 90)):
    """One made scene after the other, of so many frames each: drifting waves of its own colours."""
    w, h = size
    y, x = np.mgrid[0:h, 0:w] / h
    for seed, n in enumerate(lengths):
        random = np.random.default_rng(seed)
        waves = random.uniform(2, 14, (6, 2)) * random.choice([-1, 1], (6, 2))
        phase, colour = random.uniform(0, 6, 6), random.uniform(-50, 50, (6, 3))
        base = random.uniform(40, 215, 3)
        for i in range(n):
            shades = [np.sin(a * x + b * y + p + i * 0.06)[..., None] * c
                      for (a, b), p, c in zip(waves, phase, colour)]
            yield np.clip(base + sum(shades), 0, 255).astype(np.uint8)


def write_film(path, lengths, ticks):
    """An H.264 film of scenes; frame i is shown for ticks[i % len(ticks)]. Gives the cuts in
    seconds: 0, the start of each further scene, the end. The end is that of the last frame as the
    container states its duration."""
    times = [0]
    with av.open(str(path), "w") as out:
        stream = samples.add_video(out, "libx264", 25, (160, 90), {"preset": "veryfast", "crf": "20"})
        stream.codec_context.time_base = stream.time_base = fractions.Fraction(1, TICKS)
        for i, rgb in enumerate(scenes(lengths)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = times[-1], fractions.Fraction(1, TICKS)
            times.append(times[-1] + ticks[i % len(ticks)])
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as film:
        packets = [p for p in film.demux(video=0) if p.pts is not None]
    last = max(packets, key=lambda p: p.pts)
    times = np.array(times[:-1]) / TICKS
    end = times[-1] + float(last.duration * last.time_base)
    return [*times[np.cumsum([0, *lengths[:-1]])], end]


LENGTHS = (75, 60, 110, 55, 90, 130, 66)
FILMS = {"constant": (24,), "variable": (12, 36, 20, 28, 60, 12)}


@pytest.fixture(scope="session", params=FILMS)
def film(request, tmp_path_factory):
    """(path, cuts in seconds) of a film with a constant and of one with a variable frame rate."""
    path = tmp_path_factory.mktemp("films") / f"{request.param}.mp4"
    return path, write_film(path, LENGTHS, FILMS[request.param])

"""Made footage of one camera that stands still: each take shows the same room, and other movements in it."""
from fractions import Fraction

import numpy as np
from PIL import Image

W, H, RATE = 320, 180, Fraction(25)


def noise(rng, w, h, coarse):
    """Soft light and shade, with things of straight edges in it."""
    cells = rng.integers(0, 256, (h // coarse + 2, w // coarse + 2, 3), np.uint8)
    out = np.array(Image.fromarray(cells).resize((w, h), Image.BICUBIC))
    for _ in range(w * h // 400):
        x, y, right, low = rng.integers(0, (w, h, w // 5, h // 5))
        out[y:y + low, x:x + right] = out[y:y + low, x:x + right] // 2 + rng.integers(0, 128, 3, np.uint8)
    return out


def take(room, seed, seconds=12, size=44):
    """A room, in which three things of that size wander by the seed: uint8 [n, H, W, 3]."""
    rng = np.random.default_rng(1000 + seed)
    n = round(seconds * RATE)
    out = noise(np.random.default_rng(room), W, H, 12)[None].repeat(n, 0).copy()
    t = np.arange(n) / float(RATE)
    for _ in range(3):
        thing = noise(rng, size, size, 9)
        x = ((W - size) / 2 * (1 + .9 * np.sin(t * rng.uniform(.4, 1.2) + rng.uniform(0, 6)))).astype(int)
        y = ((H - size) / 2 * (1 + .9 * np.sin(t * rng.uniform(.4, 1.2) + rng.uniform(0, 6)))).astype(int)
        for i in range(n):
            out[i, y[i]:y[i] + size, x[i]:x[i] + size] = thing
    return out

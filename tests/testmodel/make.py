"""Makes the model package that tests use where speed matters, and a few that are wrong.

    build/venv/bin/python tests/testmodel/make.py --output build/models-test

writes build/models-test/tiny (4 frames of 64 px to 64 numbers, well under a millisecond) and, for
the tests of the loader, packages whose module answers nonsense. tiny is arithmetic without training
and without chance: what looks alike has a cosine near 1, what does not is far off. tiny-text is the
same and knows a few words. small is another model of another shape (8 frames of 32 px to 48
numbers); moody is small, but fails on dark clips; fragile loses its device on them; hungry
runs out of memory on batches of more than 2 unless they are white, starving on any; hungry-slow also takes
its time, so that clips gather. blind answers the same to everything. pictures is a copy model: it describes one picture
by where it is lighter; pictures-moody fails on dark ones.
"""
import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "models"))
from common import package  # noqa: E402

T, SIZE, GRID, DIM = 4, 64, 8, 64
SHAPES = {name: (8, 32, 48) for name in ("small", "moody", "fragile", "hungry", "hungry-slow", "starving")}  # where T, SIZE, DIM are others
COPY_MODELS = ["pictures", "pictures-moody"]
SHAPES |= {name: (1, 64, 64) for name in COPY_MODELS}
TEXT_LENGTH = 16
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["left", "right", "top", "bottom", "red", "green", "blue"]  # where it is lighter; its colour
TEXTS = {"tiny-text": "text", "text-nan": "answers-nan-text", "text-dim": "answers-dim-text",
         "text-no-unk": "text", "text-tells-length": "tells-length",
         "text-needs-length": "needs-length"}  # package: module of its text tower, beside tiny's for video
PACKAGES = ["tiny", "slow", "blind", "answers-nan", "answers-long", "answers-dim", "answers-tuple", "throws",
            "no-script", *SHAPES, *TEXTS]


def modules():
    """{package: module}, of which all but tiny, slow and text break the contract."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Tiny(nn.Module):
        """Where the picture is lighter or darker than its mean, how that changes over time, and,
        weakly, its mean colour; projected by fixed signs. The constant keeps a grey clip from
        being the zero vector."""

        def __init__(self):
            super().__init__()
            n = 2 * 3 * GRID * GRID + 4
            i = torch.arange(n * DIM)
            for factor in (2654435761, 2246822519):  # a hash of 32 bits; the wrap-around is meant
                i = i * factor & 0xFFFFFFFF
                i = i ^ i >> 15
            self.register_buffer("signs", (i & 1).float().mul(2).sub(1).view(n, DIM))

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            b, t = clips.size(0), clips.size(1)
            cells = F.adaptive_avg_pool2d(clips.flatten(0, 1), [8, 8]).view(b, t, 3, 64)
            mean = cells.mean(dim=(1, 3))
            shape = (cells.mean(1) - mean.unsqueeze(2)).flatten(1)
            motion = (cells[:, t // 2:].mean(1) - cells[:, :t // 2].mean(1)).flatten(1)
            parts = [shape, motion, mean, clips.new_full([b, 1], 0.2)]
            return F.normalize(torch.cat(parts, 1) @ self.signs, dim=-1)

    class Text(nn.Module):
        """The vector of a clip that is what the words say: sums of what Tiny would see."""

        def __init__(self, signs):
            super().__init__()
            across = torch.linspace(-1, 1, GRID).expand(GRID, GRID)
            shapes = [-across, across, -across.T, across.T]  # left, right, top, bottom
            words = torch.zeros(len(SPECIAL) + len(WORDS), len(signs))
            for i, shape in enumerate(shapes):
                words[len(SPECIAL) + i, :3 * GRID * GRID] = shape.flatten().repeat(3)
            for i in range(3):
                words[len(SPECIAL) + len(shapes) + i, -4 + i] = 8.0
            self.register_buffer("words", words)
            self.register_buffer("signs", signs)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            features = (self.words[ids] * mask.unsqueeze(-1)).sum(1)
            features[:, -1] += 0.2
            return F.normalize(features @ self.signs, dim=-1)

    class AnswersText(nn.Module):
        def __init__(self, dim: int, value: float):
            super().__init__()
            self.dim, self.value = dim, value

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.full([ids.size(0), self.dim], self.value)

    class TellsLength(nn.Module):
        """Number L of the answer is 1 for ids [B,L] with "red" among them, or with any; else number 0."""

        def __init__(self, always: bool):
            super().__init__()
            self.red, self.always = len(SPECIAL) + WORDS.index("red"), always

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            told = ids.size(1) if self.always or bool((ids == self.red).any()) else 0
            return F.one_hot(torch.full([ids.size(0)], told), 64).float()

    class Slow(nn.Module):
        """Tiny, after some 50 ms of work: for tests that need a queue."""

        def __init__(self):
            super().__init__()
            self.tiny = Tiny()

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            x = clips.flatten()[:1].clamp(0.0, 0.001).expand(256, 256)
            for _ in range(150):
                x = (x @ x).clamp(0.0, 0.001)
            return self.tiny(clips + 0.0 * x[0, 0])

    class Small(nn.Module):
        """Where each frame is lighter or darker than its mean, projected by waves."""

        def __init__(self, fails: bool = False, room: int = 1000, slow: bool = False, fragile: bool = False):
            super().__init__()
            self.fails, self.room, self.slow, self.fragile = fails, room, slow, fragile
            i = torch.arange(64).view(-1, 1) * torch.arange(1, 49).view(1, -1)
            self.register_buffer("waves", torch.sin(i.float() * 0.7))

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            if self.fails and bool(clips.mean() < -0.8):
                raise RuntimeError("it is too dark in here")
            if self.fragile and bool(clips.mean() < -0.8):  # as libtorch says that a GPU fell away
                raise RuntimeError("CUDA error: unspecified launch failure")
            if clips.size(0) > self.room and bool(clips.mean() < 0.9):
                return clips.new_empty([1 << 50])  # no machine has that
            if self.slow:  # some 200 ms of work, in which clips gather for the next batch
                x = clips.flatten()[:1].clamp(0.0, 0.001).expand(256, 256)
                for _ in range(600):
                    x = (x @ x).clamp(0.0, 0.001)
                clips = clips + 0.0 * x[0, 0]
            grey = clips.mean(dim=(1, 2))
            cells = F.adaptive_avg_pool2d(grey.unsqueeze(1), [8, 8]).flatten(1)
            cells = cells - cells.mean(1, keepdim=True)
            return F.normalize(cells @ self.waves + 0.01, dim=-1)

    class Pictures(nn.Module):
        """Where a picture is lighter or darker than its mean: a crop of a tenth has 0.7 and more."""

        def __init__(self, fails: bool = False):
            super().__init__()
            self.fails = fails

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            if self.fails and bool(clips.mean() < -0.8):
                raise RuntimeError("it is too dark in here")
            cells = F.adaptive_avg_pool2d(clips[:, 0].mean(1, keepdim=True), [8, 8]).flatten(1)
            return F.normalize(cells - cells.mean(1, keepdim=True) + 0.001, dim=-1)

    class Answers(nn.Module):
        def __init__(self, dim: int, value: float):
            super().__init__()
            self.dim, self.value = dim, value

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return torch.full([clips.size(0), self.dim], self.value)

    class AnswersTuple(nn.Module):
        def forward(self, clips: torch.Tensor):
            return clips, clips

    class Throws(nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return clips.view(7, -1, 11)

    tiny = Tiny()
    return {"tiny": tiny, "text": Text(tiny.signs), "answers-nan-text": AnswersText(DIM, float("nan")),
            "answers-dim-text": AnswersText(DIM + 1, 0.1), "slow": Slow(),
            "tells-length": TellsLength(False), "needs-length": TellsLength(True),
            "small": Small(), "moody": Small(fails=True), "fragile": Small(fragile=True), "hungry": Small(room=2),
            "hungry-slow": Small(room=2, slow=True),
            "starving": Small(room=0), "blind": Answers(DIM, DIM ** -.5),
            "pictures": Pictures(), "pictures-moody": Pictures(fails=True), "answers-nan": Answers(DIM, float("nan")),
            "answers-long": Answers(DIM, 2.0), "answers-dim": Answers(DIM + 1, 0.1),
            "answers-tuple": AnswersTuple(), "throws": Throws()}


def vocabulary(name):
    special = [word for word in SPECIAL if word != "[UNK]" or name != "text-no-unk"]
    return "".join(word + "\n" for word in special + WORDS).encode()


def manifest(name, made_from, devices):
    t, size, dim = SHAPES.get(name, (T, SIZE, DIM))
    text = {"text": {"file": "text.pt", "vocab": "vocab.txt", "length": TEXT_LENGTH,
                     "quality": "7 words"}}
    similar = .65 if name in COPY_MODELS else .97
    return (text if name in TEXTS else {}) | ({"role": "copy"} if name in COPY_MODELS else {}) | {
        "format": 1,
        "name": name,
        "source": "tests/testmodel/make.py",
        "revision": "1",
        "license": "Apache-2.0",
        "dim": dim,
        "metric": "cosine",
        "frames": {"count": t, "fps": 2.0, "sampling": "spread"},
        "picture": {"width": size, "height": size, "filter": "bilinear_antialias",
                    "fit": "squash", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "video": [{"file": "video.pt", "device": device, "dtype": "fp32", "max_batch": 8}
                  for device in devices],
        "threshold": {"similar": similar,
                      "measured": "tests/model/test_tiny.py: re-encoded clips are above, others below"},
        "self_check": {"made_from": made_from},
    }


def make(output, devices=("cpu",)):
    """Writes all packages into the folder `output`, those that are there and current excepted."""
    output = Path(output).resolve()
    made_from = package.fingerprint([__file__], ["torch"]) + "".join(devices[1:])
    missing = [name for name in PACKAGES if not package.is_current(output / name, made_from)]
    if output.is_dir():
        os.utime(output)  # for build systems that look at times
    if not missing:
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    ready = {name: torch.jit.freeze(torch.jit.script(module.eval())) for name, module in
             modules().items()}
    for name in missing:
        video = "tiny" if name in TEXTS else name
        files = {"video.pt": ready.get(video, b"this is no TorchScript archive\n")}
        if name in TEXTS:
            files |= {"text.pt": ready[TEXTS[name]], "vocab.txt": vocabulary(name)}
        package.write(output / name, manifest(name, made_from, devices), files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the packages")
    parser.add_argument("--cuda", action="store_true", help="packages that a GPU runs too")
    args = parser.parse_args()
    make(args.output, ("cpu", "cuda") if args.cuda else ("cpu",))

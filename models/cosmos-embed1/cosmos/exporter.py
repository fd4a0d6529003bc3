"""Writes the package of one Cosmos-Embed1 variant.

    models/cosmos-embed1-224p/export.py --output build/models/cosmos-embed1-224p --weights DIR

The truth is the published implementation: it runs first, on fixed inputs. Then the network of
network.py tries every combination of what is open about it; a tower where one of them gives the same
vectors is exported from there, any other as a trace of the published code. The manifest says which.
"""
import argparse
import fnmatch
import hashlib
import json
import tempfile
from pathlib import Path

from common import film, hub, package
from cosmos import environment

HERE = Path(__file__).resolve().parent
ROOT = environment.ROOT
VARIANTS = json.loads((HERE.parent / "revisions.json").read_text())
PATTERNS = ("*.json", "*.py", "*.safetensors", "vocab.txt")  # of a repository; examples have folders
BF16_FLOOR = 0.99  # cosine with float32 below which the bfloat16 archive must be wrong
SAME_BF16 = 0.9999  # cosine of two arrangements of one network in bfloat16, at least

# No copies were ever compared with the published weights here. 0.99 is what NVIDIA's cosmos-curate
# takes by default when it removes duplicates (eps 0.01).
THRESHOLD = {"similar": 0.99,
             "measured": "not measured: cosmos-curate's default for removing duplicates (eps 0.01)"}


def parse(variant, arguments):
    parser = argparse.ArgumentParser(description=f"Writes the package cosmos-embed1-{variant}.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    parser.add_argument("--weights", type=Path, metavar="DIR",
                        default=ROOT / "build/weights" / f"cosmos-embed1-{variant}",
                        help="the published repository's files (default: %(default)s)")
    parser.add_argument("--download", action="store_true",
                        help="get what is missing there from the Hugging Face hub first")
    parser.add_argument("--native", metavar="CHOICES",
                        help="do not run the published code, take these choices for right: "
                             "axis=value,… of cosmos/network.py; the manifest says unverified")
    parser.add_argument("--sampling", choices=["spread", "curator"], default="spread",
                        help="8 frames over the whole clip, or NeMo Curator's of its leading part")
    parser.add_argument("--dtype", choices=["bf16", "fp8"], default="bf16",
                        help="fp8: also in float8, for GPUs: first in the package if its vectors may stand in "
                             "for the others, else in a package of its own, NAME-fp8")
    parser.add_argument("--calibrate", type=Path, metavar="DIR",
                        help="videos to calibrate float8 on and to measure it, beside those of its own")
    parser.add_argument("--any-size", action="store_true",
                        help="take weights of other sizes than the published ones, for tests")
    return parser.parse_args(arguments)


def digests(folder):
    """{file: SHA-256} of all that the export depends on."""
    return {path.name: package.digest(path) for path in sorted(folder.iterdir())
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in PATTERNS)}


def revision(variant, held):
    """What the manifest says of where the weights come from."""
    facts = VARIANTS[variant]
    known = {n: d for n, d in facts["sha256"].items() if n.endswith((".safetensors", ".index.json"))}
    if not known:
        return f"{facts['revision'][:12]} expected; no digests are known to check it"
    same = all(held.get(name) == digest for name, digest in known.items())
    return facts["revision"] if same else "not the published files: their SHA-256 differ"


def load(variant, folder, any_size):
    from common import safetensors
    from cosmos.weights import Mismatch, Published

    config = json.loads((folder / "config.json").read_text())
    facts = VARIANTS[variant]
    config.setdefault("num_video_frames", 8)
    config.setdefault("resolution", facts["resolution"])
    try:
        published = Published(safetensors.read_folder(folder), config)
    except (Mismatch, ValueError, KeyError) as problem:
        raise SystemExit(f"{folder}: {problem}") from None
    sizes = (published.geometry.resolution, published.geometry.dim)
    if sizes != (facts["resolution"], facts["dim"]) and not any_size:
        raise SystemExit(f"{folder} holds a network of {sizes[0]} px and {sizes[1]} numbers; "
                         f"{variant} has {facts['resolution']} and {facts['dim']}")
    return published


def trace(tower, examples):
    import torch

    with torch.no_grad():
        return torch.jit.trace(tower, examples, check_trace=False)


def seconds(module, clips):
    """A run's time on the GPU: the median of five."""
    import statistics

    import torch

    times = []
    for _ in range(7):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        answers(module, (clips,))
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times[2:])


def bfloat16_video(published, choices, clips):
    """(the bfloat16 tower's trace, figures for the manifest). The tower of fast.py, unless it gives other
    vectors than the plain one or, where there is a GPU to measure on, is slower."""
    import torch
    from common import operators
    from cosmos import search
    from cosmos.fast import FastVideoTower

    example = (clips[:1, :1],)
    plain = trace(published.video(choices, torch.bfloat16), example)
    fast = trace(FastVideoTower(published.video(choices, torch.bfloat16)), example)
    cosine = search.least(answers(fast, (clips[:1],)), answers(plain, (clips[:1],)))
    figures = {"fast_cosine": cosine}
    take = cosine >= SAME_BF16
    if take and torch.cuda.is_available():
        batch = clips[:1].expand(8, *clips.shape[1:]).cuda()
        times = [seconds(module.cuda(), batch) for module in (plain, fast)]
        plain.cpu(), fast.cpu()
        figures["seconds_of_8_clips"] = {"plain": times[0], "fast": times[1]}
        take = times[1] < times[0]
    if take:
        figures["operators"] = operators.SET
    return (fast if take else plain), figures


def native_video(published, choices, clips):
    """({file: ScriptModule}, figures), traced on one frame of one clip: no size of the example stays in the
    graph."""
    import torch

    exact = trace(published.video(choices, torch.float32), (clips[:1, :1],))
    half, figures = bfloat16_video(published, choices, clips)
    return {"video.fp32.pt": exact, "video.pt": half}, figures


def fp8_video(published, choices, halves):
    """(the tower's trace in float8, figures for the manifest)"""
    import torch
    from common import fp8
    from cosmos.fast import FastVideoTower

    def build(ranges):
        tower = FastVideoTower(published.video(choices, torch.bfloat16), ranges)
        return trace(tower, (halves[0][0][:, :1],))

    exact = published.video(choices, torch.float32)
    return fp8.export(exact, exact.visual_encoder.blocks, build, halves)


def native_text(published, choices, given):
    return {"text.pt": trace(published.text(choices), (given["ids"][:2], given["mask"][:2]))}


def official_towers(folder, given, work):
    """{file: ScriptModule} traced from the published code."""
    import torch

    environment.official("trace", folder, given, work)
    return {"video.fp32.pt": torch.jit.load(work / "video.pt"),
            "video.pt": torch.jit.load(work / "video.bf16.pt"),
            "text.pt": torch.jit.load(work / "text.pt")}


def answers(module, inputs):
    import torch

    with torch.inference_mode():
        return module(*inputs).clone()


def decide(published, folder, given, work):
    """Compares all choices with the published code. Returns (wanted vectors, the best choices, the
    figures for the manifest)."""
    import dataclasses

    import torch
    from cosmos import search

    out = work / "reference.pt"
    environment.official("reference", folder, given, out)
    wanted = torch.load(out, weights_only=True)
    video = search.video(search.candidates(published, given["clips"][:1]), wanted["video"][:1])
    text = search.text(published, given["ids"], given["mask"], wanted["text"])
    choices = dataclasses.replace(next(iter(video)), text=next(iter(text)))
    figures = {str(each).rpartition(",text=")[0]: cosine for each, cosine in video.items()}
    return wanted, choices, {"video_choices": figures, "text_choices": text}


def build(published, folder, given, native, work):
    """Returns ({file: ScriptModule}, figures for the manifest)."""
    from cosmos import search
    from cosmos.network import Choices

    clips, texts = (given["clips"],), (given["ids"], given["mask"])
    if native is not None:
        choices = Choices.parse(native)
        archives, more = native_video(published, choices, clips[0])
        archives |= native_text(published, choices, given)
        wanted = {"video": answers(archives["video.fp32.pt"], clips)}
        figures = {"way": {"video": "native", "text": "native"}, "choices": str(choices),
                   "verified": False} | more
    else:
        wanted, choices, figures = decide(published, folder, given, work)
        archives, more = native_video(published, choices, clips[0])
        archives |= native_text(published, choices, given)
        same = {"video": search.least(answers(archives["video.fp32.pt"], clips), wanted["video"]),
                "text": search.least(answers(archives["text.pt"], texts), wanted["text"])}
        way = {tower: "native" if cosine >= search.SAME else "official"
               for tower, cosine in same.items()}
        figures |= {"way": way, "choices": str(choices), "native_cosine": same, "verified": True}
        if "official" in way.values():
            traced = official_towers(folder, given, work)
            archives |= {file: module for file, module in traced.items()
                         if way[file.partition(".")[0]] == "official"}
        if way["video"] == "native":
            figures |= more
    figures["video.pt"] = search.least(answers(archives["video.pt"], clips), wanted["video"])
    if not figures["video.pt"] >= BF16_FLOOR:
        raise SystemExit(f"the bfloat16 archive is off float32: cosine {figures['video.pt']}")
    if figures["verified"]:
        check_final(archives, clips, texts, wanted, figures)
    return archives, figures


def check_final(archives, clips, texts, wanted, figures):
    """A trace of the published code must give what that code gave."""
    from cosmos import search

    for tower, file, inputs in (("video", "video.fp32.pt", clips), ("text", "text.pt", texts)):
        cosine = figures["native_cosine"][tower]
        if figures["way"][tower] == "official":
            cosine = search.least(answers(archives[file], inputs), wanted[tower])
            if not cosine >= search.SAME:
                raise SystemExit(f"the trace of the published {tower} tower is off: {cosine}")
        figures[file] = cosine


def manifest(variant, geometry, held, sampling, figures, files):
    """Of a package with these files of the video tower."""
    # What one clip takes beside the weights, at most: MLP and attention in flight, in float32.
    tokens = geometry.frames * (geometry.grid ** 2 + 1)
    clip_bytes = tokens * (6 * geometry.vit_width + 2 * geometry.vit_inner) * 4
    weights_bytes = 2_300_000_000 if geometry.vit_blocks == 39 else 0
    batch = 8
    memory = weights_bytes + batch * clip_bytes + (1 << 30)
    on_gpu = {"device": "cuda", "max_batch": batch, "memory_bytes": memory}
    on_cpu = {"device": "cpu", "slow": True, "max_batch": 1}
    ways = [{"file": "video.fp8.pt", "dtype": "fp8"} | on_gpu,
            {"file": "video.pt", "dtype": "bf16"} | on_gpu,
            {"file": "video.fp32.pt", "dtype": "fp32"} | on_gpu,
            {"file": "video.pt", "dtype": "bf16", "needs_amx": True} | on_cpu,
            {"file": "video.fp32.pt", "dtype": "fp32"} | on_cpu]
    return {
        "format": 1,
        "name": f"cosmos-embed1-{variant}",
        "source": f"https://huggingface.co/{VARIANTS[variant]['repository']}",
        "revision": revision(variant, held),
        "license": "NVIDIA Open Model License",
        "dim": geometry.dim,
        "metric": "cosine",
        "frames": {"count": geometry.frames, "fps": 2.0, "sampling": sampling},
        # values 0..1 as the published processor makes them: the rest is inside the archives
        "picture": {"width": geometry.resolution, "height": geometry.resolution,
                    "filter": "bilinear_antialias", "fit": "squash",
                    "mean": [0, 0, 0], "std": [1, 1, 1]},
        "video": [way for way in ways if way["file"] in files],
        "text": {"file": "text.pt", "vocab": "vocab.txt", "length": figures["text_length"]},
        "threshold": THRESHOLD,
        "self_check": figures,
    } | {name: figures[name] for name in ("operators",) if name in figures}


def prepare(variant, options):
    """The weights' folder, downloaded if asked for; {file: SHA-256} of what is in it."""
    facts, folder = VARIANTS[variant], options.weights.resolve()
    if options.download:
        try:
            hub.download(facts["repository"], facts["revision"], folder, PATTERNS, facts["sha256"])
        except hub.Failed as problem:
            raise SystemExit(str(problem)) from None
    if not (folder / "config.json").exists() or not (folder / "vocab.txt").exists():
        raise SystemExit(f"no weights in {folder} (config.json, vocab.txt, model*.safetensors, *.py):"
                         f" name the folder of {facts['repository']} with --weights DIR, or let "
                         "--download get it")
    return folder, digests(folder)


def packages(published, options, archives, figures):
    """[(what follows the package's name, archives, figures)] of all that is to be written."""
    from common import fp8
    from cosmos.network import Choices

    if options.dtype != "fp8":
        return [("", archives, figures)]
    if figures["way"]["video"] != "native":
        raise SystemExit("float8 is made of our own network, which the published code is not: leave out --dtype fp8")
    sizes = published.geometry
    halves = film.halves(options.calibrate, sizes.frames, sizes.resolution)
    return fp8.packages(archives, figures, *fp8_video(published, Choices.parse(figures["choices"]), halves))


def main(variant, arguments=None):
    options = parse(variant, arguments)
    folder, held = prepare(variant, options)
    sources = [*HERE.glob("*.py"), *HERE.parent.glob("r*.*")]
    made_from = package.fingerprint(sources, ["torch"])
    told = json.dumps([made_from, held, options.native, options.sampling, options.dtype,
                       film.told(options.calibrate)])
    made_from = hashlib.sha256(told.encode()).hexdigest()
    output = options.output.resolve()
    if package.is_current(output, made_from, options.dtype == "fp8"):
        return
    from common import fp8
    from cosmos import inputs

    published = load(variant, folder, options.any_size)
    ids, mask = inputs.texts(folder / "vocab.txt")
    given = {"clips": inputs.clips(published.geometry), "ids": ids, "mask": mask}
    with tempfile.TemporaryDirectory(prefix="cosmos-") as work:
        try:
            archives, figures = build(published, folder, given, options.native, Path(work))
        except environment.Failed as problem:
            raise SystemExit(f"{problem}\nWithout the published code, --native CHOICES exports our own "
                             "network unverified.") from None
        figures |= {"text_length": inputs.TEXT_LENGTH, "made_from": made_from}
        archives["vocab.txt"] = (folder / "vocab.txt").read_bytes()
        for suffix, files, told in packages(published, options, archives, figures):
            facts = manifest(variant, published.geometry, held, options.sampling, told, files)
            package.write(output.with_name(output.name + suffix), facts | {"name": facts["name"] + suffix}, files)
            print(fp8.said(output.name + suffix, told), end="")
    way = "unverified" if not figures["verified"] else figures["native_cosine"]
    print(f"wrote {output}: video {figures['way']['video']}, text {figures['way']['text']}; "
          f"{figures['choices']}: {way}; revision: {facts['revision']}")

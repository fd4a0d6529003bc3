"""A copy inside a longer video: python tests/recall/inside.py

    shots        the whole film is stored, cut by clip=shots; each of its shots is uploaded anew
    compilation  single clips are stored; uploaded is a film made of three of them, and of pictures
                 that are not stored
    segment      two neighbouring clips are stored as one file; uploaded is the second of them with
                 the one that follows: an episode with the same intro

What counts is that the right video is named, with the right relation, and the time in it to
TOLERANCE_S.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import corpus  # noqa: E402
import product  # noqa: E402
from study import RELATIONS  # noqa: E402

TOLERANCE_S = 0.2
TRANSFORMS = [("re-encode", "h264-crf28"), ("re-encode", "h264-crf36"), ("resize", "half"),
              ("trim", "middle-50%"), ("bars", "letterbox"), ("mirrored", "mirrored")]
STEP = 6  # a compilation starts at each so many clips


def report(name, relation, answers):
    """answers: [(verdict or None where another video is named, expected offset)]"""
    named = [v for v, _ in answers if v]
    related = [v for v in named if v["verdict"] == relation]
    right = [v and abs(v["offset_s"] - at_s) < TOLERANCE_S for v, at_s in answers]
    shares = [v["share"] for v in named] or [0]
    print(f"| {name} | {len(answers)} | {len(named) / len(answers):.2f} | "
          f"{relation} {len(related) / len(answers):.2f} | {sum(map(bool, right)) / len(answers):.2f} | "
          f"{np.percentile(shares, 10):.2f} / {np.median(shares):.2f} |", flush=True)


def ask(program, path, wanted):
    verdict, of, _ = program.ask(path, with_scores=False)
    return verdict if verdict["verdict"] in RELATIONS and of in wanted else None


def shots(program, _folder):
    """Of shots that the film shows twice, either place is right; those are left out by corpus."""
    film = corpus.make.real("film.mp4")
    job = program.server.upload(film, clip="shots", wait="false").json()
    done = program.server.wait_for_job(job["id"], 900)
    program.ids["film"] = done["video_id"]
    starts = {f"scene{round(start * 25):05d}": start for start, _ in corpus.shots()}
    clips = corpus.clips("film")
    for family, transform in TRANSFORMS:
        answers = []
        for name, clip in clips.items():
            path = corpus.copy("film", name, clip, family, transform)
            into = 0.25 * len(clip[0]) / 25 if transform == "middle-50%" else 0
            answers.append((ask(program, path, {"film"}), starts[name] + into))
        report(f"shots of the stored film, {transform}", "part_of", answers)
    program.remove("film")


def compilation(program, folder):
    clips = corpus.clips("film")
    names = list(clips)
    noise = corpus.test_source("mandelbrot=s=160x90:r=25", 4)[0]
    for codec, crf in (("h264-crf28", 28), ("h264-crf36", 36)):
        answers = []
        for i in range(0, len(names) - 2, STEP):
            members = names[i:i + 3]
            path = corpus.write(
                folder / f"{i}-{crf}.mp4",
                np.concatenate([noise, clips[members[0]][0], noise, clips[members[1]][0],
                                clips[members[2]][0], noise]), 25, corpus.x264(crf))
            n = [len(clips[m][0]) for m in members]
            begin = dict(zip(members, np.array([100, 200 + n[0], 200 + n[0] + n[1]]) / 25))
            for name in members:  # alone in the collection, so that it is the one to be named
                program.store(name, corpus.original("film", name, clips[name]))
                answers.append((ask(program, path, {name}), -begin[name]))
                program.remove(name)
        report(f"compilation with a stored clip, {codec}", "contains", answers)


def segment(program, folder):
    clips = corpus.clips("film")
    names = list(clips)
    for codec, crf in (("h264-crf28", 28), ("h264-crf36", 36)):
        answers = []
        for i in range(0, len(names) - 2, 2):
            own, shared, other = (clips[name][0] for name in names[i:i + 3])
            program.store("first", corpus.write(folder / f"first-{i}-{crf}.mp4", np.concatenate([own, shared]), 25,
                                                corpus.x264(18)))
            path = corpus.write(folder / f"second-{i}-{crf}.mp4", np.concatenate([shared, other]), 25,
                                corpus.x264(crf))
            answers.append((ask(program, path, {"first"}), len(own) / 25))
            program.remove("first")
        report(f"another video with one clip in common, {codec}", "shared_segment", answers)


PARTS = {"shots": shots, "compilation": compilation, "segment": segment}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=corpus.CACHE) as folder:
        packages = Path(folder) / "models"
        packages.symlink_to(product.PACKAGES)
        with product.Product(Path(folder) / "data", packages, [product.MODEL]) as program:
            print("| copies | n | named | relation right | offset right | share, 10 % / median |")
            print("|---" * 6 + "|", flush=True)
            for run in [PARTS[args.only]] if args.only else PARTS.values():
                run(program, Path(folder))


if __name__ == "__main__":
    main()

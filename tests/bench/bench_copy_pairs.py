"""How many copies the second look recognises once it has the right original, and how many pairs of other clips it takes
for related: ./dev bench copy-pairs

The clips and edits of copies_set.py, compared without a server and without searching, by the rules of src/verdict/second.c.
Each copy is also compared with other clips: first those of its group, which show the same place, then VIDX_OTHERS (6) of
the others in all. VIDX_SET=chosen takes the set by which rules may be chosen, instead of the one that is told;
VIDX_EDITS="logo;text band" some edits alone. What went wrong is told in one line each.
"""
import functools
import os
import time
from concurrent.futures import ProcessPoolExecutor

import av
import numpy as np
from copies_set import EDITS, copies_of, names_of, original_of

import evidence

SAME_FILM = {"bikes", "night-bikes"}  # one is a copy of the other


def group_of(clip):
    return "scene" if clip.startswith("scene") else clip.rsplit("-", 1)[0]


def others_of(clip, names, edit, n):
    """The clips of its group, then others that change from edit to edit, to n in all."""
    others = [other for other in names if other != clip and {other, clip} != SAME_FILM]
    same = [other for other in others if group_of(other) == group_of(clip)]
    rest = [other for other in others if other not in same]
    first = list(EDITS).index(edit) * n % len(rest)
    return same + (rest[first:] + rest[:first])[:max(0, n - len(same))] if n else []


def seconds_of(path):
    with av.open(str(path)) as film:
        return film.streams.video[0].frames / float(film.streams.video[0].average_rate)


class Opened:
    """The decoded windows of one copy and of originals, as the second look takes them."""

    def __init__(self):
        self.open = functools.cache(lambda path, seconds, fps: evidence.Video(path, evidence.Window(0, seconds, fps)))

    def pair(self, fresh, stored):
        """((video, its length in seconds) of both)"""
        of_new, of_stored = (evidence.Window(0, seconds_of(path)) for path in (fresh, stored))
        evidence.set_rates(of_new, of_stored)
        return [(self.open(path, window.end_s, window.fps), window.end_s)
                for path, window in ((fresh, of_new), (stored, of_stored))]


def ask_about(name, clip, edits, n_others):
    """[(edit, other clip, relation, milliseconds, evidence)]"""
    names, found, opened = names_of(name), [], Opened()
    for edit in edits:
        for other in [clip, *others_of(clip, names, edit, n_others)]:
            (fresh, new_s), (stored, stored_s) = opened.pair(copies_of(name, clip)[edit], original_of(name, other))
            start = time.thread_time()
            said = evidence.compare(fresh, stored, either_way=True, passage=True)
            ms = 1e3 * (time.thread_time() - start)
            found.append((edit, other, evidence.relation(said, new_s, stored_s), ms, str(said)))
    return found


def main(_rounds):
    name, n_others = os.environ.get("VIDX_SET", "told"), int(os.environ.get("VIDX_OTHERS", 6))
    edits = os.environ["VIDX_EDITS"].split(";") if "VIDX_EDITS" in os.environ else list(EDITS)
    names, right, wrong, times = names_of(name), {edit: [] for edit in edits}, [], {True: [], False: []}
    with ProcessPoolExecutor(2) as pool:
        answers = pool.map(ask_about, *zip(*((name, clip, edits, n_others) for clip in names)))
        for clip, found in zip(names, answers):
            for edit, other, relation, ms, said in found:
                times[other == clip].append(ms)
                if other == clip:
                    right[edit].append(relation == EDITS[edit][2])
                else:
                    wrong.append(relation != "new")
                if relation != (EDITS[edit][2] if other == clip else "new"):
                    print(f"{clip}, {edit}, beside {other}: {relation}; {said}", flush=True)
    print(f"| edit | right relation, of {len(names)} | wanted |\n|---|---|---|")
    for edit in edits:
        print(f"| {edit} | {np.mean(right[edit]):.2f} | {EDITS[edit][3]} |")
    print(f"all: {sum(map(sum, right.values()))} of {sum(map(len, right.values()))}; "
          f"other clips that are called related: {sum(wrong)} of {len(wrong)}")
    for own, ms in times.items():
        if ms:
            print(f"{'copies' if own else 'others'}, ms of one core, without decoding: median {np.median(ms):.0f}, "
                  f"a tenth over {np.percentile(ms, 90):.0f}, most {max(ms):.0f}")


if __name__ == "__main__":
    main(0)

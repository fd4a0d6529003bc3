"""How many edited copies are recognised, beside vPDQ and videohash2 in the same run: ./dev bench copies

The clips and edits are those of copies_set.py. By its first set the peers' thresholds are chosen, the lowest with
precision 0.9 and 0.99; vidx has its own, which are fixed. Those of vPDQ come out low (one frame of seventeen), for hashes
within 31 bits are rarely of another clip: that serves its recall. So vPDQ is also told by the rule that its authors publish
(ThreatExchange, extensions/vpdq: frames of quality 50 and better, within 31 bits, 80 % of those of the query). The second set is told. Each copy is asked about twice: with
its original stored, when the right answer names it, and with the original away, when the right answer is nothing,
though other takes of the same place are stored.

A run ends after VIDX_MINUTES (25) and tells what it knows; the next one goes on. Clips, hashes and answers are kept in
build/bench/copies, the answers for this build of vidx alone. The clips come in an order in which the first ones are of all
kinds. VIDX_CLIPS=N asks about N clips of each set, with all originals stored.

The peers are installed there too; vpdq is built, from Debian's libavdevice-dev and libavfilter-dev.
"""
import hashlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from copies_set import EDITS, FOLDER, PHOTOS, ROOT, copies_of, corpus, footage, kind_of, names_of, original_of, takes
from server import BINARY, Server

MODEL = "efficientnet-lite0"
RELATIONS = ("shared_segment", "contains", "part_of", "copy")  # the closest last
WANTED = (0.9, 0.99)
LOOKS = ["--evidence", "deep"]
PUBLISHED = "vpdq, published rule"


# ---- who is asked: each gives {(clip, edit, away): (score, clip that is named, relation)} ----

def relation_of(video):
    found = video["duplicate"]
    return found["verdict"] if found["verdict"] in RELATIONS else None


def store_half(server, half):
    """{id: clip}; the originals of every second clip are away. Nobody asks about the others' own verdicts, so they are
    stored without looks, by a server that then starts again with them."""
    names = {server.upload(original_of("told", clip)).json()["id"]: clip
             for i, clip in enumerate(names_of("told")) if i % 2 != half}
    server.stop()
    server.flags = LOOKS
    server.start()
    return names


def ask_about(clip, copies, server, names):
    answers = {}
    for edit, path in copies.items():
        video = server.upload(path, evidence="wait").json()
        found = video["duplicate"]
        if relation_of(video):
            answers[clip, edit, clip not in names.values()] = (
                RELATIONS.index(found["verdict"]) + found["share"], names.get(found["of"]), found["verdict"])
        assert server.delete(f"/v1/videos/{video['id']}").ok
    return answers


class Kept:
    """What this build of vidx answered, kept from run to run."""

    def __init__(self):
        with open(BINARY, "rb") as binary:
            build = hashlib.file_digest(binary, "sha256").hexdigest()[:16]
        self.path = FOLDER / f"answers-{build}.pickle"
        self.items = pickle.loads(self.path.read_bytes()) if self.path.exists() else {}

    def put(self, what, answers):
        self.items[what] = answers
        scratch = self.path.with_suffix(".new")
        scratch.write_bytes(pickle.dumps(self.items))
        scratch.replace(self.path)


class Asked:
    """Two servers, each of which lacks the originals of every second clip, are asked at a time: of copies that are
    uploaded at once each would see the other."""

    def __init__(self, servers):
        self.servers, self.pool, self.names = servers, ThreadPoolExecutor(2), None

    def about(self, clip):
        self.names = self.names or list(self.pool.map(store_half, self.servers, (0, 1)))
        copies = copies_of("told", clip)
        first, second = self.pool.map(ask_about, [clip] * 2, [copies] * 2, self.servers, self.names)
        return first | second


def ask_hashes(name, clips, hash_of, score):
    stored = {clip: hash_of(original_of(name, clip)) for clip in names_of(name)}
    answers = {}
    for clip in clips:
        for edit, path in copies_of(name, clip).items():
            own = hash_of(path)
            scores = {other: score(own, of) for other, of in stored.items()}
            for half in (0, 1):
                present = {other: scores[other] for k, other in enumerate(stored) if k % 2 != half}
                best = max(present, key=present.get)
                answers[clip, edit, clip not in present] = (present[best], best, "copy")
    return answers


PEERS = r'''
import pickle, sys
sys.path.insert(0, sys.argv[1])
clips = pickle.load(sys.stdin.buffer)
if sys.argv[2] == "vpdq":
    import vpdq
    def hash_of(path):
        return [f for f in vpdq.computeHash(str(path), seconds_per_hash=.5) if f.quality >= 50]
else:
    from videohash2 import VideoHash
    def hash_of(path):
        return VideoHash(path=str(path)).hash_hex
found = {}
for path in clips:
    try:
        h = hash_of(path)
        found[path] = [bytes.fromhex(f.hex) for f in h] if sys.argv[2] == "vpdq" else bytes.fromhex(h[2:].zfill(16))
    except Exception as error:  # a peer that cannot read a file does not name it
        print(path, error, file=sys.stderr)
        found[path] = None
sys.stdout.buffer.write(b"VIDX" + pickle.dumps(found))  # behind what the peers print
'''


def hashes(peer, paths):
    """{path: hashes}; kept beside the clips, for videohash2 takes a second a clip."""
    kept = FOLDER / f"{peer}.pickle"
    found = pickle.loads(kept.read_bytes()) if kept.exists() else {}
    missing = [path for path in paths if path not in found]
    for i in range(0, len(missing), 24):
        run = subprocess.run([sys.executable, "-c", PEERS, str(FOLDER / "peers"), peer],
                             input=pickle.dumps(missing[i:i + 24]), stdout=subprocess.PIPE, check=True)
        found |= pickle.loads(run.stdout[run.stdout.rindex(b"VIDX") + 4:])
        kept.write_bytes(pickle.dumps(found))
    return found


def bits(a, b):
    """Hamming distances [len(a), len(b)] of hashes of bytes."""
    x, y = (np.unpackbits(np.frombuffer(b"".join(h), np.uint8).reshape(len(h), -1), axis=1).astype(np.int32) for h in (a, b))
    return x.sum(1)[:, None] + y.sum(1)[None] - 2 * x @ y.T


def score_vpdq(a, b):
    """The larger share of the frames of either side that have a partner within 31 bits."""
    return max(share_vpdq(a, b), share_vpdq(b, a))


def share_vpdq(query, of):
    """The share of the query's frames that have a partner within 31 bits."""
    return (bits(query, of) <= 31).any(1).mean() if query and of else 0


def score_videohash(a, b):
    return 0 if a is None or b is None else 1 - bits([a], [b])[0, 0] / 64


def install_peers():
    target = FOLDER / "peers"
    if not target.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", target, "--no-deps", "vpdq", "videohash2",
                        "imagedominantcolour", "ImageHash", "yt-dlp", "PyWavelets", "scipy"], check=True)


# ---- figures ----

def judge(answers, clips, threshold=-1):
    """(right, wrong) lists of scores of what is named from the threshold on."""
    right, wrong = [], []
    for (clip, _, away), (score, named, _) in answers.items():
        if score >= threshold:
            (right if named == clip and not away else wrong).append(score)
    return right, wrong


def choose(answers, clips, wanted):
    best = np.inf
    for threshold in sorted({score for score, _, _ in answers.values()}, reverse=True):
        right, wrong = judge(answers, clips, threshold)
        if len(right) >= wanted * (len(right) + len(wrong)):
            best = threshold
    return best


def micro_ap(answers, clips):
    rows = sorted(((score, named == clip and not away) for (clip, _, away), (score, named, _) in answers.items()), reverse=True)
    hits, total = 0, 0.0
    for i, (_, right) in enumerate(rows, 1):
        hits += right
        total += right * hits / i
    return total / (len(clips) * len(EDITS))


def recall(answers, clips, edit, threshold=-1, relation=None):
    rows = [answers.get((clip, edit, False), (-2, None, None)) for clip in clips]
    return np.mean([score >= threshold and named == clip and relation in (None, kind)
                    for clip, (score, named, kind) in zip(clips, rows)])


def report(told, clips, thresholds):
    print("| edit | vidx: named | right relation | wanted | vpdq 0.9 / 0.99 | vpdq's rule | videohash2 0.9 / 0.99 |\n"
          "|---|---|---|---|---|---|---|")
    for edit, (_, _, relation, wanted) in EDITS.items():
        peers = [" / ".join(f"{recall(told[p], clips, edit, t):.2f}" for t in thresholds[p])
                 for p in ("vpdq", PUBLISHED, "videohash2")]
        print(f"| {edit} | {recall(told['vidx'], clips, edit):.2f} | "
              f"{recall(told['vidx'], clips, edit, relation=relation):.2f} | {wanted} | {' | '.join(peers)} |")
    for who, answers in told.items():
        for threshold in thresholds.get(who, [-1]):
            right, wrong = judge(answers, clips, threshold)
            print(f"{who}{'' if who == 'vidx' else f' from {threshold:.3f} on'}: precision "
                  f"{len(right) / max(1, len(right) + len(wrong)):.3f}, recall {len(right) / (len(clips) * len(EDITS)):.3f}")
        print(f"{who}: uAP {micro_ap(answers, clips):.3f}")


def report_kinds(answers, clips):
    print("| footage | clips | vidx: right relation | false alarms |\n|---|---|---|---|")
    for kind in sorted({kind_of(clip) for clip in clips}):
        some = [clip for clip in clips if kind_of(clip) == kind]
        found = np.mean([recall(answers, some, edit, relation=relation) for edit, (_, _, relation, _) in EDITS.items()])
        wrong = sum(clip in some and (away or named != clip) for (clip, _, away), (_, named, _) in answers.items())
        print(f"| {kind} | {len(some)} | {found:.2f} | {wrong} of {2 * len(some) * len(EDITS)} |")


def report_missed(answers, clips):
    """What went wrong, one line each, for whoever wants to make it better."""
    for edit, (_, _, relation, _) in EDITS.items():
        for clip in clips:
            _, named, kind = answers.get((clip, edit, False), (0, None, None))
            if (named, kind) != (clip, relation):
                print(f"missed: {edit}, {clip}: {kind} {named or ''}")
            if (clip, edit, True) in answers:
                print(f"false: {edit}, {clip}: {answers[clip, edit, True][1:]}")


# ---- what has no original and copy ----

def report_intros(server, folder):
    """Different clips behind the same intro: none may be refused."""
    intro = takes.take(70, 1, 4)
    clips = [clip for clip in footage("told").items() if not clip[0].startswith(("room", "night", "flat"))][::3]
    refused, verdicts = 0, []
    for name, (frames, rate) in clips:
        h, w = intro.shape[1:3]
        n = round(len(frames) / float(rate) * float(takes.RATE))
        body = corpus.scale(w / frames.shape[2], h / frames.shape[1])(frames, rate)[0]
        at = (np.arange(n) * float(rate) / float(takes.RATE)).astype(int).clip(0, len(frames) - 1)
        path = corpus.write(folder / f"intro-{name}.mp4", np.concatenate([intro, body[at]]), takes.RATE, corpus.x264(23))
        answer = server.upload(path, on_duplicate="reject")
        refused += answer.status_code == 409
        verdicts.append(relation_of(answer.json()))
    print(f"shared intro of 4 s: {len(clips)} clips, {refused} refused, verdicts {verdicts[1:]}")


def report_stills(server, folder):
    """Pictures that stand still, alone and one after the other: copies of them, and others of the same pictures."""
    pictures = [np.asarray(corpus.photo(name).resize((320, 180)))
                for name in (*PHOTOS["told"], "Blinds", "FreshFlower", "LadyBird")]
    shows = {f"still {i}": p[None].repeat(100, 0) for i, p in enumerate(pictures)}
    shows["slideshow"] = np.stack(pictures).repeat(50, 0)
    found = {}
    for name, frames in shows.items():
        path = corpus.write(folder / f"{name}.mp4", frames, takes.RATE, corpus.x264(18))
        video = server.upload(path, evidence="wait").json()
        for edit, change in (("re-encode", corpus.as_is), ("crop 20 %", corpus.crop(20))):
            copy = corpus.write(folder / f"{name}-copy.mp4", *change(frames, takes.RATE), corpus.x264(34))
            answer = server.upload(copy, evidence="wait").json()
            right = answer["duplicate"]["of"] == video["id"] and answer["duplicate"]["verdict"] == "copy"
            found.setdefault((name.split()[0], edit), []).append(right)
            assert server.delete(f"/v1/videos/{answer['id']}").ok
        if name.startswith("still"):
            assert server.delete(f"/v1/videos/{video['id']}").ok
    other = corpus.write(folder / "another-order.mp4", shows["slideshow"][::-1], takes.RATE, corpus.x264(23))
    print("; ".join(f"{kind}, {edit}: {sum(right)} of {len(right)}" for (kind, edit), right in found.items()),
          "; the slides in another order:", server.upload(other, evidence="wait").json()["duplicate"]["verdict"])


HASHERS = ("vpdq", "videohash2")
PEERS_ASKED = {"vpdq": score_vpdq, PUBLISHED: share_vpdq, "videohash2": score_videohash}


def hash_all(name, clips):
    """{peer: {path: hashes}} of all originals, and of the copies of these clips."""
    paths = [original_of(name, clip) for clip in names_of(name)]
    paths += [path for clip in clips for path in copies_of(name, clip).values()]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(HASHERS, pool.map(hashes, HASHERS, [paths] * 2)))


def ask_peers(name, clips):
    """{peer: answers}"""
    found = hash_all(name, clips)
    return {peer: ask_hashes(name, clips, found[peer.split(",")[0]].get, score) for peer, score in PEERS_ASKED.items()}


def report_all(answers):
    """The tables of the clips about which vidx was asked, {clip: its answers}."""
    clips, chosen = list(answers), names_of("chosen")[:len(answers)]
    print(f"{len(clips)} of {len(names_of('told'))} clips told, {len(chosen)} to choose by; {len(EDITS)} edits of each", flush=True)
    vidx = {question: answer for of_clip in answers.values() for question, answer in of_clip.items()}
    peers = ask_peers("chosen", chosen)
    thresholds = {PUBLISHED: [0.8]} | {peer: [choose(peers[peer], chosen, wanted) for wanted in WANTED] for peer in HASHERS}
    report({"vidx": vidx} | ask_peers("told", clips), clips, thresholds)
    report_kinds(vidx, clips)
    report_missed(vidx, clips)


def main(_rounds):
    FOLDER.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * float(os.environ.get("VIDX_MINUTES", 25))
    most = int(os.environ.get("VIDX_CLIPS", 0)) or None
    install_peers()
    kept, answers = Kept(), {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=FOLDER)))
        first, second, empty = (
            stack.enter_context(Server(folder / f"data-{i}", ROOT / "build/models", model=MODEL, flags=flags))
            for i, flags in enumerate((["--evidence", "off"], ["--evidence", "off"], LOOKS)))
        asked = Asked((first, second))
        for clip, to_choose_by in list(zip(names_of("told"), names_of("chosen")))[:most]:
            if time.monotonic() > deadline:
                break
            start = time.monotonic()
            if clip not in kept.items:
                kept.put(clip, asked.about(clip))
            hash_all("told", [clip])
            hash_all("chosen", [to_choose_by])
            answers[clip] = kept.items[clip]
            print(f"{clip}: {time.monotonic() - start:.0f} s", flush=True)
        report_all(answers)
        if time.monotonic() < deadline:
            report_intros(empty, folder)
            report_stills(empty, folder)


if __name__ == "__main__":
    main(0)

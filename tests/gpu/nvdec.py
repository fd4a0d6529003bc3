"""NVDEC's pictures against those of FFmpeg's CPU decoders, on a machine with a card.

    nvdec.py make DIR             where PyAV is: makes the clips and expected.json, the MD5 of each picture
    nvdec.py check PROGRAM DIR [NAME…]   where a card is: needs tests/gpu/nvdec_check and Python alone

The clips are those of tests/samples, larger (NVDEC decodes HEVC from 144 x 144 on), and some of its own.
H.264, HEVC and VP9 must be equal to the bit. What goes to the CPU instead must do so for the expected
reason.
"""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

KINDS = ("h264", "hevc", "vp9", "av1", "mpeg2", "mpeg4")
# Clips that go to the CPU, and why; with None they may be decoded as well.
REFUSED = {
    "h264_10bit.mp4": ("bit_depth", None), "h264_444.mkv": ("chroma",),
    "av1.mp4": ("codec", None), "av1.webm": ("codec", None), "av1.mkv": ("codec", None),
    "h264_resized.ts": ("stream",),
    # Without timestamps: pictures are known by their order alone.
    "h264.avi": ("stream",), "h264_no_b.avi": ("stream",),
    "h264_broken.mp4": ("damaged",), "h264_flipped.mp4": ("damaged",),
    "hevc_flipped.mp4": ("damaged",),
    # nvdec_check asks NVDEC itself, without the look at the first picture that tells the brightness.
    "hevc_pq.mp4": ("hdr",),
}


def add_own_clips(make):
    """Registers with make.py what tests/samples does not have."""
    hd = {"size": (1920, 1080), "n": 45}
    pyramid = make.x264(keyint=20, min_keyint=20, scenecut=0, bframes=7, b_adapt=0, ref=5)
    make.add("h264_1080p.mp4", "libx264", options=pyramid, **hd)
    make.add("hevc_1080p.mp4", "libx265", options=make.x265(keyint=20, bframes=4), **hd)
    make.add("hevc_1080p_10bit.mp4", "libx265", options=make.x265(keyint=20, bframes=4),
             pix_fmt="yuv420p10le", **hd)
    for name, transfer in (("hlg", 18), ("pq", 16)):
        options = make.x265(keyint=20, bframes=4)
        options["x265-params"] += f":colorprim=9:transfer={transfer}:colormatrix=9:max-cll=1500,400"
        make.add(f"hevc_{name}.mp4", "libx265", options=options, pix_fmt="yuv420p10le")
    make.add("hevc_slices.mp4", "libx265", options=make.x265(keyint=30, slices=3))
    make.add("hevc_odd_size.mp4", "libx265", size=(330, 250), options=make.x265(keyint=30))
    vp9 = {"g": "30", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8", "crf": "45"}
    make.add("vp9_1080p.webm", "libvpx-vp9", options=vp9 | {"tile-columns": "2"}, **hd)
    make.add("vp9_odd_size.webm", "libvpx-vp9", size=(321, 243), options=vp9)
    make.add("vp9_10bit.webm", "libvpx-vp9", pix_fmt="yuv420p10le", options=vp9)
    make.add("h264_upright.mp4", "libx264", size=(270, 480), options=make.x264(keyint=30))

    @make.derived
    def h264_resized_ts(path):
        """Two recordings of different size one after the other."""
        make.encode(path.with_suffix(".2.ts"), "libx264", size=(400, 304), format="mpegts",
                    options=make.x264(keyint=30))
        second = path.with_suffix(".2.ts")
        path.write_bytes(make.sample("h264_open.ts").read_bytes() + second.read_bytes())
        second.unlink()

    def damaged(name, source, change):
        """The clip with the data of its 40th picture changed; a picture that others refer to."""
        def one(number, packet):
            if number != 40:
                return [packet]
            broken = make.av.Packet(change(bytearray(bytes(packet))))
            broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
            return [broken]
        make.SAMPLES[name] = lambda path: make.remux(make.sample(source), path, one)

    def flip(data):
        for at in range(len(data) // 2, len(data)):
            data[at] ^= 0x55
        return bytes(data)

    damaged("h264_broken.mp4", "h264_no_b.mp4", lambda d: bytes(d[:5]) + b"\xff" * (len(d) - 5))
    damaged("h264_flipped.mp4", "h264_no_b.mp4", flip)
    damaged("hevc_flipped.mp4", "hevc_open.mp4", flip)


def make_clips(folder):
    sys.path[:0] = [str(TESTS / "samples"), str(TESTS / "media"), str(TESTS)]
    import make

    plain = make.encode
    make.encode = lambda path, codec, **k: plain(path, codec, **({"size": (320, 240)} | k))
    make.CACHE = folder
    folder.mkdir(parents=True, exist_ok=True)
    add_own_clips(make)
    from media_dump import decode_all

    known = folder / "expected.json"
    expected = json.loads(known.read_text()) if known.exists() else {}
    for name in make.SAMPLES:
        if name.startswith(KINDS) and name not in expected:
            try:
                path = make.sample(name)
            except make.av.error.ArgumentError:  # PyAV's libvpx may have 8 bits only
                print(name, "cannot be encoded here", flush=True)
                continue
            skips = name in REFUSED or name.startswith("mpeg")
            expected[name] = [] if skips else [h for _, h in decode_all(path)]
            print(name, len(expected[name]), flush=True)
    known.write_text(json.dumps(expected, separators=(",", ":")))


def wanted_sets(name, n):
    rng = random.Random(hashlib.md5(name.encode()).hexdigest())
    for size in (5, 15):
        yield ",".join(map(str, sorted(rng.sample(range(n), max(1, n // size))))) + ","
    yield "2"
    yield "all"


def judge(got, expected):
    """(verdict, text); the verdict is "ok", "refused" or "WRONG"."""
    name = Path(got["file"]).name
    allowed = ("codec", "stream") if name.startswith("mpeg") else REFUSED.get(name, (None,))
    if allowed == ("damaged",) and got["wanted"] != "all":
        allowed = ("damaged", None)  # what is damaged may not be needed
    if got["rc"] != 0:
        right = got["reason"] in allowed
        return "refused" if right else "WRONG", f"refused: {got['reason']}: {got.get('error')}"
    pictures = got["pictures"]
    if None not in allowed:
        return "WRONG", f"decoded, but should be refused: {allowed[0]}"
    n_requested = sum(p[2] for p in pictures)
    if n_requested != got["n_wanted"] or got["twice"]:
        return "WRONG", f"{n_requested} of {got['n_wanted']} pictures, {got['twice']} came twice"
    if got["other_colours"]:
        return "WRONG", f"other colours than the CPU: matrix {got['matrix']}, transfer {got['transfer']}, full {got['full']}"
    if not expected:
        return "ok", "no expectation"
    wrong = [p[0] for p in pictures if p[1] != expected[p[0]]]
    if wrong:
        return "WRONG", f"{len(wrong)} of {len(pictures)} pictures differ: {wrong[:8]}"
    return "ok", f"{len(pictures)} pictures equal, fed {got['n_fed']} of {got['n_packets']} in {got['n_parts']} parts"


def check(program, folder, names):
    expected = json.loads((folder / "expected.json").read_text())
    expected = {name: hashes for name, hashes in expected.items() if name in names or not names}
    lines = [f"{folder / name} {wanted}" for name, hashes in expected.items()
             for wanted in wanted_sets(name, len(hashes) or 60)]
    run = subprocess.run([program, "dump"], input="\n".join(lines) + "\n", stdout=subprocess.PIPE,
                         text=True, timeout=500)
    verdicts = {}
    for line in run.stdout.splitlines():
        got = json.loads(line)
        name = Path(got["file"]).name
        verdict, text = judge(got, expected[name])
        verdicts.setdefault(name, []).append(verdict)
        if verdict == "WRONG" or got["wanted"] == "all":
            print(f"{verdict:8} {name:26} {got['wanted'][:12]:12} {text}", flush=True)
    missing = set(expected) - set(verdicts)
    n_wrong = sum("WRONG" in v for v in verdicts.values()) + len(missing)
    print(f"tests/gpu/nvdec: {len(verdicts)} clips, {n_wrong} wrong, status {run.returncode}, "
          f"missing {sorted(missing)}")
    return 77 if run.returncode == 77 else int(n_wrong > 0 or run.returncode != 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"] and len(sys.argv) == 3:
        make_clips(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["check"] and len(sys.argv) >= 4:
        sys.exit(check(sys.argv[2], Path(sys.argv[3]), sys.argv[4:]))
    else:
        sys.exit(__doc__)

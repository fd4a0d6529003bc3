"""Writes tests/fuzz/media: the smallest clips of each container and codec, to mutate from.

Run it only to add a kind; the files are kept in the repository so that a replay needs no encoder.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "samples"))
from make import encode, remux, x264, x265  # noqa: E402

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
SEEDS = {
    "h264.mp4": ("libx264", {"options": x264(keyint=4, open_gop=1, info=0)}),
    "h264_fragmented.mp4": ("libx264", {"options": x264(keyint=4),
                                        "container_options": FRAGMENTED}),
    "h264.ts": ("libx264", {"options": x264(keyint=4), "n": 5}),
    "hevc.mkv": ("libx265", {"options": x265(keyint=4), "n": 5}),
    "vp8.webm": ("libvpx", {"options": {"g": "4", "lag-in-frames": "4"}}),
    "vp9.webm": ("libvpx-vp9", {"options": {"g": "4", "lag-in-frames": "4"}}),
    "mpeg4.avi": ("mpeg4", {"options": {"g": "4", "bf": "1"}, "n": 5}),
    "mpeg2.mpg": ("mpeg2video", {"options": {"g": "4"}, "n": 5}),
    "mjpeg.mov": ("mjpeg", {"pix_fmt": "yuvj420p", "n": 2}),
    "flv1.flv": ("flv", {"options": {"g": "4"}, "n": 5}),
}

if __name__ == "__main__":
    folder = HERE / "media"
    folder.mkdir(exist_ok=True)
    for name, (codec, keywords) in SEEDS.items():
        encode(folder / name, codec, **{"size": (32, 32), "n": 8, "rate": 10, **keywords})

    def back(_, packet):
        ticks = int(0.35 / packet.time_base)
        packet.pts -= ticks
        packet.dts -= ticks
        return [packet]

    remux(folder / "h264.mp4", folder / "edit_list.mp4", back,
          options={"avoid_negative_ts": "disabled"})
    files = list(folder.iterdir())
    total = sum(f.stat().st_size for f in files)
    print(f"{len(files)} seeds, {total} bytes")

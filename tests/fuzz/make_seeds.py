"""Writes what the fuzzers start from: for each target a folder with one small input of each kind.

Run it only to add a kind; the files are kept in the repository so that a replay needs no encoder.
Findings are kept beside them under names of their own.
"""

import base64
import hashlib
import io
import json
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

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

MANIFEST = {
    "format": 1, "name": "m", "source": "s", "revision": "r", "license": "l", "dim": 8, "metric": "cosine",
    "files": {name: "0" * 64 for name in ("video.pt", "text.pt", "vocab.txt")},
    "frames": {"count": 8, "fps": 2.0, "sampling": "spread"},
    "picture": {"width": 32, "height": 32, "filter": "bilinear_antialias", "fit": "squash",
                "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    "video": [{"file": "video.pt", "device": "cuda", "dtype": "bf16", "max_batch": 4,
               "memory_bytes": 1 << 30, "needs_amx": False, "slow": True},
              {"file": "video.pt", "device": "cpu", "dtype": "fp32", "max_batch": 1}],
    "text": {"file": "text.pt", "vocab": "vocab.txt", "length": 64, "quality": "coarse"},
    "threshold": {"similar": 0.9, "measured": "how"},
}
SHOTS = {
    "format": 1, "kind": "shots", "name": "transnetv2", "source": "s", "license": "l",
    "files": {"empty.pt": hashlib.sha256().hexdigest()},  # fuzz_manifest.c puts it there
    "shots": [{"file": "empty.pt", "device": "cpu", "dtype": "fp32", "max_batch": 2,
               "memory_bytes": 0, "needs_amx": True}],
}


def jpeg(mode, **options):
    out = io.BytesIO()
    ramp = Image.linear_gradient("L").resize((24, 17))
    Image.merge("RGB", (ramp, ramp.rotate(180), ramp)).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def inputs():
    picture = base64.b64encode(jpeg("L", quality=5)).decode()
    return {
        "text": "a dog on a beach",
        "video": f"data:video/mp4;base64,{picture}",
        "video_url": "data:video/mp4;presigned_url,https://example.org/a,b.mp4?x=1",
        "pictures": "data:video_frames/jpg;base64," + ",".join(["QQ==", "QUI=", "QUJD"] * 2 + ["/+8=", "AAAA"]),
        "picture_urls": "data:video_frames/jpeg;presigned_url," + ",".join(["https://example.org/a,b"] * 8),
    }


def forms():
    """The first byte is the size of the pieces."""
    head = "Content-Disposition: form-data; name="
    return {
        "browser": f'\x06--XX\r\n{head}"k"\r\n\r\n5\r\n--XX\r\n{head}"file"; filename="a\\"b%22.mp4"\r\n'
                   "Content-Type: video/mp4\r\n\r\n\r\n--XY\r\n--X\r\n--XX--\r\n",
        "unquoted": f"\x01--XX\r\n{head}file; filename=a; FileName*=utf-8''%E6%97%A5\r\n\r\n\r\n--XX--",
        "newlines": f"\x03text\n--XX \t\n{head}a;\n filename*=iso-8859-1''%E9\n\nx\r\n--XX\n{head}b\n\n--XX--\nmore",
        "stopped": f"\x08--XX\r\n{head}stop\r\n\r\nx\r\n--XX--",
        "not_closed": f'\x02--XX\r\n{head}"a\r\n\r\nx\r\n--XX--',
    }


def parquets():
    rows = pa.table({"embedding": pa.array([[0.5, -0.5], None, [], [1.0, 2.0], [0.5, None]], pa.list_(pa.float32())),
                     "text": ["a", None, "", "a", "b"], "real": pa.array([1, None, 3, 1, 1], pa.int32())})

    def written(**options):
        out = io.BytesIO()
        pq.write_table(rows, out, **{"store_schema": False, "compression": "none", **options})
        return out.getvalue()

    return {"dictionary": written(), "plain": written(use_dictionary=False, write_statistics=False), "snappy": written(compression="snappy"),
            "zstd": written(compression="zstd", data_page_version="2.0"), "gzip": written(compression="gzip", row_group_size=2),
            "split": written(use_dictionary=False, use_byte_stream_split=["embedding.list.element"])}


def imports():
    """The two bytes before the files: fuzz_import.c."""
    vectors = np.array([[1, 0], [0.6, 0.8], [0.8, -0.6]], np.float32)
    flat, mapped = faiss.IndexFlatIP(2), faiss.IndexIDMap(faiss.IndexFlatIP(2))
    flat.add(vectors)
    mapped.add_with_ids(vectors, np.array([7, 8, 9]))
    npy, table = io.BytesIO(), io.BytesIO()
    np.save(npy, vectors)
    pq.write_table(pa.table({"id": ["a", "b", "c"], "embedding": list(vectors), "metadata": ["{}", None, '{"a": 1}'],
                             "start_s": [0.0, 1.0, None]}), table, compression="snappy")
    facts = [{"video_id": "f", "start_s": i, "end_s": i + 1, "filename": "f.mp4", "metadata": {"n": i}} for i in range(3)]
    lines = "".join(json.dumps(line) + "\n" for line in facts).encode()
    own = "".join(json.dumps({"embedding": row, "sha256": "0a" * 32, "duration_s": 9, "frames": "exact"}) + "\n"
                  for row in vectors.tolist()).encode()
    npy = npy.getvalue()
    return {"faiss": b"\0\0" + faiss.serialize_index(flat).tobytes(), "idmap": b"\0\0" + faiss.serialize_index(mapped).tobytes(),
            "npy": b"\1\0" + npy, "lines": b"\0\0" + own, "table": b"\0\0" + table.getvalue(),
            "two": bytes([2, len(npy)]) + npy + lines}


# Targets whose inputs are text or need no encoder: file name -> content.
PLAIN = {
    "manifest": {"model": json.dumps(MANIFEST), "shots": json.dumps(SHOTS)},
    "jpeg": {"grey": jpeg("L"), "colour": jpeg("RGB", subsampling=2), "progressive": jpeg("RGB", progressive=True),
             "cmyk": jpeg("CMYK"), "restarts": jpeg("RGB", subsampling=0, restart_marker_blocks=1)},
    "input": inputs(),
    "clip": {"whole": "whole", "auto": "auto", "fixed": "fixed:10,2.5,1", "shots": "shots:0.5,2,30",
             "curator": "shots-curator:0.4,2,10,0.5", "minimum_over_length": "fixed:5,5,10"},
    "request": {"query": "/v1/x?a=12&b=1.5e3&c=%C3%A9+%20&wait=false", "twice": "/?a=1&a=2",
                "body": '{"a": 7, "b": -0.5, "c": "\\u00e9\\ud83d\\ude00", "vector": [1, 2.5, -3e2]}',
                "deep": "[" * 70, "not_utf8": b"/?c=%ff\xff\xc0\x80"},
    "form": forms(),
    "parquet": parquets(),
    "import": imports(),
}

if __name__ == "__main__":
    for target, seeds in PLAIN.items():
        (HERE / target).mkdir(exist_ok=True)
        for name, content in seeds.items():
            (HERE / target / name).write_bytes(content if isinstance(content, bytes) else content.encode())
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

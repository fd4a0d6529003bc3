"""The output tree of NeMo Curator's fixed-stride pipeline, written again in Python.

It follows FixedStrideExtractorStage, split_by_chunk_size, ClipWriterStage and extract_video_metadata
step by step, with the libraries they use (pandas, pyarrow, pickle), on vectors that are given. Only
ffprobe is replaced, by the same numbers through PyAV, and no clip is transcoded (so that a clip has
no buffer, and with it no measures of its own).
"""

import io
import json
import pathlib
import pickle
import uuid

import av
import numpy as np
import pandas as pd

FOLDERS = ("metas", "processed_videos", "processed_clip_chunks")


def metadata(path):
    with av.open(str(path)) as container:
        video = container.streams.video[-1]
        if video.duration is not None:
            duration = float(f"{float(video.duration * video.time_base):.6f}")
        else:
            duration = float(f"{container.duration / av.time_base:.6f}")
        rate = video.average_rate
        fps = rate.numerator / rate.denominator
        audio = container.streams.audio
        return {"height": video.codec_context.height, "width": video.codec_context.width,
                "framerate": fps, "num_frames": int(duration * fps), "duration": duration,
                "video_codec": video.codec_context.name, "pixel_format": video.codec_context.pix_fmt,
                "audio_format": audio[-1].codec_context.name if audio else None}


def clip_measures(path):
    """What Clip.extract_metadata says of a clip's file."""
    meta = metadata(path)
    keys = ("width", "height", "framerate", "num_frames", "video_codec")
    return {key: meta[key] for key in keys} | {"num_bytes": path.stat().st_size}


def spans(meta, length, stride, minimum):
    duration = meta["num_frames"] / meta["framerate"]
    start, found = 0.0, []
    while start < duration:
        end = min(start + length, duration)
        if end - start >= minimum:
            found.append((start, end))
        start += stride
    return found


def clip_uuid(path, span, fps):
    first, last = int(span[0] * fps), int(span[1] * fps)
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{path}_{first}_{last}")


def chunks(found, size=32 * 8):
    out, count = [], 0
    for span in found:
        out.append(span)
        count += int(span[1] - span[0])
        if count >= size:
            yield out
            out, count = [], 0
    if out:
        yield out


class Writer:
    def __init__(self, output, root, prefix, dtype):
        """output: where the files go; root: the output path that the files name."""
        self.output, self.root = pathlib.Path(output), pathlib.Path(root)
        self.prefix, self.dtype = prefix, dtype

    def write(self, name, data):
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data, indent=4).encode())

    def clip(self, path, meta, span, vector):
        name = clip_uuid(path, span, meta["framerate"])
        embedding = vector.astype(self.dtype)[None]
        self.write(f"{self.prefix}_embd/{name}.pickle", pickle.dumps(embedding, protocol=4))
        self.write(f"metas/v0/{name}.json", {
            "span_uuid": str(name), "source_video": str(path), "duration_span": list(span),
            "width_source": meta["width"], "height_source": meta["height"],
            "framerate_source": meta["framerate"],
            "clip_location": str(self.root / "clips" / f"{name}.mp4"), "windows": [],
            "valid": False})
        return {"id": str(name), "embedding": embedding.reshape(-1).tolist()}

    def chunk(self, path, relative, index, rows, found):
        buffer = io.BytesIO()
        pd.DataFrame(rows).to_parquet(buffer, index=False)
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{path}_{index}")
        self.write(f"{self.prefix}_embd_parquet/{name}.parquet", buffer.getvalue())
        ids = [row["id"] for row in rows]
        total = 0.0
        for start, end in found:
            total += end - start
        self.write(f"processed_clip_chunks/{relative}_{index}.json", {
            "video": str(path), "clip_chunk_index": index, "num_clips_filtered_by_motion": 0,
            "num_clips_filtered_by_aesthetic": 0, "num_clips_passed": len(rows),
            "num_clips_transcoded": 0, "num_clips_with_embeddings": len(rows),
            "num_clips_with_caption": 0, "num_clips_with_webp": 0, "total_clip_duration": total,
            "max_clip_duration": max(end - start for start, end in found), "clips": ids,
            "filtered_clips": [], "all_windows": {i: {} for i in ids},
            "all_windows_enhanced_caption": {i: {} for i in ids}})

    def video(self, path, relative, rule, vector_of):
        """vector_of(relative path, number of the clip) is its float32 vector."""
        meta = metadata(path)
        found = spans(meta, *rule)
        parts, at = list(chunks(found)), 0
        for index, part in enumerate(parts):
            rows = [self.clip(path, meta, span, vector_of(relative, at + i))
                    for i, span in enumerate(part)]
            at += len(part)
            self.chunk(path, relative, index, rows, part)
        self.write(f"processed_videos/{relative}.json", {
            "video": str(path), **meta, "num_total_clips": len(found),
            "num_clip_chunks": len(parts)})


def nearest_kept(vectors, rank):
    """[(of, score)] per vector by the greedy rule: of is the nearest kept before, in rank order."""
    def decide(threshold):
        kept, found = [], {}
        for i in rank:
            scores = vectors[kept].astype(np.float64) @ vectors[i].astype(np.float64)
            best = int(scores.argmax()) if len(kept) else -1
            has = best >= 0 and scores[best] >= 0
            found[i] = (kept[best], scores[best]) if has else (i, 0.0)
            if not has or scores[best] < threshold:
                kept.append(i)
        return found

    return decide

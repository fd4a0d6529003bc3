"""Makes a checkpoint laid out as the published one of InternVideo2, with random weights.

    build/venv/bin/python tests/exporters/internvideo2_checkpoint.py FILE [full]

writes a small network's, or, with `full`, the published sizes' (2.8 GB). Names and shapes were
written down from the published definition, apart from those in models/internvideo2-1b.
"""
import sys
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import torch


@dataclass(frozen=True)
class Sizes:
    frames: int = 4
    size: int = 224
    patch: int = 14
    width: int = 1408
    depth: int = 40
    inner: int = 6144
    pooled: int = 768
    dim: int = 512
    decoders: int = 6
    decoded: int = 3200
    words: int = 30522
    positions: int = 512
    text_width: int = 1024
    text_depth: int = 24
    first_mixed: int = 19  # the first text layer with cross-attention
    text_inner: int = 4096


FULL = Sizes()
SMALL = Sizes(size=56, width=176, depth=3, inner=300, pooled=40, dim=32, decoders=2, decoded=48,
              text_width=128, text_depth=4, first_mixed=3, text_inner=200)
SMALL_FP8 = replace(SMALL, inner=304)  # products in float8 take multiples of 16


def linear(name, n_in, n_out, bias=True):
    return {f"{name}.weight": [n_out, n_in]} | ({f"{name}.bias": [n_out]} if bias else {})


def norm(name, width):
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def block(name, s):
    return ({f"{name}.norm1.weight": [s.width]} | linear(f"{name}.attn.qkv", s.width, 3 * s.width, False)
            | linear(f"{name}.attn.proj", s.width, s.width) | {f"{name}.attn.q_norm.weight": [s.width]}
            | {f"{name}.attn.k_norm.weight": [s.width], f"{name}.ls1.gamma": [s.width]}
            | {f"{name}.norm2.weight": [s.width]} | linear(f"{name}.mlp.fc1", s.width, s.inner)
            | linear(f"{name}.mlp.fc2", s.inner, s.width) | {f"{name}.ls2.gamma": [s.width]})


def vision(s):
    n, at = (s.size // s.patch) ** 2, "vision_encoder"
    rows = {"pos_embed": s.frames * n, "img_pos_embed": n, "clip_pos_embed": s.frames * n,
            "clip_img_pos_embed": n}
    shapes = {f"{at}.cls_token": [1, 1, s.width]}
    shapes |= {f"{at}.{name}": [1, 1 + count, s.width] for name, count in rows.items()}
    shapes |= {f"{at}.patch_embed.proj.weight": [s.width, 3, 1, s.patch, s.patch],
               f"{at}.patch_embed.proj.bias": [s.width]}
    for i in range(s.depth):
        shapes |= block(f"{at}.blocks.{i}", s)
    for which in "qkv":
        shapes |= norm(f"{at}.clip_projector.norm1_{which}", s.width)
        shapes[f"{at}.clip_projector.cross_attn.{which}_bias"] = [s.width]
        shapes |= linear(f"{at}.clip_projector.cross_attn.{which}", s.width, s.width, False)
    shapes |= linear(f"{at}.clip_projector.cross_attn.proj", s.width, s.pooled)
    for i in range(s.decoders):
        shapes |= linear(f"{at}.clip_decoder.{i}.head", s.width, s.decoded)
        shapes |= norm(f"{at}.clip_decoder.{i}.norm", s.decoded)
    return (shapes | linear(f"{at}.final_clip_decoder.head", s.pooled, s.pooled)
            | norm(f"{at}.final_clip_decoder.norm", s.pooled))


def attention(name, width, key_width):
    return (linear(f"{name}.self.query", width, width) | linear(f"{name}.self.key", key_width, width)
            | linear(f"{name}.self.value", key_width, width)
            | linear(f"{name}.output.dense", width, width) | norm(f"{name}.output.LayerNorm", width))


def text(s):
    at, w = "text_encoder.bert", s.text_width
    shapes = {f"{at}.embeddings.word_embeddings.weight": [s.words, w],
              f"{at}.embeddings.position_embeddings.weight": [s.positions, w],
              f"{at}.embeddings.token_type_embeddings.weight": [2, w],
              f"{at}.embeddings.position_ids": [1, s.positions]}
    shapes |= norm(f"{at}.embeddings.LayerNorm", w)
    for i in range(s.text_depth):
        layer = f"{at}.encoder.layer.{i}"
        shapes |= attention(f"{layer}.attention", w, w)
        if i >= s.first_mixed:
            shapes |= attention(f"{layer}.crossattention", w, s.width)
        shapes |= linear(f"{layer}.intermediate.dense", w, s.text_inner)
        shapes |= linear(f"{layer}.output.dense", s.text_inner, w) | norm(f"{layer}.output.LayerNorm", w)
    head = "text_encoder.cls.predictions"
    shapes |= {f"{head}.bias": [s.words]} | linear(f"{head}.transform.dense", w, w)
    return (shapes | norm(f"{head}.transform.LayerNorm", w)
            | {f"{head}.decoder.weight": [s.words, w], f"{head}.decoder.bias": [s.words]})


# Two names for one tensor, as the published network ties them.
TIED = {"text_encoder.cls.predictions.decoder.weight":
        "text_encoder.bert.embeddings.word_embeddings.weight",
        "text_encoder.cls.predictions.decoder.bias": "text_encoder.cls.predictions.bias"}


def shapes_of(s):
    """{name: shape} of everything that the published file holds."""
    return (vision(s) | text(s) | linear("vision_proj", s.pooled, s.dim)
            | linear("text_proj", s.text_width, s.dim) | linear("itm_head", s.text_width, 2)
            | {"temp": []})


def random_tensor(name, shape, generator):
    """Of a size that keeps every part of the network audible in the result, in bfloat16."""
    if name.endswith("position_ids"):
        return torch.arange(shape[1]).view(1, -1)
    tensor = torch.randn(shape, generator=generator)
    if "norm" in name.lower() and name.endswith("weight"):
        tensor = 1 + tensor / 5
    elif name.endswith("gamma"):
        tensor = 0.4 + tensor / 5
    elif name.endswith("bias") or "embed" in name and len(shape) == 3:
        tensor = tensor / 5
    elif name.endswith("weight") and "embeddings" not in name:
        tensor = tensor / tensor[0].numel() ** 0.5
    return tensor.bfloat16()


def state_dict(s, seed=0):
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    state = OrderedDict()
    for name, shape in shapes_of(s).items():
        state[name] = state[TIED[name]] if name in TIED else random_tensor(name, shape, generator)
    return state


def write(path, s, seed=0, key="module"):
    """As DeepSpeed saves: the state dict among other things, of which one is a set."""
    torch.save({key: state_dict(s, seed), "ds_config": {}, "skipped": set(), "step": 7}, path)


if __name__ == "__main__":
    write(Path(sys.argv[1]), FULL if sys.argv[2:] == ["full"] else SMALL)

"""Reading the published checkpoint: a PyTorch file with one state dict of both towers.

Every tensor is either needed or on the list of those that are not, and every one needed is there
with the shape that the others imply: a file that is anything else is refused, by name.
"""
import re

import torch
from network import Geometry

# What a checkpoint holds beside the towers, and why it is left out. Text layers from the first with
# cross-attention on are left out as well: they mix text with video, and no embedding runs them.
UNUSED = {
    r"vision_encoder\.img_pos_embed": "positions of a single picture",
    r"vision_encoder\.clip(_img)?_pos_embed": "of the decoders below",
    r"vision_encoder\.clip_decoder\.\d+\.(head|norm)\.(weight|bias)": "training: imitates CLIP",
    r"vision_encoder\.final_clip_decoder\.(head|norm)\.(weight|bias)": "training: imitates CLIP",
    r"text_encoder\.bert\.embeddings\.position_ids": "0, 1, 2 …",
    r"text_encoder\.cls\.predictions\.(bias|(decoder|transform\.(dense|LayerNorm))\.(weight|bias))":
        "training: masked words",
    r"itm_head\.(weight|bias)": "training: does this text belong to this video",
    r"temp": "training: temperature",
}
TEXT_LAYERS = "text_encoder.bert.encoder.layer"
TEXT_LAYER = re.escape(TEXT_LAYERS) + r"\.(\d+)\."


class BadCheckpoint(Exception):
    """Says which tensor is wrong."""


def read(path):
    """{name: tensor} of the checkpoint `path`, mapped, in its own dtypes; no code in it is run."""
    with torch.serialization.safe_globals([set]):  # the published file pickles an empty set
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    for key in ("module", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def shape(state, name, n_dims):
    tensor = state.get(name)
    if tensor is None or tensor.dim() != n_dims:
        raise BadCheckpoint(f"{name} is {'missing' if tensor is None else list(tensor.shape)}")
    return tensor.shape


def count(state, pattern):
    """1 + the largest number that the pattern's group takes among the names."""
    return 1 + max((int(found[1]) for name in state if (found := re.match(pattern, name))),
                   default=-1)


def geometry(state):
    """The network's sizes, as the shapes say them; load() compares all others with these."""
    _, rows, width = shape(state, "vision_encoder.pos_embed", 3)
    patches = shape(state, "vision_encoder.img_pos_embed", 3)[1] - 1
    patch = shape(state, "vision_encoder.patch_embed.proj.weight", 5)[-1]
    dim, pooled = shape(state, "vision_proj.weight", 2)
    words, text_width = shape(state, "text_encoder.bert.embeddings.word_embeddings.weight", 2)
    mixing = [int(found[1]) for name in state
              if (found := re.match(TEXT_LAYER + "crossattention", name))]
    return Geometry(
        frames=(rows - 1) // patches, size=round(patches ** 0.5) * patch, patch=patch, width=width,
        depth=count(state, r"vision_encoder\.blocks\.(\d+)\."),
        inner=shape(state, "vision_encoder.blocks.0.mlp.fc1.weight", 2)[0], pooled=pooled, dim=dim,
        vocabulary=words, text_width=text_width,
        positions=shape(state, "text_encoder.bert.embeddings.position_embeddings.weight", 2)[0],
        text_depth=min(mixing, default=count(state, TEXT_LAYER)),
        text_inner=shape(state, f"{TEXT_LAYERS}.0.intermediate.dense.weight", 2)[0])


def is_unused(name, sizes):
    layer = re.match(TEXT_LAYER, name)
    if layer and int(layer[1]) >= sizes.text_depth:
        return True
    return any(re.fullmatch(pattern, name) for pattern in UNUSED)


def check(state, sizes, kinds):
    """Raises BadCheckpoint unless the tensors are just those of the towers and the unused."""
    with torch.device("meta"):
        wanted = {name: tensor.shape for kind in kinds
                  for name, tensor in kind(sizes).state_dict().items()}
    for name in sorted(wanted.keys() - state.keys()):
        raise BadCheckpoint(f"{name} is missing")
    for name, tensor in state.items():
        if name not in wanted and not is_unused(name, sizes):
            raise BadCheckpoint(f"{name} {list(tensor.shape)} is nothing that this network has")
        if name in wanted and tensor.shape != wanted[name]:
            raise BadCheckpoint(f"{name} is {list(tensor.shape)}, not {list(wanted[name])}")


def build(kind, state, *arguments):
    """The tower kind(*arguments) with the checkpoint's tensors as they are, for inference."""
    with torch.device("meta"):
        module = kind(*arguments)
    module.load_state_dict({name: state[name] for name in module.state_dict()}, assign=True)
    return module.eval().requires_grad_(False)

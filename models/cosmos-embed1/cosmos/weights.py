"""Published tensors to the towers' parameters: by name and shape, and strictly.

Every tensor of the checkpoint is either used or of a kind that embeddings do not need; every
parameter gets one. Prefixes and the names of a few tensors are not known for certain, so that these
are found by what no other tensor has: a suffix, a number of elements, a shape.
"""
import math
import re

import torch
from torch.nn import functional as F

from cosmos.network import Geometry, TextTower, VideoTower

# After the Q-Former's prefix: the head of masked language modelling, and numbers 0..511.
UNUSED = re.compile(r"cls\.predictions\..*|bert\.embeddings\.position_ids")


class Mismatch(ValueError):
    """The tensors are not those of this network; the message says which and why."""


def the_only(names, what):
    if len(names) != 1:
        raise Mismatch(f"{what}: wanted one tensor, found {', '.join(sorted(names)) or 'none'}")
    return names.pop()


def prefix_before(tensors, suffix):
    name = the_only({name for name in tensors if name.endswith(suffix)}, f"…{suffix}")
    return name[:-len(suffix)]


def numbered(tensors, pattern):
    """How many numbers 0, 1, … the pattern finds, and which."""
    found = {int(m.group(1)) for name in tensors if (m := re.fullmatch(pattern, name))}
    if found and found != set(range(max(found) + 1)):
        raise Mismatch(f"{pattern}: numbers are missing, found {sorted(found)}")
    return len(found)


def places(tensors, frames):
    """{place in our towers: published name}, and the published names that are not needed. Names of
    places are those of the parameters; what both towers share has one place."""
    left = dict(tensors)
    found, unused = {}, set()

    def take(name, place):
        found[place] = name
        left.pop(name)

    vit = prefix_before(tensors, "blocks.0.attn.qkv.weight")
    former = prefix_before(tensors, "bert.embeddings.word_embeddings.weight")
    for name in list(left):
        if name.startswith(vit):
            take(name, "visual_encoder." + name[len(vit):])
        elif name.startswith(former) and UNUSED.fullmatch(name[len(former):]):
            unused.add(name)
            left.pop(name)
        elif name.startswith(former):
            take(name, name[len(former):])
    width = tensors[found["visual_encoder.cls_token"]].numel()
    hidden = tensors[found["bert.embeddings.LayerNorm.weight"]].numel()
    for part in ("weight", "bias"):
        rows = {n for n, t in left.items() if t.shape == (width,) and n.endswith(part)}
        take(the_only(rows, f"ln_vision.{part}"), f"ln_vision.{part}")
    take(the_only({n for n, t in left.items() if t.numel() == frames * width},
                  f"the {frames} x {width} temporal vectors"), "temporal")
    take(the_only({n for n, t in left.items() if t.dim() == 3 and t.size(2) == hidden},
                  "query_tokens"), "query_tokens")
    unused |= {n for n, t in left.items() if t.numel() == 1 or t.shape in ((2, hidden), (2,))}
    left = {n: t for n, t in left.items() if n not in unused}
    for place, words in (("vision_proj", "vis|video"), ("text_proj", "te?xt")):
        for part in ("weight", "bias"):
            name = the_only({n for n in left if re.search(words, n) and n.endswith("." + part)},
                            f"{place}.{part}")
            take(name, f"{place}.{part}")
    if left:
        raise Mismatch(f"tensors of no known use: {', '.join(sorted(left)[:5])}")
    return found, unused


def geometry(tensors, found, config):
    """Sizes from the tensors' shapes, and from config.json what they do not tell."""
    def shape(place):
        if place not in found:
            raise Mismatch(f"no tensor for {place}")
        return tensors[found[place]].shape

    layer = r"bert\.encoder\.layer\.(\d+)\."
    crosses = {int(m.group(1)) for place in found
               if (m := re.match(layer + r"crossattention\.self\.key\.weight", place))}
    return Geometry(
        resolution=config["resolution"], frames=config["num_video_frames"],
        dim=shape("vision_proj.weight")[0],
        patch=shape("visual_encoder.patch_embed.proj.weight")[-1],
        vit_width=shape("visual_encoder.cls_token")[-1],
        vit_inner=shape("visual_encoder.blocks.0.mlp.fc1.weight")[0],
        vit_blocks=numbered(found, r"visual_encoder\.blocks\.(\d+)\.norm1\.weight"),
        width=shape("bert.embeddings.LayerNorm.weight")[0],
        inner=shape("bert.encoder.layer.0.intermediate_query.dense.weight")[0],
        layers=numbered(found, layer + r"output\.dense\.weight"), cross=tuple(sorted(crosses)),
        queries=shape("query_tokens")[1],
        vocabulary=shape("bert.embeddings.word_embeddings.weight")[0],
        positions=shape("bert.embeddings.position_embeddings.weight")[0])


def interpolate(table, grid, how):
    """The stored position table [1,1+s*s,W] for a grid of grid*grid patches: the CLS row stays, the
    others are a picture that is resized; in float32."""
    side = math.isqrt(table.size(1) - 1)
    if side * side != table.size(1) - 1:
        raise Mismatch(f"{table.size(1)} positions are no square and a CLS")
    if side == grid:
        return table
    picture = table[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    mode, corners = how.removesuffix("-corners"), how.endswith("-corners")
    picture = F.interpolate(picture, (grid, grid), mode=mode, align_corners=corners)
    return torch.cat([table[:, :1].float(), picture.flatten(2).transpose(1, 2)], 1)


class Published:
    """The checkpoint of a folder, and towers made of it. Tensors are shared, not copied."""

    def __init__(self, tensors, config):
        self.tensors = tensors
        self.found, self.unused = places(tensors, config["num_video_frames"])
        self.geometry = geometry(tensors, self.found, config)
        if config.get("embed_dim", self.geometry.dim) != self.geometry.dim:
            raise Mismatch(f"config.json has embed_dim {config['embed_dim']}, the weights "
                           f"{self.geometry.dim}")
        wanted = set()
        with torch.device("meta"):
            for tower in (VideoTower(self.geometry), TextTower(self.geometry)):
                wanted |= set(tower.state_dict())
        if wanted != set(self.found):
            raise Mismatch("no use or no tensor for: "
                           f"{', '.join(sorted(wanted ^ set(self.found))[:5])}")

    def positions(self, how):
        table = self.tensors[self.found["visual_encoder.pos_embed"]]
        return interpolate(table, self.geometry.grid, how)

    def positions_are_stored(self):
        """Whether the grid is that of the stored table, so that nothing is interpolated."""
        table = self.tensors[self.found["visual_encoder.pos_embed"]]
        return table.size(1) == 1 + self.geometry.grid ** 2

    def fill(self, tower, how="bicubic"):
        state = {}
        for place, wanted in tower.state_dict().items():
            state[place] = self.tensors[self.found[place]]
            if place == "temporal":
                state[place] = state[place].reshape(wanted.shape)
            if place.endswith(".pos_embed"):
                state[place] = self.positions(how)
            if state[place].shape != wanted.shape:
                raise Mismatch(f"{self.found[place]} is {list(state[place].shape)}, "
                               f"{place} takes {list(wanted.shape)}")
        tower.load_state_dict(state, assign=True)
        return tower.eval().requires_grad_(False)

    def video(self, choices, dtype=torch.float32):
        with torch.device("meta"):
            tower = VideoTower(self.geometry, choices, dtype)
        return self.fill(tower, choices.positions)

    def text(self, choices):
        with torch.device("meta"):
            tower = TextTower(self.geometry, choices)
        return self.fill(tower)

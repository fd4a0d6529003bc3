"""The video tower of network.py in bfloat16, arranged for a GPU; and with products in float8.

The same parameters and the same network. What differs is what runs as one kernel: cutting a picture into
patches, with (x - mean) / std folded into the projection; each residual sum with the LayerNorm after it;
fc1 with its bias and GELU, in GELU's tanh form on a GPU; and the keys and values of all cross-attentions as
one product.
"""
import torch
from torch import nn
from torch.nn import functional as F

from common import fp8, operators  # noqa: F401: registers torch.ops.vidx
from cosmos.network import QFORMER_HEADS, VIT_EPS, attend

ALIGNED = 16  # the patches' width is a multiple of it, for the product's kernels


class Projection(nn.Module):
    """float32 pictures [F,3,H,W], raw -> bfloat16 [F,n,W]."""

    def __init__(self, conv, mean, std):
        super().__init__()
        weight, bias = conv.weight.detach().float(), conv.bias.detach().float()
        if mean is not None:
            weight = weight / std
            bias = bias - (weight * mean).sum((1, 2, 3))
        flat = weight.flatten(1)
        self.side, self.width = conv.weight.size(-1), -(-flat.size(1) // ALIGNED) * ALIGNED
        self.register_buffer("weight", F.pad(flat, (0, self.width - flat.size(1))).bfloat16())
        self.register_buffer("bias", bias.bfloat16())

    def forward(self, pictures):
        return F.linear(torch.ops.vidx.patches(pictures, self.side, self.width), self.weight, self.bias)


def add_norm(x, y, norm):
    return torch.ops.vidx.add_layer_norm(x, y, norm.weight, norm.bias, norm.eps)


class Vision(nn.Module):
    """float32 pictures [F,3,H,W] -> the tokens of the last block, bfloat16 [F,1+n,W]."""

    def __init__(self, projection, vit):
        super().__init__()
        self.projection = projection
        self.cls_token, self.pos_embed, self.blocks = vit.cls_token, vit.pos_embed, vit.blocks

    def tokens(self, pictures):
        """What the first block sees."""
        x = self.projection(pictures)
        return torch.cat([self.cls_token.expand(x.size(0), -1, -1), x], 1) + self.pos_embed

    def forward(self, pictures):
        x, y = self.tokens(pictures), None
        for block in self.blocks:
            x, h = add_norm(x, y, block.norm1)
            x, h = add_norm(x, block.attn(h), block.norm2)
            fc1 = block.mlp.fc1
            h = torch._addmm_activation(fc1.bias, h.flatten(0, 1), fc1.weight.t(), use_gelu=True)
            y = block.mlp.fc2(h).view_as(x)
        return x + y


class Fp8Vision(Vision):
    """The same with blocks in float8; `ranges` as fp8.ranges() gives them."""

    def __init__(self, projection, vit, ranges):
        super().__init__(projection, vit)
        self.blocks = fp8.Blocks(vit.blocks, VIT_EPS, [attend] * len(vit.blocks), ranges)

    def forward(self, pictures):
        return self.blocks(self.tokens(pictures))


class Former(nn.Module):
    """The Q-Former with the keys and values of every cross-attention from one product."""

    def __init__(self, former):
        super().__init__()
        self.former = former
        heads = [layer.crossattention.self for layer in former.encoder["layer"] if layer.crosses]
        both = [part for head in heads for part in (head.key, head.value)]
        self.width = both[0].out_features
        self.register_buffer("weight", torch.cat([part.weight.detach() for part in both]))
        self.register_buffer("bias", torch.cat([part.bias.detach() for part in both]))
        for part in both:  # they are in the product's weights now
            part.weight = part.bias = None

    def cross(self, attention, x, key, value):
        q, k, v = (part.unflatten(-1, (QFORMER_HEADS, -1)).transpose(1, 2)
                   for part in (attention.self.query(x), key, value))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return attention.output(seen, x)

    def forward(self, queries, states):
        parts = iter(F.linear(states, self.weight, self.bias).split(self.width, -1))
        x = self.former.embeddings["LayerNorm"](queries)
        for layer in self.former.encoder["layer"]:
            x = layer.attention(x, x)
            if layer.crosses:
                x = self.cross(layer.crossattention, x, next(parts), next(parts))
            x = layer.output_query(F.gelu(layer.intermediate_query["dense"](x)), x)
        return x


class FastVideoTower(nn.Module):
    """float32 [B,T,3,H,W] with values in 0..1 -> float32 unit vectors [B,D]. Takes the modules of a
    VideoTower apart, which is of no use afterwards. With `ranges` its blocks compute in float8."""

    def __init__(self, tower, ranges=None):
        super().__init__()
        mean, std = (tower.mean, tower.std) if tower.choices.pixels == "clip" else (None, None)
        projection = Projection(tower.visual_encoder.patch_embed["proj"], mean, std)
        tower = tower.to(torch.bfloat16)
        self.vision = (Vision(projection, tower.visual_encoder) if ranges is None else
                       Fp8Vision(projection, tower.visual_encoder, ranges))
        tower.visual_encoder, tower.bert = None, Former(tower.bert)
        self.rest = tower

    def forward(self, clips):
        tokens = self.vision(clips.flatten(0, 1))
        return self.rest.summarise(tokens.unflatten(0, (clips.size(0), clips.size(1))))

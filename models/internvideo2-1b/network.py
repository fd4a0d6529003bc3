"""InternVideo2 stage 2, video and text tower, as plain modules.

The names of modules and parameters are those of the published checkpoint, so that its tensors load
with strict=True and no mapping. They stay in the dtype they are stored in (see common/stored.py); what
is computed has the tower's own. What training alone needs is not here: the decoders that imitate
CLIP, the text layers with cross-attention, the heads for matching and for masked words.
"""
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from common.bert import Bert
from common.stored import LayerNorm, Linear

VISION_HEAD, TEXT_HEAD = 88, 64  # numbers per attention head
RMS_EPS = 1e-6


@dataclass(frozen=True)
class Geometry:
    """Sizes of the network; the defaults are those of the published one."""

    frames: int = 4
    size: int = 224
    patch: int = 14
    width: int = 1408
    depth: int = 40
    inner: int = 6144
    pooled: int = 768
    dim: int = 512
    vocabulary: int = 30522
    positions: int = 512
    text_width: int = 1024
    text_depth: int = 19  # of 24 layers: those before the first with cross-attention
    text_inner: int = 4096

    @property
    def patches(self):
        """Of one frame."""
        return (self.size // self.patch) ** 2


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPS)
        return self.weight.to(x.dtype) * wide.to(x.dtype)


class LayerScale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return (x.float() * self.gamma.float()).to(x.dtype)


def attend(q, k, v):
    """float [B,n,W], [B,m,W], [B,m,W] -> [B,n,W], in heads of VISION_HEAD."""
    q, k, v = (x.unflatten(-1, (-1, VISION_HEAD)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = Linear(width, 3 * width, bias=False)
        self.q_norm, self.k_norm = RMSNorm(width), RMSNorm(width)  # over all heads at once
        self.proj = Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj(attend(self.q_norm(q), self.k_norm(k), v))


class Mlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1, self.fc2 = Linear(width, inner), Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.norm1, self.attn, self.ls1 = RMSNorm(width), Attention(width), LayerScale(width)
        self.norm2, self.mlp, self.ls2 = RMSNorm(width), Mlp(width, inner), LayerScale(width)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class CrossAttention(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.q, self.k, self.v = (Linear(width, width, bias=False) for _ in range(3))
        self.q_bias, self.k_bias, self.v_bias = (nn.Parameter(torch.zeros(width))
                                                 for _ in range(3))
        self.proj = Linear(width, out)

    def forward(self, q, k, v):
        q, k, v = (F.linear(x, part.weight.to(x.dtype), bias.to(x.dtype)) for x, part, bias in (
            (q, self.q, self.q_bias), (k, self.k, self.k_bias), (v, self.v, self.v_bias)))
        return self.proj(attend(q, k, v))


class Patches(nn.Conv3d):
    """float [B,3,T,H,W] -> [B,T*H/p*W/p,W]: frames cut into squares, by time, row, column."""

    def __init__(self, width, size):
        super().__init__(3, width, (1, size, size), (1, size, size))

    def forward(self, x):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.conv3d(x, weight, bias, self.stride).flatten(2).transpose(1, 2)


class AttentionPooling(nn.Module):
    """float [B,n,W] -> [B,out]: attention from the mean of all tokens, the CLS token with them."""

    def __init__(self, width, out):
        super().__init__()
        self.norm1_q, self.norm1_k, self.norm1_v = (LayerNorm(width) for _ in range(3))
        self.cross_attn = CrossAttention(width, out)

    def forward(self, x):
        mean = self.norm1_q(x.mean(1, keepdim=True))
        return self.cross_attn(mean, self.norm1_k(x), self.norm1_v(x)).squeeze(1)


class VisionEncoder(nn.Module):
    """float [B,3,T,H,W] -> [B,pooled]"""

    def __init__(self, g):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": Patches(g.width, g.patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, g.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + g.frames * g.patches, g.width))
        self.blocks = nn.ModuleList(Block(g.width, g.inner) for _ in range(g.depth))
        self.clip_projector = AttentionPooling(g.width, g.pooled)

    def forward(self, clips):
        tokens = self.patch_embed["proj"](clips)
        cls = self.cls_token.to(clips.dtype).expand(tokens.size(0), -1, -1)
        x = torch.cat([cls, tokens], 1) + self.pos_embed.to(clips.dtype)
        for block in self.blocks:
            x = block(x)
        return self.clip_projector(x)


def unit(x):
    x = x.float()
    return x / x.norm(dim=-1, keepdim=True)


class Video(nn.Module):
    """float32 [B,T,3,H,W], normalised -> unit vectors float32 [B,dim], computed in `dtype`"""

    def __init__(self, g, dtype=torch.float32):
        super().__init__()
        self.dtype = dtype
        self.vision_encoder = VisionEncoder(g)
        self.vision_proj = Linear(g.pooled, g.dim)

    def forward(self, clips):
        clips = clips.transpose(1, 2).to(self.dtype)
        return unit(self.vision_proj(self.vision_encoder(clips)))


class Text(nn.Module):
    """int64 ids [B,L], mask [B,L] -> unit vectors float32 [B,dim]"""

    def __init__(self, g):
        super().__init__()
        bert = Bert(g.vocabulary, g.positions, g.text_width, g.text_depth,
                    g.text_width // TEXT_HEAD, g.text_inner)
        self.text_encoder = nn.ModuleDict({"bert": bert})
        self.text_proj = Linear(g.text_width, g.dim)

    def forward(self, ids, mask):
        return unit(self.text_proj(self.text_encoder["bert"](ids, mask)[:, 0]))

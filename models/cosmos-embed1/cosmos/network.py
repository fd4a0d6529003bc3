"""Cosmos-Embed1's two towers as plain modules, made to be traced and run.

video   each frame through EVA-ViT-g (39 pre-norm blocks) and ln_vision; a vector per frame number is
        added; 32 learned queries attend to the tokens of all frames together (Q-Former, cross-attention
        in every second layer); pooled to one unit vector
text    BERT without token types, its self-attention being the Q-Former's; one unit vector

Names of parameters are those of the published checkpoint after its own prefixes. What could not be
read from anything published is an open choice (Choices); cosmos/search.py finds which are right.
"""
import dataclasses

import torch
from torch import nn
from torch.nn import functional as F

from common.bert import Attention, Bert, Residual
from common.stored import LayerNorm, Linear, Patches

VIT_HEADS, QFORMER_HEADS = 16, 12  # not to be seen in the weights' shapes
VIT_EPS, NORM_EPS, BERT_EPS = 1e-6, 1e-5, 1e-12
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# For each open choice the possible values, the likeliest first.
AXES = {
    "pixels": ("clip", "raw"),  # (x - mean) / std of CLIP inside the model, or as they come
    "positions": ("bicubic", "bicubic-corners", "bilinear"),  # how 16x16 positions become a grid
    "temporal": ("after-norm", "before-norm"),  # frame vectors are added after, before ln_vision
    "tokens": ("all", "patches"),  # that the queries see of a frame: with, without its CLS
    "pooling": ("mean-project", "project-mean"),  # mean, project, L2; or project, L2, mean, L2
    "text": ("first", "mean"),  # the state of [CLS], or the mean over the tokens that are there
}


@dataclasses.dataclass(frozen=True)
class Choices:
    """One value of each axis; written as "pixels=clip,positions=bicubic,…"."""
    pixels: str = "clip"
    positions: str = "bicubic"
    temporal: str = "after-norm"
    tokens: str = "all"
    pooling: str = "mean-project"
    text: str = "first"

    @classmethod
    def parse(cls, words):
        """What is not named keeps its likeliest value; ValueError names a word that is none."""
        chosen = dict(word.partition("=")[::2] for word in words.split(",") if word)
        for axis, value in chosen.items():
            if value not in AXES.get(axis, ()):
                raise ValueError(f"no such choice: {axis}={value}; there are: {AXES}")
        return cls(**chosen)

    def __str__(self):
        return ",".join(f"{axis}={value}" for axis, value in dataclasses.asdict(self).items())


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The sizes of a network. The defaults are the published ones of 224p."""
    resolution: int = 224
    frames: int = 8
    dim: int = 256
    patch: int = 14
    vit_width: int = 1408
    vit_inner: int = 6144
    vit_blocks: int = 39
    width: int = 768
    inner: int = 3072
    layers: int = 12
    cross: tuple = (0, 2, 4, 6, 8, 10)
    queries: int = 32
    vocabulary: int = 30523
    positions: int = 512

    @property
    def grid(self):
        return self.resolution // self.patch


def attend(qkv):
    """float [N,n,3W] -> [N,n,W]"""
    q, k, v = qkv.unflatten(-1, (3, VIT_HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class VitAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv, self.proj = Linear(width, 3 * width), Linear(width, width)

    def forward(self, x):
        return self.proj(attend(self.qkv(x)))


class Mlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1, self.fc2 = Linear(width, inner), Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.norm1, self.attn = LayerNorm(width, VIT_EPS), VitAttention(width)
        self.norm2, self.mlp = LayerNorm(width, VIT_EPS), Mlp(width, inner)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """float [N,3,H,W] -> all tokens [N,1+n,W] of the last block, CLS first."""

    def __init__(self, g):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": Patches(g.vit_width, g.patch)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, g.vit_width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + g.grid ** 2, g.vit_width))
        self.blocks = nn.ModuleList(Block(g.vit_width, g.vit_inner) for _ in range(g.vit_blocks))

    def forward(self, pictures):
        x = self.patch_embed["proj"](pictures)
        x = torch.cat([self.cls_token.to(x.dtype).expand(x.size(0), -1, -1), x], 1)
        x = x + self.pos_embed.to(x.dtype)
        for block in self.blocks:
            x = block(x)
        return x


class QueryLayer(nn.Module):
    def __init__(self, g, crosses):
        super().__init__()
        self.attention = Attention(g.width, QFORMER_HEADS, BERT_EPS)
        self.crosses = crosses
        if crosses:
            self.crossattention = Attention(g.width, QFORMER_HEADS, BERT_EPS, g.vit_width)
        self.intermediate_query = nn.ModuleDict({"dense": Linear(g.width, g.inner)})
        self.output_query = Residual(g.inner, g.width, BERT_EPS)

    def forward(self, x, states):
        x = self.attention(x, x)
        if self.crosses:
            x = self.crossattention(x, states)
        return self.output_query(F.gelu(self.intermediate_query["dense"](x)), x)


class QFormer(nn.Module):
    """queries [B,Q,W], states [B,K,V] -> [B,Q,W]"""

    def __init__(self, g):
        super().__init__()
        self.embeddings = nn.ModuleDict({"LayerNorm": LayerNorm(g.width, BERT_EPS)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            QueryLayer(g, i in g.cross) for i in range(g.layers))})

    def forward(self, queries, states):
        x = self.embeddings["LayerNorm"](queries)
        for layer in self.encoder["layer"]:
            x = layer(x, states)
        return x


class VideoTower(nn.Module):
    """float32 [B,T,3,H,W] with values in 0..1 -> float32 unit vectors [B,D], computed in `dtype`."""

    def __init__(self, g, choices=Choices(), dtype=torch.float32):
        super().__init__()
        self.choices, self.dtype = choices, dtype
        self.visual_encoder = VisionTransformer(g)
        self.ln_vision = LayerNorm(g.vit_width, NORM_EPS)
        self.temporal = nn.Parameter(torch.empty(g.frames, g.vit_width))
        self.query_tokens = nn.Parameter(torch.empty(1, g.queries, g.width))
        self.bert = QFormer(g)
        self.vision_proj = Linear(g.width, g.dim)
        for name, values in (("mean", CLIP_MEAN), ("std", CLIP_STD)):
            self.register_buffer(name, torch.tensor(values, device="cpu").view(3, 1, 1), False)

    def look(self, clips):
        """[B,T,3,H,W] -> the tokens of each frame [B,T,n,W]: nearly all of the work."""
        if self.choices.pixels == "clip":
            clips = (clips - self.mean) / self.std
        tokens = self.visual_encoder(clips.flatten(0, 1).to(self.dtype))
        return tokens.unflatten(0, (clips.size(0), clips.size(1)))

    def summarise(self, tokens):
        """[B,T,n,W] -> [B,D]"""
        frame = self.temporal.to(tokens.dtype).unsqueeze(1)
        if self.choices.temporal == "before-norm":
            tokens = self.ln_vision(tokens + frame)
        else:
            tokens = self.ln_vision(tokens) + frame
        if self.choices.tokens == "patches":
            tokens = tokens[:, :, 1:]
        queries = self.query_tokens.to(tokens.dtype).expand(tokens.size(0), -1, -1)
        x = self.bert(queries, tokens.flatten(1, 2))
        if self.choices.pooling == "mean-project":
            return F.normalize(self.vision_proj(x.mean(1)).float(), dim=-1)
        return F.normalize(F.normalize(self.vision_proj(x).float(), dim=-1).mean(1), dim=-1)

    def forward(self, clips):
        return self.summarise(self.look(clips))


class TextTower(nn.Module):
    """int64 ids [B,L], mask [B,L] -> float32 unit vectors [B,D]"""

    def __init__(self, g, choices=Choices()):
        super().__init__()
        self.choices = choices
        self.bert = Bert(g.vocabulary, g.positions, g.width, g.layers, QFORMER_HEADS, g.inner,
                         BERT_EPS, kinds=0)
        self.text_proj = Linear(g.width, g.dim)

    def forward(self, ids, mask):
        x = self.bert(ids, mask)
        if self.choices.text == "first":
            x = x[:, 0]
        else:
            x = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.text_proj(x), dim=-1)

"""BERT as a plain module, its parameters named as published checkpoints name them."""
import torch
from torch import nn
from torch.nn import functional as F

from common.stored import LayerNorm, Linear


class Embeddings(nn.Module):
    """`kinds`: how many token types there are; 0 for networks that dropped them."""

    def __init__(self, vocabulary, positions, width, eps, kinds=2):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(positions, width)
        if kinds:
            self.token_type_embeddings = nn.Embedding(kinds, width)
        self.kinds = kinds
        self.LayerNorm = LayerNorm(width, eps)

    def forward(self, ids, dtype):
        x = self.word_embeddings(ids).to(dtype)
        x = x + self.position_embeddings.weight[:ids.size(1)].to(dtype)
        # one text is never a pair of texts: all tokens are of type 0
        if self.kinds:
            x = x + self.token_type_embeddings.weight[0].to(dtype)
        return self.LayerNorm(x)


class Residual(nn.Module):
    """LayerNorm(dense(x) + what went in before)."""

    def __init__(self, n_in, width, eps):
        super().__init__()
        self.dense, self.LayerNorm = Linear(n_in, width), LayerNorm(width, eps)

    def forward(self, x, before):
        return self.LayerNorm(self.dense(x) + before)


class Heads(nn.Module):
    """Where `key_width` is given, keys and values come from other states than x (cross-attention)."""

    def __init__(self, width, heads, key_width=None):
        super().__init__()
        self.query = Linear(width, width)
        self.key, self.value = (Linear(key_width or width, width) for _ in range(2))
        self.heads = heads

    def forward(self, x, states, mask=None):
        """float [B,L,W], [B,K,key width], bool [B,1,1,K] -> [B,L,W]"""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for part in (self.query(x), self.key(states), self.value(states)))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, width, heads, eps, key_width=None):
        super().__init__()
        self.self, self.output = Heads(width, heads, key_width), Residual(width, width, eps)

    def forward(self, x, states, mask=None):
        return self.output(self.self(x, states, mask), x)


class Layer(nn.Module):
    def __init__(self, width, heads, inner, eps):
        super().__init__()
        self.attention = Attention(width, heads, eps)
        self.intermediate = nn.ModuleDict({"dense": Linear(width, inner)})
        self.output = Residual(inner, width, eps)

    def forward(self, x, mask):
        x = self.attention(x, x, mask)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """int64 ids [B,L], mask [B,L] -> [B,L,W] of `dtype`: the last layer's states; no pooler."""

    def __init__(self, vocabulary, positions, width, layers, heads, inner, eps=1e-12, kinds=2):
        super().__init__()
        self.embeddings = Embeddings(vocabulary, positions, width, eps, kinds)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            Layer(width, heads, inner, eps) for _ in range(layers))})

    def forward(self, ids, mask, dtype=torch.float32):
        mask = mask.bool()[:, None, None, :]
        x = self.embeddings(ids, dtype)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x


def masked_mean(states, mask):
    """float [B,L,W], int64 [B,L] -> [B,W]: the mean over tokens that are there."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)

"""BERT as a plain module, its parameters named as published checkpoints name them."""
import torch
from torch import nn
from torch.nn import functional as F


class Embeddings(nn.Module):
    def __init__(self, vocabulary, positions, width, eps):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, ids):
        positions = self.position_embeddings.weight[:ids.size(1)]
        # one text is never a pair of texts: all tokens are of type 0
        kind = self.token_type_embeddings.weight[0]
        return self.LayerNorm(self.word_embeddings(ids) + positions + kind)


class Residual(nn.Module):
    """LayerNorm(dense(x) + what went in before)."""

    def __init__(self, n_in, width, eps):
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(n_in, width), nn.LayerNorm(width, eps)

    def forward(self, x, before):
        return self.LayerNorm(self.dense(x) + before)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads = heads

    def forward(self, x, mask):
        """float [B,L,W], bool [B,1,1,L] -> [B,L,W]"""
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for part in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, width, heads, eps):
        super().__init__()
        self.self, self.output = SelfAttention(width, heads), Residual(width, width, eps)

    def forward(self, x, mask):
        return self.output(self.self(x, mask), x)


class Layer(nn.Module):
    def __init__(self, width, heads, inner, eps):
        super().__init__()
        self.attention = Attention(width, heads, eps)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = Residual(inner, width, eps)

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """int64 ids [B,L], mask [B,L] -> float [B,L,W]: the last layer's states; no pooler."""

    def __init__(self, vocabulary, positions, width, layers, heads, inner, eps=1e-12):
        super().__init__()
        self.embeddings = Embeddings(vocabulary, positions, width, eps)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            Layer(width, heads, inner, eps) for _ in range(layers))})

    def forward(self, ids, mask):
        mask = mask.bool()[:, None, None, :]
        x = self.embeddings(ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x


def masked_mean(states, mask):
    """float [B,L,W], int64 [B,L] -> [B,W]: the mean over tokens that are there."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)

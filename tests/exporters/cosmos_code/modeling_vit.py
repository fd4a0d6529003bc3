"""A vision transformer in the manner of BLIP-2's: attention is written out, no fused operator."""
import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self, in_features, hidden_features):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3, bias=True)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = (q * self.scale) @ k.transpose(-2, -1)
        attn = attn.softmax(dim=-1)
        x = (attn @ v).transpose(1, 2).reshape(B, N, -1)
        return self.proj(x)


class Block(nn.Module):
    def __init__(self, dim, num_heads, mlp_hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x


class PatchEmbed(nn.Module):
    def __init__(self, patch_size, embed_dim):
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class EvaViTG(nn.Module):
    def __init__(self, img_size, embed_dim, depth, num_heads, mlp_hidden, stored_grid, transform):
        super().__init__()
        self.grid = img_size // 14
        self.patch_embed = PatchEmbed(14, embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, stored_grid ** 2 + 1, embed_dim))
        self.blocks = nn.ModuleList([Block(embed_dim, num_heads, mlp_hidden) for _ in range(depth)])
        self.transform = transform

    def resize_positions(self, how):
        """After loading, once: as LAVIS interpolates the position table of a checkpoint."""
        table = self.pos_embed.data
        if table.shape[1] == self.grid ** 2 + 1:
            return
        extra, pos = table[:, :1], table[:, 1:]
        side = int(pos.shape[1] ** 0.5)
        pos = pos.reshape(-1, side, side, pos.shape[-1]).permute(0, 3, 1, 2).to(torch.float32)
        options = {"bicubic": {"mode": "bicubic", "align_corners": False},
                   "bicubic-corners": {"mode": "bicubic", "align_corners": True},
                   "bilinear": {"mode": "bilinear", "align_corners": False},
                   "nearest": {"mode": "nearest"}}[how]
        pos = F.interpolate(pos, size=(self.grid, self.grid), **options)
        pos = pos.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)
        self.pos_embed = nn.Parameter(torch.cat((extra, pos), dim=1), requires_grad=False)

    def forward(self, x):
        if self.transform == "clip":
            mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], device=x.device, dtype=x.dtype)
            std = torch.tensor([0.26862954, 0.26130258, 0.27577711], device=x.device, dtype=x.dtype)
            x = (x - mean[None, :, None, None]) / std[None, :, None, None]
        elif self.transform == "half":
            x = x * 2 - 1
        x = self.patch_embed(x)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = x + self.pos_embed
        for blk in self.blocks:
            x = blk(x)
        return x

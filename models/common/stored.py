"""Layers that compute in the dtype of what comes in, whatever dtype their weights are stored in.

A network published in bfloat16 then keeps bfloat16 weights, in the archive and in memory, also where
it computes in float32: half the bytes, the same numbers. A weight is widened when it is used, which
takes 1 % to 5 % of a large network's time; weights already in the right dtype pass untouched.
"""
from torch import nn
from torch.nn import functional as F


class Linear(nn.Linear):
    def forward(self, x):
        bias = self.bias if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class LayerNorm(nn.LayerNorm):
    def forward(self, x):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class Patches(nn.Conv2d):
    """float [N,3,H,W] -> [N,H/p * W/p,W]: pictures cut into squares, each projected; row by row."""

    def __init__(self, width, size):
        super().__init__(3, width, size, stride=size)

    def forward(self, x):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.conv2d(x, weight, bias, self.stride).flatten(2).transpose(1, 2)

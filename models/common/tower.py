"""Pieces of video towers that are the same for several models."""
from typing import List

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(parent, pairs):
    """Folds each batch norm of `pairs` [(convolution's name, norm's name)] into its convolution.

    In float32, before any conversion: a bfloat16 norm folded into a bfloat16 convolution rounds
    twice, which cost two thirds of the error of the whole network."""
    for conv, norm in pairs:
        setattr(parent, conv, fuse_conv_bn_eval(getattr(parent, conv), getattr(parent, norm)))
        setattr(parent, norm, nn.Identity())


def round_to_bfloat16(module):
    """Rounds the weights of all convolutions to values that bfloat16 holds, each up or down such
    that the errors within one output channel add up to nearly nothing.

    To the nearest, the errors of one channel lean to one side by chance; neighbouring inputs are
    alike and mostly positive, so that leaning is what remains in the output, and rounding weights
    is nearly all that bfloat16 costs here. See the table in the model's README.md."""
    for conv in module.modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        weights = conv.weight.data.flatten(1)
        rounded, carry = torch.empty_like(weights), torch.zeros(len(weights))
        for column in weights.abs().argsort(1, descending=True).T.unsqueeze(2):
            exact = weights.gather(1, column)[:, 0]
            best = (exact + carry).bfloat16().float()
            near = exact.bfloat16().float()
            best = torch.where((best - exact).abs() <= exact.abs() / 128, best, near)
            rounded.scatter_(1, column, best.unsqueeze(1))
            carry += exact - best
        conv.weight.data = rounded.view_as(conv.weight)


class FrameMean(nn.Module):
    """float [B,T,3,H,W] -> unit vectors [B,D]: the mean over frames of features(float [n,3,H,W]).

    On a CPU, frames pass in groups of `group`: the activations of a whole clip do not fit the
    caches. On a GPU, all frames of the batch pass at once."""

    def __init__(self, features, dtype: torch.dtype, group: int):
        super().__init__()
        self.features, self.dtype, self.group = features, dtype, group

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        frames = clips.flatten(0, 1)
        step = self.group if frames.device.type == "cpu" else frames.size(0)
        parts: List[torch.Tensor] = []
        for first in range(0, frames.size(0), step):
            part = frames[first:first + step].to(self.dtype)
            part = part.contiguous(memory_format=torch.channels_last)
            parts.append(self.features(part).float())
        features = torch.cat(parts).unflatten(0, (clips.size(0), clips.size(1)))
        return F.normalize(features.mean(1), dim=-1)


def script_frame_mean(features, example, dtype, group):
    """`features` (a module in eval mode), traced on the frames `example`, inside FrameMean; frozen."""
    with torch.no_grad():
        traced = torch.jit.trace(features.to(dtype), example.to(dtype), check_trace=False)
        return torch.jit.freeze(torch.jit.script(FrameMean(traced, dtype, group).eval()))

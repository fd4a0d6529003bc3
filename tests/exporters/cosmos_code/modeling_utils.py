import torch
from torch import nn


class TemporalParameter(nn.Module):
    def __init__(self, frames, dim):
        super().__init__()
        self.temporal_parameter = nn.Parameter(torch.zeros(1, frames, dim))

    def table(self):
        return self.temporal_parameter

    def forward(self, x):
        """x [B,T,n,C]"""
        return x + self.table()[:, :, None, :]


class NeighboringTokenPropagation(TemporalParameter):
    """Neighbours only shape the gradient: in value, what is added is taken away again."""

    def table(self):
        w = self.temporal_parameter[0]
        i = torch.arange(w.shape[0], device=w.device)
        near = torch.pow(2.0, -(i[:, None] - i[None, :]).abs().float()).to(w.dtype)
        pulled = near @ w
        return (w + pulled - pulled.detach())[None]


class EncodingFactory:
    @staticmethod
    def make(kind, frames, dim):
        return {"temporal_parameter": TemporalParameter,
                "neighboring_token_propagation": NeighboringTokenPropagation}[kind](frames, dim)

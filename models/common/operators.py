"""vidx's own operators as Python needs them: to trace a network that uses them, and to run the archive.

Their names and arguments are those that src/torch/operators.cpp registers for vidx, where a CUDA kernel
does each in one pass. Here they are written with torch's operators, on any device. Importing this module
registers them; do so before torch.jit.load of an archive whose manifest names the set.
"""
import torch
from torch.nn import functional as F

SET = "vidx-1"  # of the manifest; another meaning of an operator is another set

_library = torch.library.Library("vidx", "DEF")
_library.define("add_layer_norm(Tensor x, Tensor? y, Tensor weight, Tensor bias, float eps)"
                " -> (Tensor, Tensor)")
_library.define("patches(Tensor pictures, int side, int width) -> Tensor")


def add_layer_norm(x, y, weight, bias, eps):
    """(x + y, LayerNorm over the last dimension of it); y None: x itself."""
    total = x if y is None else x + y
    return total, F.layer_norm(total, weight.shape, weight, bias, eps)


def patches(pictures, side, width):
    """float32 [F,3,H,W] -> bfloat16 [F, H/side * W/side, width]: each square's numbers in the order
    channel, row, column, and zeros up to width."""
    squares = F.unfold(pictures, side, stride=side).transpose(1, 2)
    return F.pad(squares, (0, width - squares.size(2))).to(torch.bfloat16)


_library.impl("add_layer_norm", add_layer_norm, "CompositeExplicitAutograd")
_library.impl("patches", patches, "CompositeExplicitAutograd")

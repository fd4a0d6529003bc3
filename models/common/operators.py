"""vidx's own operators as Python needs them: to trace a network that uses them, and to run the archive.

Their names and arguments are those that src/torch/operators.cpp registers for vidx, where a CUDA kernel
does each in one pass. Here they are written with torch's operators, on any device. Importing this module
registers them; do so before torch.jit.load of an archive whose manifest names the set.

Those that end in _fp8 give numbers in float8 (e4m3) and what to multiply them with: float32 [rows,1], as
torch._scaled_mm takes both.
"""
import torch
from torch.nn import functional as F

# Of the manifest; another meaning of an operator is another set. The second has those for float8 as well.
SET, SET_FP8 = "vidx-1", "vidx-2"
FP8, FP8_MAX = torch.float8_e4m3fn, 448.0
LEAST_AMAX = 1e-12  # a row of zeros has a scale, too

_library = torch.library.Library("vidx", "DEF")
_library.define("add_layer_norm(Tensor x, Tensor? y, Tensor weight, Tensor bias, float eps)"
                " -> (Tensor, Tensor)")
_library.define("patches(Tensor pictures, int side, int width) -> Tensor")
_library.define("add_norm_fp8(Tensor x, Tensor? y, Tensor weight, Tensor? bias, float eps, Tensor? scales)"
                " -> (Tensor, Tensor, Tensor)")
_library.define("rows_fp8(Tensor x) -> (Tensor, Tensor)")
_library.define("gelu_fp8(Tensor x, Tensor weight, Tensor bias, Tensor scales) -> (Tensor, Tensor)")


def add_layer_norm(x, y, weight, bias, eps):
    """(x + y, LayerNorm over the last dimension of it); y None: x itself."""
    total = x if y is None else x + y
    return total, F.layer_norm(total, weight.shape, weight, bias, eps)


def patches(pictures, side, width):
    """float32 [F,3,H,W] -> bfloat16 [F, H/side * W/side, width]: each square's numbers in the order
    channel, row, column, and zeros up to width."""
    squares = F.unfold(pictures, side, stride=side).transpose(1, 2)
    return F.pad(squares, (0, width - squares.size(2))).to(torch.bfloat16)


def to_fp8(numbers):
    """Rounded to float8; what lies outside becomes its largest number."""
    return numbers.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def add_norm_fp8(x, y, weight, bias, eps, scales):
    """(x + y, the norm over the last dimension of it in float8 [rows, width], its scales): LayerNorm, or
    RMSNorm if there is no bias. Numbers are divided by scales[0,0]; without, by 1/448 of their row's largest."""
    total = x if y is None else x + y
    wide, gain = total.float().flatten(0, -2), weight.float()
    if bias is None:
        normed = F.rms_norm(wide, weight.shape, gain, eps)
    else:
        normed = F.layer_norm(wide, weight.shape, gain, bias.float(), eps)
    if scales is None:
        return total, *rows_fp8(normed)
    return total, to_fp8(normed * scales[0, 0].reciprocal()), scales[0, 0].expand(wide.size(0), 1).contiguous()


def rows_fp8(x):
    """[rows, width] -> ([rows, width], [rows, 1]): each row divided by 1/448 of its largest number."""
    wide = x.float()
    amax = wide.abs().amax(1, keepdim=True).clamp_min(LEAST_AMAX)
    return to_fp8(wide * (amax.reciprocal() * FP8_MAX)), amax / FP8_MAX


def scales_of(*numbers):
    """What gelu_fp8 takes."""
    return torch.tensor(numbers).view(4, 1).expand(4, 4).contiguous()


def gelu_fp8(x, weight, bias, scales):
    """GELU (tanh form) of a linear layer: float8 x [rows, K] times s[0], float8 weight [N, K] times s[1], bias
    [N] -> (float8 [rows, N], its scales), the result times s[2]; s[3] is 1/s[2].

    scales is [4, 4], and s its first column: cuBLASLt reads each of these at an address that 16 divides."""
    s = scales[:, 0]
    wide = F.linear(x.float() * s[0], weight.float() * s[1], bias.float())
    return to_fp8(F.gelu(wide, approximate="tanh") * s[2]), s[3].expand(wide.size(0), 1).contiguous()


for _operator in (add_layer_norm, patches, add_norm_fp8, rows_fp8, gelu_fp8):
    _library.impl(_operator.__name__, _operator, "CompositeExplicitAutograd")

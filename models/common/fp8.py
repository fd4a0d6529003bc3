"""The blocks of a vision transformer in float8, for GPUs.

Products take float8 (e4m3) on both sides. That of qkv, proj and fc2 has a scale for each row of both; fc1
has one scale each for what it sees, its weights and what it gives after GELU, so that all of it is one
kernel: these are fixed beforehand, from the largest numbers in calibration (ranges()). Norms and what is
added up stay bfloat16, and so does attention. GELU has its tanh form.
"""
import torch
from torch import nn

from common import operators, package

SAME = 0.999  # cosine to float32 from which float8 may stand in for other dtypes of the same vectors
MARGIN = 1.25  # how much larger numbers may get than any was in calibration


@torch.inference_mode()
def ranges(blocks, run, inputs):
    """[(largest number that fc1 sees, that it gives after GELU)] of each block's mlp, in run(input) of all inputs."""
    found = [[0.0, 0.0] for _ in blocks]

    def watch(i, k):
        def see(_, given):
            found[i][k] = max(found[i][k], float(given[0].abs().max()))
        return see

    hooks = [layer.register_forward_pre_hook(watch(i, k)) for i, block in enumerate(blocks)
             for k, layer in enumerate((block.mlp.fc1, block.mlp.fc2))]
    for one in inputs:
        run(one)
    for hook in hooks:
        hook.remove()
    return found


class Product(nn.Module):
    """float8 [rows, K] and its scales [rows, 1] -> bfloat16 [rows, N]; `gain` [N] multiplies the result."""

    def __init__(self, linear, gain=None):
        super().__init__()
        weight, bias = linear.weight.detach().float(), linear.bias
        bias = None if bias is None else bias.detach().float()
        if gain is not None:
            weight, bias = weight * gain.float().unsqueeze(1), bias * gain.float()
        weight, scales = operators.rows_fp8(weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales.view(1, -1))
        self.register_buffer("bias", None if bias is None else bias.bfloat16())

    def forward(self, x, scales):
        return torch._scaled_mm(x, self.weight.t(), scales, self.scales, self.bias, None, torch.bfloat16, True)


class Gelu(nn.Module):
    """float8 [rows, K] times the first of scales -> float8 [rows, N] and its scales."""

    def __init__(self, linear, seen, given):
        super().__init__()
        weight = linear.weight.detach().float()
        largest = torch.tensor([seen * MARGIN, float(weight.abs().max()), given * MARGIN])
        x, w, y = (largest.clamp_min(operators.LEAST_AMAX) / operators.FP8_MAX).tolist()
        self.register_buffer("weight", operators.to_fp8(weight / w))
        self.register_buffer("bias", linear.bias.detach().bfloat16())
        self.register_buffer("scales", operators.scales_of(x, w, 1 / y, y))

    def forward(self, x):
        return torch.ops.vidx.gelu_fp8(x, self.weight, self.bias, self.scales)


class Norm(nn.Module):
    """LayerNorm, or RMSNorm where `norm` has no bias."""

    def __init__(self, norm, eps):
        super().__init__()
        bias = getattr(norm, "bias", None)
        self.register_buffer("weight", norm.weight.detach().bfloat16())
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())
        self.eps = eps

    def forward(self, x, y, scales):
        return torch.ops.vidx.add_norm_fp8(x, y, self.weight, self.bias, self.eps, scales)


class Block(nn.Module):
    """x, y bfloat16 [F,n,W], to be added up -> the next x and y.

    `attend` takes the product qkv [F,n,3W] and gives [F,n,W]."""

    def __init__(self, block, eps, attend, largest, gains):
        super().__init__()
        attention, mlp = block.attn, block.mlp
        self.norm1, self.norm2 = Norm(block.norm1, eps), Norm(block.norm2, eps)
        self.qkv, self.attend, self.proj = Product(attention.qkv), attend, Product(attention.proj, gains[0])
        self.fc1, self.fc2 = Gelu(mlp.fc1, *largest), Product(mlp.fc2, gains[1])

    def forward(self, x, y):
        x, h, scales = self.norm1(x, y, None)
        seen = self.attend(self.qkv(h, scales).unflatten(0, (x.size(0), x.size(1))))
        h, scales = torch.ops.vidx.rows_fp8(seen.flatten(0, 1))
        x, h, _ = self.norm2(x, self.proj(h, scales).view_as(x), self.fc1.scales)
        h, scales = self.fc1(h)
        return x, self.fc2(h, scales).view_as(x)


class Blocks(nn.Module):
    """bfloat16 [F,n,W] through a network's blocks; `largest` is what ranges() gives of them, `gains` of a block are
    what multiplies what proj and fc2 give."""

    def __init__(self, blocks, eps, attends, largest, gains=lambda block: (None, None)):
        super().__init__()
        self.blocks = nn.ModuleList(Block(block, eps, attend, most, gains(block)) for block, attend, most
                                    in zip(blocks, attends, largest, strict=True))

    def forward(self, x):
        y = None
        for block in self.blocks:
            x, y = block(x, y)
        return x + y


@torch.inference_mode()
def measure(archive, exact, clips):
    """Cosines of the archive's vectors with those of the plain network, for the manifest; float8 is the package's
    first way to run where the smallest is at least SAME."""
    cosines = torch.cat([(archive(clip) * exact(clip)).sum(-1) for clip in clips])
    least = round(float(cosines.min()), 7)
    return {"min_cosine": least, "mean_cosine": round(float(cosines.mean()), 7), "clips": len(clips),
            "default": least >= SAME}


def export(exact, blocks, build, halves):
    """(the traced archive of build(ranges), figures): calibrated on one half of the clips, measured on the other.
    `exact` is the plain float32 network with these blocks."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    calibrate, others = ([clip.to(place) for clip in half] for half in halves)
    exact.to(place)
    archive = build(ranges(blocks, exact, calibrate)).to(place)
    figures = measure(archive, exact, others) | {"calibrated_on": len(calibrate)}
    return archive.cpu(), figures


def packages(archives, figures, archive, found):
    """[(what follows the package's name, archives, figures)]: float8 in the package of the other dtypes where it
    may stand in for them, else in one of its own."""
    told = figures | {"fp8": found}
    with_fp8 = told | {"operators": operators.SET_FP8}
    if found["default"]:
        return [("", archives | {package.FP8_FILE: archive}, with_fp8)]
    others = {name: one for name, one in archives.items() if not name.startswith("video.")}
    return [("", archives, told), (package.FP8_SUFFIX, others | {package.FP8_FILE: archive}, with_fp8)]


def said(name, figures):
    """A line for people, where there is float8 in the package."""
    if figures.get("operators") != operators.SET_FP8:
        return ""
    found = figures["fp8"]
    return (f"float8 in {name}: smallest cosine to float32 {found['min_cosine']} on {found['clips']} clips of film, "
            f"calibrated on {found['calibrated_on']} others\n")

"""EfficientNet-Lite0 as a plain module.

The names of modules and parameters are those of the published checkpoint, so that its state dict
loads with strict=True and no mapping. The network is the "lite" one of Tan et al.: MBConv blocks
without squeeze-and-excitation, ReLU6 for every activation, TensorFlow's SAME padding.
"""
import torch
from torch import nn
from torch.nn import functional as F

from common.tower import fold_norms

# repeats, kernel, stride of the first repeat, expansion, channels out
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM, HEAD, CLASSES = 32, 1280, 1000
BN_EPS = 1e-3


class SameConv(nn.Conv2d):
    """SAME padding on even inputs: with stride 2 the odd pixel goes to the right and bottom."""

    def __init__(self, n_in, n_out, kernel, stride=1, groups=1):
        odd = stride == 2
        super().__init__(n_in, n_out, kernel, stride, 0 if odd else kernel // 2, groups=groups,
                         bias=False)
        before = (kernel - 2) // 2
        self.extra = (before, kernel - 2 - before) * 2 if odd else None

    def padded(self, x):
        return F.pad(x, self.extra) if self.extra else x

    def forward(self, x):
        return super().forward(self.padded(x))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=BN_EPS)


# Convolution and ReLU6 in one pass of oneDNN. As text, because the type of the bounds has a name in
# TorchScript alone; and the tracer cannot record this operator by itself.
FUSED = torch.jit.CompilationUnit("""
def convolution_relu6(x: Tensor, weight: Tensor, bias: Optional[Tensor], padding: List[int],
                      stride: List[int], dilation: List[int], groups: int) -> Tensor:
    bounds = torch.jit.annotate(List[Optional[number]], [0.0, 6.0])
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, stride, dilation, groups,
                                                   "hardtanh", bounds, "")
""")


def activated(conv, batch_norm, x):
    """ReLU6 of the normalised convolution. A bfloat16 network is one for CPUs, with its norms folded:
    there PyTorch's own ReLU6 is 40 % of the time."""
    if x.dtype != torch.bfloat16:
        return F.relu6(batch_norm(conv(x)), inplace=True)  # bound by memory: one pass less over it
    assert isinstance(batch_norm, nn.Identity)
    return FUSED.convolution_relu6(conv.padded(x), conv.weight, conv.bias, conv.padding, conv.stride,
                                   conv.dilation, conv.groups)


class Block(nn.Module):
    def __init__(self, n_in, n_out, kernel, stride, expansion):
        super().__init__()
        wide = n_in * expansion
        if expansion != 1:
            self._expand_conv, self._bn0 = SameConv(n_in, wide, 1), norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, wide), norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, n_out, 1), norm(n_out)
        self.expands = expansion != 1
        self.residual = stride == 1 and n_in == n_out

    def forward(self, x):
        y = activated(self._expand_conv, self._bn0, x) if self.expands else x
        y = activated(self._depthwise_conv, self._bn1, y)
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, STEM, 3, 2), norm(STEM)
        self._blocks = nn.ModuleList()
        channels = STEM
        for repeats, kernel, stride, expansion, out in STAGES:
            for i in range(repeats):
                self._blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self._conv_head, self._bn1 = SameConv(channels, HEAD, 1), norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def features(self, x):
        """float [N, 3, H, W] -> pooled features [N, 1280]; H and W multiples of 32."""
        x = activated(self._conv_stem, self._bn0, x)
        for block in self._blocks:
            x = block(x)
        return activated(self._conv_head, self._bn1, x).mean((2, 3))

    def forward(self, x):
        return self._fc(self.features(x))

    def fold_norms(self):
        """Folds every batch norm into the convolution before it; for inference alone."""
        fold_norms(self, [("_conv_stem", "_bn0"), ("_conv_head", "_bn1")])
        for block in self._blocks:
            pairs = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            fold_norms(block, [("_expand_conv", "_bn0")] * block.expands + pairs)
        return self


class Features(nn.Module):
    """The network without its classifier, as a module of its own."""

    def __init__(self, net):
        super().__init__()
        self.net = net.fold_norms().to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.net.features(x)

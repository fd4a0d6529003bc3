"""TransNet V2 as a plain module, in the form that runs fastest on a CPU.

The names of modules and parameters are those of the published checkpoint, so that its state dict
loads with strict=True and no mapping. What is computed is the published network (Souček and Lokoč,
2020); how, differs. The published code runs 3-D convolutions on [B,C,T,H,W]. Each of them extends
either over the picture or over time alone, so they are 2-D convolutions: over [B·T,C,H,W], and over
[B,C,T,H·W], channels last, between which only the view of the same memory changes. Batch norms are
folded into the convolution before them. Where the device or the number of frames must not be fixed
by tracing, functions are scripted.
"""
import torch
from torch import nn
from torch.nn import functional as F

FILTERS, WINDOW = 16, 101
DILATIONS = (1, 2, 4, 8)


class Branch(nn.Module):
    """3x3 over the picture, then 3 over time; nothing between. [B,T,H,W,n_in] -> [B,T,H,W,n_out]"""

    def __init__(self, n_in, n_out, dilation):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv3d(n_in, 2 * n_out, (1, 3, 3), bias=False),
                                     nn.Conv3d(2 * n_out, n_out, (3, 1, 1), bias=False)])
        self.dilation = dilation

    def prepare(self, scale, shift):
        """Folds an affine map of the output channels in and brings the weights into 2-D."""
        picture, time = (layer.weight.data for layer in self.layers)
        time = time * scale.view(-1, 1, 1, 1, 1)
        last = torch.channels_last
        self.picture = nn.Parameter(picture.squeeze(2).contiguous(memory_format=last))
        self.time = nn.Parameter(time.squeeze(4).contiguous(memory_format=last))
        self.shift = nn.Parameter(shift)
        del self.layers

    def forward(self, x):
        b, t, h, w, _ = x.shape
        x = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), self.picture, padding=1)
        x = x.permute(0, 2, 3, 1).reshape(b, t, h * w, -1).permute(0, 3, 1, 2)
        x = F.conv2d(x, self.time, self.shift, padding=(self.dilation, 0),
                     dilation=(self.dilation, 1))
        return x.permute(0, 2, 3, 1).reshape(b, t, h, w, -1)


class Block(nn.Module):
    """Four branches side by side."""

    def __init__(self, n_in, n_out):
        super().__init__()
        for dilation in DILATIONS:
            setattr(self, f"Conv3D_{dilation}", Branch(n_in, n_out, dilation))
        self.bn = nn.BatchNorm3d(4 * n_out, eps=1e-3)

    def branches(self):
        return [self.Conv3D_1, self.Conv3D_2, self.Conv3D_4, self.Conv3D_8]

    def prepare(self):
        scale = self.bn.weight.data / (self.bn.running_var + self.bn.eps).sqrt()
        shift = self.bn.bias.data - self.bn.running_mean * scale
        for branch, a, b in zip(self.branches(), scale.chunk(4), shift.chunk(4)):
            branch.prepare(a, b)
        del self.bn

    def forward(self, x):
        return F.relu(torch.cat([branch(x) for branch in self.branches()], -1), inplace=True)


class Stack(nn.Module):
    """relu(second(a)) + a with a = relu(first(x)), halved."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.DDCNN = nn.ModuleList([Block(n_in, n_out), Block(4 * n_out, n_out)])

    def forward(self, x):
        a = self.DDCNN[0](x)
        y = self.DDCNN[1](a).add_(a)
        pooled = F.avg_pool2d(y.flatten(0, 1).permute(0, 3, 1, 2), 2)
        return pooled.permute(0, 2, 3, 1).unflatten(0, (x.size(0), x.size(1)))


@torch.jit.script
def band(similarity: torch.Tensor) -> torch.Tensor:
    """[B,T,T] -> [B,T,101]: row t takes the columns t-50 .. t+50, zeros outside."""
    b, t = similarity.shape[:2]
    device = similarity.device
    columns = torch.arange(t, device=device).unsqueeze(1) + torch.arange(101, device=device)
    return F.pad(similarity, [50, 50]).gather(2, columns.expand(b, t, 101))


@torch.jit.script
def histograms(frames: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """uint8 [B,T,H,W,3] -> [B,T,512]: counts of colours by their three high bits."""
    r, g, b = (frames.flatten(2, 3) >> 5).long().unbind(3)
    bins = (r << 6) + (g << 3) + b
    counts = torch.zeros(bins.size(0), bins.size(1), 512, device=bins.device, dtype=dtype)
    return counts.scatter_add_(2, bins, torch.ones_like(bins, dtype=dtype))


class FrameSimilarity(nn.Module):
    def __init__(self):
        super().__init__()
        self.projection, self.fc = nn.Linear(28 * FILTERS, 128), nn.Linear(WINDOW, 128)

    def forward(self, means):
        x = F.normalize(self.projection(means), dim=2)
        return F.relu(self.fc(band(x @ x.transpose(1, 2))))


class ColorHistograms(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(WINDOW, 128)

    def forward(self, frames):
        x = F.normalize(histograms(frames, self.fc.weight.dtype), dim=2)
        return F.relu(self.fc(band(x @ x.transpose(1, 2))))


class TransNetV2(nn.Module):
    """uint8 [B,T,27,48,3], RGB -> float [B,T]: how likely a shot ends with this frame."""

    def __init__(self):
        super().__init__()
        sizes = [(3, 16), (64, 32), (128, 64)]
        self.SDDCNN = nn.ModuleList([Stack(n_in, n_out) for n_in, n_out in sizes])
        self.frame_sim_layer, self.color_hist_layer = FrameSimilarity(), ColorHistograms()
        self.fc1 = nn.Linear(3 * 6 * 256 + 2 * 128, 1024)
        self.cls_layer1, self.cls_layer2 = nn.Linear(1024, 1), nn.Linear(1024, 1)
        self.dtype = torch.float32

    def prepare(self, dtype):
        """After loading: for inference alone. dtype is that of the convolutions."""
        del self.cls_layer2  # its answer, every frame of a transition, is not used
        for stack in self.SDDCNN:
            for block in stack.DDCNN:
                block.prepare()
        self.SDDCNN.to(dtype)
        self.dtype = dtype
        return self.eval()

    def forward(self, frames):
        x = frames.to(torch.float32).div(255).to(self.dtype)
        means = []
        for stack in self.SDDCNN:
            x = stack(x)
            means.append(x.float().mean((2, 3)))
        return self.head(frames, torch.cat(means, 2), x.float().flatten(2))

    def head(self, frames, means, features):
        """From the means over the picture after each stack, and all that is left after the last."""
        x = torch.cat([self.color_hist_layer(frames).to(features.dtype),
                       self.frame_sim_layer(means), features], 2)
        return torch.sigmoid(self.cls_layer1(F.relu(self.fc1(x)))).squeeze(2)

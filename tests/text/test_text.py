"""The default model's text tower: its encoder, its token ids, and what it says of class names."""
import json
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "models" / "efficientnet-lite0")]
import text  # noqa: E402
from common.bert import masked_mean  # noqa: E402
from common.wordpiece import WordPiece  # noqa: E402

# Sentences, the first numbers of their unit vectors and their cosines as transformers 5.23.0 has
# them with the same weights (BertModel, eager attention, mean over tokens).
SENTENCES = ["a cat on a sofa", "The quick brown fox jumps over the lazy dog.",
             "Two football coaches in suits, arguing!", "Crème brûlée"]
STARTS = [[0.145398, -0.075644, -0.027354, 0.006714], [0.043934, 0.058934, 0.048178, 0.077548],
          [-0.062477, 0.061700, -0.058435, -0.029586], [0.014248, -0.053746, -0.009262, -0.004275]]
COSINES = [[1, 0.179503, 0.006508, 0.042013], [0.179503, 1, 0.120863, -0.018919],
           [0.006508, 0.120863, 1, 0.052575], [0.042013, -0.018919, 0.052575, 1]]


@pytest.fixture(scope="module")
def encoder():
    return text.load_encoder()


@pytest.fixture(scope="module")
def classifier():
    import export
    from network import EfficientNetLite0

    return export.load_weights(EfficientNetLite0())._fc


@pytest.fixture(scope="module")
def tower(classifier):
    return text.build(classifier)


def ids_of(texts):
    return WordPiece(text.vocab()).encode(texts)


def test_class_names_have_the_token_ids_of_the_reference():
    reference = BertWordPieceTokenizer(str(text.vocab()), lowercase=True)
    tokenizer = WordPiece(text.vocab())
    for name in [*text.class_names(), *SENTENCES, "l'été: 5 $_x", "zzzzqqqq \u4e00"]:
        assert tokenizer.encode([name])[0][0].tolist() == reference.encode(name).ids, name


@torch.inference_mode()
def test_encoder_gives_the_published_vectors(encoder):
    vectors = text.sentences(encoder, SENTENCES)
    assert torch.allclose(vectors[:, :4], torch.tensor(STARTS), atol=1e-5)
    assert torch.allclose(vectors @ vectors.t(), torch.tensor(COSINES), atol=1e-5)


@torch.inference_mode()
def test_padding_and_company_change_nothing(encoder):
    alone = masked_mean(encoder(*ids_of(SENTENCES[:1])), ids_of(SENTENCES[:1])[1])
    ids, mask = (F.pad(t, (0, 30)) for t in ids_of(SENTENCES))
    assert torch.allclose(masked_mean(encoder(ids, mask), mask)[:1], alone, atol=1e-5)
    ids[mask == 0] = 2000  # what stands where the mask is 0 is not read
    assert torch.allclose(masked_mean(encoder(ids, mask), mask)[:1], alone, atol=1e-5)


@torch.inference_mode()
def test_tower_takes_any_batch_and_length(tower):
    assert isinstance(tower, torch.jit.ScriptModule)
    both = tower(*ids_of(SENTENCES))
    assert both.shape == (4, 1280) and both.dtype == torch.float32
    assert torch.allclose(both.norm(dim=-1), torch.ones(4), atol=1e-5)
    ids, mask = ids_of(SENTENCES[2:3])
    for pad in (0, text.LENGTH - ids.size(1), 512 - ids.size(1)):
        one = tower(F.pad(ids, (0, pad)), F.pad(mask, (0, pad)))
        assert torch.allclose(one, both[2:3], atol=1e-5)


@torch.inference_mode()
def test_tower_is_the_mixture_that_its_head_comment_names(tower, encoder, classifier):
    names = text.sentences(encoder, text.class_names())
    rows = classifier.weight / classifier.weight.norm(dim=1, keepdim=True)
    wanted = []
    for sentence in text.sentences(encoder, SENTENCES):
        weight = torch.exp((names @ sentence).double() / text.TEMPERATURE)
        mixed = sum(float(w / weight.sum()) * row for w, row in zip(weight, rows, strict=True))
        wanted.append(mixed / mixed.norm())
    assert torch.allclose(tower(*ids_of(SENTENCES)), torch.stack(wanted), atol=1e-5)


def test_package_says_what_its_text_search_finds():
    manifest = json.loads((ROOT / "build/models/efficientnet-lite0/manifest.json").read_text())
    assert manifest["text"]["quality"] == "Finds things like dog, car or beach; not actions, people or sentences."
    assert len(manifest["text"]["quality"].encode()) < 80  # the field of vx_model_info
    assert len(text.class_names()) == 1000


@torch.inference_mode()
def test_vidx_gives_the_vectors_of_the_tower(tower):
    """Tokenizer, padding and batches in C, the package's own text.pt; over all captions and more."""
    from text_quality import CAPTIONS, vidx_texts

    texts = [*CAPTIONS.values(), *SENTENCES, "a dog " * 80]
    ids, mask = ids_of(texts)
    ids, mask = ids[:, :text.LENGTH].clone(), mask[:, :text.LENGTH]
    ids[-1, -1] = ids[0, mask[0].sum() - 1]  # what is cut off ends with [SEP], too
    wanted = tower(ids, mask)
    vectors = torch.from_numpy(vidx_texts(texts))
    assert (vectors * wanted).sum(-1).min() > 0.99999
    assert torch.allclose(vectors, wanted, atol=1e-4)


@torch.inference_mode()
def test_a_class_name_finds_its_class(tower, classifier):
    names = text.class_names()
    chosen = range(0, 1000, 10)
    vectors = tower(*ids_of([names[i] for i in chosen]))
    best = (vectors @ F.normalize(classifier.weight, dim=-1).t()).topk(5).indices
    found = [i in row for i, row in zip(chosen, best.tolist(), strict=True)]
    assert sum(found) >= 95


@torch.inference_mode()
def test_names_are_in_the_order_of_the_classifier(encoder, classifier):
    """What is called alike looks alike: names and directions agree best where neither is moved."""
    names = text.sentences(encoder, text.class_names())
    rows = F.normalize(classifier.weight, dim=-1)
    by_name, by_look = names @ names.t(), rows @ rows.t()
    off_diagonal = ~torch.eye(1000, dtype=torch.bool)

    def agreement(shift):
        pairs = by_name.roll((shift, shift), (0, 1))[off_diagonal], by_look[off_diagonal]
        return float(torch.corrcoef(torch.stack(pairs))[0, 1])

    moved = [agreement(shift) for shift in (-100, -3, -2, -1, 1, 2, 3, 100)]
    assert agreement(0) > max(moved) + 0.02

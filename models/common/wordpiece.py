"""Token ids of uncased BERT, for the texts that exporters encode; vidx has its own in C.

The rules are those of src/embed/tokenizer.h, as far as names and sentences need them."""
import unicodedata

import torch


class WordPiece:
    def __init__(self, vocab):
        lines = vocab.read_text(encoding="utf-8").split("\n")
        self.ids = {token: i for i, token in enumerate(lines)}

    def words(self, text):
        word = ""
        for c in unicodedata.normalize("NFD", text).lower():
            if unicodedata.category(c) == "Mn":
                continue
            alone = unicodedata.category(c)[0] == "P" or (c.isascii() and c.isprintable()
                                                          and not c.isalnum() and c != " ")
            if (alone or c.isspace()) and word:
                yield word
                word = ""
            if alone:
                yield c
            elif not c.isspace():
                word += c
        if word:
            yield word

    def pieces(self, word):
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1)
                        if prefix + word[start:e] in self.ids), None)
            if end is None:
                return [self.ids["[UNK]"]]
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found

    def encode(self, texts, length=None):
        """(ids, mask) int64 [n, L]: padded to the longest text, or cut and padded to `length`."""
        rows = [[self.ids["[CLS]"], *(i for w in self.words(text) for i in self.pieces(w))]
                for text in texts]
        rows = [row[:length - 1 if length else None] + [self.ids["[SEP]"]] for row in rows]
        length = length or max(map(len, rows))
        pad = self.ids["[PAD]"]
        return (torch.tensor([row + [pad] * (length - len(row)) for row in rows]),
                torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]))

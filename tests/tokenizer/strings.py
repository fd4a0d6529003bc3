"""Generated texts that meet every rule of the tokenizer, often several at once."""
import random

SCRIPTS = [  # first and last code point of what a "word" of the script is made of
    (0x61, 0x7A), (0x41, 0x5A), (0x30, 0x39), (0xC0, 0x24F), (0x250, 0x2AF), (0x370, 0x3FF),
    (0x400, 0x52F), (0x531, 0x587), (0x5D0, 0x5EA), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF),
    (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xB80, 0xBFF), (0xC00, 0xC7F), (0xE00, 0xE7F),
    (0xE80, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF),
    (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1820, 0x18AA), (0x1AB0, 0x1AFF),
    (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2C00, 0x2C5F), (0x3041, 0x30FF), (0x3130, 0x318F),
    (0xAC00, 0xD7A3), (0xA640, 0xA69F), (0xFB00, 0xFB4F), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF),
    (0x10400, 0x1044F), (0x10A00, 0x10A5F), (0x11000, 0x1107F), (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F)]
CJK = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F),
       (0x2B820, 0x2CEAF), (0x2CEB0, 0x2EBE0), (0x2F800, 0x2FA1F), (0x30000, 0x3134A)]
MARKS = [(0x300, 0x36F), (0x483, 0x489), (0x591, 0x5C7), (0x64B, 0x65F), (0x1AB0, 0x1ACE),
         (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x302A, 0x302F), (0x3099, 0x309A), (0xFE00, 0xFE2F),
         (0xE0100, 0xE01EF)]
PUNCTUATION = [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xBF),
               (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20C0), (0x2190, 0x21FF),
               (0x2200, 0x22FF), (0x2308, 0x232A), (0x2E00, 0x2E5D), (0x3001, 0x3020),
               (0xFE10, 0xFE1F), (0xFE30, 0xFE6B), (0xFF01, 0xFF0F)]
EMOJI = [(0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x1F1E6, 0x1F1FF),
         (0x1F3FB, 0x1F3FF), (0x2600, 0x27BF), (0x200D, 0x200D), (0xFE0F, 0xFE0F)]
CONTROLS = [(0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x600, 0x605), (0x200B, 0x200F),
            (0x2028, 0x202E), (0x2060, 0x206F), (0xE000, 0xE010), (0xFEFF, 0xFEFF),
            (0xFFF0, 0xFFFD), (0xE0001, 0xE007F), (0xF0000, 0xF0010), (0x10FFF0, 0x10FFFF)]
SPACES = " \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u2000\u2003\u2009\u202f\u205f\u3000"
TRICKY = ["İstanbul", "ΌΔΟΣ ΣΑΣ", "Straße STRASSE ẞ", "ﬁancé ﬃ", "Å Å K Ω", "ǅ ǈ ǋ", "ſteht", "ı I i̇",
          "¿qué? ¡sí!", "don't can’t", "a\u0301\u0327b", "…", "x²½㎏", "ー々〆〇", "한국어 한국어", "प्रथम",
          "مُحَمَّد", "ไม่มี", "[CLS] [sep] [UNK][MASK]a[PAD", "[[SEP]]", "##ing #", "e\u0301[SEP]\u0301e",
          "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽", "\u2329x\u232a", "\u037e\u1fef\u226e\u2260", "ὈΔΥΣΣΕΎΣ", "\u1734\u166d\U000111c9"]


def every_code_point(size=500):
    """All of Unicode, each character between two letters, `size` to a text."""
    for first in range(0, 0x110000, size):
        points = [c for c in range(first, min(first + size, 0x110000)) if not 0xD800 <= c < 0xE000]
        if points:
            yield " ".join(f"a{chr(c)}b" for c in points)


class Strings:
    def __init__(self, seed, vocabulary):
        self.random = random.Random(seed)
        self.pieces = [t.removeprefix("##") for t in vocabulary]

    def characters(self, ranges, n):
        chosen = []
        for _ in range(n):
            first, last = self.random.choice(ranges)
            chosen.append(chr(self.random.randint(first, last)))
        return "".join(chosen)

    def word(self):
        r = self.random
        script = [r.choice(SCRIPTS)]
        return self.characters(script, r.randint(1, 12))

    def accented(self):
        return "".join(c + self.characters(MARKS, self.random.choice([0, 0, 1, 1, 2, 5]))
                       for c in self.known())

    def known(self):
        """Pieces of the vocabulary stuck together: words that take several tokens."""
        word = "".join(self.random.choices(self.pieces, k=self.random.randint(1, 4)))
        return self.random.choice([word, word.upper(), word.title(), word.swapcase()])

    def dirty(self):
        return "".join(c + self.characters(CONTROLS, self.random.choice([0, 0, 1, 2]))
                       for c in self.known())

    def long(self):
        n = self.random.choice([50, 99, 100, 101, 102, 150, 400])
        return self.characters([self.random.choice(SCRIPTS)], n)

    def any(self):
        return chr(self.random.choice([self.random.randint(0, 0xD7FF),
                                       self.random.randint(0xE000, 0x1FFFF)]))

    def text(self):
        r = self.random
        kinds = [self.word, self.known, self.known, self.accented, self.dirty, self.long, self.any,
                 lambda: self.characters(CJK, r.randint(1, 6)),
                 lambda: self.characters(EMOJI, r.randint(1, 6)),
                 lambda: self.characters(PUNCTUATION, r.randint(1, 4)),
                 lambda: r.choice(TRICKY)]
        weights = [4, 4, 4, 3, 2, 0.2, 1, 2, 2, 2, 1]
        between = ["", " ", " ", " ", *SPACES]
        return "".join(make() + r.choice(between)
                       for make in r.choices(kinds, weights, k=r.randint(0, 12)))

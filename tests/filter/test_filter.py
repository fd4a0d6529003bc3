"""Filters against plain Python: the oracle below follows the text of openapi.yaml, not the C code."""

import itertools
import json
import random
import string
import subprocess
import unicodedata
from datetime import datetime, timedelta, timezone

import pytest
import tools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VERDICTS = ["new", "exact", "copy", "similar", "part_of", "contains", "shared_segment"]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Tool:
    def __init__(self):
        self.process = subprocess.Popen([tools.path("filter/filter_tool")], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")

    def ask(self, **command):
        self.tell(**command)
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def tool():
    made = Tool()
    yield made
    made.close()


# ---- the oracle ----

def nfc(text):
    return unicodedata.normalize("NFC", text)


def folded(text):
    return nfc(nfc(text).casefold())


def steps_of(field):
    """"a.b\\.c" is ["a", "b.c"]."""
    steps, characters = [""], iter(field)
    for c in characters:
        if c == ".":
            steps.append("")
        else:
            steps[-1] += next(characters) if c == "\\" else c
    return steps


def reach(value, steps, in_array=False):
    """Every (value, whether an array was on the way) that the steps lead to."""
    if steps and isinstance(value, list):
        return [found for item in value for found in reach(item, steps, True)]
    if not steps:
        return [(value, in_array)]
    if isinstance(value, dict) and steps[0] in value:
        return reach(value[steps[0]], steps[1:], in_array)
    return []


def scalars(value):
    if isinstance(value, list):
        return [s for item in value for s in scalars(item)]
    return [] if isinstance(value, dict) else [value]


def look_up(video, field):
    """(whether it is there, its scalars, whether they are elements of an array)"""
    found = reach(video, steps_of(field))
    return (bool(found), [s for value, _ in found for s in scalars(value)],
            any(isinstance(value, list) or in_array for value, in_array in found))


def kind(value):
    return ("bool" if isinstance(value, bool) else "number" if isinstance(value, (int, float))
            else type(value).__name__)


def equal(a, b):
    return kind(a) == kind(b) and (nfc(a) == nfc(b) if kind(a) == "str" else a == b)


ORDERS = {"$gt": lambda a, b: a > b, "$gte": lambda a, b: a >= b,
          "$lt": lambda a, b: a < b, "$lte": lambda a, b: a <= b}


def span(text):
    """The first and the last moment of a date or time."""
    if len(text) == 10:
        first = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
        return first, first + timedelta(days=1, microseconds=-1)
    first = datetime.fromisoformat(text.replace("Z", "+00:00"))
    digits = len(text.split(".")[1].rstrip("Z")) if "." in text else 0
    return first, first + timedelta(microseconds=10 ** (6 - digits) - 1)


def date_passes(value, op, operand):
    if op in ("$in", "$nin"):
        return any(date_passes(value, "$eq", item) for item in operand) == (op == "$in")
    if operand is None:
        return op == "$ne"
    first, last = span(operand)
    return {"$eq": first <= value <= last, "$ne": not first <= value <= last, "$gt": value > last,
            "$gte": value >= first, "$lt": value < first, "$lte": value <= last}[op]


def condition_passes(video, field, op, operand):
    there, values, in_array = look_up(video, field)
    if field == "created_at" and op != "$exists":
        return date_passes(values[0], op, operand)
    if op in ("$ne", "$nin"):
        return not condition_passes(video, field, {"$ne": "$eq", "$nin": "$in"}[op], operand)
    if op == "$eq":
        return any(equal(v, operand) for v in values) or (operand is None and not there)
    if op == "$in":
        return any(condition_passes(video, field, "$eq", item) for item in operand)
    if op == "$exists":
        return there == operand
    if op == "$prefix":
        return any(isinstance(v, str) and nfc(v).startswith(nfc(operand)) for v in values)
    if op == "$contains" and in_array:
        return any(equal(v, operand) for v in values)
    if op == "$contains":
        return isinstance(operand, str) and any(
            isinstance(v, str) and folded(operand) in folded(v) for v in values)
    return any(kind(v) == kind(operand) and
               ORDERS[op](*((nfc(v), nfc(operand)) if kind(v) == "str" else (v, operand)))
               for v in values)


def passes(video, conditions, field=None):
    def one(name, value):
        if name == "$not":
            return not passes(video, value, field)
        if name == "$and":
            return all(passes(video, f) for f in value)
        if name == "$or":
            return any(passes(video, f) for f in value)
        if field is not None:
            return condition_passes(video, field, name, value)
        if isinstance(value, dict):
            return passes(video, value, name)
        return condition_passes(video, name, "$eq", value)

    return all(one(name, value) for name, value in conditions.items())


def as_shown(video):
    """The video as the API shows it, with its date as a datetime."""
    return {"filename": video["filename"], "bytes": video["bytes"],
            "created_at": EPOCH + timedelta(microseconds=video["created_us"]),
            "media": {"duration_s": video.get("duration_s")}, "metadata": video["metadata"],
            "duplicate": {"verdict": VERDICTS[video["verdict"]], "of": video["of"] or None,
                          "mirrored": video["mirrored"]}}


# ---- what is compared ----

KEYS = st.sampled_from(["a", "b", "c.d", "e\\", "$gt", "é"])
TEXTS = st.one_of(st.sampled_from(["", "a", "A", "ab", "Ab.mp4", "é", "é", "É", "straße", "STRASSE", "日本", "1"]),
                  st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4))
NUMBERS = st.one_of(st.sampled_from([0, -0.0, 1, 1.0, 1.5, -1, 2**53, 2**53 + 1, float(2**53), 2**63 - 1,
                                     -2**63, float(2**63), 1e300, 5e-324]),
                    st.integers(-3, 3), st.integers(-2**63, 2**63 - 1),
                    st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=6)
MOMENTS = st.integers(0, 3 * 86400 * 10**6)


def as_step(key):
    return key.replace("\\", "\\\\").replace(".", "\\.")


METADATA_FIELDS = st.lists(KEYS, min_size=1, max_size=3).map(
    lambda keys: ".".join(["metadata", *map(as_step, keys)]))
VIDEOS = st.fixed_dictionaries(
    {"filename": TEXTS, "bytes": st.integers(0, 5), "created_us": MOMENTS, "verdict": st.integers(0, 6),
     "of": st.sampled_from(["", "v1", "v2"]), "mirrored": st.booleans(),
     "metadata": st.dictionaries(KEYS, VALUES, max_size=4),
     "spans": st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)).map(lambda s: (s[0] / 4, (s[0] + s[1]) / 4)),
                       max_size=4)},
    optional={"duration_s": st.integers(0, 20).map(lambda n: n / 4)})


def as_date(us, form):
    moment = EPOCH + timedelta(microseconds=us)
    if form == "day":
        return moment.strftime("%Y-%m-%d")
    fraction = {"second": "", "tenth": f".{us // 100000 % 10}", "ms": f".{us // 1000 % 1000:03}",
                "us": f".{us % 1000000:06}"}[form]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


DATES = st.builds(as_date, MOMENTS, st.sampled_from(["day", "second", "tenth", "ms", "us"]))


def operators(values, ordered, text):
    """{operator: operand} for a field of that type."""
    choices = [st.tuples(st.sampled_from(["$eq", "$ne"]), st.one_of(st.none(), values)),
               st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(st.one_of(st.none(), values), max_size=4)),
               st.tuples(st.just("$exists"), st.booleans())]
    if ordered is not None:
        choices.append(st.tuples(st.sampled_from(sorted(ORDERS)), ordered))
    if text is not None:
        choices += [st.tuples(st.just("$prefix"), TEXTS), st.tuples(st.just("$contains"), text)]
    plain = st.lists(st.one_of(choices), min_size=1, max_size=3).map(dict)
    return st.one_of(plain, plain.map(lambda c: {"$not": c}))


def condition(field, conditions):
    return st.builds(lambda name, c: {name: c}, field, conditions)


QUARTERS = st.one_of(st.integers(0, 16).map(lambda n: n / 4), NUMBERS)
FILTERS = st.recursive(
    st.one_of(
        st.just({}),
        condition(METADATA_FIELDS, operators(SCALARS, st.one_of(NUMBERS, TEXTS),
                                             st.one_of(TEXTS, NUMBERS, st.booleans()))),
        condition(METADATA_FIELDS, SCALARS),
        condition(st.just("filename"), operators(TEXTS, TEXTS, TEXTS)),
        condition(st.sampled_from(["duplicate.verdict", "duplicate.of"]),
                  operators(st.sampled_from([*VERDICTS, "v1"]), TEXTS, TEXTS)),
        condition(st.sampled_from(["bytes", "media.duration_s"]), operators(NUMBERS, NUMBERS, None)),
        condition(st.just("duplicate.mirrored"), operators(st.booleans(), None, None)),
        condition(st.just("created_at"), operators(DATES, DATES, None)),
        condition(st.just("created_at"), DATES),
        condition(st.sampled_from(["clips.start_s", "clips.end_s"]), operators(QUARTERS, QUARTERS, None)),
        condition(st.sampled_from(["clips.start_s", "clips.end_s"]), QUARTERS),
    ),
    lambda inner: st.one_of(
        st.builds(lambda name, list: {name: list}, st.sampled_from(["$and", "$or"]),
                  st.lists(inner, min_size=1, max_size=3)),
        inner.map(lambda f: {"$not": f}),
        st.builds(lambda a, b: {**a, **b}, inner, inner)),
    max_leaves=6)


@settings(max_examples=400, deadline=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(VIDEOS, min_size=1, max_size=5), st.lists(FILTERS, min_size=1, max_size=4),
       st.lists(METADATA_FIELDS, max_size=3, unique=True), st.integers(0, 5))
def test_filter_selects_what_plain_python_does(videos, filters, declared, n_filled):
    """Whatever is declared, filled, changed and removed: the same videos, newest first."""
    tool = Tool()
    tool.tell(declare=declared[:1], fill=0)
    stored, clips, clip_rows = {}, {}, itertools.count(1)

    def put(row, video):
        made = [(next(clip_rows), *span) for span in video["spans"]]
        tool.tell(put={"row": row, "clips": made, **video})
        stored[row] = as_shown(video)
        clips[row] = made
    for row, video in enumerate([*videos, *videos], 1):
        put(row, video)
    tool.tell(declare=declared, fill=n_filled)
    tool.tell(hold=filters[0], ask=len(videos))
    for row, video in enumerate(reversed(videos), 1):
        put(row, video)
    tool.tell(remove=len(videos))
    del stored[len(videos)]
    held = tool.ask(held=True)
    for wanted in filters:
        answer = tool.ask(select=wanted)
        assert answer["lazy"] in (None, answer.get("clips", answer["set"])), wanted
        if '"clips.' in json.dumps(wanted):
            passing = {(row, clip) for row in stored for clip, start_s, end_s in clips[row]
                       if passes({**stored[row], "clips": {"start_s": start_s, "end_s": end_s}}, wanted)}
            expected = sorted({row for row, _ in passing}, reverse=True)
            assert answer["clips"] == sorted((clip for _, clip in passing), reverse=True), wanted
            assert sorted(answer["match_clips"]) == answer["clips"][::-1], wanted
        else:
            expected = [row for row in sorted(stored, reverse=True) if passes(stored[row], wanted)]
            assert not answer["match_clips"]
        if wanted is filters[0] and not answer["match_clips"]:
            now = [row for row in expected if row <= 2 * len(videos)]
            assert held in (None, now), wanted
        assert answer["match"] == expected, wanted
        assert answer["rows"] == expected, wanted
        assert answer["set"] == expected, wanted
        page = tool.ask(select=wanted, below=len(videos) + 2, max=2)
        assert page["rows"] == [row for row in expected if row < len(videos) + 2][:2]
    tool.close()


# ---- columns ----

def video_of(row, **metadata):
    return {"row": row, "filename": f"{row}.mp4", "bytes": row, "created_us": row, "verdict": 0, "of": "",
            "mirrored": False, "metadata": metadata}


def test_declared_field_once_filled_is_answered_without_reading_metadata(tool):
    for row in range(1, 301):
        tool.tell(put=video_of(row, n=row % 7))
    assert tool.ask(select={"metadata.n": 3})["read"] == 300
    tool.tell(declare=["metadata.n"], fill=100)
    assert tool.ask(select={"metadata.n": 3})["read"] == 200
    assert tool.ask(select={"metadata.n": 3, "bytes": {"$lte": 100}})["read"] == 0
    tool.tell(declare=["metadata.n"], fill=300)
    answer = tool.ask(select={"metadata.n": 3})
    assert answer["read"] == 0 and answer["rows"] == answer["match"] == list(range(297, 0, -7))


def test_prefix_that_folding_would_join_with_what_follows_is_found(tool):
    """An H with a line below is two characters, a folded one is one."""
    tool.tell(declare=["metadata.s"], fill=0)
    for row, text in enumerate(["aH\u0331x", "aHx", "ah\u0331x", "ahx", ["aH"], ["b"], 5, None], 1):
        tool.tell(put=video_of(row, s=text))
    answer = tool.ask(select={"metadata.s": {"$prefix": "aH"}})
    assert answer["rows"] == answer["match"] == answer["lazy"] == [5, 2, 1]
    answer = tool.ask(select={"metadata.s": {"$contains": "AH"}})
    assert answer["rows"] == answer["match"] == answer["lazy"] == [4, 2]


def test_long_values_of_a_declared_field_are_read_from_the_metadata(tool):
    tool.tell(declare=["metadata.t"], fill=0)
    tool.tell(put=video_of(1, t="x" * 5000 + "y"))
    tool.tell(put=video_of(2, t="y"))
    answer = tool.ask(select={"metadata.t": {"$contains": "Y"}})
    assert answer["rows"] == [2, 1] and answer["read"] == 1


def test_columns_after_many_came_and_went_select_what_is_left(tool):
    """Values are given up and taken again, and gaps of removed videos are closed."""
    tool.tell(declare=["metadata.n"], fill=0)
    for row in range(1, 6001):
        tool.tell(put=video_of(row, n=row % 97, s=f"text {row}"))
        if row > 500 and row % 5:
            tool.tell(remove=row - 500)
        if row % 3 == 0:
            tool.tell(put=video_of(row, n=f"changed {row}"))
    for wanted in ({"metadata.n": 5}, {"metadata.n": {"$prefix": "changed 5"}}, {"bytes": {"$gt": 3000}}):
        answer = tool.ask(select=wanted)
        assert answer["rows"] == answer["match"] and answer["rows"] and answer["read"] == 0


FAMILIES = ["films/2026/holiday/", "films/2026/", "films/", "f", "", "films/2026/holiday\u00e9", "\u65e5\u672c/", "Z" * 113 + "/",
            "Z" * 130 + "/", "\U0001f600/"]


def value_like(rng, family):
    """A text of the family, mostly; or something that is no text."""
    text = family + "".join(rng.choices("0019aA/\u00e9", k=rng.choice([0, 1, 2, 6, 9, 20])))
    return rng.choices([text, [text, "films/2026"], rng.randrange(50), None, text * 60], [30, 3, 2, 1, 0.2])[0]


def texts_around(rng, texts):
    """Operands: parts of such texts, and what is just above or below them."""
    for text in rng.sample(texts, 20):
        part = text[:rng.randrange(len(text) + 1)]
        yield from (part, text, part + rng.choice("09zA\u00e9"), part[:-1] + chr(ord(part[-1]) + 1) if part else "")
    yield from ("", "Z" * 112, "Z" * 113, "Z" * 114, "Z" * 125, "films/2026/h", "\u65e5", "\U0001f600")


def test_texts_of_which_most_are_different_are_selected_as_plain_ones(tool):
    """A column of many texts is tested 64 at a time by how they begin, and by pairs of their letters."""
    rng = random.Random(7)
    tool.tell(declare=["metadata.s"], fill=0)

    def put(row, family):
        value = value_like(rng, family)
        metadata = {} if value is None else {"s": value}
        tool.tell(put={**video_of(row, **metadata), "clips": [[row, 0, 1 + row % 3]]})
        return value
    stored = {row: put(row, FAMILIES[row // 70 % 8] if rng.random() < 0.97 else rng.choice(FAMILIES))
              for row in range(1, 4001)}
    for row in rng.sample(range(1, 4001), 900):
        stored[row] = put(row, rng.choice(FAMILIES))
    for row in rng.sample(range(1, 4001), 2300):  # more than half: what is left moves together
        tool.tell(remove=row)
        del stored[row]
    texts = [value for value in stored.values() if isinstance(value, str) and len(value) < 500]
    for i, text in enumerate(texts_around(rng, texts)):
        for op in ("$prefix", "$contains", *ORDERS):
            wanted = {"metadata.s": {op: text}}
            if i % 3 == 1:
                wanted = {"$or": [wanted, {"metadata.s": {"$prefix": rng.choice(texts)[:12]}}, {"metadata.s": 7}]}
            if i % 5 == 1:
                wanted["clips.end_s"] = {"$lt": 3}
            answer = tool.ask(select=wanted)
            assert answer["rows"] == answer["match"], wanted
            if i % 5 == 1:
                assert answer["clips"] == sorted(answer["match_clips"], reverse=True), wanted
            else:
                assert answer["set"] == answer["match"], wanted


def test_clips_of_many_videos_that_came_and_went_are_selected_by_their_times(tool):
    """Slots of clips that are gone are closed; a video that changes keeps its clips."""
    clip_rows = itertools.count(1)
    left = {}
    for row in range(1, 3001):
        left[row] = [(next(clip_rows), i, i + 1) for i in range(5)]
        tool.tell(put={**video_of(row), "clips": left[row]})
        tool.tell(put={**video_of(row, changed=True), "clips": left[row]})
        if row > 200 and row % 3:
            tool.tell(remove=row - 200)
            del left[row - 200]
    answer = tool.ask(select={"clips.start_s": {"$gte": 3}, "bytes": {"$gt": 1000}})
    assert answer["rows"] == [row for row in sorted(left, reverse=True) if row > 1000]
    assert answer["clips"] == sorted((clip for row, made in left.items() if row > 1000 for clip, start, _ in made
                                      if start >= 3), reverse=True)


def test_set_of_many_videos_is_their_list(tool):
    """Rows that follow each other go into a set 64 at a time, others one by one; several threads look at them."""
    tool.tell(declare=["metadata.n", "metadata.t"], fill=0)
    row, clip_rows, clips = 70, itertools.count(11), {}
    for i in range(60_000):
        row += 1 if i % 1000 else 13
        clips[row] = [(next(clip_rows), 0, 1 + i % 5)]
        tool.tell(put={**video_of(row, n=i * 7919 % 60_000 / 4, t=[f"t{i % 50}", i % 7]), "clips": clips[row]})
    for i in range(300):  # they get new clips, which are newer than those of later videos
        clips[100 + i] = [(next(clip_rows), 0, 9), (next(clip_rows), 0, 2)]
        tool.tell(put={**video_of(100 + i, n=i), "clips": clips[100 + i]})
    for i in range(2000):
        tool.tell(remove=1000 + 3 * i)
        clips.pop(1000 + 3 * i, None)
    for wanted in ({"metadata.n": {"$lt": 3000}, "bytes": {"$gt": 90}}, {"filename": {"$contains": "77.M"}},
                   {"metadata.t": "t3"}, {"metadata.t": {"$in": ["t1", 5, "t9"]}}, {"metadata.t": {"$contains": "t4"}},
                   {"filename": {"$prefix": "60"}}, {"filename": {"$gt": "599"}},
                   {"metadata.n": {"$in": [5, 7.25, 9]}}, {"$not": {"metadata.n": {"$gte": 14_000.25}}}):
        answer = tool.ask(select=wanted)
        assert answer["set"] == answer["rows"] == answer["match"] and answer["rows"], wanted
        assert answer["lazy"] == answer["set"], wanted
    answer = tool.ask(select={"clips.end_s": {"$lte": 2}})
    assert answer["rows"] == answer["set"] == answer["match"]
    assert answer["clips"] == sorted((clip for made in clips.values() for clip, _, end in made if end <= 2),
                                     reverse=True)


def test_lazy_set_that_changes_meet_tells_what_is_there_when_it_is_asked_or_nothing(tool):
    tool.tell(declare=["metadata.n"], fill=0)
    for row in range(1, 201):
        tool.tell(put=video_of(row, n=row % 10))
    wanted = {"metadata.n": {"$lt": 3}}
    tool.tell(hold=wanted, ask=0)
    tool.tell(put=video_of(7, n=1))
    tool.tell(remove=11)
    tool.tell(put=video_of(201, n=1))  # newer than the set
    assert tool.ask(held=True) == [row for row in range(200, 0, -1) if row == 7 or row % 10 < 3 and row != 11]
    tool.tell(hold=wanted, ask=0)
    tool.tell(declare=[], fill=0)
    assert tool.ask(held=True) is None, "its column is gone"
    assert tool.ask(select=wanted)["lazy"] is None, "metadata must be read"


def test_lazy_set_whose_values_were_given_up_and_taken_again_is_not_sound(tool):
    """A code that meant one value means another one, of which the old test says nothing."""
    tool.tell(declare=["metadata.s"], fill=0)
    for row in range(1, 201):
        tool.tell(put=video_of(row, s=f"x{row % 90}"))
    tool.tell(hold={"metadata.s": {"$contains": "x"}}, ask=201)
    for row in range(1, 201):
        tool.tell(put=video_of(row, s=f"y{row % 90}"))
    assert tool.ask(held=True) is None


def test_lazy_set_by_values_that_each_video_has_alone_stays_sound_while_videos_come_and_go(tool):
    """Its values are not remembered by their codes: else a search while videos are stored would begin again."""
    tool.tell(declare=["metadata.s"], fill=0)
    for row in range(1, 201):
        tool.tell(put=video_of(row, s=f"x{row}", n=row % 2))
    for wanted in ({"metadata.s": {"$contains": "x"}}, {"filename": {"$gte": "1"}, "metadata.s": {"$prefix": "x"}}):
        tool.tell(hold=wanted, ask=201)
        for row in range(1, 201, 2):
            tool.tell(put=video_of(row, s=f"y{row}"))
        tool.tell(remove=100)
        assert tool.ask(held=True) == [row for row in range(200, 0, -2) if row != 100]
        for row in range(1, 201):
            tool.tell(put=video_of(row, s=f"x{row}"))


def test_lazy_set_of_clips_is_their_set(tool):
    for row in range(1, 301):
        tool.tell(put={**video_of(row), "clips": [[2 * row, 0, 1 + row % 5], [2 * row + 1, 1, 3]]})
    answer = tool.ask(select={"clips.end_s": {"$lt": 3}, "bytes": {"$gt": 10}})
    assert answer["lazy"] == answer["clips"] and answer["clips"]


# ---- what is refused ----

DEEP = {"bytes": 1}
for _ in range(17):
    DEEP = {"$not": DEEP}
MANY = {"$or": [{"bytes": n} for n in range(65)]}
REFUSED = [
    ([], "", "filter"), ("x", "", "filter"), (None, "", "filter"),
    ({"$nor": []}, "/$nor", "$nor"),
    ({"bytes": {"$near": 1}}, "/bytes/$near", "$near"),
    ({"bytes": {}}, "/bytes", "operator"),
    ({"camera": 1}, "/camera", "metadata.NAME"),
    ({"metadata": {"a": 1}}, "/metadata", "metadata.camera"),
    ({"metadata.": 1}, "/metadata.", "empty"), ({"metadata.a..b": 1}, "/metadata.a..b", "empty"),
    ({"metadata.a\\b": 1}, "/metadata.a\\b", "backslash"),
    ({"metadata.a/~": {"$gt": None}}, "/metadata.a~1~0/$gt", "order"),
    ({"metadata.a": [1]}, "/metadata.a", "$in"),
    ({"metadata.a": {"$eq": {"b": 1}}}, "/metadata.a/$eq", "string"),
    ({"metadata.a": {"$in": [1, [2]]}}, "/metadata.a/$in/1", "string"),
    ({"metadata.a": {"$in": list(range(1001))}}, "/metadata.a/$in", "1000"),
    ({"metadata.a": {"$in": 1}}, "/metadata.a/$in", "list"),
    ({"metadata.a": "x" * 1025}, "/metadata.a", "1024"),
    ({"metadata." + "x" * 300: 1}, "/metadata." + "x" * 300, "256"),
    ({"metadata.a": {"$exists": 1}}, "/metadata.a/$exists", "true or false"),
    ({"metadata.a": {"$prefix": 1}}, "/metadata.a/$prefix", "string"),
    ({"metadata.a": {"$contains": None}}, "/metadata.a/$contains", "string"),
    ({"metadata.a": {"$not": 1}}, "/metadata.a/$not", "operators"),
    ({"metadata.a": {"$and": []}}, "/metadata.a/$and", "$and"),
    ({"$and": {}}, "/$and", "list"), ({"$or": []}, "/$or", "list"), ({"$or": [1]}, "/$or/0", "filter"),
    ({"$or": [{"bytes": 1}, {"bytes": "1"}]}, "/$or/1/bytes", "number"),
    ({"filename": 1}, "/filename", "string"), ({"duplicate.mirrored": 1}, "/duplicate.mirrored", "true"),
    ({"media.fps": {"$contains": "2"}}, "/media.fps/$contains", "text"),
    ({"created_at": 5}, "/created_at", "date"),
    ({"created_at": {"$in": ["2026-01-01", "soon"]}}, "/created_at/$in/1", "RFC 3339"),
    ({"created_at": {"$nin": "2026-01-01"}}, "/created_at/$nin", "list"),
    *(({"created_at": {"$gt": text}}, "/created_at/$gt", "RFC 3339") for text in (
        "", "2026", "2026-13-01", "2026-02-29", "2026-01-01T", "2026-01-01T10:00", "2026-01-01T10:00:00",
        "2026-01-01T24:00:00Z", "2026-01-01T10:00:00.Z", "2026-01-01T10:00:00+1", "2026-01-01T10:00:00Zx")),
    (DEEP, "/$not" * 16, "16 levels"), (MANY, "/$or", "64"),
    ({f"metadata.{c}{d}": 1 for c in string.ascii_letters for d in "ab"}, "", "64"),
    ({"$and": [{"metadata.a": {"$gt": 1, "$lt": 5}} for _ in range(33)]}, "/$and/32/metadata.a/$gt", "64"),
]


@pytest.mark.parametrize("wanted, place, word", REFUSED, ids=lambda v: str(v)[:40])
def test_bad_filter_is_refused_with_its_place(tool, wanted, place, word):
    answer = tool.ask(select=wanted)
    assert answer.get("at") == place and word in answer["bad"], answer


def test_offsets_of_dates_count(tool):
    tool.tell(put={**video_of(1), "created_us": 3600 * 10**6})
    for text in ("1970-01-01T01:00:00Z", "1970-01-01t02:30:00+01:30", "1969-12-31T20:00:00-05:00"):
        assert tool.ask(select={"created_at": text})["rows"] == [1], text
        assert tool.ask(select={"created_at": {"$lt": text}})["rows"] == []


# The table "which operators a field takes" of openapi.yaml. Of each operator and type an operand that a video of
# video_of(1) passes with, or what the refusal says.
EQUAL = {"number": ("bytes", 7), "string": ("filename", "tour/a.mp4"), "bool": ("duplicate.mirrored", False),
         "date": ("created_at", "1970-01-01"), "metadata": ("metadata.a", "Front")}
MATRIX = {
    "$eq": {kind: value for kind, (_, value) in EQUAL.items()},
    "$ne": {"number": 8, "string": "b", "bool": True, "date": "1970-01-02", "metadata": 5},
    "$in": {kind: [value, None] for kind, (_, value) in EQUAL.items()},
    "$nin": {"number": [8], "string": ["b", None], "bool": [True], "date": ["1970-01-02", None], "metadata": [5]},
    "$gt": {"number": 6.5, "string": "tour/", "bool": "order", "date": "1969-12-31", "metadata": "Fro"},
    "$gte": {"number": 7, "string": "tour/a.mp4", "bool": "order", "date": "1970-01-01", "metadata": "Front"},
    "$lt": {"number": 7.5, "string": "u", "bool": "order", "date": "1970-01-02", "metadata": "G"},
    "$lte": {"number": 7, "string": "tour/a.mp4", "bool": "order", "date": "1970-01-01", "metadata": "Front"},
    "$exists": dict.fromkeys(EQUAL, True),
    "$prefix": {"number": "text", "string": "tour/", "bool": "text", "date": "text", "metadata": "Fr"},
    "$contains": {"number": "text", "string": "R/A", "bool": "text", "date": "text", "metadata": "RON"},
}
TAKEN = {(op, kind) for op in MATRIX for kind in EQUAL} - {
    *((op, "bool") for op in ORDERS), *((op, kind) for op in ("$prefix", "$contains") for kind in ("number", "bool", "date"))}


@pytest.mark.parametrize("op", MATRIX)
@pytest.mark.parametrize("kind", EQUAL)
def test_operator_of_a_type_passes_or_is_refused(tool, op, kind):
    tool.tell(put={**video_of(1), "bytes": 7, "filename": "tour/a.mp4", "created_us": 1, "metadata": {"a": "Front"}})
    field, operand = EQUAL[kind][0], MATRIX[op][kind]
    if (op, kind) in TAKEN:
        assert tool.ask(select={field: {op: operand}})["rows"] == [1]
        assert tool.ask(select={"$not": {field: {op: operand}}})["rows"] == []
    else:
        tried = True if operand == "order" else "x"
        answer = tool.ask(select={field: {op: tried}})
        assert answer["at"] == f"/{field}/{op}" and operand in answer["bad"]

"""Requests that a generator bends, from a fixed seed: every one gets an answer of the contract's kind.

VIDX_FUZZ_ROUNDS=N makes N of each kind.
"""

import base64
import json
import os
import random
import re

import pytest
import requests

ROUNDS = int(os.environ.get("VIDX_FUZZ_ROUNDS", "150"))
ODD = [None, True, -1, 0, 1 << 63, -(1 << 70), 1e308, -0.0, "", "x" * 5000, "\0", "\ud800", "é\u202e\U0001f600", [], {}, [[]],
       "../../etc/passwd", "a\r\nX-Evil: 1", "' OR 1=1 --", "data:video/mp4;base64,", "data:video_frames/jpg;base64,,,,,,,,"]


@pytest.fixture(scope="module")
def video(server, clip):
    path = clip(95)
    return server.upload(path).json() | {"data": path.read_bytes()}


def assert_answered(answer):
    """Not our fault, and what is wrong is said as JSON."""
    assert answer.status_code < 500, (answer.request.body, answer.text)
    assert "X-Evil" not in answer.headers
    if answer.status_code >= 400:
        assert "json" in answer.headers["Content-Type"] and answer.json(), answer.text


def bend_bytes(rng, data):
    """Some bytes changed, taken out, repeated or put in."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, n = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 7, 40))
        part = data[at:at + n]
        data[at:at + n] = rng.choice((b"", part * 2, part[::-1], rng.randbytes(n), bytes(n), b"\r\n", b'"', b"--", b"%"))
    return bytes(data)


def bend_json(rng, value):
    """One value somewhere inside is another one, missing, or there twice."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.2:
        return rng.choice(ODD)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(([bend_json(rng, value[at])], [], [value[at]] * rng.choice((2, 70)))) + value[at + 1:]
    value, key = dict(value), rng.choice(list(value))
    value[rng.choice((key, key, key, str(rng.choice(ODD))))] = bend_json(rng, value[key])
    return value


def bodies(video):
    picture = base64.b64encode(video["data"][:300]).decode()
    vector = [1.0, -2.5e-3] + [0] * 6
    return {
        "/v1/search": [{"vector": vector, "k": 3, "min_score": 0.5, "group_by": "clip", "model": "tiny"},
                       {"queries": [{"video_id": video["id"]}, {"clip_id": video["clips"][0]["id"], "k": 2}, {"vector": vector}]}],
        "/v1/embeddings": [{"input": ["data:video/mp4;presigned_url,https://127.0.0.1/a"], "request_type": "bulk_video",
                            "model": "tiny", "encoding_format": "base64", "dimensions": 8, "user": "u"},
                           {"input": f"data:video/mp4;base64,{picture}", "request_type": "query"},
                           {"input": "data:video_frames/jpg;base64," + ",".join([picture] * 8)}],
        f"/v1/videos/{video['id']}": [{"metadata": {"a": {"b": [1, 2]}, "c": None}}],
    }


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["search", "embeddings", "patch"])
def test_bent_json_is_answered(server, video, kind):
    rng = random.Random(kind)
    path, examples = list(bodies(video).items())[kind]
    for _ in range(ROUNDS):
        body = json.dumps(bend_json(rng, rng.choice(examples))).encode()
        body = bend_bytes(rng, body) if rng.random() < 0.4 else body
        assert_answered(requests.request("PATCH" if kind == 2 else "POST", server.url + path, data=body,
                                         headers={"Content-Type": "application/json"}, timeout=180))


def form_of(parts):
    text = b"".join(b"--b0\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts)
    return text + b"--b0--\r\n"


@pytest.mark.parametrize("path, fields", [
    ("/v1/search", [(b'name="k"', b"3"), (b'name="min_score"', b"-0.5"), (b'name="group_by"', b"clip")]),
    ("/v1/videos", [(b'name="metadata"', b'{"a": "\xc3\xa9"}'), (b'name="clip"', b"fixed:1,0.5,0.2"), (b'name="wait"', b"true")]),
])
def test_bent_form_is_answered(server, video, path, fields):
    rng = random.Random(path)
    file = (b'name="file"; filename="a \\"b\\".mp4"\r\nContent-Type: video/mp4', video["data"][:2000])
    for _ in range(ROUNDS):
        whole = form_of(rng.sample([*fields, file], len(fields) + 1))
        head, media, tail = whole.partition(file[1])
        body = bend_bytes(rng, head) + media + bend_bytes(rng, tail) if rng.random() < 0.7 else bend_bytes(rng, whole)
        kind = rng.choice(("multipart/form-data; boundary=b0",) * 8 + ('multipart/form-data; boundary="b0', "multipart/form-data; boundary="))
        chunked = rng.random() < 0.3
        assert_answered(requests.post(server.url + path, data=iter([body[:50], body[50:]]) if chunked else body,
                                      headers={"Content-Type": kind}, timeout=180))


@pytest.mark.parametrize("path", ["/v1/videos?limit=5&filename=%C3%A9a&verdict=new", "/v1/search?q=a+dog&k=3&min_score=0.1",
                                  "/v1/videos/ID/thumbnail?t=0.5&size=64", "/v1/jobs?limit=2&cursor=r1f"])
def test_bent_address_is_answered(server, video, path):
    rng = random.Random(path)
    for _ in range(ROUNDS):
        bent = bend_bytes(rng, path.replace("ID", video["id"])[1:].encode("ascii", "replace"))
        target = "/" + re.sub(r"[^!-~]|#", lambda c: f"%{ord(c[0]):02X}", bent.decode("latin-1"))
        request = requests.Request("GET", server.url).prepare()
        request.url = server.url + target  # as it is: a client library would tidy it up
        assert_answered(server.http.send(request, timeout=180))


def expected_range(text, size):
    """What RFC 9110 lets a server send that knows one range: the span, "whole" or "none"."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text, re.ASCII | re.IGNORECASE)
    if not found or found[0].endswith("=-"):
        return "whole"
    # beyond 63 bits, numbers are only known to be large
    first, last = (min(int(digits), (1 << 63) - 1) if digits else None for digits in found.groups())
    if first is None:
        return (max(size - last, 0), size - 1) if last else "none"
    if last is not None and last < first:
        return "whole"
    return (first, size - 1 if last is None else min(last, size - 1)) if first < size else "none"


def test_generated_range_gives_what_the_rfc_says(server, video):
    rng = random.Random(3)
    data = video["data"]
    numbers = ["", "0", "1", "007", str(len(data) - 1), str(len(data)), str(1 << 63), "9" * 40, "1" + "0" * 19]
    for _ in range(ROUNDS):
        text = f"bytes={rng.choice(numbers)}-{rng.choice(numbers)}"
        if rng.random() < 0.3:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice("-=,x 5B+") + text[at + rng.randint(0, 1):]
        answer = requests.get(f"{server.url}/v1/videos/{video['id']}/content", headers={"Range": text.strip()}, timeout=180)
        wanted = expected_range(text.strip(), len(data))
        if wanted == "none":
            assert answer.status_code == 416, text
        elif wanted == "whole":
            assert answer.status_code == 200 and answer.content == data, text
        else:
            first, last = wanted
            assert answer.status_code == 206 and answer.content == data[first:last + 1], text
            assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"

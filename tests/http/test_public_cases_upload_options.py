"""Options of an upload: names in any script, and what is wrong told before the bytes."""

import pytest
import requests
from conftest import raw_connection


@pytest.mark.parametrize("seed, length", [(950, 104), (951, 255)])
def test_name_may_have_255_characters_of_any_script(server, clip, seed, length):
    """A character of this name takes three bytes, nine in an address."""
    name = "旅" * (length - 4) + ".mp4"
    answer = requests.put(f"{server.url}/v1/videos/{name}", data=clip(seed).read_bytes(), timeout=180)
    assert answer.status_code == 201, answer.text
    assert answer.json()["filename"] == name
    content = server.get(f"/v1/videos/{answer.json()['id']}/content")
    assert "filename*=UTF-8''%E6%97%85" in content.headers["Content-Disposition"]


@pytest.mark.parametrize("query", ["on_duplicate=rejct", "wait=perhaps", "clip=fixed:0", "model=none",
                                   "metadata=%7B"])
def test_wrong_option_is_told_before_the_body_is_sent(server, query):
    with raw_connection(server, timeout=5) as connection:
        connection.sendall(f"PUT /v1/videos/large.mp4?{query} HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: 900000000\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(4096).split()[1] == b"400"

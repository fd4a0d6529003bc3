"""A disk that cannot be read in the middle of a file is our fault, and is not taken for its end."""

import errno

import make as samples
import pytest
from trouble import Troubled

LONG = {"preset": "ultrafast", "qp": "10", "g": "10", "bf": "0"}


@pytest.fixture
def server(tmp_path, tiny_model):
    with Troubled(tmp_path, tiny_model) as running:
        yield running


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi", "mp4", "webm"])
def test_read_error_in_the_middle_of_a_file_is_not_its_end(server, tmp_path, suffix):
    codec, options = ("libvpx", {"b": "4M", "deadline": "realtime", "cpu-used": "8"}) \
        if suffix == "webm" else ("libx264", LONG)
    path = tmp_path / f"film.{suffix}"
    samples.encode(path, codec, n=150, rate=10, size=(320, 240), seed=991, options=options)
    assert path.stat().st_size > 400_000
    server.fail("read", errno.EIO, "incoming/", from_byte=200_000)
    answer = server.upload(path)
    assert answer.status_code >= 500, answer.text
    assert server.get("/v1/stats").json()["videos"] == 0
    server.recover()
    answer = server.upload(path)
    assert answer.status_code == 201, answer.text
    assert answer.json()["media"]["duration_s"] == pytest.approx(15, abs=0.1)

"""Files that are damaged, or gone from under the server."""

import struct

import pytest
import ramp
from conftest import assert_problem


def box_count_raised(data, kind, to):
    """The MP4 with a table of its index that claims so many entries."""
    at = data.rfind(kind)
    assert at > 0
    return data[:at + 8] + struct.pack(">I", to) + data[at + 12:]


@pytest.mark.parametrize("kind", [b"stts", b"ctts", b"stsc"])
@pytest.mark.parametrize("count", [0x0FFFFFFF, 0x7FFFFFFF])
def test_table_that_claims_more_than_its_box_holds_is_damage(server, tmp_path, kind, count):
    path = ramp.write(tmp_path / "film.mp4", n=60, options={"g": "10", "bf": "2", "preset": "veryfast"})
    data = box_count_raised(path.read_bytes(), kind, count)
    answer = server.post("/v1/videos", data=data, params={"filename": "film.mp4"})
    assert_problem(answer, 422, "media-damaged")


def test_same_bytes_bring_a_stored_file_back_that_is_gone(server, clip):
    data = clip(980).read_bytes()
    video = server.upload(clip(980)).json()
    stored = server.data / "media" / video["sha256"][:2] / video["sha256"]
    stored.unlink()
    answer = server.upload(clip(980))
    assert answer.status_code in (200, 201) and answer.json()["id"] == video["id"]
    assert stored.read_bytes() == data
    assert server.get(f"/v1/videos/{video['id']}/content").content == data

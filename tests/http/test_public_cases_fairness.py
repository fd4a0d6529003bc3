"""Files that cost far more than they weigh hold up nobody else."""

import struct
import threading

import pytest
import requests

HUGE, FRAMES = 8192, 20_000


def gif_of_many_small_pictures(seed):
    """460 KB: a canvas of 64 million pixels, and thousands of pictures that change one of them."""
    control = b"\x21\xf9\x04\x04" + struct.pack("<H", 10) + b"\0\0"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + bytes([2, 2, 0x44, 0x01, 0])
    return (b"GIF89a" + struct.pack("<HHBBB", HUGE, HUGE, 0x81, 0, 0) + bytes([0, 0, 0, 255, 0, 0] * 2)
            + (control + picture) * FRAMES + b"\x3b" + bytes([seed]))


@pytest.fixture
def crowded(start):
    return start("--max-side", "8192")


def send_and_leave(url, path, data):
    """The client gives up after two seconds."""
    try:
        requests.post(url + path, data=data, headers={"Content-Type": "video/mp4"}, timeout=2)
    except requests.RequestException:
        pass


def leave_three(server, path):
    threads = [threading.Thread(target=send_and_leave, args=(server.url, path,
                                                             gif_of_many_small_pictures(seed)))
               for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/search"])
def test_costly_files_whose_senders_left_hold_up_no_upload(crowded, clip, path):
    leave_three(crowded, path)
    with open(clip(995), "rb") as film:
        answer = requests.post(f"{crowded.url}/v1/videos", data=film, timeout=180)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/search"])
def test_costly_files_whose_senders_left_hold_up_no_search_by_a_file(crowded, clip, path):
    crowded.upload(clip(996))
    leave_three(crowded, path)
    with open(clip(996), "rb") as film:
        answer = requests.post(f"{crowded.url}/v1/search", files={"file": film}, timeout=180)
    assert answer.status_code == 200 and answer.json()["items"], answer.text


def test_costly_file_is_refused_as_too_costly(crowded):
    answer = requests.post(f"{crowded.url}/v1/videos", data=gif_of_many_small_pictures(9), timeout=180)
    assert answer.status_code == 422, answer.text

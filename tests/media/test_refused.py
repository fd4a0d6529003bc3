"""Files that are no usable video: a sentence for a person, and nothing worse."""

import random
import struct

import pytest
from make import encode, names, remux, sample, write_tone, write_zero_frames
from media_dump import Refused, dump

UNSUPPORTED, NO_VIDEO, DAMAGED, TOO_LARGE = range(1, 5)  # as media_dump exits


def refuse(path, code, *words):
    with pytest.raises(Refused) as refused:
        dump(path)
    assert refused.value.code == code, refused.value
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize("content, word", [
    (b"This is a letter, not a video.\n" * 50, "not a video"), (b"", "empty"), (b"\0", "not a video"),
    (bytes(range(256)) * 400, "not a video"), (b"\xff\xd8\xff\xe0" + bytes(4000), "not a video"),
])
def test_other_content_named_mp4_is_unsupported(content, word, tmp_path):
    (tmp_path / "x.mp4").write_bytes(content)
    refuse(tmp_path / "x.mp4", UNSUPPORTED, word)


@pytest.mark.parametrize("text", [
    "ffconcat version 1.0\nfile {}\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n",
    '<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{}</BaseURL></AdaptationSet></Period></MPD>',
])
def test_lists_that_name_other_files_are_not_followed(text, tmp_path):
    (tmp_path / "list.mp4").write_text(text.format(sample("h264_closed.mp4")))
    refuse(tmp_path / "list.mp4", UNSUPPORTED)


def test_missing_file_is_our_fault(tmp_path):
    refuse(tmp_path / "none.mp4", 100, "No such file")


def cut(source, at, tmp_path):
    """The first `at` bytes of a file, under its name."""
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[:at])
    return path


def test_mp4_cut_before_its_index_is_damaged(tmp_path):
    source = sample("h264_closed.mp4")
    half = source.stat().st_size // 2
    # the index of this file stands at its end
    assert source.read_bytes().index(b"moov") > half
    refuse(cut(source, half, tmp_path), DAMAGED, "before its index (moov)", "end missing", f"{half} bytes")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_mp4_cut_behind_its_index_is_damaged(share, tmp_path):
    source = sample("h264_faststart.mp4")
    at = int(source.stat().st_size * share)
    refuse(cut(source, at, tmp_path), DAMAGED, "breaks off", "90 pictures")


HOLD_BOXES = {b"moov": 8, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8, b"edts": 8, b"dinf": 8,
              b"udta": 8, b"stsd": 16}


def boxes(data, start=0, end=None):
    """(name, start, end) of the boxes of an MP4, those inside others too."""
    end = len(data) if end is None else end
    while start < end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield name, start, start + size
        if name in HOLD_BOXES:
            yield from boxes(data, start + HOLD_BOXES[name], start + size)
        start += size


@pytest.mark.parametrize("name", ["h264_faststart.mp4", "sound_first.mp4", "sound_last.mp4"])
def test_mp4_cut_in_any_box_of_its_index_is_damaged(name, tmp_path):
    """What FFmpeg makes of it depends on the box. (tests/unit cuts a small file at every byte.)"""
    source = sample(name)
    data = source.read_bytes()
    found = list(boxes(data))
    index_start, index_end = next(place for box, *place in found if box == b"moov")
    inside = [(box, (start + end) // 2) for box, start, end in found if index_start <= start < index_end]
    assert {b"mvhd", b"tkhd", b"hdlr", b"minf", b"stsd", b"stsz"} < {box for box, _ in inside}
    for _, at in inside:
        refuse(cut(source, at, tmp_path), DAMAGED, "inside its index (moov)",
               f"{at} bytes are there of at least {index_end}", "is its end missing?")


# The last byte that is there: in the header, in what describes the streams, before the first picture.
@pytest.mark.parametrize("name, behind, offset, words", [
    ("h264_pyramid_strict.mkv", b"\x1a\x45\xdf\xa3", 12, "in its header"),
    ("h264_pyramid_strict.mkv", b"\x18\x53\x80\x67", 4, "in its header"),
    ("h264_pyramid_strict.mkv", b"\x16\x54\xae\x6b", 30, "in its header"),
    ("h264_pyramid_strict.mkv", b"\x1f\x43\xb6\x75", 40, "before its first picture"),
    ("vp9.webm", b"\x16\x54\xae\x6b", 30, "in its header"),
    ("vp9.webm", b"\x1f\x43\xb6\x75", 40, "before its first picture"),
    ("mpeg4.avi", b"avih", 20, "in its header"), ("mpeg4.avi", b"strf", 20, "in its header"),
    ("mpeg4.avi", b"movi", 8, "breaks off"),
    ("h264_open.ts", b"\x47", 188 * 2 + 100, "before it says what is in it"),
    ("h264_open.ts", b"\x47", 188 * 3 + 100, "before its first picture"),
])
def test_file_cut_before_its_first_picture_is_damaged(name, behind, offset, words, tmp_path):
    source = sample(name)
    at = source.read_bytes().index(behind) + len(behind) + offset
    refuse(cut(source, at, tmp_path), DAMAGED, words, "is its end missing?")


@pytest.mark.parametrize("name", ["h264_pyramid_strict.mkv", "h264_open.ts", "vp9.webm"])
def test_stream_cut_in_the_middle_shows_what_is_there(name, tmp_path):
    data = sample(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) // 2])
    assert 20 < dump(path)["n_frames"] < 80


def test_mp4_with_garbage_for_pictures_is_damaged(tmp_path):
    data = bytearray(sample("h264_closed.mp4").read_bytes())
    start = data.index(b"mdat") + 2000
    for i in range(start, data.index(b"moov") - 4):
        data[i] = i * 7 & 255
    (tmp_path / "x.mp4").write_bytes(data)
    refuse(tmp_path / "x.mp4", DAMAGED, "cannot be decoded")


def test_small_damage_repeats_the_picture_before(tmp_path):
    """One lost picture in 90 is bridged, as a player would."""
    def blank(number, packet):
        if number == 44:
            hurt = bytearray(bytes(packet))
            hurt[5:] = bytes(len(hurt) - 5)
            copy = type(packet)(bytes(hurt))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            return [copy]
        return [packet]
    remux(sample("mpeg4.avi"), tmp_path / "x.avi", blank)
    got = dump(tmp_path / "x.avi", "all")
    assert len(got["pictures"]) == got["n_frames"]


def test_text_that_looks_like_a_box_is_no_mp4(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"I'm free today, and skip the film.\n" * 50)
    refuse(tmp_path / "x.mp4", UNSUPPORTED, "not a video")


@pytest.mark.parametrize("suffix", [".mp4", ".wav"])
def test_sound_alone_is_no_video(suffix, tmp_path):
    write_tone(tmp_path / f"tone{suffix}")
    refuse(tmp_path / f"tone{suffix}", NO_VIDEO, "no video stream")


@pytest.mark.parametrize("suffix, code", [(".avi", NO_VIDEO), (".mkv", DAMAGED)])
def test_stream_without_frames_is_refused(suffix, code, tmp_path):
    """FFmpeg opens no Matroska file without a cluster."""
    write_zero_frames(tmp_path / f"x{suffix}")
    refuse(tmp_path / f"x{suffix}", code, "picture")


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (200, 15)])
def test_tiny_picture_is_unsupported(size, tmp_path):
    encode(tmp_path / "x.avi", "rawvideo", size=size, n=3)
    refuse(tmp_path / "x.avi", UNSUPPORTED, f"{size[0]}x{size[1]}", "at least 16x16")


def test_smallest_picture_is_accepted(tmp_path):
    encode(tmp_path / "x.avi", "rawvideo", size=(16, 16), n=3)
    assert dump(tmp_path / "x.avi")["n_frames"] == 3


def claim_size(path, source, width, height):
    """The MP4 with another size in its sample description."""
    data = bytearray(source.read_bytes())
    at = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    data[at : at + 4] = struct.pack(">HH", width, height)
    path.write_bytes(data)


def test_huge_size_claimed_in_the_header_is_too_large(tmp_path):
    claim_size(tmp_path / "x.mp4", sample("h264_closed.mp4"), 16384, 16384)
    refuse(tmp_path / "x.mp4", TOO_LARGE, "16384x16384", "8192")


def test_random_damage_never_kills_the_program(tmp_path):
    rng = random.Random(5)
    for name in rng.sample(names(), 16):
        data = bytearray(sample(name).read_bytes())
        for _ in range(rng.choice([1, 8, 60])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        path = tmp_path / name
        path.write_bytes(data)
        try:
            dump(path)
        except Refused as refused:
            assert refused.code in (UNSUPPORTED, NO_VIDEO, DAMAGED, TOO_LARGE), f"{name}: {refused}"

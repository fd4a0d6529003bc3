"""Files made to hurt: tables that stand for more than the file holds, and names of other files."""

import struct
import zlib

import make as samples
import pytest
from conftest import assert_problem

MANY = 80_000_000


def u32(*values):
    return struct.pack(f">{len(values)}I", *values)


def box(kind, *content):
    content = b"".join(content)
    return u32(8 + len(content)) + kind + content


def table(kind, *content, flags=0):
    return box(kind, u32(flags), *content)


FTYP, MDAT = box(b"ftyp", b"isom", u32(512), b"isom"), box(b"mdat", bytes(1000))
MATRIX = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
MVHD = table(b"mvhd", u32(0, 0, 1000, 1000, 1 << 16), bytes(12), MATRIX, bytes(24), u32(2))
ENTRY = box(b"jpeg", bytes(6), b"\0\1", bytes(16), struct.pack(">HH", 64, 64), u32(72 << 16, 72 << 16, 0), b"\0\1",
            bytes(32), b"\0\x18\xff\xff")


def track(n_samples, edits=b""):
    """A track of n_samples of one byte each, all in one chunk: 500 bytes."""
    tables = box(b"stbl", table(b"stsd", u32(1), ENTRY), table(b"stts", u32(1, n_samples, 2)),
                 table(b"stsc", u32(1, 1, max(n_samples, 1), 1)), table(b"stsz", u32(1, n_samples)),
                 table(b"stco", u32(1, len(FTYP) + 8)))
    header = table(b"tkhd", u32(0, 0, 1, 0, 1000), bytes(16), MATRIX, u32(64 << 16, 64 << 16), flags=3)
    media = box(b"mdia", table(b"mdhd", u32(0, 0, 1000, 1000, 0x55c40000)),
                table(b"hdlr", u32(0), b"vide", bytes(12), b"x\0"),
                box(b"minf", table(b"vmhd", bytes(8), flags=1),
                    box(b"dinf", table(b"dref", u32(1), table(b"url ", flags=1))), tables))
    return box(b"trak", header, edits, media)


def with_table(kind, *numbers):
    """A track of 500 samples with one more table of that kind."""
    return FTYP + MDAT + box(b"moov", MVHD, box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table(kind, u32(*numbers)))))),
                             track(500))


def edited(n):
    return track(500, box(b"edts", table(b"elst", u32(n), u32(1000, 0, 1 << 16) * n)))


def fragmented():
    moov = box(b"moov", MVHD, track(0), box(b"mvex", table(b"trex", u32(1, 1, 1, 1, 0))))
    run = table(b"trun", u32(MANY, 8), flags=1)
    return FTYP + moov + box(b"moof", table(b"mfhd", u32(1)), box(b"traf", table(b"tfhd", u32(1), flags=0x20000), run)) + MDAT


def long_box(kind, *content):
    """The same box with a size of 64 bits."""
    content = b"".join(content)
    return u32(1) + kind + struct.pack(">Q", 16 + len(content)) + content


LIARS = {
    "one track": FTYP + MDAT + box(b"moov", MVHD, track(MANY)),
    "many tracks": FTYP + MDAT + box(b"moov", MVHD, *[track(3000)] * 60),
    "fragment": fragmented(),
    "edits": FTYP + MDAT + box(b"moov", MVHD, edited(20_000)),
    "long size": FTYP + MDAT + box(b"moov", MVHD, long_box(b"stsz", u32(0, 1, MANY))),
    "decode times": with_table(b"stts", 1, MANY, 2),
    "composition times": with_table(b"ctts", 2, 250, 0, MANY, 0),
    "entries that are not there": with_table(b"stts", 0x0fffffff, 1, 1),
    "offsets that are not there": with_table(b"stco", 0x0fffffff, 1),
    "unknown box first": box(b"junk", b"x") + MDAT + box(b"moov", MVHD, track(MANY)),
    "inside a sample entry": FTYP + MDAT + box(b"moov", box(b"stsd", ENTRY[:-4], table(b"stsz", u32(1, MANY)))),
}


@pytest.mark.parametrize("what", LIARS)
def test_mp4_that_lists_more_than_it_holds_is_refused_unread(server, what):
    """FFmpeg would take gigabytes of memory for what these few bytes say."""
    answer = server.post("/v1/videos", params={"filename": "x.mp4"}, data=LIARS[what])
    assert_problem(answer, 422, "media-damaged", f"index lists more pictures and sounds than {len(LIARS[what])} bytes hold")


def test_mp4_with_a_compressed_index_is_refused_unread(server):
    packed = zlib.compress(bytes(16 << 20))
    moov = box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", u32(16 << 20), packed)))
    answer = server.post("/v1/videos", params={"filename": "x.mov"}, data=moov + MDAT)
    assert_problem(answer, 415, "media-unsupported", "index", "compressed")


def test_mp4_behind_a_tag_of_sound_files_is_refused(server):
    answer = server.post("/v1/videos", params={"filename": "x.mp4"},
                         data=b"ID3\4\0\0\0\0\0\0" + LIARS["one track"])
    assert_problem(answer, 415, "media-unsupported", "ID3")


def with_tags(movie, *tags):
    """Its index comes last and in it a list of tags, which these replace."""
    start = movie.rindex(b"moov") - 4
    size, old = struct.unpack_from(">I", movie, start)[0], movie.index(b"udta", start) - 4
    assert start + size == len(movie) == old + struct.unpack_from(">I", movie, old)[0]
    handler = table(b"hdlr", u32(0), b"mdir", b"appl", bytes(9))
    return movie[:start] + box(b"moov", movie[start + 8:old],
                               box(b"udta", table(b"meta", handler, box(b"ilst", *tags))))


NAMES_BY_CHANCE = table(b"stsz", u32(1, 0xf0000000)) + b"cmov" * 2 + table(b"trun", u32(0xf0000000))


PICTURE = box(b"data", u32(13, 0), b"x" * 20)
COVERS = {"by chance": box(b"data", u32(13, 0), NAMES_BY_CHANCE), "a table": table(b"stsz", u32(1, MANY)),
          "a track": track(MANY), "a track behind the picture": PICTURE + track(MANY)}


@pytest.mark.release_too
@pytest.mark.parametrize("what", COVERS)
def test_mp4_with_tables_in_its_cover_is_stored(server, clip, what):
    """FFmpeg reads none there: the server grows as by a plain cover."""
    cover = box(b"covr", COVERS[what])
    before = server.memory_peak_bytes()
    answer = server.post("/v1/videos", params={"filename": "x.mp4"}, data=with_tags(clip(92).read_bytes(), cover))
    assert answer.status_code == 201, answer.text
    assert server.memory_peak_bytes() - before < 500 << 20  # a track read: 1.8 GB


def test_mp4_with_tables_beside_its_cover_is_refused_unread(server, clip):
    movie = with_tags(clip(93).read_bytes(), box(b"covr", bytes(8)), table(b"stsz", u32(1, 0xf0000000)))
    answer = server.post("/v1/videos", params={"filename": "x.mp4"}, data=movie)
    assert_problem(answer, 422, "media-damaged", "index lists more")


@pytest.mark.parametrize("name", ["sound_first.mp4", "h264_edit_list.mp4"])
def test_mp4_with_sound_or_edits_is_stored(server, name):
    assert server.upload(samples.sample(name)).status_code in (200, 201)


@pytest.mark.parametrize("text", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile '{path}'\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
])
def test_file_that_names_another_file_is_no_video(server, clip, text):
    path = clip(90)
    answer = server.post("/v1/videos", params={"filename": "x.mp4"}, data=text.format(path=path, url=path.as_uri()))
    assert_problem(answer, 415, "media-unsupported")


def test_movie_whose_pictures_lie_in_another_file_is_damaged(server, clip):
    """A QuickTime reference movie; FFmpeg would open the other file if it were told to."""
    path = clip(91)
    alias = table(b"alis", bytes(10) + b"\x01" + b"v".ljust(27, b"\0") + bytes(12) +
                  bytes([len(path.name)]) + path.name.encode().ljust(63, b"\0") + bytes(16 + 4 + 16) +
                  struct.pack(">hH", 2, len(str(path))) + str(path).encode() + bytes(len(str(path)) % 2) + b"\xff\xff\0\0")
    reference = table(b"dref", u32(1), alias)
    movie = path.read_bytes()
    start, media = movie.index(b"dref") - 4, movie.index(b"mdat")
    end = start + struct.unpack_from(">I", movie, start)[0]
    more = len(reference) - (end - start)
    assert start > media, "the index must come last, so that the pictures stay where it says"
    changed = bytearray(movie[:start] + reference + movie[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = changed.index(name) - 4
        struct.pack_into(">I", changed, at, struct.unpack_from(">I", changed, at)[0] + more)
    answer = server.post("/v1/videos", params={"filename": "x.mov"}, data=bytes(changed))
    assert_problem(answer, 422, "media-damaged", "0 are there")


def test_gif_of_thousands_of_large_pictures_is_refused_and_others_go_on(server, clip):
    """460 KB that would be decoded for an hour: 20,000 pictures of 8192 x 8192, each a pixel anew."""
    picture = b"\x21\xf9\x04\x04\x0a\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + bytes([2, 2, 0x44, 1, 0])
    head = b"GIF89a" + struct.pack("<HHBBB", 8192, 8192, 0x81, 0, 0) + bytes(12)
    for k in range(3):
        answer = server.post("/v1/videos", params={"filename": "x.gif"}, data=head + picture * 20_000 + b"\x3b" + bytes(k))
        assert_problem(answer, 422, "media-too-large", "20000 pictures of 8192x8192")
    assert server.upload(clip(77)).status_code == 201

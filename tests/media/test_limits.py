"""What one file may cost, and whose fault a failure is."""

import os
import struct
import subprocess

import pytest
import tools
from make import encode
from media_dump import Refused, call, dump
from ramp import write

DAMAGED, TOO_LARGE, OURS = 3, 4, 100


def refuse(code, *arguments, **keywords):
    with pytest.raises(Refused) as refused:
        call(*arguments, **keywords)
    assert refused.value.code == code, refused.value
    return str(refused.value)


# ---------------------------------------------------------------- work and memory


def gif(path, side, n, rectangle=1, comment=0):
    """n pictures of side x side pixels, of which each changes a square; from few bytes."""
    image = bytes([2, 2, 0x44, 0x01, 0])
    note = (b"\x21\xfe" + bytes([comment]) + b"x" * comment + b"\0") if comment else b""
    frame = (b"\x21\xf9\x04\x04" + struct.pack("<H", 10) + b"\0\0" + note +
             b"\x2c" + struct.pack("<HHHHB", 0, 0, rectangle, rectangle, 0) + image)
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", side, side, 0x81, 0, 0) + bytes(12) + frame * n + b"\x3b")
    return path


@pytest.mark.parametrize("side, n, comment", [(8192, 20_000, 0), (4096, 60_000, 0), (8192, 10_000, 200)])
def test_gif_of_many_large_pictures_that_change_a_pixel_is_refused_at_once(side, n, comment, tmp_path):
    path = gif(tmp_path / "x.gif", side, n, comment=comment)
    assert f"{n} pictures of {side}x{side}" in refuse(TOO_LARGE, path, 2, 2, "none")


def test_still_film_of_few_bytes_is_no_bomb(tmp_path):
    """A thousand pictures of one grey in 1080p: some 20 bytes each, decoded in a second or two."""
    path = write(tmp_path / "x.mp4", n=10, size=(1920, 1080),
                 options={"qp": "40", "bf": "0", "g": "1000", "x264-params": "threads=1"})
    assert dump(path, what="none")["n_frames"] == 10
    assert dump(gif(tmp_path / "x.gif", 256, 1000), what="none")["n_frames"] == 1000


def peak_bytes(*arguments):
    """(exit code, largest resident size) of the tool."""
    child = subprocess.Popen([tools.path("media/media_dump"), *map(str, arguments)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_maxrss * 1024


def test_memory_of_a_decode_does_not_grow_with_the_threads(tmp_path):
    """Pictures of 100 MB each: sixteen threads would hold sixteen of them and more."""
    path = write(tmp_path / "x.mp4", n=6, size=(8192, 8192),
                 options={"preset": "ultrafast", "qp": "30", "x264-params": "threads=1"})
    code, peak = peak_bytes(path, "all", 16, "none")
    assert code == 0 and peak < 1_200_000_000


# ---------------------------------------------------------------- disks and decoders that fail


@pytest.fixture(scope="module")
def preload(tmp_path_factory):
    """Compiles C to a library that is loaded before all others."""
    def build(name, code):
        folder = tmp_path_factory.mktemp(name)
        (folder / "x.c").write_text(code)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", folder / "x.so", folder / "x.c"], check=True)
        return {"env": os.environ | {"LD_PRELOAD": str(folder / "x.so")}}
    return build


FAILING_READ = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <stdio.h>
ssize_t read(int fd, void *b, size_t n) {
    char link[64], name[512] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, 511) > 0 && strstr(name, "/film.") &&
        lseek(fd, 0, SEEK_CUR) >= atol(getenv("FAIL_FROM"))) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_read, fd, b, n);
}
"""


@pytest.mark.parametrize("suffix, codec", [("mkv", "libx264"), ("ts", "libx264"), ("avi", "mpeg4"), ("mp4", "libx264"),
                                           ("mpg", "mpeg2video"), ("flv", "libx264"), ("webm", "libvpx-vp9")])
@pytest.mark.parametrize("part", [0, 0.5, 0.9])
def test_disk_that_fails_inside_a_file_is_our_fault(suffix, codec, part, preload, tmp_path):
    path = tmp_path / f"film.{suffix}"
    encode(path, codec, n=120, options={"b": "9000000"}, size=(384, 256))
    failing = preload("read", FAILING_READ)
    n_bytes = path.stat().st_size
    assert n_bytes > 600_000  # FFmpeg reads 32 KB at once
    failing["env"]["FAIL_FROM"] = str(int(n_bytes * part))
    assert "Input/output error" in refuse(OURS, path, "all", 1, "none", **failing)
    assert dump(path, what="none")["n_frames"] == 120


ENDLESS_ERROR = """
#include <errno.h>
int avcodec_receive_frame(void *codec, void *frame) { return -1094995529; }
"""


@pytest.mark.parametrize("arguments", [("all", 1, "none"), None])
def test_decoder_that_repeats_its_complaint_ends_the_decode(arguments, preload, tmp_path):
    path = write(tmp_path / "x.mp4")
    failing = preload("decoder", ENDLESS_ERROR)
    line = (path, *arguments) if arguments else ("--thumbnail", path, 1, 64)
    assert "decoded" in refuse(DAMAGED, *line, **failing)



"""The C functions behind libvxtest.so, with numpy arrays in and out.

The library is that of build/release, or of the build directory that VIDX_BUILD names.
"""
import ctypes as ct
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BILINEAR_ANTIALIAS, BICUBIC_ANTIALIAS, BILINEAR = 0, 1, 2
SQUASH, CROP = 0, 1
FRAME = np.dtype([("time_s", "f4"), ("quality", "u1"), ("inside", "?"), ("hash", "u1", 32)],
                 align=True)


class Spec(ct.Structure):
    _fields_ = [("width_px", ct.c_int), ("height_px", ct.c_int), ("filter", ct.c_int),
                ("fit", ct.c_int), ("mean", ct.c_float * 3), ("std", ct.c_float * 3)]


class Match(ct.Structure):
    _fields_ = [("share", ct.c_float), ("offset_s", ct.c_float), ("n_matched", ct.c_int),
                ("n_distinct", ct.c_int), ("a_inside", ct.c_bool), ("b_inside", ct.c_bool)]


class Coverage(ct.Structure):
    _fields_ = [("share_of_a", ct.c_float), ("share_of_b", ct.c_float), ("whole_a", ct.c_bool),
                ("whole_b", ct.c_bool)]


class Video(ct.Structure):
    _fields_ = [("stored", ct.c_void_p), ("n_stored", ct.c_size_t), ("frames", ct.c_void_p),
                ("mirrored", ct.c_void_p), ("n_frames", ct.c_size_t)]


def _load():
    folder = ROOT / os.environ.get("VIDX_BUILD", "build/release")
    path = folder / "tests/tools/libvxtest.so"
    if not path.exists():
        raise RuntimeError(f"no {path}: run ./dev build, or set VIDX_BUILD")
    return ct.CDLL(str(path))


class Error(ct.Structure):
    _fields_ = [("code", ct.c_int), ("func", ct.c_char_p), ("line", ct.c_int),
                ("msg", ct.c_char * 512)]


lib = _load()
assert FRAME.itemsize == 40
lib.vxt_compare.argtypes = [ct.c_void_p, ct.c_size_t, ct.c_void_p, ct.c_size_t, ct.c_void_p]
lib.vxt_cover.argtypes = [ct.c_void_p, ct.c_size_t, ct.c_double] * 2 + [ct.c_void_p] * 2
lib.vxt_fingerprint.argtypes = [ct.c_char_p, ct.c_void_p, ct.c_void_p]


def _pointer(array):
    return ct.c_void_p(array.ctypes.data)


def resize(rgb, out_w, out_h, filter=BILINEAR_ANTIALIAS, fit=SQUASH):
    """uint8 [h, w, 3] whose rows may be padded, to uint8 [out_h, out_w, 3]."""
    assert rgb.dtype == np.uint8 and rgb.strides[1:] == (3, 1)
    out = np.empty((out_h, out_w, 3), np.uint8)
    rc = lib.vxt_resize(filter, fit, out_w, out_h, _pointer(rgb), rgb.shape[1], rgb.shape[0],
                        rgb.strides[0], _pointer(out))
    assert rc == 0, rc
    return out


def prepare(spec, rgb):
    """uint8 [h, w, 3] to float32 [3, height, width]."""
    rgb = np.ascontiguousarray(rgb)
    out = np.empty((3, spec.height_px, spec.width_px), np.float32)
    rc = lib.vxt_prepare(ct.byref(spec), _pointer(rgb), rgb.shape[1], rgb.shape[0], rgb.strides[0],
                         _pointer(out))
    assert rc == 0, rc
    return out


def fingerprint(luma, time_s=0.0):
    """uint8 [h, w] to two FRAME records: as it is, and mirrored."""
    assert luma.dtype == np.uint8 and luma.strides[1] == 1
    frames = np.zeros(2, FRAME)
    frames["time_s"] = time_s
    rc = lib.vxt_hash(_pointer(luma), luma.shape[1], luma.shape[0], luma.strides[0],
                      _pointer(frames[:1]), _pointer(frames[1:]))
    assert rc == 0, rc
    return frames[0], frames[1]


def compare(a, b):
    """FRAME [n] and FRAME [m] to a Match."""
    a, b = np.ascontiguousarray(a, FRAME), np.ascontiguousarray(b, FRAME)
    match = Match()
    rc = lib.vxt_compare(_pointer(a), len(a), _pointer(b), len(b), ct.byref(match))
    assert rc == 0, rc
    return match


def cover(a, a_length_s, b, b_length_s, match):
    """How much of each the other one holds, as a Coverage."""
    a, b = np.ascontiguousarray(a, FRAME), np.ascontiguousarray(b, FRAME)
    coverage = Coverage()
    rc = lib.vxt_cover(_pointer(a), len(a), ct.c_double(a_length_s), _pointer(b), len(b),
                       ct.c_double(b_length_s), ct.byref(match), ct.byref(coverage))
    assert rc == 0, rc
    return coverage


def is_copy(match):
    return bool(lib.vxt_is_copy(ct.byref(match)) & 1)


def video_fingerprint(path):
    """A file to FRAME arrays: what is stored of it, what it is asked about with, and mirrored."""
    video, err = Video(), Error()
    rc = lib.vxt_fingerprint(str(path).encode(), ct.byref(video), ct.byref(err))
    if rc:
        raise RuntimeError(f"{path}: {err.msg.decode()} ({rc})")
    arrays = [np.frombuffer(ct.string_at(pointer, n * FRAME.itemsize), FRAME)
              for pointer, n in ((video.stored, video.n_stored), (video.frames, video.n_frames),
                                 (video.mirrored, video.n_frames))]
    lib.vxt_fingerprint_clear(ct.byref(video))
    return arrays


def distance(a, b):
    """Hamming distance of two hashes, uint8 [32]."""
    return int(np.unpackbits(a ^ b).sum())

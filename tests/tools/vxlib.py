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
FRAME = np.dtype([("time_s", "f4"), ("quality", "u1"), ("hash", "u1", 32)], align=True)


class Spec(ct.Structure):
    _fields_ = [("width_px", ct.c_int), ("height_px", ct.c_int), ("filter", ct.c_int),
                ("fit", ct.c_int), ("mean", ct.c_float * 3), ("std", ct.c_float * 3)]


class Match(ct.Structure):
    _fields_ = [("share", ct.c_float), ("offset_s", ct.c_float), ("n_matched", ct.c_int),
                ("n_distinct", ct.c_int)]


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
lib.vxt_thin.argtypes = [ct.c_void_p, ct.c_size_t, ct.c_double]
lib.vxt_thin.restype = ct.c_size_t
lib.vxt_extract.argtypes = [ct.c_char_p, ct.c_double, ct.c_double, ct.c_void_p, ct.c_int, ct.c_void_p,
                            ct.c_void_p, ct.c_void_p, ct.c_int, ct.c_void_p, ct.c_void_p]


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


def thin(frames, step_s):
    """About one frame in step_s seconds."""
    kept = np.ascontiguousarray(frames, FRAME).copy()
    return kept[:lib.vxt_thin(_pointer(kept), len(kept), step_s)]


def is_copy(match):
    return bool(lib.vxt_is_copy(ct.byref(match)) & 1)


def extract(path, spec, n_wanted, target_fps=2.0, hash_fps=2.0, max_frames=16384):
    """A video file to (FRAME [n], mirrored FRAME [n], float32 [n_wanted, 3, H, W])."""
    frames, mirrored = np.zeros(max_frames, FRAME), np.zeros(max_frames, FRAME)
    tensor = np.empty((n_wanted, 3, spec.height_px, spec.width_px), np.float32)
    n, err = ct.c_int(), Error()
    rc = lib.vxt_extract(str(path).encode(), target_fps, hash_fps, ct.byref(spec), n_wanted,
                         _pointer(tensor), _pointer(frames), _pointer(mirrored), max_frames,
                         ct.byref(n), ct.byref(err))
    if rc:
        raise RuntimeError(f"{path}: {err.msg.decode()} ({rc})")
    return frames[:n.value], mirrored[:n.value], tensor


def distance(a, b):
    """Hamming distance of two hashes, uint8 [32]."""
    return int(np.unpackbits(a ^ b).sum())

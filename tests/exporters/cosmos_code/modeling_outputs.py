from dataclasses import dataclass
from typing import Optional

import torch
from transformers.modeling_outputs import ModelOutput


@dataclass
class TextEmbeddingOutput(ModelOutput):
    text_proj: Optional[torch.FloatTensor] = None


@dataclass
class VideoEmbeddingOutput(ModelOutput):
    visual_proj: Optional[torch.FloatTensor] = None

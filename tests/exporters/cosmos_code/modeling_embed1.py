"""The stand-in's model: same layout, file and parameter names as the published repository, written
without a look at models/cosmos-embed1. config.open_choices says which combination it implements; it
knows some that the exporter does not."""
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from .configuration_embed1 import CosmosEmbed1Config
from .modeling_outputs import TextEmbeddingOutput, VideoEmbeddingOutput
from .modeling_qformer import BertLMHeadModel
from .modeling_utils import EncodingFactory
from .modeling_vit import EvaViTG


class CosmosEmbed1(PreTrainedModel):
    config_class = CosmosEmbed1Config
    base_model_prefix = "model"
    _tied_weights_keys = ["qformer.cls.predictions.decoder.weight"]

    def __init__(self, config):
        super().__init__(config)
        vision, former = config.vision, config.qformer
        choices = config.open_choices
        self.visual_encoder = EvaViTG(config.resolution, transform=choices.get("pixels", "clip"),
                                      **vision)
        self.ln_vision = nn.LayerNorm(vision["embed_dim"])
        self.temporal_encoding = EncodingFactory.make(
            config.temporal_encoding_type, config.num_video_frames, vision["embed_dim"])
        self.query_tokens = nn.Parameter(
            torch.zeros(1, config.num_query_tokens, former["hidden_size"]))
        self.qformer = BertLMHeadModel(former, config.vocab_size, vision["embed_dim"])
        self.vision_proj = nn.Linear(former["hidden_size"], config.embed_dim)
        self.text_proj = nn.Linear(former["hidden_size"], config.embed_dim)
        self.itm_head = nn.Linear(former["hidden_size"], 2)
        self.logit_scale = nn.Parameter(torch.tensor(2.659))
        self.logit_bias = nn.Parameter(torch.tensor(0.0))
        self.post_init()

    def get_input_embeddings(self):
        return self.qformer.bert.embeddings.word_embeddings

    def get_output_embeddings(self):
        return self.qformer.cls.predictions.decoder

    def _init_weights(self, module):
        pass

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        kwargs["output_loading_info"] = True
        model, info = super().from_pretrained(*args, **kwargs)
        wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
        if wrong:
            raise ValueError(f"the weights are not this model's: {wrong}")
        model.visual_encoder.resize_positions(model.config.open_choices.get("positions", "bicubic"))
        return model

    def encode_frames(self, videos):
        batch, frames = videos.shape[:2]
        choices = self.config.open_choices
        x = self.visual_encoder(videos.reshape(batch * frames, *videos.shape[2:]))
        x = x.reshape(batch, frames, *x.shape[1:])
        if choices.get("temporal", "after-norm") == "before-norm":
            x = self.ln_vision(self.temporal_encoding(x))
        elif choices.get("temporal") == "none":
            x = self.ln_vision(x)
        else:
            x = self.temporal_encoding(self.ln_vision(x))
        if choices.get("tokens", "all") == "patches":
            x = x[:, :, 1:, :]
        return x.reshape(batch, -1, x.shape[-1])

    def get_video_embeddings(self, videos):
        visual = self.encode_frames(videos)
        queries = self.query_tokens.expand(visual.shape[0], -1, -1)
        hidden = self.qformer.bert(query_embeds=queries, encoder_hidden_states=visual)
        pooling = self.config.open_choices.get("pooling", "mean-project")
        if pooling == "mean-project":
            out = self.vision_proj(hidden).mean(dim=1)
        elif pooling == "project-mean":
            out = F.normalize(self.vision_proj(hidden), dim=-1).mean(dim=1)
        else:  # the largest value over the queries
            out = self.vision_proj(hidden).amax(dim=1)
        return VideoEmbeddingOutput(visual_proj=F.normalize(out, dim=-1))

    def get_text_embeddings(self, input_ids, attention_mask):
        hidden = self.qformer.bert(input_ids, attention_mask)
        how = self.config.open_choices.get("text", "first")
        if how == "first":
            out = hidden[:, 0, :]
        elif how == "mean":
            weight = attention_mask.to(hidden.dtype)[..., None]
            out = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        else:  # the last token that is there
            out = hidden[torch.arange(hidden.shape[0]), attention_mask.sum(dim=1) - 1]
        return TextEmbeddingOutput(text_proj=F.normalize(self.text_proj(out), dim=-1))

"""Configuration of the stand-in for the published code; see cosmos_repository.py."""
from transformers import PretrainedConfig


class CosmosEmbed1Config(PretrainedConfig):
    model_type = "cosmos-embed1"

    def __init__(self, embed_dim=768, num_query_tokens=32, max_txt_len=128, num_video_frames=8,
                 temporal_encoding_type="neighboring_token_propagation", resolution=224,
                 vocab_size=30523, transformer_engine=False, use_fp8=False,
                 open_choices=None, vision=None, qformer=None, **kwargs):
        self.embed_dim = embed_dim
        self.num_query_tokens = num_query_tokens
        self.max_txt_len = max_txt_len
        self.num_video_frames = num_video_frames
        self.temporal_encoding_type = temporal_encoding_type
        self.resolution = resolution
        self.vocab_size = vocab_size
        self.transformer_engine, self.use_fp8 = transformer_engine, use_fp8
        self.open_choices = open_choices or {}
        self.vision = {"embed_dim": 1408, "depth": 39, "num_heads": 16, "mlp_hidden": 6144,
                       "stored_grid": 16, **(vision or {})}
        self.qformer = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                        "intermediate_size": 3072, "max_position_embeddings": 512,
                        "cross_attention_freq": 2, **(qformer or {})}
        super().__init__(**kwargs)

"""A Q-Former in the manner of BERT code: one class for both kinds of attention, masks are added."""
import math

import torch
from torch import nn
from transformers.activations import ACT2FN


class BertEmbeddings(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, config["hidden_size"], padding_idx=0)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"],
                                                config["hidden_size"])
        self.LayerNorm = nn.LayerNorm(config["hidden_size"], eps=1e-12)
        self.register_buffer("position_ids",
                             torch.arange(config["max_position_embeddings"]).expand((1, -1)))

    def forward(self, input_ids=None, query_embeds=None):
        if input_ids is None:
            return self.LayerNorm(query_embeds)
        positions = self.position_ids[:, :input_ids.size(1)].clone()
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.LayerNorm(x)


class BertSelfAttention(nn.Module):
    def __init__(self, config, key_width=None):
        super().__init__()
        self.heads = config["num_attention_heads"]
        self.size = config["hidden_size"] // self.heads
        width = config["hidden_size"]
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(key_width or width, width)
        self.value = nn.Linear(key_width or width, width)

    def split(self, x):
        return x.view(*x.size()[:-1], self.heads, self.size).permute(0, 2, 1, 3)

    def forward(self, hidden, mask, encoder_hidden=None):
        source = hidden if encoder_hidden is None else encoder_hidden
        q, k, v = self.split(self.query(hidden)), self.split(self.key(source)), self.split(
            self.value(source))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.size)
        if mask is not None:
            scores = scores + mask
        context = torch.matmul(nn.Softmax(dim=-1)(scores), v).permute(0, 2, 1, 3).contiguous()
        return context.view(*context.size()[:-2], self.heads * self.size)


class BertSelfOutput(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.dense = nn.Linear(n_in, n_out)
        self.LayerNorm = nn.LayerNorm(n_out, eps=1e-12)

    def forward(self, hidden, residual):
        return self.LayerNorm(self.dense(hidden) + residual)


class BertAttention(nn.Module):
    def __init__(self, config, key_width=None):
        super().__init__()
        self.self = BertSelfAttention(config, key_width)
        self.output = BertSelfOutput(config["hidden_size"], config["hidden_size"])

    def forward(self, hidden, mask, encoder_hidden=None):
        return self.output(self.self(hidden, mask, encoder_hidden), hidden)


class BertIntermediate(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config["hidden_size"], config["intermediate_size"])
        self.act = ACT2FN["gelu"]

    def forward(self, x):
        return self.act(self.dense(x))


class BertLayer(nn.Module):
    def __init__(self, config, number, encoder_width):
        super().__init__()
        self.attention = BertAttention(config)
        self.has_cross_attention = number % config["cross_attention_freq"] == 0
        if self.has_cross_attention:
            self.crossattention = BertAttention(config, encoder_width)
        wide, narrow = config["intermediate_size"], config["hidden_size"]
        self.intermediate, self.output = BertIntermediate(config), BertSelfOutput(wide, narrow)
        self.intermediate_query = BertIntermediate(config)
        self.output_query = BertSelfOutput(wide, narrow)

    def forward(self, hidden, mask, encoder_hidden=None, encoder_mask=None, query_length=0):
        attended = self.attention(hidden, mask)
        if query_length > 0:
            if self.has_cross_attention:
                attended = self.crossattention(attended, encoder_mask, encoder_hidden)
            return self.output_query(self.intermediate_query(attended), attended)
        return self.output(self.intermediate(attended), attended)


class BertEncoder(nn.Module):
    def __init__(self, config, encoder_width):
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config, i, encoder_width)
                                    for i in range(config["num_hidden_layers"])])

    def forward(self, hidden, mask, **more):
        for layer in self.layer:
            hidden = layer(hidden, mask, **more)
        return hidden


class BertModel(nn.Module):
    def __init__(self, config, vocab_size, encoder_width):
        super().__init__()
        self.embeddings = BertEmbeddings(config, vocab_size)
        self.encoder = BertEncoder(config, encoder_width)

    @staticmethod
    def added(mask, dtype):
        return (1.0 - mask[:, None, None, :].to(dtype)) * -10000.0

    def forward(self, input_ids=None, attention_mask=None, query_embeds=None,
                encoder_hidden_states=None):
        hidden = self.embeddings(input_ids, query_embeds)
        if query_embeds is None:
            return self.encoder(hidden, self.added(attention_mask, hidden.dtype))
        batch, length = hidden.size()[:2]
        own = torch.ones(batch, length, dtype=torch.long, device=hidden.device)
        seen = torch.ones(encoder_hidden_states.size()[:-1], dtype=torch.long, device=hidden.device)
        return self.encoder(hidden, self.added(own, hidden.dtype), query_length=length,
                            encoder_hidden=encoder_hidden_states,
                            encoder_mask=self.added(seen, hidden.dtype))


class BertPredictionHeadTransform(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)


class BertLMPredictionHead(nn.Module):
    def __init__(self, width, vocab_size):
        super().__init__()
        self.transform = BertPredictionHeadTransform(width)
        self.decoder = nn.Linear(width, vocab_size)
        self.bias = nn.Parameter(torch.zeros(vocab_size))


class BertOnlyMLMHead(nn.Module):
    def __init__(self, width, vocab_size):
        super().__init__()
        self.predictions = BertLMPredictionHead(width, vocab_size)


class BertLMHeadModel(nn.Module):
    def __init__(self, config, vocab_size, encoder_width):
        super().__init__()
        self.bert = BertModel(config, vocab_size, encoder_width)
        self.cls = BertOnlyMLMHead(config["hidden_size"], vocab_size)

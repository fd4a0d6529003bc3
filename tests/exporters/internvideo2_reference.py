"""InternVideo2's two towers written once more, to compare with: functions on the checkpoint's
tensors in float64, one clip or text, one head at a time; nothing of torch.nn.
"""
import math

import torch


def linear(w, name, x):
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def rms_norm(weight, x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight


def layer_norm(w, name, x, eps):
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def attention(q, k, v, head, added=0.0):
    """[n,W], [m,W], [m,W] -> [n,W]; `added` [m] to the scores of every head of `head` numbers."""
    parts = []
    for i in range(0, q.shape[1], head):
        scores = q[:, i:i + head] @ k[:, i:i + head].T * head ** -0.5 + added
        weights = torch.exp(scores - scores.max(1, keepdim=True).values)
        parts.append(weights / weights.sum(1, keepdim=True) @ v[:, i:i + head])
    return torch.cat(parts, 1)


def tokens(w, clip):
    """[T,3,H,W] -> [1 + T*h*w, width]: the CLS token, then patches by time, row, column."""
    kernel = w["vision_encoder.patch_embed.proj.weight"][:, :, 0]
    p = kernel.shape[-1]
    rows = [w["vision_encoder.cls_token"][0, 0]]
    for frame in clip:
        for y in range(0, clip.shape[2], p):
            for x in range(0, clip.shape[3], p):
                rows.append((kernel * frame[:, y:y + p, x:x + p]).sum((1, 2, 3))
                            + w["vision_encoder.patch_embed.proj.bias"])
    return torch.stack(rows) + w["vision_encoder.pos_embed"][0]


def vision_block(w, at, x):
    qkv = rms_norm(w[f"{at}.norm1.weight"], x) @ w[f"{at}.attn.qkv.weight"].T
    n = x.shape[1]
    q = rms_norm(w[f"{at}.attn.q_norm.weight"], qkv[:, :n])
    k = rms_norm(w[f"{at}.attn.k_norm.weight"], qkv[:, n:2 * n])
    y = linear(w, f"{at}.attn.proj", attention(q, k, qkv[:, 2 * n:], 88))
    x = x + w[f"{at}.ls1.gamma"] * y
    y = gelu(linear(w, f"{at}.mlp.fc1", rms_norm(w[f"{at}.norm2.weight"], x)))
    return x + w[f"{at}.ls2.gamma"] * linear(w, f"{at}.mlp.fc2", y)


def unit(x):
    return x / torch.sqrt((x * x).sum())


def video(w, clip):
    """float [T,3,H,W], normalised -> unit vector [dim]"""
    x, i = tokens(w, clip), 0
    while f"vision_encoder.blocks.{i}.norm1.weight" in w:
        x, i = vision_block(w, f"vision_encoder.blocks.{i}", x), i + 1
    at = "vision_encoder.clip_projector"
    rows = {"q": x.mean(0, keepdim=True), "k": x, "v": x}
    q, k, v = (layer_norm(w, f"{at}.norm1_{c}", rows[c], 1e-5)
               @ w[f"{at}.cross_attn.{c}.weight"].T + w[f"{at}.cross_attn.{c}_bias"] for c in "qkv")
    pooled = linear(w, f"{at}.cross_attn.proj", attention(q, k, v, 88))
    return unit(linear(w, "vision_proj", pooled)[0])


def text_layer(w, at, x, added):
    q, k, v = (linear(w, f"{at}.attention.self.{c}", x) for c in ("query", "key", "value"))
    y = linear(w, f"{at}.attention.output.dense", attention(q, k, v, 64, added))
    x = layer_norm(w, f"{at}.attention.output.LayerNorm", x + y, 1e-12)
    y = linear(w, f"{at}.output.dense", gelu(linear(w, f"{at}.intermediate.dense", x)))
    return layer_norm(w, f"{at}.output.LayerNorm", x + y, 1e-12)


def text(w, ids, mask):
    """ids [L], mask [L] -> unit vector [dim]"""
    at = "text_encoder.bert"
    x = (w[f"{at}.embeddings.word_embeddings.weight"][ids]
         + w[f"{at}.embeddings.token_type_embeddings.weight"][0]
         + w[f"{at}.embeddings.position_embeddings.weight"][:len(ids)])
    x, i = layer_norm(w, f"{at}.embeddings.LayerNorm", x, 1e-12), 0
    while f"{at}.encoder.layer.{i}.crossattention.self.query.weight" not in w:
        x, i = text_layer(w, f"{at}.encoder.layer.{i}", x, (1.0 - mask.double()) * -10000.0), i + 1
    return unit(linear(w, "text_proj", x[0]))

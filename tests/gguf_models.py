"""A tiny model of `tests.models` as a GGUF file for llama.cpp: the same weights and token ids.

gguf = gguf_of(tiny_model(tmp_path / "model"), tmp_path / "tiny.gguf")
"""

import json
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from safetensors.numpy import load_file
from transformers import AutoTokenizer

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_of(folder: Path, path: Path) -> Path:
    """Writes the Llama of `folder` to the file `path` in float32; returns `path`."""
    config = json.loads((folder / "config.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, folder)
    for name, tensor in load_file(folder / "model.safetensors").items():
        turned = {"q_proj": heads, "k_proj": key_heads}.get(name.split(".")[-2])
        writer.add_tensor(_name(name), _interleaved(tensor, turned) if turned else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    told = json.loads((folder / "tokenizer.json").read_text())
    special = {entry["id"] for entry in told["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([str(tokenizer.convert_ids_to_tokens(number)) for number in range(len(tokenizer))])
    writer.add_token_types([TokenType.CONTROL if number in special else TokenType.NORMAL for number in range(len(tokenizer))])
    writer.add_token_merges([" ".join(merge) for merge in told["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)


def _name(name: str) -> str:
    outer, _, kind = name.rpartition(".")
    if outer in OUTER:
        return f"{OUTER[outer]}.{kind}"
    _, _, layer, inner = outer.split(".", 3)
    return f"blk.{layer}.{NAMES[inner]}.{kind}"


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from transformers' order of rotation (halves) to llama.cpp's (neighbours)."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)

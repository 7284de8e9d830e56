"""Tiny random models and their logits from an independent implementation, as fixtures for Lagoon's decoder.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers==5.2.0 safetensors
    /tmp/venv/bin/python tools/compare/reference_models.py Tests/Fixtures/models

Writes one folder per variant below: config.json, model.safetensors, tokens.json and reference.safetensors with "logits",
f32 [tokens, vocab], of the folder loaded again in f32. In folders that are there already and whose weights are narrow it
writes exact.safetensors, the logits of that folder loaded in f32: frequencies stay f32 then, whatever the weights are.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

TOKENS = 96
COMMON = dict(
    vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.4, bos_token_id=1, eos_token_id=2)

# name: configuration, dtype of the weights, fields of config.json to overwrite after saving (None removes)
VARIANTS = {
    "llama-linear-biases": (
        LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True,
                    rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}),
        torch.float32,
        {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0},
         "eos_token_id": [2, 7]}),
    "llama3-newer-spelling": (
        LlamaConfig(**COMMON, rope_parameters={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32, "rope_theta": 500000.0}),
        torch.bfloat16, {}),
    "llama-yarn-mscale": (
        LlamaConfig(**COMMON, rope_parameters={
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0,
            "mscale": 1.0, "mscale_all_dim": 0.8, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False}),
        torch.float32, {}),
    "mistral-yarn-attention-factor": (
        MistralConfig(**COMMON, sliding_window=None, rope_parameters={
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0,
            "attention_factor": 1.25}),
        torch.float16, {}),
    "qwen3-attention-bias": (
        Qwen3Config(**COMMON, head_dim=24, attention_bias=True, tie_word_embeddings=True,
                    rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
        torch.float32, {}),
    "qwen2-window-not-in-use": (
        Qwen2Config(**COMMON, use_sliding_window=False, sliding_window=16, rope_parameters={
            "rope_type": "default", "rope_theta": 1000000.0}),
        torch.bfloat16, {"layer_types": None, "use_sliding_window": None, "sliding_window": 16}),
}


def logits(folder, tokens):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(tokens[None]).logits[0].contiguous()


def make(folder, configuration, dtype, overwrite, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(configuration)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.5)
        parameter.data = parameter.data.to(dtype)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    fields.update(overwrite)
    fields = {name: value for name, value in fields.items() if value is not None or name not in overwrite}
    path.write_text(json.dumps(fields, indent=2) + "\n")
    tokens = torch.randint(0, configuration.vocab_size, (TOKENS,))
    (folder / "tokens.json").write_text(json.dumps(tokens.tolist()) + "\n")
    save_file({"logits": logits(folder, tokens)}, folder / "reference.safetensors")


def main(root):
    for seed, (name, variant) in enumerate(VARIANTS.items()):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, *variant, seed)
        print(f"{name}: made")
    for folder in sorted(root.iterdir()):
        dtype = json.loads((folder / "config.json").read_text())
        dtype = dtype.get("dtype", dtype.get("torch_dtype"))
        if folder.name in VARIANTS or dtype == "float32":
            continue
        tokens = torch.tensor(json.loads((folder / "tokens.json").read_text()))
        exact = logits(folder, tokens)
        save_file({"logits": exact}, folder / "exact.safetensors")
        reference = load_file(folder / "reference.safetensors")["logits"]
        print(f"{folder.name}: {(exact - reference).abs().max():.2g} from reference.safetensors when loaded in f32")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

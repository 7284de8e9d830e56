"""Gradients of tiny models from an independent implementation, as fixtures for Lagoon's backward pass.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers==5.2.0 safetensors
    /tmp/venv/bin/python tools/compare/reference_gradients.py Tests/Fixtures/models

Writes gradients.safetensors into each folder below: "loss", f32 [1], the mean cross-entropy of the tokens after the first, and
the gradient of each parameter, f32, under the parameter's name. Full causal attention (eager), f32 throughout, no dropout.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

# folder: parts of names whose gradients are left out, so that the fixtures stay small
FOLDERS = {
    "llama-linear-biases": [],  # biases, linear RoPE, untied head
    "qwen3-attention-bias": [],  # norms of heads, biases, tied head, heads wider than hidden_size
    "llama-yarn-mscale": [".mlp."],  # an amplitude of RoPE other than 1
}


def main(root):
    for name, left_out in FOLDERS.items():
        folder = root / name
        tokens = torch.tensor(json.loads((folder / "tokens.json").read_text()))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        logits = model(tokens[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="sum") / (len(tokens) - 1)
        loss.backward()
        tensors = {
            parameter: value.grad.contiguous() for parameter, value in model.named_parameters()
            if not any(part in parameter for part in left_out)}
        tensors["loss"] = loss.detach().reshape(1)
        save_file(tensors, folder / "gradients.safetensors")
        print(f"{name}: loss {loss.item():.6f}, {len(tensors) - 1} gradients")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

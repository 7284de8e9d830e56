"""Loss and gradients of a Llama folder under LRSA, as one masked pass over the document in float64 with autograd.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch safetensors numpy
    /tmp/venv/bin/python tools/compare/lrsa_masked.py data/kjv-tiny ids.json --sinks 16 --lag 64 --ratio 0.25 \
        [--bptt 2 --chunk 64] [--against gradients.safetensors] [--figures figures.json]

An implementation of its own: nothing of Lagoon is used. The selection is computed on the way and held constant. With --bptt N,
queries of chunk c see keys and values of chunks before c - N, but send them no gradient. --against compares with what
`lagoon-train gradients` wrote; --figures writes each gradient's norm and its projection onto a fixed direction, as the tests have them.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)


def rms_norm(x, weight, epsilon):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def rotate(x, theta):
    """x: [heads, tokens, dim]; channel i turns with channel i + dim/2."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] * theta ** (-2 * torch.arange(half) / x.shape[-1])
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def score(rows, reference):
    """LagKV's score of a partition's rows against the next partition's, [tokens]."""
    low, high = reference.amin(0), reference.amax(0)
    span = high - low
    scaled = torch.where(span > 0, (rows - low) / torch.where(span > 0, span, 1), 0)
    return torch.softmax(scaled.std(-1), 0)


def visible(keys, values, sinks, lag, ratio):
    """[tokens, tokens] bool: which keys each query of one KV head sees."""
    count = keys.shape[0]
    position = torch.arange(count)
    partition = torch.where(position < sinks, -1, (position - sinks) // lag)
    kept = torch.zeros(count, dtype=torch.bool)
    for p in range((count - sinks) // lag - 1):
        own = slice(sinks + p * lag, sinks + (p + 1) * lag)
        next_one = slice(own.stop, own.stop + lag)
        total = score(keys[own], keys[next_one]) + score(values[own], values[next_one])
        # A stable sort: ties go to the lower position.
        best = torch.sort(-total, stable=True).indices[: int(ratio * lag)]
        kept[own.start + best] = True
    causal = position[None, :] <= position[:, None]
    window = partition[None, :] >= partition[:, None] - 1
    return causal & (window | kept[None, :] | (partition[None, :] < 0))


def attention(q, k, v, arguments):
    """q: [heads, tokens, dim], k and v: [kvHeads, tokens, dim]."""
    group = q.shape[0] // k.shape[0]
    chunk = torch.arange(q.shape[1]) // arguments.chunk
    detached = torch.zeros(q.shape[1], q.shape[1], dtype=torch.bool)
    if arguments.bptt is not None:
        detached = chunk[None, :] < chunk[:, None] - arguments.bptt
    outputs = []
    for head in range(q.shape[0]):
        keys, values = k[head // group], v[head // group]
        mask = visible(keys.detach(), values.detach(), arguments.sinks, arguments.lag, arguments.ratio)
        scores = torch.where(detached, q[head] @ keys.detach().T, q[head] @ keys.T) / math.sqrt(q.shape[-1])
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
        outputs.append((weights * detached) @ values.detach() + (weights * ~detached) @ values)
    return torch.stack(outputs)


def loss_of(weights, config, tokens, arguments):
    epsilon, theta = config["rms_norm_eps"], config["rope_parameters"]["rope_theta"]
    dim, count = config["head_dim"], len(tokens)
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        w = {name: weights[f"model.layers.{layer}.{name}.weight"] for name in (
            "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")}
        h = rms_norm(x, w["input_layernorm"], epsilon)
        q, k, v = ((h @ w[f"self_attn.{name}_proj"].T).view(count, -1, dim).transpose(0, 1) for name in "qkv")
        out = attention(rotate(q, theta), rotate(k, theta), v, arguments)
        x = x + out.transpose(0, 1).reshape(count, -1) @ w["self_attn.o_proj"].T
        h = rms_norm(x, w["post_attention_layernorm"], epsilon)
        x = x + (torch.nn.functional.silu(h @ w["mlp.gate_proj"].T) * (h @ w["mlp.up_proj"].T)) @ w["mlp.down_proj"].T
    logits = rms_norm(x, weights["model.norm.weight"], epsilon) @ weights["model.embed_tokens.weight"].T
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:])


def figures(gradients):
    result = {}
    for name, gradient in gradients.items():
        flat = gradient.numpy().ravel()
        index = np.arange(flat.size, dtype=np.uint64)
        direction = ((index * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2**31 - 1
        result[name] = {"norm": float(np.linalg.norm(flat)), "projection": float(flat @ direction)}
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("--sinks", type=int, required=True)
    parser.add_argument("--lag", type=int, required=True)
    parser.add_argument("--ratio", type=float, required=True)
    parser.add_argument("--bptt", type=int)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--against", type=pathlib.Path)
    parser.add_argument("--figures", type=pathlib.Path)
    arguments = parser.parse_args()
    config = json.loads((arguments.model / "config.json").read_text())
    weights = {name: value.double().requires_grad_() for name, value in load_file(arguments.model / "model.safetensors").items()}
    tokens = torch.tensor(json.loads(arguments.tokens.read_text()))
    loss = loss_of(weights, config, tokens, arguments)
    loss.backward()
    gradients = {name: value.grad for name, value in weights.items()}
    print("loss", loss.item())
    if arguments.against:
        ours = load_file(arguments.against)
        print("loss differs by", abs(ours["loss"].item() - loss.item()))
        relative = {n: ((ours[n].double() - g).norm() / g.norm()).item() for n, g in gradients.items()}
        element = {n: ((ours[n].double() - g).abs().max() / g.abs().max()).item() for n, g in gradients.items()}
        for what, values in (("relative L2", relative), ("element over the largest", element)):
            worst = max(values, key=values.get)
            print("worst", what, values[worst], worst)
    if arguments.figures:
        arguments.figures.write_text(json.dumps({
            "sinks": arguments.sinks, "lag": arguments.lag, "ratio": arguments.ratio, "bptt": arguments.bptt,
            "chunk": arguments.chunk, "loss": loss.item(), "gradients": figures(gradients)}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Seconds of a dense training step beside PyTorch, eager and compiled, on the same machine and in turns.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch numpy
    /tmp/venv/bin/python tools/compare/train_throughput.py data/kjv-tiny --bench .build/release/lagoon-bench

A step: 8 documents of 1,024 tokens forward, loss, backward, AdamW over all weights, gradients set to zero. Both sides use
--threads threads. Each runs in a process of its own and takes a step when asked, one after the other, so that a machine
that others use treats all alike; medians of --steps steps. f32, and bf16 (autocast there, bf16 factors here) with --dtype;
a side whose step takes more than --patience seconds (bf16 on a CPU without it) takes three.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

from sides import Side


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="folder of config.json and model.safetensors")
    parser.add_argument("--bench", default=".build/release/lagoon-bench", help="the lagoon-bench to compare")
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--patience", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--serve", choices=["eager", "compiled"], help=argparse.SUPPRESS)
    return parser.parse_args()


# The model in plain PyTorch --------------------------------------------------------------------------------------------


def build(config, torch):
    from torch import nn
    from torch.nn import functional

    width, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    channels = config["head_dim"]

    def rotate(x, cosines, sines):
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm = nn.RMSNorm(width, eps=config["rms_norm_eps"])
            self.queries = nn.Linear(width, heads * channels, bias=False)
            self.keys = nn.Linear(width, kv_heads * channels, bias=False)
            self.values = nn.Linear(width, kv_heads * channels, bias=False)
            self.output = nn.Linear(heads * channels, width, bias=False)
            self.mlp_norm = nn.RMSNorm(width, eps=config["rms_norm_eps"])
            self.gate = nn.Linear(width, config["intermediate_size"], bias=False)
            self.up = nn.Linear(width, config["intermediate_size"], bias=False)
            self.down = nn.Linear(config["intermediate_size"], width, bias=False)

        def forward(self, x, cosines, sines):
            documents, tokens, _ = x.shape
            normed = self.attention_norm(x)
            q = self.queries(normed).view(documents, tokens, heads, channels).transpose(1, 2)
            k = self.keys(normed).view(documents, tokens, kv_heads, channels).transpose(1, 2)
            v = self.values(normed).view(documents, tokens, kv_heads, channels).transpose(1, 2)
            q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
            k, v = (part.repeat_interleave(heads // kv_heads, dim=1) for part in (k, v))
            attended = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
            x = x + self.output(attended.transpose(1, 2).reshape(documents, tokens, heads * channels))
            normed = self.mlp_norm(x)
            return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(config["vocab_size"], width)
            self.layers = nn.ModuleList(Layer() for _ in range(config["num_hidden_layers"]))
            self.norm = nn.RMSNorm(width, eps=config["rms_norm_eps"])

        def forward(self, tokens, targets, cosines, sines):
            x = self.embedding(tokens)
            for layer in self.layers:
                x = layer(x, cosines, sines)
            logits = functional.linear(self.norm(x), self.embedding.weight)
            return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)

    return Decoder()


def load(model, folder, torch):
    """The folder's weights under this model's names."""
    import struct

    import numpy

    raw = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    names = {
        "self_attn.q_proj": "queries", "self_attn.k_proj": "keys", "self_attn.v_proj": "values",
        "self_attn.o_proj": "output", "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
        "input_layernorm": "attention_norm", "post_attention_layernorm": "mlp_norm",
        "model.embed_tokens": "embedding", "model.norm": "norm", "model.layers.": "layers."}
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        assert entry["dtype"] == "BF16"
        bits = numpy.frombuffer(raw[start:end], dtype="<u2").astype("<u4") << 16
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        state[name] = torch.from_numpy(bits.view("<f4").reshape(entry["shape"]).copy())
    model.load_state_dict(state)


def tokens_of(documents, tokens):
    """What both sides train on: bytes of a small generator, documents of `tokens`, targets the next byte."""
    state, result = 1, []
    for _ in range(documents):
        row = []
        for _ in range(tokens + 1):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            row.append(97 + (state >> 33) % 26)
        result.append(row)
    return result


def serve(options):
    """Takes a step for each line on standard input; answers with its seconds and loss."""
    import torch

    torch.set_num_threads(options.threads)
    config = json.loads((options.model / "config.json").read_text())
    model = build(config, torch)
    load(model, options.model, torch)
    assert config["tie_word_embeddings"] and not config["attention_bias"]
    decays = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-4,
        betas=(0.9, 0.95), eps=1e-8, fused=True)
    rows = torch.tensor(tokens_of(options.documents, options.tokens))
    tokens, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    channels = config["head_dim"]
    frequencies = config["rope_parameters"]["rope_theta"] ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
    angles = torch.arange(options.tokens, dtype=torch.float64)[:, None] * frequencies
    cosines, sines = angles.cos().float(), angles.sin().float()
    run = torch.compile(model) if options.serve == "compiled" else model

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == ["bf16"]):
            loss = run(tokens, targets, cosines, sines)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()

    for line in sys.stdin:
        start = time.perf_counter()
        loss = step()
        print(json.dumps({"seconds": time.perf_counter() - start, "loss": loss}), flush=True)


# The comparison --------------------------------------------------------------------------------------------------------


def compare(options, dtype):
    shape = ["--documents", str(options.documents), "--tokens", str(options.tokens)]
    threads = str(options.threads)
    ours = [options.bench, "train-step", str(options.model), *shape, "--compute", dtype, "--serve"]
    sides = {"lagoon": Side(ours, {"OMP_NUM_THREADS": threads})}
    for mode in ("eager", "compiled"):
        sides[mode] = Side(
            [sys.executable, __file__, str(options.model), *shape, "--threads", threads, "--dtype", dtype, "--serve", mode])
    times = {name: [] for name in sides}
    losses = {name: [] for name in sides}
    warm_up = 2  # compilation, memory, caches
    for turn in range(options.steps + warm_up):
        for name, side in sides.items():
            slow = [value for value in times[name] if value > options.patience]
            if len(slow) >= 3:
                continue
            answer = side.step()
            losses[name].append(answer["loss"])
            if turn >= warm_up or (turn == 1 and answer["seconds"] > options.patience):
                times[name].append(answer["seconds"])
            print(f"{dtype} {turn + 1}/{options.steps + warm_up} {name}: {answer['seconds']:.3f} s", file=sys.stderr)
    for side in sides.values():
        side.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(medians["eager"], medians["compiled"])
    return {
        "dtype": dtype, "seconds": medians, "tokensPerSecond": options.documents * options.tokens / medians["lagoon"],
        "ratio": best / medians["lagoon"],
        "fastest": {name: min(values) for name, values in times.items()},
        "steps": {name: len(values) for name, values in times.items()},
        "losses": {name: values[:3] for name, values in losses.items()}}


def main():
    options = parse()
    if options.serve:
        return serve(options)
    results = [compare(options, dtype) for dtype in options.dtype]
    if options.json:
        return print(json.dumps(results, indent=2))
    for result in results:
        seconds = result["seconds"]
        print(
            f"{result['dtype']}: lagoon {seconds['lagoon']:.3f} s ({result['tokensPerSecond']:.0f} tokens/s), "
            f"PyTorch eager {seconds['eager']:.3f} s, compiled {seconds['compiled']:.3f} s: "
            f"{result['ratio']:.2f} × the better; losses of the first steps: "
            + "; ".join(
                f"{name} " + " ".join(f"{loss:.5f}" for loss in losses)
                for name, losses in result["losses"].items()))


if __name__ == "__main__":
    main()

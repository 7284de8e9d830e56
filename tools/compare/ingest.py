"""Tokens per second of reading a document into a cache, beside PyTorch on the same machine and in turns.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch numpy
    /tmp/venv/bin/python tools/compare/ingest.py data/kjv-tiny --text kjv.txt --bench .build/release/lagoon-bench

Every side reads the first --tokens bytes in chunks of --chunk through the same weights in f32 and computes no logits. `lagoon` does what
`lagoon-lm ingest` does: daemon, store, a commit a chunk, LagKV (sinks 16, lag 128, ratio 1/4), bf16 rows. `eager` and `compiled` are
PyTorch with fused attention and a cache in memory that keeps everything; `lagkv` is PyTorch with LagKV applied to the cache behind each
chunk, as its authors do. With --kvpress (`pip install kvpress`), kvpress's LagKVPress on the Transformers model, which reads the whole
document in one pass. Medians of --rounds.
"""

import argparse
import json
import pathlib
import sys
import time

from sides import Side, in_turns
from torch_llama import build, load, rotary, rotate

SINKS, LAG, KEPT = 16, 128, 32


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="folder of config.json and model.safetensors; its tokens are bytes")
    parser.add_argument("--text", type=pathlib.Path, required=True, help="the document")
    parser.add_argument("--bench", default=".build/release/lagoon-bench", help="the lagoon-bench to compare")
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kvpress", action="store_true", help="also kvpress's LagKVPress")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--serve", choices=["eager", "compiled", "lagkv", "kvpress"], help=argparse.SUPPRESS)
    return parser.parse_args()


# One side in PyTorch ---------------------------------------------------------------------------------------------------


class Reader:
    """The decoder without its head, over a cache that `attend` keeps."""

    def __init__(self, options, torch):
        self.torch = torch
        self.config = json.loads((options.model / "config.json").read_text())
        self.model = build(self.config, torch)
        load(self.model, options.model, torch)
        self.heads, self.kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        self.channels = self.config["head_dim"]
        self.cosines, self.sines = rotary(self.config, torch, options.tokens)

    def forward(self, tokens, start, attend):
        torch, count = self.torch, tokens.shape[0]
        cosines, sines = self.cosines[start : start + count], self.sines[start : start + count]
        x = self.model.embedding(tokens)
        for number, layer in enumerate(self.model.layers):
            normed = layer.attention_norm(x)
            q = layer.queries(normed).view(count, self.heads, self.channels).transpose(0, 1)
            k = layer.keys(normed).view(count, self.kv_heads, self.channels).transpose(0, 1)
            v = layer.values(normed).view(count, self.kv_heads, self.channels).transpose(0, 1)
            attended = attend(number, rotate(torch, q, cosines, sines), rotate(torch, k, cosines, sines), v)
            x = x + layer.output(attended.transpose(0, 1).reshape(count, self.heads * self.channels))
            normed = layer.mlp_norm(x)
            x = x + layer.down(torch.nn.functional.silu(layer.gate(normed)) * layer.up(normed))
        return x

    def causal(self, q, k, v):
        """Queries are the last rows of k; q [heads, tokens, channels], k and v [kv_heads, rows, channels]."""
        torch, tokens, rows = self.torch, q.shape[1], k.shape[1]
        mask = torch.arange(rows) <= torch.arange(rows - tokens, rows)[:, None]
        return torch.nn.functional.scaled_dot_product_attention(
            q[None], k[None], v[None], attn_mask=mask, enable_gqa=True)[0]


def keeping_everything(options, torch):
    reader = Reader(options, torch)
    layers = reader.config["num_hidden_layers"]
    cache = torch.zeros(layers, 2, reader.kv_heads, options.tokens, reader.channels)

    def chunk(tokens, start):
        def attend(layer, q, k, v):
            end = start + tokens.shape[0]
            cache[layer, 0, :, start:end], cache[layer, 1, :, start:end] = k, v
            return reader.causal(q, cache[layer, 0, :, :end], cache[layer, 1, :, :end])

        return reader.forward(tokens, start, attend)

    return torch.compile(chunk, dynamic=True) if options.serve == "compiled" else chunk


def keeping_lagkv(options, torch):
    reader = Reader(options, torch)
    kept, window = {}, {}  # by layer: (keys, values)

    def score(x):
        low, high = x[:, 1:].amin(2, keepdim=True), x[:, 1:].amax(2, keepdim=True)
        return ((x[:, :-1] - low) / (high - low)).std(-1).softmax(-1)

    def compress(layer):
        rows = [part for part in window[layer]]
        complete = rows[0].shape[1] // LAG
        if complete < 2:
            return
        cut = [part[:, : complete * LAG].unflatten(1, (complete, LAG)) for part in rows]
        best = (score(cut[0]) + score(cut[1])).topk(KEPT, -1).indices.sort(-1).values[..., None].expand(-1, -1, -1, reader.channels)
        chosen = [part[:, :-1].gather(2, best).flatten(1, 2) for part in cut]
        kept[layer] = [torch.cat(pair, 1) for pair in zip(kept[layer], chosen)]
        window[layer] = [part[:, (complete - 1) * LAG :] for part in rows]

    def chunk(tokens, start):
        if start == 0:
            kept.clear()

        def attend(layer, q, k, v):
            if layer not in kept:
                kept[layer], window[layer] = [k[:, :SINKS], v[:, :SINKS]], [k[:, SINKS:], v[:, SINKS:]]
            else:
                window[layer] = [torch.cat(pair, 1) for pair in zip(window[layer], (k, v))]
            out = reader.causal(q, *(torch.cat(pair, 1) for pair in zip(kept[layer], window[layer])))
            compress(layer)
            return out

        return reader.forward(tokens, start, attend)

    return chunk


def kvpress(options, torch):
    import kvpress
    from transformers import AutoModelForCausalLM, DynamicCache
    from transformers.utils import logging

    logging.disable_progress_bar()

    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    press = kvpress.LagKVPress(compression_ratio=1 - KEPT / LAG, n_sink=SINKS, lag_size=LAG)

    def document(tokens):
        with press(model):
            model.model(tokens[None], past_key_values=DynamicCache())

    return document


def serve(options):
    import torch

    torch.set_num_threads(options.threads)
    tokens = torch.tensor(list(options.text.read_bytes()[: options.tokens]))
    with torch.inference_mode():
        if options.serve == "kvpress":
            read = kvpress(options, torch)
        else:
            chunk = (keeping_lagkv if options.serve == "lagkv" else keeping_everything)(options, torch)

            def read(tokens):
                for start in range(0, len(tokens), options.chunk):
                    chunk(tokens[start : start + options.chunk], start)

        for _ in sys.stdin:
            start = time.perf_counter()
            read(tokens)
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


# The comparison --------------------------------------------------------------------------------------------------------


def main():
    options = parse()
    if options.serve:
        return serve(options)
    shared = [str(options.model), "--text", str(options.text), "--tokens", str(options.tokens), "--chunk", str(options.chunk)]
    sides = {"lagoon": Side([options.bench, "tokens", *shared, "--serve"], {"OMP_NUM_THREADS": str(options.threads)})}
    for form in ["eager", "compiled", "lagkv"] + ["kvpress"] * options.kvpress:
        sides[form] = Side([sys.executable, __file__, *shared, "--threads", str(options.threads), "--serve", form])
    seconds = in_turns(sides, options.rounds)
    best = min(("eager", "compiled"), key=seconds.get)
    result = {
        "tokens": options.tokens, "seconds": seconds,
        "tokens_per_second": {name: options.tokens / value for name, value in seconds.items()},
        "best_uncompressed": best, "ratio": seconds[best] / seconds["lagoon"],
        "ratio_to_lagkv": seconds["lagkv"] / seconds["lagoon"]}
    if options.json:
        return print(json.dumps(result, indent=2))
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in result["tokens_per_second"].items())
    print(
        f"{options.tokens} tokens, tokens/s: {rates}; {result['ratio']:.2f} × {best} with everything kept, "
        f"{result['ratio_to_lagkv']:.2f} × LagKV in PyTorch")


if __name__ == "__main__":
    main()

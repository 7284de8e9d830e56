"""Attention and LagKV beside PyTorch on the same machine and in turns.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch numpy
    /tmp/venv/bin/python tools/compare/attention.py decode --bench .build/release/lagoon-bench

32 query heads over 8 KV heads × 128. `decode`: one query; `chunk`: 128 queries; ours go over the daemon's socket and read the store's
map, PyTorch's keys and values lie contiguous in its memory. `compress`: LagKV's score, selection and gathering (lag 128, ratio 1/4), ours
on one thread. Each side runs in a process of its own and works when asked; medians of --rounds. The forms of attention in PyTorch: `gqa`
(enable_gqa), `rows` (a KV head's query heads as rows of one fused attention), `matmul` (the same with two matmuls and a softmax). Those of
LagKV: eager and compiled, over all partitions at once, as its authors do.
"""

import argparse
import json
import sys
import time

from sides import Side, in_turns

QUERY_HEADS, KV_HEADS, CHANNELS = 32, 8, 128
LAG, KEPT = 128, 32
FORMS = {"decode": ["gqa", "rows", "matmul"], "chunk": ["gqa", "rows", "matmul"], "compress": ["eager", "compiled"]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=FORMS)
    parser.add_argument("--bench", default=".build/release/lagoon-bench", help="the lagoon-bench to compare")
    parser.add_argument("--keys", type=int, nargs="+", default=[8192, 32768])
    parser.add_argument("--megabytes", type=int, default=256, help="keys and values that are compressed")
    parser.add_argument("--dtype", nargs="+", default=["bf16", "f32"], choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--patience", type=float, default=5, help="seconds; a form that takes longer three times is not asked again")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


# One form in PyTorch ---------------------------------------------------------------------------------------------------


def attention(options, torch, dtype):
    from torch.nn.functional import scaled_dot_product_attention

    tokens, keys = (1 if options.work == "decode" else 128), options.keys[0]
    group = QUERY_HEADS // KV_HEADS
    q = torch.randn(1, QUERY_HEADS, tokens, CHANNELS).to(dtype)
    k, v = (torch.randn(1, KV_HEADS, keys, CHANNELS).to(dtype) for _ in range(2))
    rows = q.view(1, KV_HEADS, group * tokens, CHANNELS)
    if options.serve == "gqa":
        return lambda: scaled_dot_product_attention(q, k, v, enable_gqa=True)
    if options.serve == "rows":
        return lambda: scaled_dot_product_attention(rows, k, v)
    return lambda: torch.softmax(rows @ k.transpose(-1, -2) * CHANNELS**-0.5, -1) @ v


def compression(options, torch, dtype):
    partitions = (options.megabytes << 20) // (2 * KV_HEADS * CHANNELS * LAG * dtype.itemsize)
    shape = (KV_HEADS, partitions, LAG, CHANNELS)
    keys, values = (torch.randn(shape).to(dtype) for _ in range(2))

    def score(x):
        low, high = x[:, 1:].amin(2, keepdim=True), x[:, 1:].amax(2, keepdim=True)
        return ((x[:, :-1] - low) / (high - low)).std(-1).softmax(-1)

    def compress(keys, values):
        kept = (score(keys) + score(values)).topk(KEPT, -1).indices.sort(-1).values
        index = kept[..., None].expand(-1, -1, -1, CHANNELS)
        return keys[:, :-1].gather(2, index), values[:, :-1].gather(2, index)

    run = torch.compile(compress) if options.serve == "compiled" else compress
    return lambda: run(keys, values)


def serve(options):
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype[0]]
    with torch.inference_mode():
        work = (compression if options.work == "compress" else attention)(options, torch, dtype)
        for _ in sys.stdin:
            start = time.perf_counter()
            work()
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


# The comparison --------------------------------------------------------------------------------------------------------


def compare(options, dtype, size):
    ours = [options.bench, "compress" if options.work == "compress" else "attend", "--dtype", dtype, "--serve"]
    theirs = [sys.executable, __file__, options.work, "--dtype", dtype, "--threads", str(options.threads)]
    if options.work == "compress":
        sized = ["--megabytes", str(size)]
        data = size << 20
    else:
        ours.append(f"--{options.work}")
        sized = ["--keys", str(size)]
        data = 2 * size * KV_HEADS * CHANNELS * (4 if dtype == "f32" else 2)
    sides = {"lagoon": Side(ours + sized)}
    for form in FORMS[options.work]:
        sides[form] = Side([*theirs, *sized, "--serve", form])
    seconds = in_turns(sides, options.rounds, patience=options.patience)
    best = min((name for name in seconds if name != "lagoon"), key=seconds.get)
    return {
        "name": f"{options.work} {dtype}, {size} {'MiB' if options.work == 'compress' else 'keys'}", "seconds": seconds,
        "gigabytes_per_second": {name: data / value / 1e9 for name, value in seconds.items()},
        "best": best, "ratio": seconds[best] / seconds["lagoon"]}


def main():
    options = parse()
    if options.serve:
        return serve(options)
    sizes = [options.megabytes] if options.work == "compress" else options.keys
    results = [compare(options, dtype, size) for dtype in options.dtype for size in sizes]
    if options.json:
        return print(json.dumps(results, indent=2))
    for result in results:
        rates = ", ".join(f"{name} {rate:.2f}" for name, rate in result["gigabytes_per_second"].items())
        print(f"{result['name']}: GB/s {rates}; {result['ratio']:.2f} × {result['best']}, the best of PyTorch's")


if __name__ == "__main__":
    main()

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

from sides import Side, answers_in_turns
from torch_llama import build, load, rotary


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


# The work in PyTorch -------------------------------------------------------------------------------------------------


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
    decays = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-4,
        betas=(0.9, 0.95), eps=1e-8, fused=True)
    rows = torch.tensor(tokens_of(options.documents, options.tokens))
    tokens, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    cosines, sines = rotary(config, torch, options.tokens)
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
    answers = answers_in_turns(sides, options.steps, patience=options.patience)
    times = {name: [answer["seconds"] for answer in given] for name, given in answers.items()}
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(medians["eager"], medians["compiled"])
    return {
        "dtype": dtype, "seconds": medians, "tokensPerSecond": options.documents * options.tokens / medians["lagoon"],
        "ratio": best / medians["lagoon"],
        "fastest": {name: min(values) for name, values in times.items()},
        "steps": {name: len(values) for name, values in times.items()},
        "losses": {name: [answer["loss"] for answer in given[:3]] for name, given in answers.items()}}


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
            f"{result['ratio']:.2f} × the better; losses of the first steps that count: "
            + "; ".join(
                f"{name} " + " ".join(f"{loss:.5f}" for loss in losses)
                for name, losses in result["losses"].items()))


if __name__ == "__main__":
    main()

"""A few steps of torch's AdamW in f64, as a fixture for Lagoon's.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch
    /tmp/venv/bin/python tools/compare/adamw.py Tests/Fixtures/training/adamw.json

Writes settings, tensors (name, elements, whether they decay), and per step the learning rate, the factor of the gradients, the
gradients and the weights after it. Every number that goes in is an f32, so that both sides begin with the same.
"""

import json
import pathlib
import sys

import numpy
import torch

SETTINGS = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weightDecay": 0.1}
TENSORS = [("matrix", 37, True), ("norm", 5, False), ("other", 16, True)]
STEPS = [(3e-4, 1.0), (1e-2, 0.25), (1e-2, 1.0), (0.1, 1.0), (0.0, 1.0), (1e-3, 1e-3)]


def floats(random, count, scale=1.0):
    return (random.standard_normal(count) * scale).astype(numpy.float32).astype(numpy.float64)


def main(path):
    random = numpy.random.default_rng(4)
    parameters = [torch.tensor(floats(random, count), requires_grad=True) for _, count, _ in TENSORS]
    groups = [
        {"params": [parameter], "weight_decay": SETTINGS["weightDecay"] if decays else 0.0}
        for parameter, (_, _, decays) in zip(parameters, TENSORS)]
    optimiser = torch.optim.AdamW(groups, betas=(SETTINGS["beta1"], SETTINGS["beta2"]), eps=SETTINGS["epsilon"])
    case = {
        "settings": SETTINGS,
        "tensors": [{"name": name, "count": count, "decays": decays} for name, count, decays in TENSORS],
        "start": [value for parameter in parameters for value in parameter.tolist()], "steps": []}
    for rate, scale in STEPS:
        gradients = [floats(random, count, 10.0 ** random.uniform(-4, 1)) for _, count, _ in TENSORS]
        gradients[0][:3] = 0  # what no token touched
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = torch.tensor(gradient * scale)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        case["steps"].append({
            "learningRate": rate, "gradientScale": scale, "gradients": numpy.concatenate(gradients).tolist(),
            "weights": [value for parameter in parameters for value in parameter.tolist()]})
    path.write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""Adapters from PEFT as fixtures for Lagoon, and a check that PEFT loads what Lagoon writes.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers==5.2.0 peft==0.21.2 safetensors
    /tmp/venv/bin/python tools/compare/lora_peft.py fixtures Tests/Fixtures
    /tmp/venv/bin/python tools/compare/lora_peft.py check MODEL ADAPTER MERGED [--logits LOGITS --tokens IDS]

`fixtures` writes, for each variant below, adapters/NAME in the layout of PEFT and there tokens.json and reference.safetensors
with "logits", f32 [tokens, vocab], of PEFT's model: models/NAME with that adapter, in f32.

`check` compares the logits of PEFT's model (MODEL with ADAPTER) with those of transformers' model in MERGED, the folder that
`lagoon-train merge MODEL ADAPTER -o MERGED` wrote, and with LOGITS, what `lagoon-lm logits MERGED --tokens IDS` wrote. It
ends with an error where they differ by more than 1e-4 of the largest logit, or where the adapter does nothing.
"""

import argparse
import json
import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

TOKENS = 32
TOLERANCE = 1e-4
# name of the model: settings of the adapter, dtype of its file
VARIANTS = {
    "qwen3-attention-bias": (
        dict(r=4, lora_alpha=6,
             target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
             modules_to_save=["norm", "embed_tokens"], ensure_weight_tying=True), torch.float32),
    "llama-linear-biases": (
        dict(r=3, lora_alpha=2, target_modules=["q_proj", "layers.1.self_attn.o_proj", "down_proj"],
             modules_to_save=["lm_head"], use_rslora=True), torch.bfloat16),
}


def base(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def logits(model, tokens):
    with torch.no_grad():
        return model.eval()(tokens[None]).logits[0].contiguous()


def fixtures(root):
    for seed, (name, (settings, dtype)) in enumerate(VARIANTS.items()):
        torch.manual_seed(seed)
        source, folder = root / "models" / name, root / "adapters" / name
        model = get_peft_model(base(source), LoraConfig(task_type="CAUSAL_LM", **settings))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        path = folder / "adapter_config.json"
        fields = json.loads(path.read_text())
        fields["base_model_name_or_path"] = name
        path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
        weights = {k: v.to(dtype).contiguous() for k, v in load_file(folder / "adapter_model.safetensors").items()}
        save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        tokens = torch.tensor(json.loads((source / "tokens.json").read_text())[:TOKENS])
        (folder / "tokens.json").write_text(json.dumps(tokens.tolist()) + "\n")
        reference = logits(PeftModel.from_pretrained(base(source), folder), tokens)
        save_file({"logits": reference}, folder / "reference.safetensors")
        print(f"{name}: made; {(reference - logits(base(source), tokens)).abs().max():.2g} from the model without it")


def check(options):
    if options.tokens:
        tokens = torch.tensor(json.loads(pathlib.Path(options.tokens).read_text()))
    else:
        tokens = torch.randint(0, base(options.model).config.vocab_size, (64,), generator=torch.Generator().manual_seed(1))
    plain = logits(base(options.model), tokens)
    reference = logits(PeftModel.from_pretrained(base(options.model), options.adapter), tokens)
    others = {"transformers on the merged folder": logits(base(options.merged), tokens)}
    if options.logits:
        others["lagoon-lm on the merged folder"] = load_file(options.logits)["logits"]
    scale = reference.abs().max()
    print(f"adapter: moves logits by up to {(reference - plain).abs().max():.3g}; the largest is {scale:.3g}")
    isGood = bool((reference - plain).abs().max() > 100 * TOLERANCE * scale)
    for name, other in others.items():
        difference = (other - reference).abs().max()
        print(f"{name}: up to {difference:.3g} from PEFT's")
        isGood = isGood and bool(difference <= TOLERANCE * scale)
    return 0 if isGood else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fixtures").add_argument("root", type=pathlib.Path)
    checker = commands.add_parser("check")
    for argument in ["model", "adapter", "merged", "--logits", "--tokens"]:
        checker.add_argument(argument)
    arguments = parser.parse_args()
    sys.exit(fixtures(arguments.root) if arguments.command == "fixtures" else check(arguments))

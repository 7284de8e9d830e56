"""A Llama-family decoder in plain PyTorch, of the kind that people write: what Lagoon is measured beside. `torch` is passed in, so that
programs that only direct others need not load it."""

import json


def rotate(torch, x, cosines, sines):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def rotary(config, torch, tokens):
    """Cosines and sines of the positions 0..<tokens, f32 [tokens, head_dim / 2], angles in f64."""
    channels = config["head_dim"]
    frequencies = config["rope_parameters"]["rope_theta"] ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
    angles = torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def build(config, torch):
    """A decoder whose `forward` gives the mean loss of whole documents, with random weights."""
    from torch import nn
    from torch.nn import functional

    assert config["tie_word_embeddings"] and not config["attention_bias"]

    width, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    channels = config["head_dim"]

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
            q, k = rotate(torch, q, cosines, sines), rotate(torch, k, cosines, sines)
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

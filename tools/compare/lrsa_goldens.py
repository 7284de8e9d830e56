"""Makes the golden LRSA cases for what no reference file has: sessions that round keys and values to bf16, a gradient of the
log-sum-exp, and documents cut into fine, uneven chunks.

    python tools/compare/lrsa_goldens.py Tests/Fixtures/golden

Needs numpy. One masked pass over the whole document and its backward, in f64, from the definitions of LagKV (arXiv 2504.04704)
and LRSA (arXiv 2506.11498); shares no code with the project. Before anything is written, each case is checked against the same
document taken chunk by chunk, with gradients of earlier tokens kept in accumulators, and against central differences of the loss.

A case is NAME.json and NAME.safetensors, as GoldenCases reads them: `q, w [Hq,T,D]`, `k, v [H,T,D]`, where there is one `u [Hq,T]`,
`chunks [C,2]`, `scores`, `selected`, `retained`, `mask [H,T,T]`, `out`, `lse`, and `dq, dk, dv` of `sum(out*w) + sum(lse*u)` with
the selection constant. Where `session_dtype` is not `input_dtype`, k and v are rounded to it, nearest even, before anything else,
and the gradients pass the rounding as they are.
"""

import hashlib
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np

# Scores in f32 choose the same rows when the gap at every cut is above this.
LEAST_GAP = 1e-4


def bfloat16(x):
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def score(rows, following):
    low, high = following.min(0), following.max(0)
    span = np.where(high > low, high - low, np.inf)
    spread = ((rows - low) / span).std(1, ddof=1)
    weight = np.exp(spread - spread.max())
    return weight / weight.sum()


def select(k, v, case):
    """Scores and kept positions of each scored partition, per head; and the least relative gap at a cut."""
    sinks, lag, keep = case["S"], case["L"], case["keep"]
    scores, kept, gap = [], [], math.inf
    for head in range(case["H"]):
        scores.append([]), kept.append([])
        for p in range(case["P"]):
            own = slice(sinks + p * lag, sinks + (p + 1) * lag)
            after = slice(own.stop, own.stop + lag)
            both = score(k[head, own], k[head, after]) + case["score_v_ratio"] * score(v[head, own], v[head, after])
            order = np.argsort(-both, kind="stable")
            gap = min(gap, (both[order[keep - 1]] - both[order[keep]]) / both[order[keep - 1]])
            scores[head].append(both), kept[head].append(np.sort(order[:keep]) + own.start)
    return np.array(scores), np.array(kept), gap


def visible(kept, case):
    """[H, T, T]: token t of partition c sees itself and, before it, the sinks, partitions c-1 and c, and all kept rows."""
    length = case["T"]
    place = np.arange(length)
    partition = np.where(place < case["S"], -1, (place - case["S"]) // case["L"])
    mask = np.zeros((case["H"], length, length), bool)
    for head in range(case["H"]):
        is_kept = np.isin(place, kept[head])
        for t in range(length):
            near = partition >= partition[t] - 1
            mask[head, t] = (place <= t) & ((partition < 0) | near | is_kept)
    return mask


def attend(q, k, v, mask):
    scores = np.where(mask, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
    top = scores.max(1, keepdims=True)
    lse = (top + np.log(np.exp(scores - top).sum(1, keepdims=True)))[:, 0]
    share = np.exp(scores - lse[:, None])
    return share @ v, lse, share


def forward(q, k, v, mask, case):
    group = case["Hq"] // case["H"]
    parts = [attend(q[h], k[h // group], v[h // group], mask[h // group]) for h in range(case["Hq"])]
    return [np.array([part[i] for part in parts]) for i in range(3)]


def backward(q, k, v, mask, w, u, case):
    out, _, share = forward(q, k, v, mask, case)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for h in range(case["Hq"]):
        kv = h // (case["Hq"] // case["H"])
        ds = share[h] * (w[h] @ v[kv].T - (out[h] * w[h]).sum(1)[:, None] + u[h][:, None])
        ds *= case["scale"]
        dq[h] = ds @ k[kv]
        dk[kv] += ds.T @ q[h]
        dv[kv] += share[h].T @ w[h]
    return dq, dk, dv


def check(q, k, v, mask, w, u, case, kept):
    """The gradients again: by chunks from the last to the first, and by differences."""
    whole = backward(q, k, v, mask, w, u, case)
    dq, dk, dv = (np.zeros_like(x) for x in whole)
    for start, end in reversed(case["cuts"]):
        rows = slice(start, end)
        for h in range(case["Hq"]):
            kv = h // (case["Hq"] // case["H"])
            for t in range(start, end):
                seen = np.flatnonzero(mask[kv, t])
                out, _, share = attend(q[h, t : t + 1], k[kv, seen], v[kv, seen], np.ones((1, len(seen)), bool))
                ds = share[0] * (v[kv, seen] @ w[h, t] - out[0] @ w[h, t] + u[h, t]) * case["scale"]
                dq[h, t] = ds @ k[kv, seen]
                dk[kv, seen] += np.outer(ds, q[h, t])
                dv[kv, seen] += np.outer(share[0], w[h, t])
        # This chunk's turn: nothing may come later.
        for mine, theirs in zip((dq, dk, dv), whole):
            assert np.abs(mine[:, rows] - theirs[:, rows]).max() < 1e-12
    rng = np.random.default_rng(1)
    for index in range(3):
        tensors = [q, k, v]
        direction = rng.standard_normal(tensors[index].shape)

        def loss(step):
            moved = [x + step * direction if i == index else x for i, x in enumerate(tensors)]
            out, lse, _ = forward(*moved, mask, case)
            return (out * w).sum() + (lse * u).sum()

        slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
        assert abs(slope - (whole[index] * direction).sum()) < 1e-7 * max(1, abs(slope)), (index, slope)
    assert (mask.sum(2) <= case["S"] + kept.shape[1] * case["keep"] + 2 * case["L"]).all()
    return whole


def write(path, case, tensors):
    names = {"float32": "F32", "int32": "I32", "bool": "BOOL"}
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = tensor.tobytes()
        header[name] = {
            "dtype": names[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]
        }
        data += raw
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    content = struct.pack("<Q", len(head)) + head + data
    path.with_name(path.name + ".safetensors").write_bytes(content)
    case["tensors"] = {name: [str(t.dtype), list(t.shape)] for name, t in sorted(tensors.items())}
    case["bytes"] = len(content)
    case["sha256"] = hashlib.sha256(content).hexdigest()
    path.with_name(path.name + ".json").write_text(json.dumps(case, indent=1) + "\n")
    print(f"{case['name']}: {len(content)} bytes, least gap {case['boundary_gap_rel']:.1e}")


def make(folder, name, cuts, heads, query_heads, dim, sinks, lag, ratio, length, value_weight, is_rounded, has_u):
    case = {
        "name": name, "kind": "lrsa", "H": heads, "Hq": query_heads, "D": dim, "S": sinks, "L": lag, "r": ratio,
        "keep": int(ratio * lag), "T": length, "P": max(0, (length - sinks) // lag - 1), "score_v_ratio": value_weight,
        "input_dtype": "float32", "session_dtype": "bfloat16" if is_rounded else "float32",
        "scale": 1 / math.sqrt(dim), "gqa": "kv_head = q_head // (Hq/H)", "lse": "natural log",
        "loss": "sum(out*w)" + (" + sum(lse*u)" if has_u else "") + "; selection constant",
        "mask": "[H,T(query),T(key)] true = visible", "made_by": "tools/compare/lrsa_goldens.py",
    }
    case["R"] = min(sinks, length) + case["keep"] * case["P"] + length - sinks - lag * case["P"]
    # The chunks in turn, over and over.
    case["cuts"], start = [], 0
    while start < length:
        end = min(length, start + cuts[len(case["cuts"]) % len(cuts)])
        case["cuts"].append((start, end))
        start = end
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
        q, w = draw(query_heads, length, dim), draw(query_heads, length, dim)
        k, v = draw(heads, length, dim), draw(heads, length, dim)
        u = draw(query_heads, length) if has_u else np.zeros((query_heads, length), np.float32)
        stored = [bfloat16(x) if is_rounded else x for x in (k, v)]
        exact = [x.astype(np.float64) for x in (q, *stored, w, u)]
        scores, kept, gap = select(*exact[1:3], case)
        if gap > LEAST_GAP:
            break
    case["seed"], case["boundary_gap_rel"] = seed, gap
    mask = visible(kept, case)
    dq, dk, dv = check(*exact[:3], mask, *exact[3:], case, kept)
    out, lse, _ = forward(*exact[:3], mask, case)
    if is_rounded:
        plain = forward(exact[0], k.astype(np.float64), v.astype(np.float64), mask, case)[0]
        print(f"  the rounding moves out by up to {np.abs(plain - out).max():.1e}")
    rest = sinks + lag * case["P"]
    retained = [np.concatenate([np.arange(sinks), kept[h].ravel(), np.arange(rest, length)]) for h in range(heads)]
    tensors = dict(q=q, k=k, v=v, w=w, scores=scores, out=out, lse=lse, dq=dq, dk=dk, dv=dv)
    if has_u:
        tensors["u"] = u
    tensors = {name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}
    integers = dict(chunks=case.pop("cuts"), selected=kept, retained=retained)
    tensors |= {name: np.array(x, np.int32) for name, x in integers.items()}
    tensors["mask"] = mask
    write(folder / name, case, tensors)


def main():
    folder = Path(sys.argv[1])
    make(folder, "lrsa_bf16_h2_d16_s4_l8_r0.5_t61", [12, 8], 2, 2, 16, 4, 8, 0.5, 61, 1.0, True, False)
    make(folder, "lrsa_dlse_h1_hq2_d16_s3_l10_r0.3_t67", [23, 10], 1, 2, 16, 3, 10, 0.3, 67, 1.0, False, True)
    make(folder, "lrsa_fine_bf16_dlse_h1_hq3_d16_s5_l16_r0.25_t123", [1, 7, 50], 1, 3, 16, 5, 16, 0.25, 123, 0.5, True, True)


main()

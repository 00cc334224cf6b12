"""Answers calls of tests/fuzz/torch.ts with PyTorch in float64: outputs and gradients.

One JSON line a call on standard input: {"fn", "options", "inputs": [{"shape", "kind", "wanted"}], "file"}; `file` holds the
inputs one after the other, floats as float64, integers as int32, booleans as bytes. The answer is a JSON line {"shapes"} and,
in the same file, the output and then the gradient of each input that is wanted, all float64. The gradient that comes in at the output
is the one of `weightsFor` in tests/suites/support.ts.
"""
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(2)


def weights(count):
    """mulberry32 from seed 977, as numbers in [-1, 1)."""
    mask = np.uint64(0xFFFFFFFF)

    def imul(a, b):
        return (a * b) & mask

    s = (np.uint64(977) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5)) & mask
    t = imul(s ^ (s >> np.uint64(15)), s | np.uint64(1))
    t ^= (t + imul(t ^ (t >> np.uint64(7)), t | np.uint64(61))) & mask
    t ^= t >> np.uint64(14)
    return (t.astype(np.float64) / 2**32 * 2 - 1).astype(np.float32).astype(np.float64)


def attention(o, q, k, v, mask=None):
    heads = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(heads, 1), v.repeat_interleave(heads, 1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if o["isCausal"]:
        allowed = allowed.tril()
    if mask is not None and mask.dtype == torch.bool:
        allowed = allowed & mask
    elif mask is not None:
        scores = scores + mask
    scores = scores.masked_fill(~allowed, -math.inf)
    # A row without a key gives 0.
    return torch.nan_to_num(torch.softmax(scores, -1), 0.0) @ v


def lstm(o, x, w_ih, w_hh, b_ih, b_hh):
    h = c = torch.zeros(x.shape[1], w_hh.shape[1], dtype=x.dtype)
    out = []
    for step in x:
        i, f, g, z = (step @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(z) * torch.tanh(c)
        out.append(h)
    return torch.stack(out)


def turned(x, on):
    return x.transpose(-1, -2) if on else x


def indices(o, *x):
    def one(told):
        if isinstance(told, dict):
            index = x[told["input"]]
            return index if index.dtype == torch.bool else index.long()
        if isinstance(told, list):
            return torch.tensor(told, dtype=torch.long)
        if told == "...":
            return ...
        if isinstance(told, str):
            return slice(*(int(part) if part else None for part in told.split(":")))
        return told

    return tuple(one(told) for told in o["indices"])


def index_put(o, x, y, *more):
    places = indices(o, x, y, *more)
    at = torch.arange(x.numel()).reshape(x.shape)[places].reshape(-1)
    values = y[places].reshape(-1)
    put = x.reshape(-1).index_put((at,), values, accumulate=o["accumulate"])
    if not o["accumulate"]:
        # Of an element that is named several times the last value holds, which PyTorch leaves open; all have its gradient.
        kept = torch.tensor(sorted({int(place): i for i, place in enumerate(at)}.values()), dtype=torch.long)
        put = put - put.detach() + x.detach().reshape(-1).index_put((at[kept],), values.detach()[kept])
    return put.reshape(x.shape)


def of_dim(fn):
    return lambda o, x: fn(x) if o["flag"] else fn(x, o["dim"])[0]


def nanquantile(o, x):
    q = torch.tensor([o["q"], 0.5], dtype=x.dtype)
    return torch.nanquantile(x, q, None if o["flag"] else o["dim"], interpolation=o["interpolation"])


small = {
    "index": lambda o, *x: x[0][indices(o, *x)],
    "indexPut": index_put,
    "sort": lambda o, x: torch.sort(x, dim=o["dim"], descending=o["flag"], stable=True)[0],
    "argsort": lambda o, x: torch.argsort(x, dim=o["dim"], descending=o["flag"], stable=True),
    "topk": lambda o, x: torch.topk(x, o["k"], o["dim"], largest=o["flag"])[0],
    "kthvalue": lambda o, x: torch.kthvalue(x, o["k"], o["dim"], o["flag"])[0],
    "median": of_dim(torch.median),
    "nanmedian": of_dim(torch.nanmedian),
    "quantile": lambda o, x: torch.quantile(x, o["q"], o["dim"], o["flag"], interpolation=o["interpolation"]),
    "nanquantile": nanquantile,
    "unique": lambda o, x: torch.unique(x, return_inverse=True, return_counts=True)[o["found"]],
    "uniqueConsecutive": lambda o, x: torch.unique_consecutive(x, return_inverse=True, return_counts=True)[o["found"]],
    "nonzero": lambda o, x: torch.nonzero(x),
    "histc": lambda o, x: torch.histc(x, 5, -2, 3),
    "isin": lambda o, x, test: torch.isin(x, test, invert=o["flag"]),
    "searchsorted": lambda o, line, x: torch.searchsorted(line, x, right=o["flag"]),
    "bincount": lambda o, x: torch.bincount(x, minlength=o["minlength"]),
    "diff": lambda o, x: torch.diff(x, o["n"], o["dim"]),
    "cross": lambda o, a, b: torch.linalg.cross(a, b, dim=o["dim"]),
    "trapezoid": lambda o, y, x: torch.trapezoid(y, x, dim=o["dim"]),
    "cov": lambda o, x: torch.cov(x),
    "take": lambda o, x, i: torch.take(x, i.long()),
    "clamp": lambda o, x, low, high: torch.clamp(x, low, high),
}

functions = {
    **small,
    "conv2d": lambda o, x, w, b=None: F.conv2d(x, w, b, o["stride"], o["padding"], o["dilation"], o["groups"]),
    "matmul": lambda o, a, b: turned(a, o["transposeA"]) @ turned(b, o["transposeB"]),
    "linear": lambda o, x, w, b=None: F.linear(x, w, b),
    "attention": attention,
    "lstm": lstm,
    "layerNorm": lambda o, x, w, b: F.layer_norm(x, w.shape, w, b),
    "batchNorm": lambda o, x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "softmax": lambda o, x: torch.softmax(x, o["dim"]),
    "logSoftmax": lambda o, x: torch.log_softmax(x, o["dim"]),
    "cumsum": lambda o, x: torch.cumsum(x, o["dim"]),
    "logsumexp": lambda o, x: torch.logsumexp(x, o["dim"]),
    "sum": lambda o, x: torch.sum(x, o["dim"]),
    "amax": lambda o, x: torch.amax(x, o["dim"]),
    "variance": lambda o, x: torch.var(x, o["dim"]),
    "crossEntropy": lambda o, x, y: F.cross_entropy(
        x, y.long(), label_smoothing=o["labelSmoothing"], reduction=o["reduction"]
    ),
    "embedding": lambda o, ids, table: F.embedding(ids.long(), table),
    "maxPool2d": lambda o, x: F.max_pool2d(x, o["kernelSize"], o["stride"], o["padding"]),
    "avgPool2d": lambda o, x: F.avg_pool2d(x, o["kernelSize"], o["stride"], o["padding"]),
    "gelu": lambda o, x: F.gelu(x),
    "silu": lambda o, x: F.silu(x),
    "mish": lambda o, x: F.mish(x),
    "softplus": lambda o, x: F.softplus(x),
    **{name: (lambda fn: lambda o, x: fn(x))(getattr(torch, name)) for name in ("exp", "tanh", "sigmoid", "erf", "sin")},
}

kinds = {"float": np.float64, "int32": np.int32, "bool": np.uint8}

for line in sys.stdin:
    call = json.loads(line)
    data = np.fromfile(call["file"], dtype=np.uint8)
    at, inputs, wanted = 0, [], []
    for spec in call["inputs"]:
        kind = kinds[spec["kind"]]
        size = math.prod(spec["shape"]) * np.dtype(kind).itemsize
        x = torch.from_numpy(data[at : at + size].view(kind).reshape(spec["shape"]).copy())
        at += size
        if spec["kind"] == "bool":
            x = x.bool()
        if spec["wanted"]:
            x.requires_grad_(True)
            wanted.append(x)
        inputs.append(x)
    out = functions[call["fn"]](call["options"], *inputs)
    gradients = ()
    if out.requires_grad:
        given = torch.from_numpy(weights(out.numel())).reshape(out.shape)
        found = torch.autograd.grad(out, wanted, given, allow_unused=True)
        gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(found, wanted)]
    with open(call["file"], "wb") as file:
        for value in (out.detach(), *gradients):
            file.write(np.ascontiguousarray(value.to(torch.float64).numpy()).tobytes())
    print(json.dumps({"shapes": [list(value.shape) for value in (out, *gradients)]}), flush=True)

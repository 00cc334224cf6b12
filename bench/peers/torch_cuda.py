"""Times PyTorch on the workloads of a file by cuda-process.ts, and adds the medians (by CUDA events, eager and compiled).

All eager times come before the first compiled one, because a compilation may take long or never end. The file is whole
at any time. Exit code 3 if this Python has no PyTorch that finds a GPU; the last line says why.

Usage: torch_cuda.py FILE SECONDS
"""

import gc
import json
import os
import signal
import statistics
import sys
import time

try:
    import torch
    from torch import nn
    from torch.nn import functional as F

    if not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} finds no GPU")
    torch.zeros(1, device="cuda")
except Exception as error:
    print(f"this Python has no PyTorch that finds a GPU: {type(error).__name__}: {error}")
    sys.exit(3)

compile_seconds = 45


def matmul(n):
    a, b = torch.randn(n, n), torch.randn(n, n)
    return lambda: a @ b


def conv(images, channels, side):
    x = torch.randn(images, channels, side, side, requires_grad=True)
    weight = torch.randn(channels, channels, 3, 3, requires_grad=True)
    return backward(lambda: F.conv2d(x, weight, padding=1))


def lstm(rows, time, width):
    layer = nn.LSTM(width, width, batch_first=True)
    x = torch.randn(rows, time, width)
    return backward(lambda: layer(x)[0])


def attention(heads, tokens, width):
    q, k, v = (torch.randn(1, heads, tokens, width, requires_grad=True) for _ in range(3))
    return backward(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))


def backward(forward):
    def step():
        out = forward()
        out.backward(torch.ones_like(out))

    return step


def training(model, loss_of):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()

    return step


def mlp(inner, rows):
    model = nn.Sequential(nn.Linear(784, inner), nn.ReLU(), nn.Linear(inner, 10))
    x, labels = torch.randn(rows, 784), torch.randint(0, 10, (rows,))
    return training(model, lambda: F.cross_entropy(model(x), labels))


def cnn(images, channels, side):
    model = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(channels * 16, 10)
    )
    x, labels = torch.randn(images, 3, side, side), torch.randint(0, 10, (images,))
    return training(model, lambda: F.cross_entropy(model(x), labels))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = (split(y) for y in self.qkv(self.norm1(x)).chunk(3, -1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, width, layers, vocabulary, tokens, heads):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


def gpt(width, layers, vocabulary, rows, tokens, heads):
    model = Gpt(width, layers, vocabulary, tokens, heads)
    ids = torch.randint(0, vocabulary, (rows, tokens))

    def loss():
        logits = model(ids)[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    return training(model, loss)


makers = {f.__name__: f for f in (matmul, conv, lstm, attention, mlp, cnn, gpt)}


def median(step, seconds):
    """Milliseconds for a step, between two events."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    samples, until = [], time.monotonic() + seconds
    while len(samples) < 5 or (time.monotonic() < until and len(samples) < 1000):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end))
    return statistics.median(samples)


def in_mode(step, mode):
    """The step in the precision of a mode. PyTorch's own graphs are those of torch.compile, so graphs are not captured."""
    # The library's float32 is not rounded. tf32 rounds factors to ten bits.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"
    if mode != "bfloat16":
        return step

    def low():
        with torch.autocast("cuda", torch.bfloat16):
            return step()

    return low


class TooLong(Exception):
    pass


def too_long(*_):
    raise TooLong(f"not done after {compile_seconds} s")


def write(content, path):
    # The process may be killed at any time.
    with open(path + ".new", "w") as file:
        json.dump(content, file, indent=2)
    os.replace(path + ".new", path)


def measure(entry, name, seconds):
    torch.manual_seed(0)
    try:
        step = in_mode(makers[entry["kind"]](**entry["sizes"]), entry["mode"])
        if name == "compiled":
            mode = {"mode": "reduce-overhead"} if entry["mode"] == "graph" else {}
            step = torch.compile(step, **mode)
        signal.alarm(compile_seconds)
        return median(step, seconds), None
    except Exception as error:  # A failure of PyTorch is reported, and the others go on.
        return None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    finally:
        signal.alarm(0)


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    signal.signal(signal.SIGALRM, too_long)
    torch.set_default_device("cuda")
    with open(path) as file:
        content = json.load(file)
    content["torch"] = {"version": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name()}
    for name in ("eager", "compiled"):
        for entry in content["workloads"]:
            entry[name], why = measure(entry, name, seconds)
            if why:
                entry[f"{name}_why"] = why
            write(content, path)
            print(f"{entry['name']}, {entry['mode']}: {name} {entry[name] if why is None else why}", flush=True)
            gc.collect()
            try:
                torch.cuda.empty_cache()
            except Exception:  # The device may have failed, which the other workloads tell.
                pass


if __name__ == "__main__":
    main()

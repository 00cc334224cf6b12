"""Times PyTorch on the workloads of a file by cuda-process.ts, and adds the medians (by CUDA events, eager and compiled).

Usage: torch_cuda.py FILE SECONDS
"""

import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


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


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    torch.set_default_device("cuda")
    # The library's float32 is not rounded. tf32 would round factors to ten bits.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    with open(path) as file:
        content = json.load(file)
    content["torch"] = {"version": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name()}
    for entry in content["workloads"]:
        torch.manual_seed(0)
        for name in ("eager", "compiled"):
            try:
                step = makers[entry["kind"]](**entry["sizes"])
                if name == "compiled":
                    step = torch.compile(step)
                entry[name] = median(step, seconds)
            except Exception as error:  # A failure of PyTorch is reported, and the others go on.
                entry[name] = None
                entry[f"{name}_why"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            with open(path, "w") as file:
                json.dump(content, file, indent=2)
        print(f"{entry['name']}: eager {entry['eager']}, compiled {entry['compiled']} ms", flush=True)


if __name__ == "__main__":
    main()

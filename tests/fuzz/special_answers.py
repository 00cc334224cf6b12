"""Answers the cases of tests/fuzz/special.ts with PyTorch: results, and gradients of their weighted sum, or the error.

One JSON line a case on standard input: {"python", "dtype", "inputs": [{"shape", "values"}]}. `python` is an expression of x and y,
and `values` are doubles in base64, because JSON has no NaN. The answer is a JSON line {"results", "gradients"} of such inputs, or
{"error"}. A result without a gradient has none in the sum. Weights are those of `weightOf` in tests/fuzz/special.ts.
"""
import base64
import json
import math
import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F

warnings.simplefilter("ignore")
torch.set_num_threads(1)


def tensor(told, dtype):
    values = np.frombuffer(base64.b64decode(told["values"]), dtype=np.float64).copy()
    return torch.from_numpy(values).reshape(told["shape"]).to(dtype).requires_grad_(True)


def told(x):
    values = np.ascontiguousarray(x.detach().to(torch.float64).numpy())
    return {"shape": list(x.shape), "values": base64.b64encode(values.tobytes()).decode()}


def weights(y):
    return torch.tensor([1.0, -2.0, 0.5], dtype=y.dtype).repeat(y.numel() // 3 + 1)[: y.numel()].reshape(y.shape)


for line in sys.stdin:
    call = json.loads(line)
    try:
        inputs = [tensor(each, getattr(torch, call["dtype"])) for each in call["inputs"]]
        results = eval(call["python"], {**globals(), **dict(zip("xy", inputs))})
        results = [results] if torch.is_tensor(results) else list(results)
        roots = [y for y in results if y.requires_grad]
        gradients = []
        if roots:
            found = torch.autograd.grad(roots, inputs, [weights(y) for y in roots], allow_unused=True)
            gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]
        answer = {"results": [told(y) for y in results], "gradients": [told(g) for g in gradients]}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(answer), flush=True)

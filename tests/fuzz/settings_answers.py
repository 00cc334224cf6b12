"""Answers the settings of tests/fuzz/settings.ts and tests/fuzz/logits.ts with PyTorch: results and gradients, or the error.

One JSON line a setting on standard input: {"python", "inputs": [{"shape", "dtype", "values", "wanted"}]}. `python` is an
expression of the inputs x0, x1, ..., and `values` are doubles in base64. The dtype 'float' is float64. The answer is a JSON line
{"results", "gradients"}, in which a tensor is {"shape", "dtype", "values"}, or {"error"}. The gradient that comes in at a result is
the one of `weightOf` in tests/fuzz/settings/peer.ts.
"""
import base64
import json
import math
import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

warnings.simplefilter("ignore")
torch.set_num_threads(1)

dtypes = {"float": torch.float64, "int32": torch.int32, "bool": torch.bool, "uint8": torch.uint8}
dtypes |= {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
names = {dtype: name for name, dtype in dtypes.items() if name != "float"}


def weights(count):
    return (((np.arange(count) * 37 + 11) % 17) - 8) / 8


def tensor(told):
    values = np.frombuffer(base64.b64decode(told["values"]), dtype=np.float64).copy()
    x = torch.from_numpy(values).reshape(told["shape"]).to(dtypes[told["dtype"]])
    return x.requires_grad_(True) if told["wanted"] else x


def told(x):
    values = np.ascontiguousarray(x.detach().to(torch.float64).numpy())
    return {
        "shape": list(x.shape),
        "dtype": names.get(x.dtype, str(x.dtype)),
        "values": base64.b64encode(values.tobytes()).decode(),
    }


def filled(layer, given):
    """The layer in float64, its parameters replaced by the tensors of these names, which want their gradients."""
    layer = layer.double()
    old = dict(layer.named_parameters())
    assert old.keys() == given.keys(), (sorted(old), sorted(given))
    for name, new in given.items():
        owner, _, last = name.rpartition(".")
        module = layer.get_submodule(owner)
        assert old[name].shape == new.shape, (name, old[name].shape, new.shape)
        del module._parameters[last]
        setattr(module, last, new)
    return layer


def packed(layer, x, lengths, state=None):
    """The results of a recurrent layer over sequences of these lengths, padded to the steps of x."""
    rows = nn.utils.rnn.pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=False)
    out, last = layer(rows, state)
    steps = x.shape[1 if layer.batch_first else 0]
    return nn.utils.rnn.pad_packed_sequence(out, layer.batch_first, total_length=steps)[0], last


def stepped(make, starts, gradients, has):
    """The parameters after each step of an optimiser. `has` says for each step which parameters have a gradient."""
    parameters = [nn.Parameter(x.detach().clone()) for x in starts]
    after = []
    # Rates and products of NAdam and ASGD have the default dtype.
    torch.set_default_dtype(torch.float64)
    try:
        optimizer = make(parameters)
        for step, row in enumerate(has):
            for p, g, given in zip(parameters, gradients, row):
                p.grad = g[step].clone() if given else None
            optimizer.step()
            after += [p.detach().clone() for p in parameters]
    finally:
        torch.set_default_dtype(torch.float32)
    return after


def rates(make, lrs, steps, metrics):
    """[steps + 1, groups * 2]: the rate and the momentum of each group before the first step of a schedule and after each."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs.tolist()]
    optimizer = torch.optim.SGD(groups, lr=1, momentum=0.9)
    schedule = make(optimizer)
    row = lambda: [x for group in optimizer.param_groups for x in (group["lr"], group["momentum"])]
    rows = [row()]
    for step in range(steps):
        optimizer.step()
        schedule.step(*([] if metrics is None else [metrics[step]]))
        rows.append(row())
    return torch.tensor(rows, dtype=torch.float64)


def flat(results):
    if torch.is_tensor(results):
        return [results]
    return [] if results is None else [x for each in results for x in flat(each)]


for line in sys.stdin:
    call = json.loads(line)
    try:
        x = [tensor(each) for each in call["inputs"]]
        names_of = {f"x{i}": each for i, each in enumerate(x)}
        results = flat(eval(call["python"], {**globals(), **names_of}))
        roots = [y for y in results if y.requires_grad]
        wanted = [each for each, t in zip(x, call["inputs"]) if t["wanted"]]
        gradients = []
        if roots and wanted:
            given = [torch.from_numpy(weights(y.numel())).reshape(y.shape).to(y.dtype) for y in roots]
            found = torch.autograd.grad(roots, wanted, given, allow_unused=True)
            gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(found, wanted)]
        answer = {"results": [told(y) for y in results], "gradients": [told(g) for g in gradients]}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(answer), flush=True)

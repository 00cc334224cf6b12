"""Writes tests/goldens/data/linalg.json: numbers of torch.linalg in float64, with gradients, with PyTorch 2.13.

Usage: python tests/goldens/linalg.py
"""
import json
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
l = torch.linalg

square = torch.randn(2, 4, 4)
tall = torch.randn(5, 3)
wide = torch.randn(3, 5)
symmetric = square + square.mT
definite = square @ square.mT + torch.eye(4)
right = torch.randn(2, 4, 2)
regular = square + 3 * torch.eye(4)

# Each has a name, inputs, and a function of them. Vectors whose signs are free enter by what does not depend on signs.
cases = [
    ('cholesky', [definite], lambda x: [l.cholesky(x)]),
    ('solveTriangular', [regular, right], lambda a, b: [l.solve_triangular(a, b, upper=True)]),
    ('choleskySolve', [right, definite], lambda b, x: [torch.cholesky_solve(b, l.cholesky(x))]),
    ('luFactor', [square], lambda x: list(l.lu_factor(x))),
    ('lu', [tall], lambda x: list(l.lu(x))),
    ('lu', [wide], lambda x: list(l.lu(x))),
    ('solve', [regular, right], lambda a, b: [l.solve(a, b)]),
    ('inv', [regular], lambda x: [l.inv(x)]),
    ('det', [square], lambda x: [l.det(x)]),
    ('slogdet', [square], lambda x: list(l.slogdet(x))),
    ('qr', [tall], lambda x: list(l.qr(x))),
    ('qr', [wide], lambda x: list(l.qr(x))),
    ('eigh', [symmetric], lambda x: (lambda w, v: [w, v**2])(*l.eigh(x))),
    ('eigvalsh', [symmetric], lambda x: [l.eigvalsh(x)]),
    ('svd', [tall], lambda x: (lambda u, s, v: [u**2, s, v**2])(*l.svd(x, full_matrices=False))),
    ('svd', [wide], lambda x: (lambda u, s, v: [u**2, s, v**2])(*l.svd(x, full_matrices=False))),
    ('svdvals', [square], lambda x: [l.svdvals(x)]),
    ('matrixNorm', [wide], lambda x: [l.matrix_norm(x, 2), l.matrix_norm(x, -2), l.matrix_norm(x, 'nuc')]),
    ('norm', [wide], lambda x: [l.norm(x), l.norm(x, 'nuc'), l.norm(x, 3, 1)]),
    ('cond', [square], lambda x: [l.cond(x), l.cond(x, -2), l.matrix_norm(x, 1) * l.matrix_norm(l.inv(x), 1)]),
    ('pinv', [tall], lambda x: [l.pinv(x)]),
    ('pinv', [wide], lambda x: [l.pinv(x)]),
    ('matrixRank', [tall @ wide], lambda x: [l.matrix_rank(x)]),
    ('lstsq', [tall, torch.randn(5, 2)], lambda a, b: [l.lstsq(a, b).solution]),
    ('matrixPower', [square], lambda x: [l.matrix_power(x, 5), l.matrix_power(x, -2)]),
    ('matrixExp', [square], lambda x: [l.matrix_exp(x), l.matrix_exp(9 * x)]),
    ('multiDot', [tall, wide, tall], lambda a, b, c: [l.multi_dot([a, b, c])]),
    ('vander', [tall], lambda x: [l.vander(x, N=4)]),
]

rows = []
for name, inputs, f in cases:
    given = [x.clone().requires_grad_() for x in inputs]
    outputs = f(*given)
    roots = [y for y in outputs if y.requires_grad]
    total = sum((y * torch.linspace(0.5, 1.5, y.numel()).reshape(y.shape)).sum() for y in roots)
    gradients = torch.autograd.grad(total, given) if roots else [None] * len(given)
    rows.append({
        'name': name,
        'inputs': [x.tolist() for x in inputs],
        'outputs': [y.detach().double().tolist() for y in outputs],
        'gradients': [g if g is None else g.tolist() for g in gradients],
    })

file = Path(__file__).parent / 'data' / 'linalg.json'
file.write_text('[\n' + ',\n'.join(json.dumps(each) for each in rows) + '\n]\n')

"""Writes tests/goldens/data/distributions.json: numbers of torch.distributions in float64, with PyTorch 2.13.

Usage: python tests/goldens/distributions.py
"""
import itertools
import json
from pathlib import Path

import torch
from torch import distributions as d

torch.set_default_dtype(torch.float64)
inf = float('inf')


def plain(x):
    """Lists of numbers; JSON has no NaN and no infinities, so they are texts."""
    if isinstance(x, torch.Tensor):
        x = x.detach().to(torch.float64).tolist()
    if isinstance(x, list):
        return [plain(each) for each in x]
    return x if abs(x) < inf else str(x)


places = [-30.0, -1.5, 0.0, 0.7, 2.0, 40.0]
sizes = [1e-30, 0.2, 0.7, 1.0, 3.0, 60.0]
shares = [1e-6, 0.2, 0.5, 0.9, 0.999]
# Each has parameters, values, and probabilities if it has an inverse of its cdf.
cases = [
    ('Normal', [[0.0, 1.0, -2.0], [1.0, 0.1, 1e-3]], [[x] for x in places]),
    ('Laplace', [[0.0, 1.0, -2.0], [1.0, 0.1, 3.0]], [[x] for x in places]),
    ('LogNormal', [[0.0, 1.0, -2.0], [1.0, 0.1, 2.0]], [[x] for x in sizes]),
    ('Uniform', [[-40.0, -31.0], [41.0, 40.0]], [[x] for x in places]),
    ('Exponential', [[1.0, 0.1, 30.0]], [[x] for x in [0.0, *sizes]]),
    ('Gamma', [[0.3, 1.0, 20.0], [1.0, 0.5, 7.0]], [[x] for x in sizes]),
    ('Beta', [[0.3, 1.0, 20.0, 0.5], [0.8, 1.0, 7.0, 3.0]], [[x] for x in shares]),
    ('Dirichlet', [[[0.3, 1.0, 20.0], [0.2, 0.5, 0.9]]], [[[0.2, 0.3, 0.5]], [[0.9, 0.09, 0.01]]]),
    ('Bernoulli.probs', [[0.0, 0.3, 0.5, 0.8, 1.0]], [[0.0], [1.0]]),
    ('Bernoulli.logits', [[-100.0, -1.0, 0.0, 30.0, 100.0]], [[0.0], [1.0]]),
    ('Categorical.probs', [[[0.0, 1.0, 3.0], [0.2, 0.5, 0.3]]], [[0], [1], [2]]),
    ('Categorical.logits', [[[-inf, 1.0, 300.0], [0.2, 0.5, 0.3]]], [[0], [1], [2]]),
]


def made(name, parameters):
    family, _, key = name.partition('.')
    tensors = [torch.tensor(each) for each in parameters]
    return getattr(d, family)(**{key: tensors[0]}) if key else getattr(d, family)(*tensors)


def attempt(f):
    try:
        return plain(f())
    except NotImplementedError:
        return None


rows = []
for name, parameters, values in cases:
    p = made(name, parameters)
    x = torch.tensor(values)
    rows.append({
        'name': name,
        'parameters': plain(parameters),
        'value': values,
        'shares': shares,
        **{each: attempt(lambda: getattr(p, each)) for each in ['mean', 'variance', 'stddev', 'mode']},
        'logProb': plain(p.log_prob(x)),
        'entropy': attempt(p.entropy),
        'cdf': None if name == 'Gamma' else attempt(lambda: p.cdf(x)),
        'icdf': attempt(lambda: p.icdf(torch.tensor(shares).unsqueeze(-1))),
    })

# Pairs of divergences; parameters broadcast.
of = {
    'Normal': [[[0.3], [0.7]], [[-1.0], [2.0]]],
    'LogNormal': [[[0.3], [0.7]], [[-1.0], [2.0]]],
    'Laplace': [[[0.3], [0.7]], [[-1.0], [2.0]]],
    'Uniform': [[[0.1], [0.7]], [[0.05], [0.9]], [[-1.0], [2.0]], [[0.0], [1.0]]],
    'Exponential': [[[0.3]], [[4.0]]],
    'Gamma': [[[0.3], [0.7]], [[4.0], [2.0]]],
    'Beta': [[[0.3], [0.7]], [[4.0], [2.0]]],
    'Dirichlet': [[[0.3, 4.0, 1.0]], [[2.0, 0.5, 0.9]]],
    'Bernoulli.probs': [[[0.0, 0.3, 1.0, 0.5, 0.5]], [[0.0, 0.6, 1.0, 0.0, 1.0]]],
    'Bernoulli.logits': [[[-3.0, 40.0, 0.0]], [[2.0, 30.0, -1.0]]],
    'Categorical.probs': [[[0.0, 0.3, 0.7]], [[0.5, 0.5, 0.0]], [[0.0, 0.2, 0.8]]],
    'Categorical.logits': [[[-3.0, 4.0, 0.0]], [[2.0, 30.0, -1.0]]],
}
divergences = []
for p, q in itertools.product(of, of):
    for a, b in itertools.product(of[p], of[q]):
        if p.split('.')[0] == q.split('.')[0] and p != q:
            continue
        try:
            value = d.kl_divergence(made(p, a), made(q, b))
        except NotImplementedError:
            continue
        divergences.append({'p': p, 'q': q, 'a': a, 'b': b, 'value': plain(value)})

file = Path(__file__).parent / 'data' / 'distributions.json'
lines = [json.dumps(each) for each in [*rows, *divergences]]
file.write_text('[\n' + ',\n'.join(lines) + '\n]\n')

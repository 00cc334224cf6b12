/** Settings of losses: reductions, weights, ignored labels, smoothing, images of labels. */
import * as f from '../../../lib/index.js'
import { named, snake } from './images.js'
import { type Choices, type Given, keywords, literal, type Setting } from './setting.js'

function classes(draw: Choices): Setting {
  const [n, c] = [draw.integer(1, 5), draw.integer(1, 6)]
  const rest = draw.chance(0.4) ? draw.shape(1, 3, 3) : []
  const lone = rest.length === 0 && draw.chance(0.15)
  const shape = lone ? [c] : [n, c, ...rest]
  const target = lone ? [] : [n, ...rest]
  const ignoreIndex = draw.pick([-100, 0, c - 1, -1])
  const labels = draw.given(target, 'int32', () => (draw.chance(0.25) ? ignoreIndex : draw.integer(0, c - 1)), false)
  const weight = draw.flag() ? [draw.between([c], 0.1, 2, false)] : []
  const reduction = draw.pick(['none', 'mean', 'sum'] as const)
  const labelSmoothing = draw.pick([0, 0, 0.1, 0.5, 1])
  const isLong = 'x1.long()'
  const w = weight.length > 0 ? ', weight=x2' : ''
  const logits = draw.floats(shape, 3)
  const how = draw.integer(0, 2)
  if (how === 0)
    return {
      python: `F.nll_loss(F.log_softmax(x0, ${lone ? 0 : 1}), ${isLong}${w}${keywords({ reduction, ignoreIndex })})`,
      inputs: [logits, labels, ...weight],
      call: ([x, y, weight]) =>
        f.nllLoss(f.logSoftmax(x as f.Tensor, lone ? 0 : 1), y as f.Tensor, {
          reduction,
          ignoreIndex,
          weight: weight ?? null,
        }),
    }
  if (how === 1) {
    const probable = draw.between(shape, 0, 1)
    return {
      python: `F.cross_entropy(x0, x1${w}${keywords({ reduction, labelSmoothing })})`,
      inputs: [logits, probable, ...weight],
      call: ([x, y, weight]) =>
        f.crossEntropy(x as f.Tensor, y as f.Tensor, { reduction, labelSmoothing, weight: weight ?? null }),
    }
  }
  return {
    python: `F.cross_entropy(x0, ${isLong}${w}${keywords({ reduction, ignoreIndex, labelSmoothing })})`,
    inputs: [logits, labels, ...weight],
    call: ([x, y, weight]) =>
      f.crossEntropy(x as f.Tensor, y as f.Tensor, { reduction, ignoreIndex, labelSmoothing, weight: weight ?? null }),
  }
}

type Options = { readonly [name: string]: unknown }

function plain(draw: Choices): Setting {
  const shape = draw.shape(1, 3)
  const [n, c] = [draw.integer(1, 4), draw.integer(2, 5)]
  const reduction = draw.pick(['none', 'mean', 'sum'])
  const margin = draw.pick([0.3, 1, 2])
  const a = draw.floats(shape, 2)
  const b = draw.floats(shape, 2)
  const signs = (shape: f.Shape) => draw.given(shape, 'float', () => (draw.flag() ? 1 : -1), false)
  const x = draw.floats([n, c])
  const labels = draw.integers([n], 0, c - 1)
  const bits = draw.given(shape, 'float', () => draw.integer(0, 1), false)
  const one = (name: string, inputs: readonly Given[], options: Options, python = snake(name)): Setting => ({
    python: `F.${python}(${inputs.map(({ dtype }, i) => (dtype === 'int32' ? `x${i}.long()` : `x${i}`)).join(', ')}${keywords({ ...options, reduction })})`,
    inputs,
    call: (x) => named(name)(...x, { ...options, reduction }),
  })
  const weight = draw.between(shape.slice(draw.integer(0, shape.length)), 0.1, 2, false)
  const weighted = (name: string, inputs: readonly Given[], given: { readonly [name: string]: Given }): Setting => {
    const rest = Object.entries(given)
    const told = rest.map(([name], i) => `, ${snake(name)}=x${inputs.length + i}`).join('')
    return {
      python: `F.${snake(name)}(${inputs.map((_, i) => `x${i}`).join(', ')}${told}${keywords({ reduction })})`,
      inputs: [...inputs, ...rest.map(([, each]) => each)],
      call: (x) =>
        named(name)(...x.slice(0, inputs.length), {
          reduction,
          ...Object.fromEntries(rest.map(([name], i) => [name, x[inputs.length + i]])),
        }),
    }
  }
  return draw.pick([
    () => one('mseLoss', [a, b], {}),
    () => one('l1Loss', [a, b], {}),
    () => one('smoothL1Loss', [a, b], { beta: draw.pick([0.5, 1, 2]) }),
    () => one('huberLoss', [a, b], { delta: draw.pick([0.5, 1, 2]) }),
    () => one('poissonNllLoss', [a, draw.between(shape, 0, 4, false)], { logInput: true, full: draw.flag() }),
    () =>
      one('poissonNllLoss', [draw.between(shape, 0.1, 3), draw.between(shape, 0, 4, false)], {
        logInput: false,
        full: draw.flag(),
        eps: 0.01,
      }),
    () =>
      one('gaussianNllLoss', [a, b, draw.between(draw.flag() ? shape : [...shape.slice(0, -1), 1], 0.1, 2)], {
        full: draw.flag(),
      }),
    () => one('klDiv', [a, draw.between(shape, 0, 1)], { logTarget: false }),
    () => one('klDiv', [a, b], { logTarget: true }),
    () => one('softMarginLoss', [a, signs(shape)], {}),
    () => one('hingeEmbeddingLoss', [a, signs(shape)], { margin }),
    () => one('marginRankingLoss', [a, b, signs(shape)], { margin }),
    () => one('cosineEmbeddingLoss', [x, draw.floats([n, c]), signs([n])], { margin: draw.pick([0, 0.3, -0.2]) }),
    () => one('multiMarginLoss', [x, labels], { margin, p: draw.pick([1, 2]) }),
    () => one('multilabelMarginLoss', [x, draw.given([n, c], 'int32', () => draw.integer(-1, c - 1), false)], {}),
    () =>
      one('tripletMarginLoss', [x, draw.floats([n, c]), draw.floats([n, c])], {
        margin,
        p: draw.pick([1, 2, 3]),
        swap: draw.flag(),
      }),
    () => weighted('binaryCrossEntropy', [draw.between(shape, 0.05, 0.95), bits], draw.flag() ? { weight } : {}),
    () =>
      weighted('binaryCrossEntropyWithLogits', [a, draw.between(shape, 0, 1, false)], {
        ...(draw.flag() ? { weight } : {}),
        ...(draw.flag() ? { posWeight: draw.between(shape.slice(-1), 0.1, 3, false) } : {}),
      }),
    () =>
      weighted(
        'multilabelSoftMarginLoss',
        [x, draw.given([n, c], 'float', () => draw.integer(0, 1), false)],
        draw.flag() ? { weight: draw.between([c], 0.1, 2, false) } : {},
      ),
  ])()
}

function alignments(draw: Choices): Setting {
  const [t, n, c] = [draw.integer(1, 8), draw.integer(1, 3), draw.integer(2, 5)]
  const most = draw.integer(1, 4)
  const blank = draw.integer(0, c - 1)
  const others = Array.from({ length: c }, (_, i) => i).filter((i) => i !== blank)
  const lengths = Array.from({ length: n }, () => draw.integer(1, t))
  const counts = Array.from({ length: n }, () => draw.integer(0, most))
  const targets = draw.given([n, most], 'int32', () => draw.pick(others), false)
  const options = { blank, reduction: draw.pick(['none', 'mean', 'sum'] as const), zeroInfinity: draw.flag() }
  return {
    python: `F.ctc_loss(F.log_softmax(x0, -1), x1.long(), torch.tensor(${literal(lengths)}), torch.tensor(${literal(counts)})${keywords(options)})`,
    inputs: [draw.floats([t, n, c], 2), targets],
    call: ([x, y]) => {
      const list = (values: number[]) => f.tensor(values, { dtype: 'int32', device: (x as f.Tensor).device })
      return f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), y as f.Tensor, list(lengths), list(counts), options)
    },
  }
}

export const loss = (draw: Choices): Setting => draw.pick([classes, classes, plain, plain, plain, alignments])(draw)

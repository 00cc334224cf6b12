/** Settings of layers and of functions that look rows up and normalise. */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, literal, type Setting } from './setting.js'
import { filled, like } from './weights.js'

const { nn } = f

/** Normalisations in training and evaluation, with their running statistics as results. */
export function norm(draw: Choices): Setting {
  const kind = draw.pick(['batch', 'batch', 'instance', 'group', 'layer', 'rms', 'response'])
  const rank = draw.integer(1, 3)
  const groups = draw.integer(1, 3)
  const c = kind === 'group' ? groups * draw.integer(1, 3) : draw.integer(1, 5)
  const sizes = Array.from({ length: rank }, () => draw.integer(2, 5))
  const n = draw.integer(1, 4)
  const shape = [n, c, ...sizes]
  const eps = draw.flag() ? { eps: draw.pick([1e-3, 1e-5, 0.1]) } : {}
  const x = draw.floats(shape, 2)
  const affine = draw.flag()
  const scale = affine ? [draw.floats([c]), draw.floats([c])] : []
  if (kind === 'batch' || kind === 'instance') {
    const steps = draw.integer(1, 3)
    const momentum = kind === 'batch' ? draw.pick([0.1, null, 0.4, 0, 1]) : draw.pick([0.1, 0.4, 1])
    const track = draw.chance(0.7)
    const training = draw.flag()
    const isBatch1 = kind === 'batch' && rank === 1 && draw.flag()
    const Layer = {
      batch: [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d],
      instance: [nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d],
    }[kind][rank - 1] as typeof nn.BatchNorm1d
    const options = { ...eps, momentum, affine, trackRunningStats: track }
    const name = `nn.${kind === 'batch' ? 'Batch' : 'Instance'}Norm${rank}d`
    const weights = affine ? "'weight': x1, 'bias': x2" : ''
    const run = `[m(x0 * (k + 1)) for k in range(${steps})]${training ? '' : ' + [m.eval()(x0)]'}`
    const stats = track ? ' + [m.running_mean, m.running_var, m.num_batches_tracked.int()]' : ''
    const input = isBatch1 ? draw.floats([n + 1, c], 2) : x
    return {
      python: `(lambda m: ${run}${stats})(filled(${name}(${c}${keywords(options)}), {${weights}}))`,
      inputs: [input, ...scale],
      call: ([x, ...given]) => {
        const layer = filled(new Layer(c, { ...options, ...like(x as f.Tensor) } as never), given)
        const out = Array.from({ length: steps }, (_, k) => layer.forward(f.mul(x as f.Tensor, k + 1)))
        if (!training) out.push(layer.eval().forward(x as f.Tensor))
        const { runningMean, runningVar, numBatchesTracked } = layer
        return track ? [...out, runningMean as f.Tensor, runningVar as f.Tensor, numBatchesTracked as f.Tensor] : out
      },
    }
  }
  if (kind === 'group')
    return {
      python: `F.group_norm(x0, ${groups}${affine ? ', x1, x2' : ''}${keywords(eps)})`,
      inputs: [x, ...scale],
      call: ([x, w, b]) => f.groupNorm(x as f.Tensor, groups, w ?? null, b ?? null, eps),
    }
  if (kind === 'response') {
    const options = { alpha: draw.pick([1e-4, 0.3]), beta: draw.pick([0.75, 0.5]), k: draw.pick([1, 2]) }
    const size = draw.integer(1, 5)
    return {
      python: `F.local_response_norm(x0, ${size}${keywords(options)})`,
      inputs: [x],
      call: ([x]) => f.localResponseNorm(x as f.Tensor, size, options),
    }
  }
  const own = shape.slice(draw.integer(0, shape.length - 1))
  const w = affine ? [draw.floats(own)] : []
  if (kind === 'rms')
    return {
      python: `F.rms_norm(x0, ${literal(own)}, ${affine ? 'x1' : 'None'}${keywords({ eps: 1e-5, ...eps })})`,
      inputs: [x, ...w],
      call: ([x, w]) => f.rmsNorm(x as f.Tensor, own, w ?? null, { eps: 1e-5, ...eps }),
    }
  const b = affine && draw.flag() ? [draw.floats(own)] : []
  return {
    python: `F.layer_norm(x0, ${literal(own)}, ${affine ? 'x1' : 'None'}, ${b.length > 0 ? 'x2' : 'None'}${keywords(eps)})`,
    inputs: [x, ...w, ...b],
    call: ([x, w, b]) => f.layerNorm(x as f.Tensor, own, w ?? null, b ?? null, eps),
  }
}

/** Look-ups of rows and of bags of rows. */
export function embedding(draw: Choices): Setting {
  const [rows, features] = [draw.integer(1, 7), draw.integer(1, 4)]
  const shape = draw.shape(0, 3, 4)
  const paddingIdx = draw.flag() ? { paddingIdx: draw.integer(-rows, rows - 1) } : {}
  const short = draw.chance(0.4)
    ? { maxNorm: draw.pick([0.5, 1, 2]), normType: draw.pick([1, 2, 3, Number.POSITIVE_INFINITY]) }
    : {}
  const table = draw.floats([rows, features])
  // The table is shortened in place, so the table after the call is a result, and nothing asks for its gradient.
  const isShort = 'maxNorm' in short
  if (draw.flag()) {
    const options = { ...paddingIdx, ...short, ...(draw.chance(0.3) ? { scaleGradByFreq: true } : {}) }
    return {
      python: isShort
        ? `[F.embedding(x0.long(), x1${keywords(options)}), x1]`
        : `F.embedding(x0.long(), x1${keywords(options)})`,
      inputs: [draw.integers(shape, 0, rows - 1), { ...table, wanted: !isShort }],
      call: ([ids, w]) => {
        const y = f.embedding(ids as f.Tensor, w as f.Tensor, options)
        return isShort ? [y, w as f.Tensor] : y
      },
    }
  }
  const mode = draw.pick(['sum', 'mean', 'max'] as const)
  const isFlat = draw.flag()
  const count = draw.integer(1, 9)
  const starts = [0, ...Array.from({ length: draw.integer(0, 3) }, () => draw.integer(0, count))].sort((a, b) => a - b)
  const includeLastOffset = isFlat && draw.chance(0.4)
  const offsets = includeLastOffset ? [...starts, count] : starts
  const ids = isFlat ? draw.integers([count], 0, rows - 1) : draw.integers([draw.integer(1, 3), count], 0, rows - 1)
  const factor = mode === 'sum' && draw.flag() ? [draw.floats(ids.shape)] : []
  const options = { mode, ...paddingIdx, ...short, ...(includeLastOffset ? { includeLastOffset } : {}) }
  const flat = isFlat ? `, torch.tensor(${literal(offsets)})` : ''
  const python = `F.embedding_bag(x0.long(), x1${flat}${keywords(options)}${factor.length > 0 ? ', per_sample_weights=x2' : ''})`
  return {
    python: isShort ? `[${python}, x1]` : python,
    inputs: [ids, { ...table, wanted: !isShort }, ...factor],
    call: ([ids, w, perSampleWeights]) => {
      const own = { ...options, ...(isFlat ? { offsets } : {}), ...(perSampleWeights ? { perSampleWeights } : {}) }
      const y = f.embeddingBag(ids as f.Tensor, w as f.Tensor, own)
      return isShort ? [y, w as f.Tensor] : y
    },
  }
}

/** Metrics of language models: perplexity, and bits per byte. */
import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { type OptionNames, ownOptions } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { where } from '../../ops/elementwise/index.js'
import { gather } from '../../ops/indexing/index.js'
import { reshape } from '../../ops/shape/index.js'
import { logSoftmax } from '../../ops/softmax.js'
import { checkOneOf, checkShapeOptions, given, rowsOf, type ShapeOptions } from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { type Parts, Sums } from './parts.js'

export interface PerplexityOptions extends ShapeOptions {
  /**
   * The kind of the outputs: logits, log probabilities, or the negative log likelihood of each token in nats (`nll`).
   * The last has the shape of the targets, which then only tell what to ignore. Default logits.
   */
  readonly from?: 'logits' | 'logProbs' | 'nll'
}

export interface BitsPerByteOptions extends PerplexityOptions {
  /**
   * The number of bytes of text that the targets of the whole pass represent. It may also be a function that returns it
   * for each update's targets, and is called at once.
   */
  readonly bytes: number | ((target: Tensor) => number)
}

/** The sum of negative log likelihoods, of their weights, and of the bytes that a function returned. */
interface Totals extends Parts {
  readonly sums: Sums
}

type BytesOf = (target: Tensor) => number
type Compute = (nll: number, tokens: number, bytes: number) => number

class OfTokens<O extends PerplexityOptions> extends Measure<Tensor, Tensor, number, Totals> {
  readonly #options: O
  readonly #bytes: BytesOf
  readonly #compute: Compute

  constructor(op: string, options: O, bytes: BytesOf, compute: Compute) {
    super(op, options)
    this.#options = options
    this.#bytes = bytes
    this.#compute = compute
  }

  fresh(): ResumableMetric {
    return new OfTokens(this.op, this.#options, this.#bytes, this.#compute)
  }

  protected empty(): Totals {
    return { sums: new Sums(3) }
  }

  protected value({ sums }: Totals): number {
    return this.#compute(sums.get(0), sums.get(1), sums.get(2))
  }

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const bytes = this.#bytes(target)
    noGrad(() => {
      const [nll, weight] = this.#losses(output, target, sampleWeight)
      const { ignoreIndex = -100 } = this.#options
      this.read(weight ? [nll, target, weight] : [nll, target], ({ sums }, [losses = [], labels = [], weights]) => {
        sums.add(2, bytes)
        for (let i = 0; i < labels.length; i++) {
          if (labels[i] === ignoreIndex) continue
          const factor = (weights?.[i] as number | undefined) ?? 1
          sums.add(0, factor * (losses[i] as number))
          sums.add(1, factor)
        }
      })
    })
  }

  #losses(output: Tensor, target: Tensor, sampleWeight: Tensor | undefined): readonly [Tensor, Tensor | null] {
    const { from = 'logits', ignoreIndex = -100 } = this.#options
    if (from === 'nll') {
      checkTensor(this.op, 'output', output)
      checkTensor(this.op, 'target', target)
      if (!sameShape(output.sizes, target.sizes) || (sampleWeight && !sameShape(sampleWeight.sizes, target.sizes)))
        throw new ShapeError(
          this.op,
          `outputs are ${formatShape(output.sizes)}, but must have the targets' shape, ${formatShape(target.sizes)}`,
          [output.sizes, target.sizes],
        )
      return [output, sampleWeight ?? null]
    }
    const seen = given(this.op, output, target, sampleWeight, this.#options)
    if (seen.kind !== 'classes')
      throw new ShapeError(this.op, 'takes scores of each token of the vocabulary, and int32 targets', [output.sizes])
    const flat = reshape(target, [-1, 1])
    const rows = rowsOf(seen)
    const logProbs = from === 'logits' ? logSoftmax(rows, 1) : rows
    return [gather(logProbs, 1, where(flat.eq(ignoreIndex), 0, flat)).neg(), seen.weight]
  }
}

const names = { ignoreIndex: true, classDim: true, from: true } as const

function checked<O extends PerplexityOptions>(op: string, options: O, known: OptionNames<O>): O {
  const own = ownOptions(op, options, known)
  checkShapeOptions(op, own)
  checkOneOf(op, 'from', own.from, ['logits', 'logProbs', 'nll'])
  return own
}

/**
 * The exponential of the mean negative log likelihood of the tokens, over the tokens of all batches. Outputs are logits
 * [N, V, ...] or [N, ..., V] with int32 targets. Targets that are `ignoreIndex` do not count. NaN while none counts.
 * The likelihoods are computed on the device, and one number for each token is read.
 */
export function perplexity(options: PerplexityOptions = {}): ResumableMetric {
  const own = checked<PerplexityOptions>('perplexity', options, names)
  return new OfTokens(
    'perplexity',
    own,
    () => 0,
    (nll, tokens) => Math.exp(nll / tokens),
  )
}

/**
 * The negative log likelihood of the tokens in bits, divided by the bytes of the text that they represent, which makes
 * models with different tokens comparable. Outputs are as for `perplexity`. NaN while no token counts. Throws
 * ValueError unless `bytes` is a positive number or a function.
 */
export function bitsPerByte(options: BitsPerByteOptions): ResumableMetric {
  const own = checked<BitsPerByteOptions>('bitsPerByte', options, { ...names, bytes: true })
  const { bytes } = own
  const whole = typeof bytes === 'number' && Number.isFinite(bytes) && bytes > 0
  if (!whole && typeof bytes !== 'function')
    throw new ValueError(
      'bitsPerByte',
      `bytes is ${shown(bytes)}, but must be their number, or a function of the targets that returns it`,
    )
  const count = typeof bytes === 'function' ? bytes : () => 0
  return new OfTokens('bitsPerByte', own, count, (nll, tokens, told) =>
    tokens === 0 ? Number.NaN : nll / Math.LN2 / (typeof bytes === 'number' ? bytes : told),
  )
}

/** The categorical distribution. */
import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { broadcastShapes, countOf, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { full } from '../ops/creation.js'
import { clampMin, div, gt, log, mul, neg } from '../ops/elementwise/index.js'
import { gather } from '../ops/indexing/index.js'
import { multinomial } from '../ops/random.js'
import { argmax, sum } from '../ops/reduce/index.js'
import { expand, reshape, squeeze, transpose, unsqueeze } from '../ops/shape/index.js'
import { logSoftmax, softmax } from '../ops/softmax.js'
import { type ChanceOptions, checkChances, inner } from './chances.js'
import { type Constraint, checkClaims, claim, indexBelow, notNegative, real } from './constraint.js'
import { Distribution, validates } from './distribution.js'
import { checkFloats } from './parameters.js'

/** The lowest finite numbers, by dtype. */
const lowest: { readonly [dtype: string]: number } = {
  bfloat16: -(2 - 2 ** -7) * 2 ** 127,
  float32: -(2 - 2 ** -23) * 2 ** 127,
  float64: -Number.MAX_VALUE,
}

/** The distribution of an index 0 .. n - 1, with a probability for each: PyTorch's, with int32 samples. */
export class Categorical extends Distribution {
  readonly hasRsample = false
  protected readonly support: Constraint
  protected readonly example: Tensor
  readonly #isLogits: boolean

  /**
   * Takes probs [..., n], which need not add up to 1, or logits [..., n]: logarithms of probabilities up to a constant.
   */
  constructor(options: ChanceOptions<Tensor>) {
    const op = 'Categorical'
    checkChances(op, options)
    const checks = validates(op, options)
    const isLogits = options.probs === undefined
    const name = isLogits ? 'logits' : 'probs'
    const given = options[name] as Tensor
    checkTensor(op, name, given)
    checkFloats(op, name, given)
    if (given.ndim === 0 || given.sizes.at(-1) === 0)
      throw new ShapeError(
        op,
        `${name} are ${formatShape(given.sizes)}, but must be [..., n] with a number for each of n classes`,
        [given.sizes],
      )
    if (checks)
      checkClaims(op, given.device, () => {
        if (isLogits) return [claim('logits', logSoftmax(given, -1), real)]
        const totals = sum(given, -1)
        return [
          claim('probs', given, notNegative),
          { name: 'the sum of probs', x: totals, obeys: gt(totals, 0), words: 'more than 0' },
        ]
      })
    super(op, given.sizes.slice(0, -1), [], checks)
    this.#isLogits = isLogits
    this.example = given
    this.support = indexBelow(given.sizes.at(-1) as number)
  }

  /** The probabilities [..., n], which add up to 1. */
  get probs(): Tensor {
    if (this.#isLogits) return softmax(this.example, -1)
    return div(this.example, sum(this.example, -1, { keepdim: true }))
  }

  /**
   * The logarithms of the probabilities [..., n]. Given probabilities are first taken away from 0 and 1 by the dtype's
   * epsilon, as in PyTorch.
   */
  get logits(): Tensor {
    return this.#isLogits ? logSoftmax(this.example, -1) : log(inner(this.probs))
  }

  /** NaN, because indices are no numbers. */
  get mean(): Tensor {
    const { dtype, device } = this.example
    return full(this.batchShape, Number.NaN, { dtype, device })
  }

  /** The index of the largest probability. */
  get mode(): Tensor {
    return argmax(this.example, -1)
  }

  /** NaN, because indices are no numbers. */
  get variance(): Tensor {
    return this.mean
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const classes = this.example.sizes.at(-1) as number
    const rows = countOf(this.batchShape)
    const count = countOf(shape.slice(0, shape.length - this.batchShape.length))
    if (rows * count === 0) return full(shape, 0, { dtype: 'int32', device: this.example.device })
    const drawn = multinomial(reshape(this.probs, [rows, classes]), count, { replacement: true, generator })
    return reshape(transpose(drawn, 0, 1), shape)
  }

  protected logProbOf(value: Tensor): Tensor {
    const { logits } = this
    const shape = broadcastShapes('logProb', value.sizes, this.batchShape)
    const index = unsqueeze(expand(castTo(value, 'int32'), shape), -1)
    return squeeze(gather(expand(logits, [...shape, logits.sizes.at(-1) as number]), -1, index), -1)
  }

  protected entropyOf(): Tensor {
    const { logits } = this
    return neg(sum(mul(clampMin(logits, lowest[logits.dtype] as number), this.probs), -1))
  }

  protected expandedTo(batchShape: Shape): Categorical {
    const given = expand(this.example, [...batchShape, this.example.sizes.at(-1) as number])
    return new Categorical({ [this.#isLogits ? 'logits' : 'probs']: given, validateArgs: false })
  }
}

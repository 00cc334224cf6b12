/** The part that all distributions have in common: PyTorch's `torch.distributions.Distribution`. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import type { Device } from '../core/device.js'
import { type DType, isFloating } from '../core/dtype.js'
import { formatShape, kindOf, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { broadcastShapes, checkShape, type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { checkScalar } from '../ops/common.js'
import { castTo } from '../ops/convert.js'
import { full } from '../ops/creation.js'
import { sqrt } from '../ops/elementwise/index.js'
import { type Claim, type Constraint, checkClaims, claim } from './constraint.js'
import { checkDevice } from './parameters.js'

export interface DistributionOptions {
  /**
   * Whether the elements of parameters are checked, and later those of values that `logProb` and `cdf` get. Each check
   * waits for the tensors, as `item` does. Default true, as in PyTorch.
   */
  readonly validateArgs?: boolean
}

export const distributionNames: OptionNames<DistributionOptions> = { validateArgs: true }

export interface SampleOptions {
  /** The generator of the samples; by default the one that `manualSeed` seeds. */
  readonly generator?: Generator | undefined
}

const sampleNames: OptionNames<SampleOptions> = { generator: true }

/** Reads `validateArgs`, and checks the option. */
export function validates(op: string, { validateArgs = true }: DistributionOptions): boolean {
  checkFlag(op, 'validateArgs', validateArgs)
  return validateArgs
}

/** The dtype and the device of results. */
interface Placed {
  readonly dtype: DType
  readonly device: Device
}

/**
 * A distribution over tensors. `batchShape` is the shape of independent distributions with parameters of their own,
 * and `eventShape` that of one draw of each. Results have the dtype and device of the parameters.
 */
export abstract class Distribution {
  /** The shape of the distributions that stand side by side. */
  readonly batchShape: Shape
  /** The shape of one draw from one of them; [] for single numbers. */
  readonly eventShape: Shape
  /** Whether gradients pass through samples to the parameters, by `rsample`. */
  abstract readonly hasRsample: boolean
  /** A parameter, which has the dtype and the device of results. */
  protected abstract readonly example: Placed
  /** The rule for the elements of values; null if another check is made. */
  protected abstract readonly support: Constraint | null
  readonly #name: string
  #validates: boolean

  constructor(name: string, batchShape: Shape, eventShape: Shape, validates: boolean) {
    this.#name = name
    this.batchShape = Object.freeze([...batchShape])
    this.eventShape = Object.freeze([...eventShape])
    this.#validates = validates
  }

  /** The dtype of results; indices are int32. */
  get dtype(): DType {
    return this.example.dtype
  }

  /** The device of the parameters and of all results. */
  get device(): Device {
    return this.example.device
  }

  /** The mean, of batchShape and eventShape. NaN where there is none. */
  abstract get mean(): Tensor
  /** The value of the highest density or probability, of batchShape and eventShape. */
  abstract get mode(): Tensor
  /** The variance, of batchShape and eventShape. */
  abstract get variance(): Tensor

  /** The square root of the variance. */
  get stddev(): Tensor {
    return sqrt(this.variance)
  }

  protected abstract draw(shape: Shape, generator: Generator | undefined): Tensor
  protected abstract logProbOf(value: Tensor): Tensor
  protected abstract entropyOf(): Tensor
  protected abstract expandedTo(batchShape: Shape): Distribution

  protected cdfOf(_value: Tensor): Tensor {
    throw this.#without('cdf')
  }

  protected icdfOf(_value: Tensor): Tensor {
    throw this.#without('icdf')
  }

  #without(method: string): ValueError {
    return new ValueError(`${this.#name}.${method}`, `there is no ${method} of ${this.#name} in the library`)
  }

  /** The claims that `logProb` and `cdf` make of a value, whose shape fits. */
  protected claimsOf(value: Tensor): readonly Claim[] {
    return this.support === null ? [] : [claim('value', value, this.support)]
  }

  /**
   * Draws a tensor of `shape`, then batchShape, then eventShape, without a gradient. The same seed gives the same
   * samples.
   */
  sample(shape: Shape = [], options: SampleOptions = {}): Tensor {
    return noGrad(() => this.#sample('sample', shape, options))
  }

  /**
   * Like `sample`, but gradients pass through the samples to the parameters (the reparametrisation of Kingma and
   * Welling, 2014). Throws ValueError unless `hasRsample`.
   */
  rsample(shape: Shape = [], options: SampleOptions = {}): Tensor {
    const op = `${this.#name}.rsample`
    if (!this.hasRsample)
      throw new ValueError(op, 'no gradient passes through the samples; use sample(), and the gradient of logProb')
    return this.#sample('rsample', shape, options)
  }

  #sample(method: string, shape: Shape, options: SampleOptions): Tensor {
    const op = `${this.#name}.${method}`
    const { generator } = checkOptions(op, options, sampleNames)
    checkGenerator(op, generator)
    const sizes = checkShape(op, [...checkShape(op, shape), ...this.batchShape, ...this.eventShape])
    return namedAs(op, () => this.draw(sizes, generator))
  }

  /**
   * The logarithm of the density, or of the probability, at a value that broadcasts with batchShape and eventShape. The
   * result has no event dimensions. Throws ValueError for values outside the support, unless validateArgs is false.
   */
  logProb(value: Tensor | number): Tensor {
    const x = this.#checked('logProb', value, true)
    return namedAs(`${this.#name}.logProb`, () => this.logProbOf(x))
  }

  /** The probability of a draw of at most `value`. Throws ValueError if the distribution has no cdf here. */
  cdf(value: Tensor | number): Tensor {
    const x = this.#checked('cdf', value, true)
    return namedAs(`${this.#name}.cdf`, () => this.cdfOf(x))
  }

  /**
   * The inverse of `cdf`: the value below which a draw falls with this probability. NaN outside 0 to 1. Throws
   * ValueError if the distribution has no icdf here.
   */
  icdf(value: Tensor | number): Tensor {
    const x = this.#checked('icdf', value, false)
    return namedAs(`${this.#name}.icdf`, () => this.icdfOf(x))
  }

  /** The entropy in nats, of batchShape. */
  entropy(): Tensor {
    return namedAs(`${this.#name}.entropy`, () => this.entropyOf())
  }

  /** The same distribution with parameters expanded to another batchShape. Throws ShapeError if they do not expand. */
  expand(batchShape: Shape): this {
    const op = `${this.#name}.expand`
    const sizes = checkShape(op, batchShape)
    const out = namedAs(op, () => this.expandedTo(sizes))
    out.#validates = this.#validates
    return out as this
  }

  /** The value as a tensor of floats on the right device, whose shape fits. */
  #checked(method: string, value: Tensor | number, inSupport: boolean): Tensor {
    const op = `${this.#name}.${method}`
    const x = this.#tensorOf(op, value)
    const lead = x.ndim - this.eventShape.length
    const event = x.sizes.slice(Math.max(lead, 0))
    if (lead < 0 || !sameShape(event, this.eventShape))
      throw new ShapeError(
        op,
        `value is ${formatShape(x.sizes)}, but must end with the event's shape ${formatShape(this.eventShape)}`,
        [x.sizes, this.eventShape],
      )
    broadcastShapes(op, x.sizes.slice(0, lead), this.batchShape)
    if (inSupport && this.#validates) namedAs(op, () => checkClaims(op, x.device, () => this.claimsOf(x)))
    return x
  }

  #tensorOf(op: string, value: Tensor | number): Tensor {
    const { dtype, device } = this.example
    if (typeof value === 'number') return full([], checkScalar(op, 'value', value), { dtype, device })
    if (!(value instanceof Tensor))
      throw new ValueError(op, `value is ${kindOf(value)}, but must be a tensor or a number`)
    checkTensor(op, 'value', value)
    checkDevice(op, 'value', value, this.example)
    return namedAs(op, () => (isFloating(value.dtype) ? value : castTo(value, dtype)))
  }
}

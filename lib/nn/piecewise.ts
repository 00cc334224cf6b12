/** Activations made of straight lines, and variants of ELU, softplus and tanh. */
import type { DType } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import * as elementwise from '../ops/elementwise/index.js'
import { byNumbers, checkNumber } from './layer.js'
import { settings } from './module.js'
import { Pointwise } from './pointwise.js'

/** ELU with scales that keep mean 0 and variance 1 (Klambauer et al., 2017). */
export class SELU extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.selu(x)
  }
}

/** x / (1 + |x|) */
export class Softsign extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.softsign(x)
  }
}

/** log(sigmoid(x)) */
export class LogSigmoid extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.logSigmoid(x)
  }
}

/** x - tanh(x) */
export class Tanhshrink extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.tanhshrink(x)
  }
}

/** x clamped to [0, 6] */
export class ReLU6 extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.relu6(x)
  }
}

/** (x + 3) / 6, clamped to [0, 1] */
export class Hardsigmoid extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.hardsigmoid(x)
  }
}

/**
 * x if it is positive, else alpha (exp(x / alpha) - 1). The default alpha is 1; `new CELU(0.5)` sets it too, as in
 * PyTorch. Throws ValueError if alpha is 0.
 */
export class CELU extends Pointwise {
  readonly #options: { alpha?: number }
  constructor(options: { alpha?: number } | number = {}) {
    super()
    this.#options = ownOptions('CELU', byNumbers('CELU', ['alpha'], options), { alpha: true })
    const { alpha = 1 } = this.#options
    if (checkNumber('CELU', 'alpha', alpha) === 0) throw new ValueError('CELU', 'alpha is 0, but x is divided by it')
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.celu(x, this.#options)
  }
}

/** x moved towards 0 by `lambd`, and 0 if |x| is at most that. Throws ValueError if it is negative. */
export class Softshrink extends Pointwise {
  /** The threshold: x in [-lambd, lambd] gives 0. */
  readonly lambd: number
  constructor(lambd = 0.5) {
    super()
    this.lambd = checkNumber('Softshrink', 'lambd', lambd, 0)
  }
  override extraRepr(): string {
    return settings({ lambd: this.lambd })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.softshrink(x, { lambd: this.lambd })
  }
}

/** x, but 0 if |x| is at most `lambd`. */
export class Hardshrink extends Pointwise {
  /** The threshold: x in [-lambd, lambd] gives 0. */
  readonly lambd: number
  constructor(lambd = 0.5) {
    super()
    this.lambd = checkNumber('Hardshrink', 'lambd', lambd)
  }
  override extraRepr(): string {
    return settings({ lambd: this.lambd })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.hardshrink(x, { lambd: this.lambd })
  }
}

/**
 * x clamped to [minVal, maxVal], by default [-1, 1]. Both may be given as numbers, as in PyTorch. Throws ValueError unless
 * minVal is below maxVal.
 */
export class Hardtanh extends Pointwise {
  readonly #options: elementwise.HardtanhOptions
  constructor(options: elementwise.HardtanhOptions | number = {}, maxVal?: number) {
    super()
    const given = byNumbers('Hardtanh', ['minVal', 'maxVal'], options, maxVal)
    this.#options = ownOptions('Hardtanh', given, { minVal: true, maxVal: true })
    const { minVal: low = -1, maxVal: high = 1 } = this.#options
    if (checkNumber('Hardtanh', 'minVal', low) >= checkNumber('Hardtanh', 'maxVal', high))
      throw new ValueError('Hardtanh', `minVal is ${low}, but must be below maxVal, ${high}`)
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.hardtanh(x, this.#options)
  }
}

/** x where it exceeds the threshold, else a value. */
export class Threshold extends Pointwise {
  readonly threshold: number
  readonly value: number
  constructor(threshold: number, value: number) {
    super()
    this.threshold = checkNumber('Threshold', 'threshold', threshold)
    this.value = checkNumber('Threshold', 'value', value)
  }
  override extraRepr(): string {
    return settings({ threshold: this.threshold, value: this.value })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.threshold(x, this.threshold, this.value)
  }
}

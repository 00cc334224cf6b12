/**
 * The workloads' tensors, which are the same in every program: a hash of the tensor's number and the element's place
 * (see peers/torch_bench.py).
 */
import { type Device, fromTypedArray, type nn, noGrad, type Tensor } from 'firesteel'

const golden = 0x9e3779b9

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

export class Maker {
  readonly device: Device
  #made = 0

  constructor(device: Device) {
    this.device = device
  }

  /** The next tensor's bits, 24 for each element. `each` turns them into an element of `out`. */
  #fill<A extends Float32Array | Int32Array>(out: A, each: (bits: number) => number): A {
    const start = Math.imul(++this.#made, golden)
    for (let i = 0; i < out.length; i++) {
      let h = (start + i) | 0
      h ^= h >>> 16
      h = Math.imul(h, 0x85ebca6b)
      h ^= h >>> 13
      h = Math.imul(h, 0xc2b2ae35)
      h ^= h >>> 16
      out[i] = each(h >>> 8)
    }
    return out
  }

  #uniform(count: number, scale: number): Float32Array {
    return this.#fill(new Float32Array(count), (bits) => (bits / 2 ** 23 - 1) * scale)
  }

  /** Uniform in [-scale, scale). */
  floats(shape: readonly number[], scale = 1, requiresGrad = false): Tensor {
    return fromTypedArray(this.#uniform(countOf(shape), scale), shape, { device: this.device, requiresGrad })
  }

  /** Integers below `high`. */
  ints(high: number, shape: readonly number[]): Tensor {
    const values = this.#fill(new Int32Array(countOf(shape)), (bits) => bits % high)
    return fromTypedArray(values, shape, { device: this.device })
  }

  /** The lengths of `count` sequences of at most `most` elements. Each is more than half of that. */
  lengths(most: number, count: number): Tensor {
    const values = this.#fill(new Int32Array(count), (bits) => most - (bits % (most >> 1)))
    return fromTypedArray(values, [count], { device: this.device })
  }

  /** Overwrites a parameter. */
  set(parameter: Tensor, values: Float32Array): void {
    noGrad(() => parameter.copy_(fromTypedArray(values, parameter.shape, { device: this.device })))
  }

  /**
   * Sets every parameter in order: matrices by their fan-in, vectors to small numbers, and vectors that are weights to
   * numbers near 1.
   */
  parameters<M extends nn.Module>(module: M): M {
    for (const [name, parameter] of module.namedParameters()) {
      const { shape, numel } = parameter
      if (shape.length > 1) this.set(parameter, this.#uniform(numel, 1 / Math.sqrt(countOf(shape.slice(1)))))
      else {
        const values = this.#uniform(numel, 0.1)
        if (name.endsWith('weight')) for (let i = 0; i < numel; i++) values[i] = (values[i] as number) + 1
        this.set(parameter, values)
      }
    }
    return module
  }

  /** Sets a parameter to its next values, in [-scale, scale). */
  uniform(parameter: Tensor, scale: number): void {
    this.set(parameter, this.#uniform(parameter.numel, scale))
  }
}

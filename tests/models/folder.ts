/** A folder with a model and reference numbers, and the comparison of results with these. */
import type { Tensor } from '../../lib/core/tensor.js'
import type { FileTensor } from '../../lib/io/source.js'
import { fromTypedArray } from '../../lib/ops/creation.js'

export interface Folder {
  readonly path: string
  readonly json: {
    readonly class: string
    readonly loss: number | null
    readonly loss_value?: number
    readonly generation?: { readonly prompt_columns: number } & { readonly [name: string]: Run | number }
  }
  readonly tensors: ReadonlyMap<string, FileTensor>
  readonly sampling: ReadonlyMap<string, FileTensor> | null
}

/** A continuation that transformers wrote, with its settings. */
export interface Run {
  readonly ids: readonly (readonly number[])[]
  readonly max_new_tokens: number
  readonly sequences_scores?: readonly number[]
  readonly [setting: string]: unknown
}

export interface Result {
  readonly passed: number
  readonly faults: readonly string[]
  readonly summary: string
}

export type Check = (folder: Folder) => Promise<Result>

export function notImplemented(what: string): Error {
  return Object.assign(new Error(what), { code: 'NOT_IMPLEMENTED' })
}

/** A tensor of the reference on the default device. */
export function given({ tensors, path }: Folder, name: string): Tensor {
  const found = tensors.get(name)
  if (found === undefined) throw new Error(`${path} has no tensor ${name}`)
  return fromTypedArray(found.data as Float32Array | Int32Array, found.shape)
}

/** Counts comparisons, and keeps the largest errors. */
export class Tally {
  passed = 0
  readonly faults: string[] = []
  readonly #worst = new Map<string, number>()

  /** Counts whether a fact holds. */
  is(what: string, holds: boolean, instead = ''): void {
    if (holds) this.passed++
    else this.faults.push(`${what}${instead === '' ? '' : `: ${instead}`}`)
  }

  /**
   * Counts whether the largest difference, relative to the largest expected value, is at most `bound`. Only elements
   * with `compared` are compared.
   */
  close(
    kind: string,
    what: string,
    got: ArrayLike<number>,
    expected: ArrayLike<number>,
    bound: number,
    compared: (i: number) => boolean = () => true,
  ): void {
    let [scale, worst] = [1e-12, 0]
    for (let i = 0; i < expected.length; i++) {
      if (!compared(i)) continue
      const e = expected[i] as number
      if (Number.isFinite(e)) scale = Math.max(scale, Math.abs(e))
      const difference = Object.is(got[i], e) ? 0 : Math.abs((got[i] as number) - e)
      worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference)
    }
    const error = got.length === expected.length ? worst / scale : Number.POSITIVE_INFINITY
    this.#worst.set(kind, Math.max(this.#worst.get(kind) ?? 0, error))
    this.is(`${what} is off by ${error.toExponential(2)}, more than ${bound}`, error <= bound)
  }

  result(): Result {
    const worst = [...this.#worst].map(([kind, error]) => `${kind} ${error.toExponential(1)}`)
    return { passed: this.passed, faults: this.faults, summary: [`${this.passed} passed`, ...worst].join(', ') }
  }
}

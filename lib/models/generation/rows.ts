/** Texts side by side that grow by one token at a time. */
import { setImmediate } from 'node:timers/promises'
import { noGrad } from '../../autograd/mode.js'
import { scope } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'

/** Rows of texts, with any source of their next tokens' scores. */
export abstract class Rows {
  /** The number of rows that each text becomes once its beginning has been read. */
  readonly #copies: number

  constructor(copies: number) {
    this.#copies = copies
  }

  /** The tokens with which each text begins. All have the same length. */
  protected abstract first(): readonly (readonly number[])[]
  /** The scores [rows, vocabulary], float32, of the token after these tokens, which follow those of earlier calls. */
  protected abstract scores(rows: readonly (readonly number[])[]): Tensor
  /** Row i takes the place of the former row `rows[i]`. */
  abstract reorder(rows: readonly number[]): void
  abstract dispose(): void

  /**
   * The scores of the token after each beginning, a list for each row. Each beginning is read once, however many rows
   * it becomes.
   */
  async start(): Promise<Float32Array[]> {
    const scores = await this.#run(this.first())
    if (this.#copies === 1) return scores
    const rows = scores.flatMap((_, row) => new Array<number>(this.#copies).fill(row))
    this.reorder(rows)
    return rows.map((row) => scores[row] as Float32Array)
  }

  /** The scores of the token after these, a list for each row. */
  next(tokens: readonly number[]): Promise<Float32Array[]> {
    return this.#run(tokens.map((token) => [token]))
  }

  async #run(rows: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const scores = scope(() => noGrad(() => this.scores(rows)))
    try {
      const [count, size] = scores.sizes as readonly [number, number]
      const values = (await scores.data()) as Float32Array
      // A fast device answers in the same turn of the event loop, and timers and requests would otherwise wait for the
      // whole text.
      await setImmediate()
      return Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size))
    } finally {
      scores.dispose()
    }
  }
}

/** Texts beside each other that grow by a token at a time. */
import { setImmediate } from 'node:timers/promises'
import { noGrad } from '../../autograd/mode.js'
import { scope } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'

/** Rows of texts, whoever scores their next tokens. */
export abstract class Rows {
  /** Rows that each text becomes once its beginning was read. */
  readonly #copies: number

  constructor(copies: number) {
    this.#copies = copies
  }

  /** The tokens that each text begins with, all of one length. */
  protected abstract first(): readonly (readonly number[])[]
  /** The scores [rows, vocabulary], float32, of the token after these, which stand behind those of earlier calls. */
  protected abstract scores(rows: readonly (readonly number[])[]): Tensor
  /** Row i becomes what row `rows[i]` was. */
  abstract reorder(rows: readonly number[]): void
  abstract dispose(): void

  /** The scores of the token after each beginning, a list for each row. A beginning is read once, however many rows it becomes. */
  async start(): Promise<Float32Array[]> {
    const scores = await this.#run(this.first())
    if (this.#copies === 1) return scores
    const rows = scores.flatMap((_, row) => new Array<number>(this.#copies).fill(row))
    this.reorder(rows)
    return rows.map((row) => scores[row] as Float32Array)
  }

  /** The scores of the token after these, one for each row. */
  next(tokens: readonly number[]): Promise<Float32Array[]> {
    return this.#run(tokens.map((token) => [token]))
  }

  async #run(rows: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const scores = scope(() => noGrad(() => this.scores(rows)))
    try {
      const [count, size] = scores.sizes as readonly [number, number]
      const values = (await scores.data()) as Float32Array
      // A device that is quick answers in the same turn of the event loop, and timers and requests would wait for the whole text.
      await setImmediate()
      return Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size))
    } finally {
      scores.dispose()
    }
  }
}

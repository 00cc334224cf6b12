/** The result of a comparison of devices: as rows, as text, and as a page. */
import { shown, ValueError } from '../core/errors.js'
import { nodeModule, printed } from '../core/host.js'
import { writeAtomically } from '../io/atomic.js'
import { checkPath } from '../io/refusal.js'
import { bar, tableLines } from './text.js'

/** A device that did the work. */
export interface MeasuredRow {
  readonly device: string
  readonly missing: null
  /** The processor or GPU that runs the kernels. */
  readonly description: string
  /** The median time of a step, over samples that took turns with the other devices. */
  readonly milliseconds: number
  /** The time of the first device that did the work, divided by this one's. */
  readonly speedUp: number
  /** The number of timed steps. */
  readonly steps: number
  /** The most bytes of tensors that were alive at once. */
  readonly peakBytes: number
  readonly losses: readonly number[]
  /** The largest difference from the losses of the first device, or null if none were compared. */
  readonly difference: number | null
}

/** A device that did not do the work, with the reason on one line. */
export interface MissingRow {
  readonly device: string
  readonly missing: string
}

export type DeviceRow = MeasuredRow | MissingRow

const megabytes = (bytes: number): string => `${(bytes / 1e6).toPrecision(3)} MB`
const milliseconds = (value: number): string => value.toPrecision(3)
const difference = (value: number | null): string => (value === null ? '-' : value === 0 ? '0' : value.toExponential(1))

const heads = ['device', 'ms a step', 'speed-up', 'steps', 'peak', 'difference of losses'] as const

/** The result of a comparison of devices: a row for each. `toString()` is a table, and `toJSON()` plain data. */
export class Comparison {
  readonly rows: readonly DeviceRow[]

  constructor(rows: readonly DeviceRow[]) {
    this.rows = rows
  }

  #measured(): readonly MeasuredRow[] {
    return this.rows.filter((row): row is MeasuredRow => row.missing === null)
  }

  #cells(): readonly (readonly string[])[] {
    return this.#measured().map((row) => [
      row.device,
      milliseconds(row.milliseconds),
      `${row.speedUp.toPrecision(3)}x`,
      String(row.steps),
      megabytes(row.peakBytes),
      difference(row.difference),
    ])
  }

  /**
   * A table with a bar for each device, whose length is the logarithm of its speed; then a line for each missing
   * device.
   */
  toString(): string {
    const measured = this.#measured()
    const [head, ...lines] = tableLines([heads, ...this.#cells()])
    const slowest = Math.max(...measured.map((row) => row.milliseconds))
    const fastest = Math.min(...measured.map((row) => row.milliseconds))
    const drawn = lines.map(
      (line, i) => `${line}  ${bar(slowest / (measured[i] as MeasuredRow).milliseconds, slowest / fastest)}`,
    )
    const missing = this.rows.flatMap((row) =>
      row.missing === null ? [] : [`${row.device}: not there (${row.missing})`],
    )
    return [...(measured.length === 0 ? [] : [head as string, ...drawn]), ...missing].join('\n')
  }

  [printed](): string {
    return this.toString()
  }

  toJSON(): { readonly rows: readonly DeviceRow[] } {
    return { rows: this.rows }
  }

  /** Writes a page (.html) or the rows (.json), whole or not at all. Throws ValueError for another ending. */
  async save(path: string): Promise<void> {
    const op = 'Comparison.save'
    checkPath(op, 'write', path)
    const ending = /\.(html|json)$/.exec(path)?.[1]
    if (ending === undefined) throw new ValueError(op, `path is ${shown(path)}, but must end in .html or .json`)
    const text = ending === 'json' ? `${JSON.stringify(this, null, 2)}\n` : await this.#page()
    await writeAtomically(path, [nodeModule('node:buffer').Buffer.from(text)], op)
  }

  async #page(): Promise<string> {
    const { escaped, page, tableOf } = await import('../train/page.js')
    return page('Devices, side by side', [
      tableOf(heads, this.#cells()),
      ...this.rows.map((row) =>
        row.missing === null
          ? `<p>${escaped(row.device)}: ${escaped(row.description)}.</p>`
          : `<p>${escaped(row.device)} is not there: ${escaped(row.missing)}</p>`,
      ),
      '<p class="note">Medians of samples in turns. Speed-ups and differences are from the first device.</p>',
    ])
  }
}

/** Auto-encoders over tables of numbers: columns are standardised, and a code of each row is learned. */
import { kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { writeTogether } from '../io/atomic.js'
import { makeFolder } from '../io/folders.js'
import { readJson } from '../io/json.js'
import { checkPath } from '../io/refusal.js'
import { join } from '../io/system.js'
import { tensorFile } from '../io/tensors.js'
import { ReLU } from '../nn/activation.js'
import { Sequential } from '../nn/containers.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { readState } from '../nn/state.js'
import { fromTypedArray } from '../ops/creation.js'
import type { ModelCardOptions } from '../train/report/card.js'

/** A column of a table, with the mean and the standard deviation by which its numbers are standardised. */
export interface TableColumn {
  readonly name: string
  readonly mean: number
  readonly deviation: number
}

export interface TableAutoEncoderOptions {
  /** Sizes of the encoder's layers, the last of which is the code: [64, 16]. The decoder has them in reverse order. */
  readonly hiddenSizes: readonly number[]
  /** The treatment of empty fields: refused (default), or taken as the mean of their column. */
  readonly missing?: 'refuse' | 'mean'
}

/** A row of a table, by the names of its columns. */
export type TableRow = { readonly [column: string]: unknown }

const numeral = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/** Whether a field holds nothing: null, NaN, or an empty text, as readers give it. */
export const isEmptyField = (value: unknown): boolean =>
  value === null || value === undefined || Number.isNaN(value) || (typeof value === 'string' && value.trim() === '')

/** The number in a field, which may be written as a text, or null if it holds none that is finite. */
export function numberOf(value: unknown): number | null {
  const isNumber = typeof value === 'number' || typeof value === 'bigint'
  const number = isNumber || (typeof value === 'string' && numeral.test(value.trim())) ? Number(value) : Number.NaN
  return Number.isFinite(number) ? number : null
}

const stack = (sizes: readonly number[]): (Linear | ReLU)[] =>
  sizes.slice(1).flatMap((size, i) => {
    const layer = new Linear(sizes[i] as number, size)
    return i === 0 ? [layer] : [new ReLU(), layer]
  })

/**
 * An auto-encoder of a table's rows, for the objective `denoising()`: linear layers with ReLU between them down to a
 * code, and back. It maps standardised rows [B, columns] to rows of the same shape; `embed` gives their codes [B, code].
 * It holds the statistics of its columns, so `standardise` prepares rows as they come from a reader. `firesteel pretrain`
 * trains one from a config with `table`. Throws ValueError for wrong columns or sizes.
 */
export class TableAutoEncoder extends Module {
  readonly columns: readonly TableColumn[]
  readonly hiddenSizes: readonly number[]
  readonly missing: 'refuse' | 'mean'
  readonly encoder: Sequential
  readonly decoder: Sequential

  constructor(columns: readonly TableColumn[], options: TableAutoEncoderOptions) {
    super()
    const op = 'TableAutoEncoder'
    const { hiddenSizes, missing = 'refuse' } = checkOptions(op, options, { hiddenSizes: true, missing: true })
    this.columns = checkColumns(op, columns)
    if (!Array.isArray(hiddenSizes) || hiddenSizes.length === 0 || !Array.from(hiddenSizes).every(isCount))
      throw new ValueError(op, `hiddenSizes are ${shown(hiddenSizes)}, but must be positive integers, such as [64, 16]`)
    if (missing !== 'refuse' && missing !== 'mean')
      throw new ValueError(op, `missing is ${shown(missing)}, but must be 'refuse' or 'mean'`)
    this.hiddenSizes = [...hiddenSizes]
    this.missing = missing
    const sizes = [this.columns.length, ...this.hiddenSizes]
    this.encoder = new Sequential(...stack(sizes))
    this.decoder = new Sequential(new ReLU(), ...stack(sizes.reverse()))
  }

  forward(x: Tensor): Tensor {
    return this.decoder.forward(this.embed(x)) as Tensor
  }

  /** The codes of standardised rows: [B, columns] -> [B, code]. Throws ShapeError for rows of another width. */
  embed(x: Tensor): Tensor {
    if (x.ndim !== 2 || x.sizes[1] !== this.columns.length)
      throw new ShapeError(
        'TableAutoEncoder',
        `the rows are [${x.sizes.join(', ')}], but must be [rows, ${this.columns.length}], as standardise() gives them`,
        [x.sizes],
      )
    return this.encoder.forward(x) as Tensor
  }

  /**
   * Rows as readers give them, standardised: [rows, columns]. Columns that the model does not know are left out. Throws
   * ValueError, with row and column, for a field that is missing or not a finite number.
   */
  standardise(rows: readonly TableRow[]): Tensor {
    const op = 'TableAutoEncoder.standardise'
    if (!Array.isArray(rows)) throw new ValueError(op, `the rows are ${kindOf(rows)}, but must be a list of records`)
    const { columns } = this
    const values = new Float32Array(rows.length * columns.length)
    Array.from(rows as readonly TableRow[]).forEach((row, i) => {
      columns.forEach(({ name, mean, deviation }, j) => {
        const field = row?.[name]
        if (this.missing === 'mean' && isEmptyField(field)) return
        const standardised = ((numberOf(field) ?? Number.NaN) - mean) / deviation
        if (!Number.isFinite(Math.fround(standardised)))
          throw new ValueError(
            op,
            `row ${i}: ${shown(name)} is ${shown(field)}, but must be a number that float32 can hold${this.missing === 'refuse' ? "; a model with missing: 'mean' takes empty fields" : ''}`,
          )
        values[i * columns.length + j] = standardised
      })
    })
    return fromTypedArray(values, [rows.length, columns.length])
  }

  /**
   * Writes the model into a folder: model.safetensors, config.json and, with `card`, a README.md; all of them or none.
   * Throws ValueError if the folder cannot be written.
   */
  override async save(folder: string, options: { readonly card?: ModelCardOptions } = {}): Promise<void> {
    const op = 'TableAutoEncoder.save'
    const { card } = checkOptions(op, options, { card: true })
    checkPath(op, 'write', folder)
    const { columns, hiddenSizes, missing } = this
    const config = { model_type: modelType, columns, hiddenSizes, missing }
    // The weights are those of this moment, so that nothing is awaited before.
    const weights = tensorFile(join(folder, 'model.safetensors'), readState(op, this), { format: 'pt' }, op)
    const cards = card === undefined ? [] : [(await import('../train/report/card-file.js')).cardFile(op, folder, card)]
    await makeFolder(op, folder)
    const text = {
      path: join(folder, 'config.json'),
      chunks: [new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)],
    }
    await writeTogether([weights, text, ...cards], op)
  }
}

const modelType = 'firesteel-table'

/**
 * The auto-encoder that `save` wrote into a folder. Throws ValueError for a folder of another kind, and StateDictError
 * for weights of other sizes.
 */
export async function loadTableAutoEncoder(folder: string): Promise<TableAutoEncoder> {
  const op = 'loadTableAutoEncoder'
  checkPath(op, 'read', folder)
  const path = join(folder, 'config.json')
  const json = (await readJson(op, path)) as { readonly [name: string]: unknown } | null
  if (json?.['model_type'] !== modelType)
    throw new ValueError(
      op,
      `${path} is not that of a table's auto-encoder: model_type is ${shown(json?.['model_type'])}`,
    )
  const { columns, hiddenSizes, missing } = json
  let model: TableAutoEncoder
  try {
    model = new TableAutoEncoder(columns as never, { hiddenSizes, missing } as never)
  } catch (error) {
    if (!(error instanceof ValueError)) throw error
    throw new ValueError(op, `${path}: ${error.message.replace(`[${error.op}] `, '')}`)
  }
  await model.load(join(folder, 'model.safetensors'))
  return model
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0

function checkColumns(op: string, columns: unknown): readonly TableColumn[] {
  if (!Array.isArray(columns) || columns.length === 0)
    throw new ValueError(op, `the columns are ${shown(columns)}, but must be a list of { name, mean, deviation }`)
  const names = new Set<string>()
  // A list with holes would skip them.
  return Array.from(columns as readonly (Partial<TableColumn> | null)[], (column, i) => {
    const { name, mean, deviation } = column ?? {}
    if (typeof name !== 'string' || names.has(name))
      throw new ValueError(op, `the name of column ${i} is ${shown(name)}, but must be a text that no other column has`)
    if (!Number.isFinite(mean) || !Number.isFinite(deviation) || (deviation as number) <= 0)
      throw new ValueError(
        op,
        `column ${shown(name)} has mean ${shown(mean)} and deviation ${shown(deviation)}, but must have a finite mean and a positive deviation`,
      )
    names.add(name)
    return { name, mean: mean as number, deviation: deviation as number }
  })
}

/** A model that generates: it reads prompts side by side, and then one token for each row, through a cache. */
import type { Device } from '../../core/device.js'
import { formatShape, kindOf, shown, ValueError } from '../../core/errors.js'
import { Tensor } from '../../core/tensor.js'
import { captureModes, type Module } from '../../nn/module.js'
import type { Prompts } from '../../nn/prompt.js'
import { castTo } from '../../ops/convert.js'
import { fromTypedArray } from '../../ops/creation.js'
import { select } from '../../ops/shape/index.js'
import { KvCache } from '../cache.js'
import type { CausalInputs } from '../columns.js'
import { Rows } from './rows.js'

/** The part of a model that every decoder needs. */
export interface Scorer extends Module {
  logits(hidden: Tensor): Tensor
  inputEmbedding(): { readonly weight: Tensor }
  readonly endTokens: readonly number[]
}

/** A model that continues its own input. */
export interface Decodable extends Scorer {
  hidden(ids: Tensor, inputs?: CausalInputs): Tensor
  /** Infinity if positions have no limit. */
  readonly positionLimit: number
  /** Learned prompts, whose columns come before the text. */
  readonly adapters: Prompts
}

/** Prompts as lists, from one text or several. Throws ValueError for other values. */
export function promptsOf(op: string, prompts: unknown, vocabSize: number): readonly (readonly number[])[] {
  const lists: unknown = prompts instanceof Tensor ? rowsOf(op, prompts) : prompts
  if (!Array.isArray(lists) || lists.length === 0)
    throw new ValueError(
      op,
      `the prompt is ${Array.isArray(lists) ? 'empty' : kindOf(prompts)}, but must be token ids: a list, lists, or an int32 tensor`,
    )
  const several = lists.every((each) => Array.isArray(each)) ? (lists as unknown[][]) : [lists as unknown[]]
  for (const tokens of several) {
    if (tokens.length === 0)
      throw new ValueError(op, 'a prompt is empty, but must have a token; begin with the token that begins texts')
    const wrong = tokens.find((id) => !(Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabSize))
    if (wrong !== undefined)
      throw new ValueError(op, `a prompt has ${shown(wrong)}, but token ids are integers from 0 to ${vocabSize - 1}`)
  }
  return several as number[][]
}

function rowsOf(op: string, ids: Tensor): number[][] {
  if (ids.dtype !== 'int32' || ids.ndim < 1 || ids.ndim > 2)
    throw new ValueError(op, `the prompt is ${ids.dtype} ${formatShape(ids.sizes)}, but must be int32 [T] or [B, T]`)
  const columns = ids.sizes.at(-1) as number
  const flat = Array.from(ids.dataSync() as ArrayLike<number>)
  return Array.from({ length: flat.length / Math.max(1, columns) }, (_, i) =>
    flat.slice(i * columns, (i + 1) * columns),
  )
}

/**
 * Throws ValueError if the model has too few positions for the whole text, because otherwise the call would fail at its
 * end and lose the text.
 */
export function checkRoom(
  op: string,
  { positionLimit, adapters }: Decodable,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): void {
  const longest = Math.max(...prompts.map(({ length }) => length))
  // The last token is generated, but not read.
  const before = adapters.prompt?.tokens ?? 0
  if (before + longest + maxNewTokens - 1 > positionLimit)
    throw new ValueError(
      op,
      `a prompt has ${before + longest} tokens, and maxNewTokens is ${maxNewTokens}, but the model has ${positionLimit} positions; ` +
        'give a shorter prompt or a smaller maxNewTokens',
    )
}

/** The rows of a batch in the model's form: shorter prompts are padded on the left. */
export abstract class Decoder<M extends Scorer = Scorer> extends Rows {
  protected readonly model: M
  readonly #cache: KvCache
  readonly #device: Device
  /** The number of padding columns before each row. */
  #padding: readonly number[]
  readonly #prompts: readonly (readonly number[])[]

  constructor(model: M, prompts: readonly (readonly number[])[], maxNewTokens: number, copies = 1) {
    super(copies)
    const longest = Math.max(...prompts.map(({ length }) => length))
    this.model = model
    this.#prompts = prompts
    this.#padding = prompts.map(({ length }) => longest - length)
    this.#cache = new KvCache(longest + maxNewTokens)
    this.#device = model.inputEmbedding().weight.device
  }

  /** The states from which the model's head computes scores: ids [B, T] -> [B, T, width]. */
  protected abstract hidden(ids: Tensor, inputs: CausalInputs): Tensor

  /** The number of columns that the model has read. */
  get columns(): number {
    return this.#cache.length
  }

  protected override first(): readonly (readonly number[])[] {
    return this.#prompts.map((tokens, i) => [...new Array<number>(this.#padding[i] as number).fill(0), ...tokens])
  }

  override reorder(rows: readonly number[]): void {
    this.#cache.reorder(rows)
    this.#padding = rows.map((row) => this.#padding[row] as number)
  }

  override dispose(): void {
    this.#cache.dispose()
  }

  protected override scores(rows: readonly (readonly number[])[]): Tensor {
    const { model } = this
    const [count, columns] = [rows.length, (rows[0] as readonly number[]).length]
    const ints = (width: number, at: (row: number, column: number) => number) =>
      fromTypedArray(
        Int32Array.from({ length: count * width }, (_, i) => at(Math.floor(i / width), i % width)),
        [count, width],
        { device: this.#device },
      )
    const before = this.#cache.length
    const ids = ints(columns, (row, column) => (rows[row] as readonly number[])[column] as number)
    const pads = (row: number) => this.#padding[row] as number
    const padded = this.#padding.some((each) => each > 0)
    const inputs: CausalInputs = padded
      ? {
          cache: this.#cache,
          attentionMask: ints(before + columns, (row, column) => (column >= pads(row) ? 1 : 0)),
          positions: ints(columns, (row, column) => Math.max(0, before + column - pads(row))),
        }
      : { cache: this.#cache }
    const restore = model.training ? captureModes(model) : null
    if (restore !== null) model.eval()
    try {
      const hidden = this.hidden(ids, inputs)
      const logits = model.logits(select(hidden, 1, -1))
      return castTo(logits, 'float32')
    } finally {
      restore?.()
    }
  }
}

/** A decoder whose model reads only the prompts. */
export class PromptDecoder extends Decoder<Decodable> {
  protected override hidden(ids: Tensor, inputs: CausalInputs): Tensor {
    return this.model.hidden(ids, inputs)
  }
}

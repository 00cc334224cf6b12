/** Generation with a program's own model of any form, given as a function of the texts so far. */
import { defaultDevice, device as deviceOf } from '../../backend/devices.js'
import type { Device } from '../../core/device.js'
import { formatShape, kindOf, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { ownOptions } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import { castTo } from '../../ops/convert.js'
import { fromTypedArray } from '../../ops/creation.js'
import { promptsOf } from './decoder.js'
import { type Generated, type GenerateOptions, generateNames, write } from './generate.js'
import { Rows } from './rows.js'

/** The texts so far, on the requested device. */
export interface TextsSoFar {
  /** int32 [R, T] */
  readonly ids: Tensor
  /**
   * int32 [R]: the number of the beginning that each row continues, from 0. Each beam of a beginning has its own row.
   */
  readonly from: Tensor
}

export interface GenerateByOptions extends GenerateOptions {
  /** The device of the tensors that the function receives. Default: the default device. */
  readonly device?: string | Device
}

const op = 'generateBy'

/** Ids are not checked against a vocabulary, because its size is not known. */
const mostTokens = 2 ** 31

class FunctionRows extends Rows {
  readonly #next: (texts: TextsSoFar) => Tensor
  readonly #beginnings: readonly (readonly number[])[]
  readonly #device: Device
  #texts: readonly (readonly number[])[]
  #from: readonly number[]

  constructor(
    next: (texts: TextsSoFar) => Tensor,
    beginnings: readonly (readonly number[])[],
    device: Device,
    copies: number,
  ) {
    super(copies)
    this.#next = next
    this.#beginnings = beginnings
    this.#device = device
    this.#texts = beginnings.map(() => [])
    this.#from = beginnings.map((_, i) => i)
  }

  protected override first(): readonly (readonly number[])[] {
    return this.#beginnings
  }

  protected override scores(rows: readonly (readonly number[])[]): Tensor {
    this.#texts = this.#texts.map((text, row) => [...text, ...(rows[row] as readonly number[])])
    const count = this.#texts.length
    const device = this.#device
    const ids = fromTypedArray(Int32Array.from(this.#texts.flat()), [count, (this.#texts[0] as number[]).length], {
      device,
    })
    const scores = this.#next({ ids, from: fromTypedArray(Int32Array.from(this.#from), [count], { device }) })
    if (!(scores instanceof Tensor))
      throw new ValueError(op, `the function gave ${kindOf(scores)}, but must give the scores of the next token`)
    if (scores.ndim !== 2 || scores.sizes[0] !== count || scores.numel === 0)
      throw new ShapeError(
        op,
        `the function gave ${formatShape(scores.sizes)}, but must give only the next token's scores, [${count}, vocabulary]`,
        [scores.sizes],
      )
    return castTo(scores, 'float32')
  }

  override reorder(rows: readonly number[]): void {
    this.#texts = rows.map((row) => this.#texts[row] as readonly number[])
    this.#from = rows.map((row) => this.#from[row] as number)
  }

  override dispose(): void {
    this.#texts = []
  }
}

/**
 * Continues beginnings, as `generate` does for models from folders: by greedy search, sampling or beams. `next` returns
 * the scores [R, vocabulary] of the token after each text so far. It is called once for each new token, under `noGrad`
 * and in a `scope`. Put the model into evaluation mode first. Beginnings are lists of token ids with equal lengths.
 * Give `stopTokens`, because otherwise each text gets `maxNewTokens`. Throws ValueError for other beginnings, and
 * ShapeError for scores of another shape.
 */
export async function generateBy(
  next: (texts: TextsSoFar) => Tensor,
  beginnings: readonly (readonly number[])[],
  options: GenerateByOptions = {},
): Promise<Generated[]> {
  if (typeof next !== 'function') throw new ValueError(op, `next is ${kindOf(next)}, but must be a function`)
  const { device: name = defaultDevice(), ...rest } = ownOptions(op, options, { ...generateNames, device: true })
  const device = namedAs(op, () => deviceOf(name))
  return write(op, rest, { endTokens: [] }, () => {
    const prompts = promptsOf(op, beginnings, mostTokens)
    const length = prompts[0]?.length
    const other = prompts.find((tokens) => tokens.length !== length)
    if (other !== undefined)
      throw new ValueError(op, `beginnings have ${length} and ${other.length} tokens, but must have the same length`)
    return { prompts, open: (copies) => new FunctionRows(next, prompts, device, copies) }
  })
}

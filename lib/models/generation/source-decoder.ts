/**
 * Generation by an encoder-decoder: the encoder reads each source once, and the decoder continues from its start token.
 */
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray } from '../../ops/creation.js'
import type { KvCache } from '../cache.js'
import type { CausalInputs } from '../columns.js'
import type { Source } from '../source.js'
import { Decoder, promptsOf, type Scorer } from './decoder.js'
import { type Generated, type GenerateOptions, write } from './generate.js'
import type { Finish } from './stop.js'
import { type StreamOptions, streamOf } from './stream.js'

/** A model that generates a text for a source. */
export interface SourceDecodable extends Scorer {
  readonly startToken: number
  encode(ids: Tensor, inputs?: { readonly attentionMask?: Tensor | null }): Source
  decode(ids: Tensor, source: Source, inputs?: { readonly cache?: KvCache | null }): Tensor
}

class SourceDecoder extends Decoder<SourceDecodable> {
  readonly #sources: readonly (readonly number[])[]
  #source: Source | null = null

  constructor(model: SourceDecodable, sources: readonly (readonly number[])[], maxNewTokens: number, copies: number) {
    super(
      model,
      sources.map(() => [model.startToken]),
      maxNewTokens,
      copies,
    )
    this.#sources = sources
  }

  protected override hidden(ids: Tensor, { cache = null }: CausalInputs): Tensor {
    this.#source ??= this.#read(ids.device)
    return this.model.decode(ids, this.#source, { cache })
  }

  override reorder(rows: readonly number[]): void {
    super.reorder(rows)
    this.#source = this.#source?.reorder(rows) ?? null
  }

  override dispose(): void {
    super.dispose()
    this.#source?.dispose()
  }

  /** Shorter sources are padded on the right. */
  #read(device: Tensor['device']): Source {
    const longest = Math.max(...this.#sources.map(({ length }) => length))
    const ints = (at: (source: readonly number[], column: number) => number) =>
      fromTypedArray(
        Int32Array.from(this.#sources.flatMap((source) => Array.from({ length: longest }, (_, i) => at(source, i)))),
        [this.#sources.length, longest],
        { device },
      )
    const ids = ints((source, column) => source[column] ?? 0)
    const ragged = this.#sources.some(({ length }) => length < longest)
    const mask = ragged ? { attentionMask: ints((source, column) => (column < source.length ? 1 : 0)) } : {}
    return this.model.encode(ids, mask).keep()
  }
}

/** Implements `Seq2SeqModel.generate`: the texts of each source, one after the other. */
export function generateFrom(
  model: SourceDecodable,
  given: Tensor | readonly number[] | readonly (readonly number[])[],
  options: GenerateOptions,
  op = `${model.constructor.name}.generate`,
): Promise<Generated[]> {
  return write(op, options, model, ({ maxNewTokens }) => {
    const sources = promptsOf(op, given, model.inputEmbedding().weight.sizes[0] as number)
    const prompts = sources.map(() => [model.startToken])
    return { prompts, open: (copies) => new SourceDecoder(model, sources, maxNewTokens, copies) }
  })
}

/** Implements `Seq2SeqModel.stream`. */
export function streamFrom(
  model: SourceDecodable,
  given: readonly number[],
  options: StreamOptions,
): AsyncGenerator<number | string, Finish> {
  const op = `${model.constructor.name}.stream`
  return streamOf(op, options, model, ({ maxNewTokens }) => {
    const [source = []] = promptsOf(op, given, model.inputEmbedding().weight.sizes[0] as number)
    return { prompts: [[model.startToken]], open: () => new SourceDecoder(model, [source], maxNewTokens, 1) }
  })
}

/** An embedding and a head that share a weight, and stay tied with an adapter (PEFT's `ensure_weight_tying`). */
import { ValueError } from '../core/errors.js'
import { warn } from '../core/host.js'
import { type Adaptable, isAdaptable } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { originalOf } from '../nn/parameter.js'
import { ownModules } from './adapters.js'
import type { Naming } from './names.js'
import { Pattern } from './pattern.js'
import { endsWith, type Named } from './select.js'

/** The names by which PEFT knows embeddings and heads. */
const ends = ['embed_tokens', 'lm_head'] as const

const namesEnd = (names: readonly string[]): boolean =>
  names.some((name) => ends.some((end) => name.slice(name.lastIndexOf('.') + 1) === end))

interface Options {
  readonly modulesToSave?: readonly string[]
  readonly targetModules: readonly string[] | RegExp | string
}

/** A model with an embedding of its tokens, and perhaps a head that may share its weight. */
type Ended = Module & { inputEmbedding?(): unknown; outputHead?(): unknown }

/**
 * The model's embedding and head, if these share a weight and must share what the adapter learns of it. None if there
 * is nothing to share, which is warned of. Throws ValueError if the products would have to be shared.
 */
export function tiedEnds(op: string, model: Ended, options: Options, naming: Naming): readonly Named[] {
  const { modulesToSave = [], targetModules } = options
  const [embedding, head] = [model.inputEmbedding?.(), model.outputHead?.()]
  // Copies of an existing adapter may stand in for the weight.
  const isTied =
    isAdaptable(embedding) &&
    isAdaptable(head) &&
    originalOf(embedding.adaptation.weight).storage === originalOf(head.adaptation.weight).storage
  const readers = isAdaptable(embedding) ? readersOf(model, embedding, naming) : []
  // PEFT writes such an embedding's own name into its files, whichever layer was named at first.
  const isHolder =
    readers.length > 0 &&
    ownModules(model, naming).some(
      ([path, module]) => module === embedding && modulesToSave.some((name) => endsWith(path, name)),
    )
  if (isTied && (namesEnd(modulesToSave) || isHolder))
    return ownModules(model, naming).filter(
      ([, module]) => module === embedding || module === head || readers.some(([, reader]) => reader === module),
    )
  const isEnd = (): boolean => {
    if (typeof targetModules !== 'string') return Array.isArray(targetModules) && namesEnd(targetModules)
    const pattern = new Pattern(targetModules, op, 'targetModules')
    return ends.some((end) => pattern.matches(end))
  }
  if (isTied && isEnd())
    throw new ValueError(
      op,
      'ensureWeightTying is true and targetModules names the embedding or the head; their products would have to be shared, which is ' +
        'not supported; name one of them in modulesToSave, or leave ensureWeightTying out',
    )
  warn(
    `[${op}] ensureWeightTying changes nothing: ` +
      (isTied
        ? `modulesToSave names neither ${ends.join(' nor ')}`
        : 'the model has no embedding and head that share a weight'),
    { type: 'FiresteelWarning', code: 'FIRESTEEL_ADAPTER' },
  )
  return []
}

/** Other embeddings with the weight of this one, which then only holds it for them, as T5's `shared` does. */
function readersOf(model: Module, embedding: Adaptable, naming: Naming): readonly Named[] {
  const { storage } = originalOf(embedding.adaptation.weight)
  return ownModules(model, naming).filter(
    ([, module]) =>
      module !== embedding &&
      isAdaptable(module) &&
      module.adaptation.by === 'embedding' &&
      originalOf(module.adaptation.weight).storage === storage,
  )
}

/**
 * Warns if an adapter changes an embedding that only holds the weight of others, and none of these, because nothing
 * reads the change.
 */
export function warnOfHolder(op: string, model: Ended, chosen: readonly Named[], naming: Naming): void {
  const embedding = model.inputEmbedding?.()
  const found = chosen.find(([, module]) => module === embedding)
  if (found === undefined || !isAdaptable(embedding)) return
  const readers = readersOf(model, embedding, naming)
  if (readers.length === 0 || chosen.some(([, module]) => readers.some(([, reader]) => reader === module))) return
  const paths = readers.map(([path]) => path).join(' and ')
  warn(
    `[${op}] ${found[0]} only holds the weight of ${paths}, so what the adapter learns there changes no result until it is ` +
      `merged, as in PEFT; name ${paths} instead`,
    { type: 'FiresteelWarning', code: 'FIRESTEEL_ADAPTER' },
  )
}

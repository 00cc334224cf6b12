/** An embedding and a head that share a weight, and stay tied with an adapter (PEFT's `ensure_weight_tying`). */
import { ValueError } from '../core/errors.js'
import { warn } from '../core/host.js'
import { isAdaptable } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { originalOf } from '../nn/parameter.js'
import { ownModules } from './adapters.js'
import type { Naming } from './names.js'
import { Pattern } from './pattern.js'
import type { Named } from './select.js'

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
  if (isTied && namesEnd(modulesToSave))
    return ownModules(model, naming).filter(([, module]) => module === embedding || module === head)
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

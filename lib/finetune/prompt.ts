/** Prompts that learn (prompt tuning and prefix tuning), applied to a model of texts: columns before the tokens, beside frozen weights. */
import { kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { ownOptions } from '../core/options.js'
import { checkAdapterName } from '../nn/adapter.js'
import type { Module, Parameter } from '../nn/module.js'
import { Prompt, type PromptKind, type PromptSizes, Prompts, promptKinds } from '../nn/prompt.js'
import { checkFree, checkSwitch } from './adapters.js'
import { byPath } from './names.js'
import { adaptersOf, attach, copiesOf, type Plan } from './plan.js'
import { checkModel } from './select.js'

export interface PromptOptions {
  /** The adapter's name, by which it is switched, saved and removed. Default 'default'. */
  readonly name?: string
  /**
   * 'prompt': embeddings before those of the tokens (Lester et al., 2021). 'prefix': keys and values of every layer before those
   * of the tokens (Li and Liang, 2021).
   */
  readonly kind: PromptKind
  /** How many columns there are. */
  readonly tokens: number
  /** The generator of the initial numbers, which are normal. */
  readonly generator?: Generator
}

/** A model that takes prompts. */
interface Promptable extends Module {
  readonly adapters: Prompts
  readonly promptSizes: PromptSizes
  inputEmbedding(): { readonly weight: Parameter }
}

function isPromptable(model: Module): model is Promptable {
  return (
    'adapters' in model && model.adapters instanceof Prompts && 'promptSizes' in model && model.promptSizes !== null
  )
}

/** Checks options against a model, adapted already or not, and changes nothing. Throws ValueError for what does not fit. */
export function planPrompt(op: string, model: Module, given: PromptOptions): Plan {
  checkModel(op, model)
  const own = ownOptions(op, given, { name: true, kind: true, tokens: true, generator: true })
  const { name = 'default', kind, tokens, generator } = own
  checkAdapterName(op, name)
  checkGenerator(op, generator)
  if (!promptKinds.includes(kind))
    throw new ValueError(op, `kind is ${shown(kind)}, but must be one of ${promptKinds.join(', ')}`)
  if (!Number.isSafeInteger(tokens) || tokens < 1)
    throw new ValueError(op, `tokens is ${shown(tokens)}, but must be a positive integer`)
  if (!isPromptable(model))
    throw new ValueError(op, `${kindOf(model)} takes no prompts; models of AutoModel.forCausalLM do`)
  const make = () => {
    const there = model.adapters.get(name)
    if (there instanceof Prompt && there.kind === kind && there.tokens === tokens) return there
    const { device, dtype } = model.inputEmbedding().weight
    const place = { device, dtype: dtype === 'float64' ? dtype : 'float32' } as const
    const options = { ...place, ...(generator ? { generator } : {}) }
    return namedAs(op, () => new Prompt(kind, tokens, model.promptSizes, options))
  }
  const place = { fileName: '', layer: model, make, settle: () => undefined }
  return { name, applied: { kind: 'prompt', options: own }, naming: byPath, layers: [place], saved: [], biases: [] }
}

/**
 * Freezes a model of texts and puts columns before every text, which learn; gives the model. Tokens then stand at positions after
 * them. With a 'prompt' the model's hidden states and logits have these columns too, as in PEFT. The prompt is the only active
 * adapter, until `setAdapter` or `withAdapter` say otherwise; one of several can be active. Throws ValueError for models that
 * take none, and has then changed nothing.
 */
export function applyPrompt<M extends Module>(model: M, options: PromptOptions): M {
  const op = 'applyPrompt'
  const plan = planPrompt(op, model, options)
  checkFree(op, model, plan.name)
  checkSwitch(op, model, [])
  attach(model, plan, adaptersOf(plan), copiesOf(plan))
  return model
}

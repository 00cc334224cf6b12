/**
 * Learned prompts (prompt tuning and prefix tuning), applied to a model of texts: columns before the tokens, with
 * frozen weights.
 */
import { kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import { checkAlive } from '../core/tensor.js'
import { checkAdapterName } from '../nn/adapter.js'
import type { Module, Parameter } from '../nn/module.js'
import { Prompt, type PromptKind, type PromptReader, type PromptSizes, Prompts, promptKinds } from '../nn/prompt.js'
import { checkFree, checkSwitch } from './adapters.js'
import { byPath } from './names.js'
import { adaptersOf, attach, checkSaved, copiesOf, type Plan, savedModules } from './plan.js'
import { type PromptEncoderOptions, promptEncoder } from './prompt-encoder.js'
import { checkModel } from './select.js'
import { warnOfHolder } from './tied.js'

export interface PromptOptions {
  /** The adapter's name, by which it is switched, saved and removed. Default 'default'. */
  readonly name?: string
  /**
   * 'prompt': learned embeddings before those of the tokens (Lester et al., 2021). 'prefix': learned keys and values in
   * every layer before those of the tokens (Li and Liang, 2021).
   */
  readonly kind: PromptKind
  /** The number of columns. */
  readonly tokens: number
  /** Modules that learn whole and are saved with the prompt, as with `applyLora`: a new head ('classifier'). */
  readonly modulesToSave?: readonly string[]
  /**
   * A network through which the numbers pass while they learn. It is not saved, as in PEFT, because files hold its
   * results. Default: none.
   */
  readonly encoder?: PromptEncoderOptions
  /** The generator of the initial numbers, which are normal. */
  readonly generator?: Generator
}

/** The settings of a prompt, and further facts for its file. */
export interface PromptSettings extends PromptOptions {
  /** The part of a model that the file is for. */
  readonly reader?: PromptReader
  /** PEFT's `num_transformer_submodules`. Default: 2 for a prefix of an encoder-decoder, else 1. */
  readonly stacks?: 1 | 2
}

const optionNames: OptionNames<PromptOptions> = {
  name: true,
  kind: true,
  tokens: true,
  modulesToSave: true,
  encoder: true,
  generator: true,
}

/** A model that accepts prompts. */
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

/**
 * Checks options against a model, adapted already or not, and changes nothing. Throws ValueError for options that do
 * not fit.
 */
export function planPrompt(op: string, model: Module, given: PromptSettings): Plan {
  checkModel(op, model)
  const own = ownOptions(op, given, { ...optionNames, reader: true, stacks: true })
  const { name = 'default', kind, tokens, encoder, generator } = own
  checkAdapterName(op, name)
  checkGenerator(op, generator)
  if (!promptKinds.includes(kind))
    throw new ValueError(op, `kind is ${shown(kind)}, but must be one of ${promptKinds.join(', ')}`)
  if (!Number.isSafeInteger(tokens) || tokens < 1)
    throw new ValueError(op, `tokens is ${shown(tokens)}, but must be a positive integer`)
  if (!isPromptable(model))
    throw new ValueError(
      op,
      `${kindOf(model)} takes no prompts; models of AutoModel.forCausalLM, forSeq2Seq and, for texts, forSequenceClassification do`,
    )
  const stacks = stacksOf(op, model, own)
  const saved = savedModules(op, model, own.modulesToSave, byPath)
  checkSaved(op, name, saved)
  warnOfHolder(op, model, saved, byPath)
  const make = () => {
    const there = model.adapters.get(name)
    if (
      there instanceof Prompt &&
      there.kind === kind &&
      there.tokens === tokens &&
      there.stacks === stacks &&
      there.encoder === null
    )
      return there
    const { device, dtype } = model.inputEmbedding().weight
    const place = { device, dtype: dtype === 'float64' ? dtype : 'float32' } as const
    const options = { ...place, ...(generator ? { generator } : {}) }
    const network = encoder === undefined ? null : promptEncoder(op, encoder, kind, model.promptSizes, options)
    return namedAs(op, () => new Prompt(kind, tokens, model.promptSizes, { ...options, stacks, encoder: network }))
  }
  const place = { fileName: '', layer: model, make, settle: () => undefined }
  const applied = { kind: 'prompt', options: { ...own, stacks } } as const
  return { name, applied, naming: byPath, layers: [place], saved, biases: [] }
}

/** Checks that the model reads such a prompt. Returns the stacks for its table. */
function stacksOf(op: string, { promptSizes }: Promptable, { kind, reader: wanted, stacks }: PromptSettings): 1 | 2 {
  const { reader = 'decoder' } = promptSizes
  if (wanted !== undefined && wanted !== reader)
    throw new ValueError(op, `the prompt is for models that are ${called[wanted]}, but this one is ${called[reader]}`)
  if (kind === 'prefix' && reader === 'encoder')
    throw new ValueError(
      op,
      "kind 'prefix' is for decoders, which can have keys before them; use 'prompt' for encoders",
    )
  const needed = kind === 'prefix' && reader === 'encoder-decoder' ? 2 : 1
  if (stacks !== undefined && stacks < needed)
    throw new ValueError(op, 'num_transformer_submodules is 1, but a prefix of an encoder-decoder has 2')
  return stacks ?? needed
}

const called: { readonly [reader in PromptReader]: string } = {
  decoder: 'a decoder',
  encoder: 'an encoder',
  'encoder-decoder': 'an encoder with a decoder',
}

/**
 * Freezes a model of texts, puts learned columns before every text, and returns the model. Tokens then have positions
 * after them. With a 'prompt' a decoder's hidden states and logits have these columns too, as in PEFT. An
 * encoder-decoder reads a 'prompt' before its source, and has a 'prefix' in its decoder. An encoder that classifies
 * texts accepts only a 'prompt'. The prompt is the only active adapter, until `setAdapter` or `withAdapter` say
 * otherwise; only one prompt can be active at a time. Throws ValueError for models that accept none, and has then
 * changed nothing.
 */
export function applyPrompt<M extends Module>(model: M, options: PromptOptions): M {
  const op = 'applyPrompt'
  const plan = planPrompt(op, model, ownOptions(op, options, optionNames))
  checkAlive(op, model.namedParameters())
  checkFree(op, model, plan.name)
  checkSwitch(op, model, [])
  attach(model, plan, adaptersOf(plan), copiesOf(plan))
  return model
}

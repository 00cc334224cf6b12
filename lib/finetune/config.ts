/** PEFT's adapter_config.json: its allowed content, checked field by field, and the meaning here. */
import { ValueError } from '../core/errors.js'
import { nodeModule } from '../core/host.js'
import type { PromptReader } from '../nn/prompt.js'
import type { Applied } from './applied.js'
import { loraConfig, loraFrom } from './config-lora.js'
import { asJson, FieldReader, type Fields, isGiven, isNames, isNothingOr, isRank, isTargets } from './fields.js'
import type { Ia3Options } from './ia3.js'
import type { LoraOptions } from './lora.js'
import type { PromptSettings } from './prompt.js'

/**
 * Heads that PEFT adds to the modules that learn whole, by the kind of task. A model has one of those for its kind, and
 * the others are silently left out, in PEFT too.
 */
const headsOf: { readonly [task: string]: readonly string[] } = {
  SEQ_CLS: ['classifier', 'score'],
  TOKEN_CLS: ['classifier', 'score'],
  QUESTION_ANS: ['qa_outputs'],
}

/** The names of heads that a config has although nobody asked for them. */
export function optionalHeads(config: unknown): readonly string[] {
  return headsOf[String((config as Fields)['task_type'])] ?? []
}

/** Fields of every kind that do not affect a loaded adapter's results. */
const common = ['auto_mapping', 'base_model_name_or_path', 'inference_mode', 'peft_type', 'peft_version', 'revision']

const idleOfIa3 = new Set([...common, 'task_type', 'fan_in_fan_out', 'init_ia3_weights'])

function ia3From(reader: FieldReader): Ia3Options {
  const names = 'a list of names, a regular expression, or null'
  const excluded = reader.take('exclude_modules', isNothingOr(isTargets), names, null)
  const feedforward = reader.take('feedforward_modules', isNothingOr(isTargets), names, null)
  const saved = reader.take('modules_to_save', isNames, 'a list of names, or null', [])
  const options = {
    targetModules: reader.take('target_modules', isTargets, 'a list of names, or a regular expression'),
    ...(isGiven(excluded) ? { excludeModules: excluded } : {}),
    ...(isGiven(feedforward) ? { feedforwardModules: feedforward } : {}),
    ...(saved?.length ? { modulesToSave: saved } : {}),
  }
  reader.finish(idleOfIa3, {})
  return options
}

function ia3Config(options: Ia3Options, targets: readonly string[] | string): Fields {
  const { feedforwardModules = [], modulesToSave = [], excludeModules = null } = options
  return {
    peft_type: 'IA3',
    target_modules: targets,
    exclude_modules: excludeModules,
    // PEFT requires the ones that are named there.
    feedforward_modules: feedforwardModules,
    fan_in_fan_out: false,
    init_ia3_weights: true,
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
  }
}

/** Fields of prompts that describe how the numbers came about, or that repeat sizes of the file and the model. */
const idleOfPrompts = new Set([
  ...common,
  'encoder_dropout',
  'encoder_hidden_size',
  'encoder_num_layers',
  'encoder_reparameterization_type',
  'init_weights',
  'num_attention_heads',
  'num_layers',
  'prefix_projection',
  'prompt_tuning_init',
  'prompt_tuning_init_text',
  'token_dim',
  'tokenizer_kwargs',
  'tokenizer_name_or_path',
])

/** The kinds of task whose models read prompts, and the part that reads them. */
const tasks: readonly (readonly [task: string, reader: PromptReader])[] = [
  ['CAUSAL_LM', 'decoder'],
  ['SEQ_CLS', 'encoder'],
  ['SEQ_2_SEQ_LM', 'encoder-decoder'],
]
const isTask = (value: unknown): value is string => tasks.some(([task]) => task === value)
const areStacks = (value: unknown): value is 1 | 2 => value === 1 || value === 2

function promptFrom(reader: FieldReader, kind: PromptSettings['kind']): PromptSettings {
  const task = reader.take('task_type', isTask, `one of ${tasks.map(([each]) => asJson(each)).join(', ')}`)
  const of = tasks.find(([each]) => each === task)?.[1]
  const stacks = reader.take('num_transformer_submodules', areStacks, '1 or 2', of === 'encoder-decoder' ? 2 : 1)
  if (stacks === 2 && of !== 'encoder-decoder')
    reader.faults.push('num_transformer_submodules is 2, but must be 1, as for a model that is no encoder-decoder')
  const tokens = reader.take('num_virtual_tokens', isRank, 'a positive integer')
  const names = reader.take('modules_to_save', isNames, 'a list of names, or null', [])
  reader.finish(idleOfPrompts, {})
  // PEFT adds the names of heads twice.
  const saved = [...new Set(names ?? [])]
  return { kind, tokens, stacks, ...(of ? { reader: of } : {}), ...(saved.length > 0 ? { modulesToSave: saved } : {}) }
}

/** Facts about a prompt's model, in the form of PEFT's config. */
export interface PromptModel {
  readonly layers: number
  readonly width: number
  /** The number of heads of keys, and the features of all of them. */
  readonly keyHeads: number
  readonly keyWidth: number
  readonly reader: PromptReader
}

function promptConfig(options: PromptSettings, model: PromptModel): Fields {
  const { kind, tokens, stacks, encoder, modulesToSave = [] } = options
  const { layers, keyHeads, keyWidth } = model
  const width = kind === 'prompt' ? model.width : keyWidth
  const inner = encoder?.width ?? width
  const prefix = { peft_type: 'PREFIX_TUNING', prefix_projection: encoder !== undefined, init_weights: null }
  const tuned = {
    peft_type: 'P_TUNING',
    encoder_reparameterization_type: encoder?.kind.toUpperCase(),
    encoder_num_layers: encoder?.layers ?? 2,
    encoder_dropout: encoder?.dropout ?? 0,
    encoder_hidden_size: inner,
  }
  const plain = { peft_type: 'PROMPT_TUNING', prompt_tuning_init: 'RANDOM', prompt_tuning_init_text: null }
  return {
    ...(kind === 'prefix' ? { ...prefix, encoder_hidden_size: inner } : encoder === undefined ? plain : tuned),
    task_type: tasks.find(([, reader]) => reader === model.reader)?.[0],
    num_virtual_tokens: tokens,
    num_transformer_submodules: stacks ?? 1,
    num_layers: layers,
    num_attention_heads: keyHeads,
    token_dim: width,
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
  }
}

const readers: { readonly [type: string]: (reader: FieldReader) => Applied } = {
  LORA: (reader) => ({ kind: 'lora', options: loraFrom(reader) }),
  IA3: (reader) => ({ kind: 'ia3', options: ia3From(reader) }),
  PROMPT_TUNING: (reader) => ({ kind: 'prompt', options: promptFrom(reader, 'prompt') }),
  // Its file has the encoder's results, which are embeddings like those of prompt tuning.
  P_TUNING: (reader) => ({ kind: 'prompt', options: promptFrom(reader, 'prompt') }),
  PREFIX_TUNING: (reader) => ({ kind: 'prompt', options: promptFrom(reader, 'prefix') }),
}

/**
 * The kind and the options that a config states. Throws ValueError naming every field that is wrong or not supported.
 */
export function appliedFrom(op: string, path: string, config: unknown): Applied {
  const reader = new FieldReader(op, path, config)
  const { peft_type: type } = reader.fields
  const read = typeof type === 'string' && Object.hasOwn(readers, type) ? readers[type] : undefined
  if (read === undefined)
    throw new ValueError(
      op,
      `${path}: peft_type is ${asJson(type)}; only ${Object.keys(readers).join(', ')} can be loaded`,
    )
  return read(reader)
}

function settingsOf({ kind, options }: Applied): unknown[] {
  if (kind === 'prompt') {
    const { stacks = 1, modulesToSave: saved = [] } = options
    // Only differences from the first files are added, because their hash must stay the same.
    const further = [...(stacks === 1 ? [] : [stacks]), ...(saved.length === 0 ? [] : [saved])]
    return [kind, options.kind, options.tokens, ...further]
  }
  const { targetModules, modulesToSave = [] } = options
  if (kind === 'ia3')
    return [kind, targetModules, options.excludeModules ?? null, options.feedforwardModules ?? null, modulesToSave]
  return loraSettings(options)
}

function loraSettings(options: LoraOptions): unknown[] {
  const { rank, alpha, targetModules, modulesToSave = [], rankPattern = {}, alphaPattern = {} } = options
  const patterns = [Object.entries(rankPattern), Object.entries(alphaPattern)]
  const { excludeModules, layersToTransform, layersPattern, dora, loraBias, bias, init, trainableTokenIndices } =
    options
  const { ensureWeightTying } = options
  const further = Object.entries({
    ...{ excludeModules, layersToTransform, layersPattern, dora, loraBias, bias, init, trainableTokenIndices },
    ensureWeightTying,
  })
  return [
    ...[rank, alpha, targetModules, modulesToSave, patterns, options.rankStabilized ?? false],
    ...further.filter(([, value]) => value !== undefined),
  ]
}

/**
 * A hash of the parts of a config on which the weights depend. It shows whether two files are of one save. Other parts
 * of the config may be edited, as the name of the base often is.
 */
export function settingsHash(applied: Applied): string {
  return nodeModule('node:crypto')
    .createHash('sha256')
    .update(JSON.stringify(settingsOf(applied)))
    .digest('hex')
}

/**
 * The config of an adapter. `targets` is a list of names, or a regular expression if no list will do. `model` has the
 * facts about a prompt's model.
 */
export function configFrom(
  { kind, options }: Applied,
  targets: readonly string[] | string,
  model: PromptModel | null,
): Fields {
  const every = { task_type: null, base_model_name_or_path: null, inference_mode: true }
  if (kind === 'prompt') return { ...every, ...promptConfig(options, model as PromptModel) }
  return { ...every, ...(kind === 'ia3' ? ia3Config(options, targets) : loraConfig(options, targets)) }
}

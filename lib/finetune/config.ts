/** PEFT's adapter_config.json: what it may hold, checked field by field, and what it means here. */
import { ValueError } from '../core/errors.js'
import { nodeModule } from '../core/host.js'
import type { LoraOptions } from './lora.js'

/** A value of the file as it stands there, or the beginning of a long one. */
function asJson(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}

/** A file that somebody else wrote: nothing is known of any field. */
type Fields = { readonly [field: string]: unknown }

/** Settings of PEFT that change the mathematics and are not there, with the value that means they are off. */
const off: { readonly [field: string]: unknown } = {
  use_qalora: false,
  use_bdlora: null,
  layer_replication: null,
  target_parameters: null,
  trainable_token_indices: null,
  alora_invocation_tokens: null,
  arrow_config: null,
  megatron_config: null,
}

/** Fields that say nothing about what a loaded adapter gives. */
const idle = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  // How the base stores its weights, which its layers know; the factors are the same.
  'fan_in_fan_out',
  'inference_mode',
  'loftq_config',
  'lora_ga_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'task_type',
])

/** Ways to begin that leave the base's weights alone; the others of PEFT take something out of them. */
const beginnings: readonly unknown[] = [true, false, 'gaussian', 'eva', 'orthogonal']

/** Settings that are there, with the way to check them. */
const known = new Set([
  'peft_type',
  'init_lora_weights',
  'r',
  'lora_alpha',
  'lora_dropout',
  'target_modules',
  'modules_to_save',
  'rank_pattern',
  'alpha_pattern',
  'use_rslora',
  'use_dora',
  'lora_bias',
  'bias',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
])

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Whether a field that may be empty is not. */
function given<T>(value: T | null): value is T {
  return value !== null && !(Array.isArray(value) && value.length === 0) && !((value as unknown) === '')
}

/**
 * Heads that PEFT adds to the modules that learn whole, by the kind of task. A model has one of those for its kind, and the
 * others are left out without a word, in PEFT too.
 */
const headsOf: { readonly [task: string]: readonly string[] } = {
  SEQ_CLS: ['classifier', 'score'],
  TOKEN_CLS: ['classifier', 'score'],
  QUESTION_ANS: ['qa_outputs'],
}

/** The names of heads that a config has without anybody's having asked for them. */
export function optionalHeads(config: unknown): readonly string[] {
  return headsOf[String((config as Fields)['task_type'])] ?? []
}

/** The options of applyLora that a config says. Throws ValueError naming every field that is wrong or not supported. */
export function optionsFrom(op: string, path: string, config: unknown): LoraOptions {
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new ValueError(op, `${path} holds ${asJson(config)}, but must hold an object`)
  const fields = config as Fields
  const faults: string[] = []
  /** The field if it is there and right; the fault otherwise. */
  const take = <T>(field: string, is: (value: unknown) => value is T, what: string, absent?: T): T => {
    const value = Object.hasOwn(fields, field) ? (fields[field] ?? absent) : absent
    if (!is(value)) faults.push(`${field} is ${asJson(value)}, but must be ${what}`)
    return value as T
  }
  const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
  const isRank = (value: unknown): value is number => isNumber(value) && Number.isInteger(value) && value > 0
  const isShare = (value: unknown): value is number => isNumber(value) && value >= 0 && value <= 1
  const isFlag = (value: unknown): value is boolean => typeof value === 'boolean'
  const isNames = (value: unknown): value is readonly string[] =>
    Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== '')
  const isTargets = (value: unknown): value is readonly string[] | string =>
    typeof value === 'string' ? value !== '' : isNames(value) && value.length > 0
  const isNothingOr =
    <T>(is: (value: unknown) => value is T) =>
    (value: unknown): value is T | null =>
      value === null || (Array.isArray(value) && value.length === 0) || value === '' || is(value)
  const isBlock = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
  const isBlocks = (value: unknown): value is number | readonly number[] =>
    isBlock(value) || (Array.isArray(value) && value.length > 0 && value.every(isBlock))
  const isBias = (value: unknown): value is 'none' | 'all' | 'lora_only' =>
    value === 'none' || value === 'all' || value === 'lora_only'
  const isTable =
    (is: (value: unknown) => boolean) =>
    (value: unknown): value is { readonly [key: string]: number } =>
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(is)

  const { peft_type: type } = fields
  if (type !== 'LORA') throw new ValueError(op, `${path}: peft_type is ${asJson(type)}; only LORA can be loaded`)
  for (const [field, value] of Object.entries(fields)) {
    if (known.has(field) || idle.has(field)) continue
    const right = Object.hasOwn(off, field) ? off[field] : null
    // PEFT leaves null where a setting was never made, and adds settings of which nothing is known here.
    if (value === right || isNothing(value)) continue
    faults.push(`${field} is ${asJson(value)}; only ${asJson(right)} can be loaded`)
  }
  const begins = fields['init_lora_weights'] ?? true
  if (!beginnings.includes(begins))
    faults.push(
      `init_lora_weights is ${asJson(begins)}, which changes the weights of the base; convert the adapter first`,
    )
  const modulesToSave = take('modules_to_save', isNames, 'a list of names, or null', [])
  const blocks = take(
    'layers_to_transform',
    isNothingOr(isBlocks),
    'the number of a block, a list of them, or null',
    null,
  )
  const lists = take('layers_pattern', isNothingOr(isTargets), 'a name, a list of names, or null', null)
  const excluded = take(
    'exclude_modules',
    isNothingOr(isTargets),
    'a list of names, a regular expression, or null',
    null,
  )
  const bias = take('bias', isBias, "'none', 'all' or 'lora_only'", 'none')
  const dora = take('use_dora', isFlag, 'true or false', false)
  const loraBias = take('lora_bias', isFlag, 'true or false', false)
  const options: LoraOptions = {
    rank: take('r', isRank, 'a positive integer', 8),
    alpha: take('lora_alpha', isNumber, 'a number', 8),
    dropout: take('lora_dropout', isShare, 'a number from 0 to 1', 0),
    targetModules: take('target_modules', isTargets, 'a list of names, or a regular expression'),
    ...(modulesToSave?.length ? { modulesToSave } : {}),
    rankPattern: take('rank_pattern', isTable(isRank), 'an object of positive integers', {}),
    alphaPattern: take('alpha_pattern', isTable(isNumber), 'an object of numbers', {}),
    rankStabilized: take('use_rslora', isFlag, 'true or false', false),
    ...(given(blocks) ? { layersToTransform: blocks } : {}),
    ...(given(lists) ? { layersPattern: lists } : {}),
    ...(given(excluded) ? { excludeModules: excluded } : {}),
    ...(bias === 'none' ? {} : { bias }),
    ...(dora ? { dora } : {}),
    ...(loraBias ? { loraBias } : {}),
  }
  if (faults.length > 0) throw new ValueError(op, `${path}: ${faults.join('; ')}`)
  return options
}

/**
 * A hash of what a config's weights depend on, by which the two files of one save are known. What else stands in the config
 * may be edited, as the name of the base often is.
 */
export function settingsHash(options: LoraOptions): string {
  const { rank, alpha, targetModules, modulesToSave = [], rankPattern = {}, alphaPattern = {} } = options
  const patterns = [Object.entries(rankPattern), Object.entries(alphaPattern)]
  const { excludeModules, layersToTransform, layersPattern, dora, loraBias, bias } = options
  const further = Object.entries({ excludeModules, layersToTransform, layersPattern, dora, loraBias, bias })
  const settings = [
    ...[rank, alpha, targetModules, modulesToSave, patterns, options.rankStabilized ?? false],
    ...further.filter(([, value]) => value !== undefined),
  ]
  return nodeModule('node:crypto').createHash('sha256').update(JSON.stringify(settings)).digest('hex')
}

/** The config of an adapter; `targets` as a list of names, or a regular expression where no such list would do. */
export function configFrom(options: LoraOptions, targets: readonly string[] | string): Fields {
  return {
    ...off,
    peft_type: 'LORA',
    task_type: null,
    base_model_name_or_path: null,
    inference_mode: true,
    init_lora_weights: true,
    r: options.rank,
    lora_alpha: options.alpha,
    lora_dropout: options.dropout,
    target_modules: targets,
    modules_to_save: options.modulesToSave?.length ? [...options.modulesToSave] : null,
    rank_pattern: options.rankPattern ?? {},
    alpha_pattern: options.alphaPattern ?? {},
    use_rslora: options.rankStabilized ?? false,
    use_dora: options.dora ?? false,
    lora_bias: options.loraBias ?? false,
    bias: options.bias ?? 'none',
    exclude_modules: options.excludeModules ?? null,
    layers_to_transform: options.layersToTransform ?? null,
    layers_pattern: options.layersPattern ?? null,
  }
}

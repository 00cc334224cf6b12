/** PEFT's adapter_config.json for LoRA: its allowed content, and the meaning here. */
import { warn } from '../core/host.js'
import {
  areTokens,
  asJson,
  type FieldReader,
  type Fields,
  isBias,
  isBlocks,
  isFlag,
  isGiven,
  isNames,
  isNothingOr,
  isNumber,
  isRank,
  isShare,
  isTable,
  isTargets,
  isTokens,
} from './fields.js'
import type { LoraOptions } from './lora.js'
import { loraInits } from './lora-adapter.js'

/** Settings of PEFT that change the mathematics and are not supported, with the value that switches them off. */
const off: { readonly [field: string]: unknown } = {
  use_qalora: false,
  use_bdlora: null,
  layer_replication: null,
  arrow_config: null,
  megatron_config: null,
}

/** Fields that do not affect a loaded adapter's results. */
const idle = new Set([
  'peft_type',
  'init_lora_weights',
  'auto_mapping',
  'base_model_name_or_path',
  'corda_config',
  'eva_config',
  // The way in which the base stores its weights, according to its layers. The factors are the same.
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

/**
 * Initialisations that leave the base's weights unchanged. The others of PEFT subtract something from them. loraInits
 * can be computed again from the weights. The rest (corda, loftq, pissa_niter) depend on data or on chance. PEFT's
 * loader does not subtract lora_ga's part either, so a file of it is reported.
 */
const beginnings: readonly unknown[] = [true, false, 'gaussian', 'eva', 'orthogonal', 'lora_ga']

/**
 * The options of applyLora that a config states. Throws ValueError naming every field that is wrong or not supported.
 */
export function loraFrom(reader: FieldReader): LoraOptions {
  const begins = reader.fields['init_lora_weights'] ?? true
  const name = typeof begins === 'string' ? begins.toLowerCase() : begins
  const again = [...loraInits, 'mica' as const].find((each) => each === name)
  const init = again === undefined ? {} : { init: again }
  if (again === undefined && !beginnings.includes(name))
    reader.faults.push(
      `init_lora_weights is ${asJson(begins)}, which changes the weights of the base; convert the adapter first`,
    )
  if (name === 'lora_ga')
    warn(
      'an adapter that began with lora_ga does not contain the part that was taken out of the base, so it gives the results of loading it in PEFT, and not ' +
        'those of the training; convert it before it is saved (path_initial_model_for_weight_conversion)',
      { type: 'FiresteelWarning', code: 'FIRESTEEL_ADAPTER' },
    )
  const modulesToSave = reader.take('modules_to_save', isNames, 'a list of names, or null', [])
  const blocks = reader.take(
    'layers_to_transform',
    isNothingOr(isBlocks),
    'the number of a block, a list of them, or null',
    null,
  )
  const lists = reader.take('layers_pattern', isNothingOr(isTargets), 'a name, a list of names, or null', null)
  const excluded = reader.take(
    'exclude_modules',
    isNothingOr(isTargets),
    'a list of names, a regular expression, or null',
    null,
  )
  const tokens = reader.take(
    'trainable_token_indices',
    isNothingOr(isTokens),
    'a list of tokens, an object of such lists by module, or null',
    null,
  )
  const invocation = reader.take('alora_invocation_tokens', isNothingOr(areTokens), 'a list of tokens, or null', null)
  const bias = reader.take('bias', isBias, "'none', 'all' or 'lora_only'", 'none')
  const dora = reader.take('use_dora', isFlag, 'true or false', false)
  const loraBias = reader.take('lora_bias', isFlag, 'true or false', false)
  const tied = reader.take('ensure_weight_tying', isFlag, 'true or false', false)
  const weights = reader.take('target_parameters', isNames, 'a list of names, or null', []) ?? []
  // If weights are adapted, there may be no layers.
  const isOnlyWeights = weights.length > 0 && JSON.stringify(reader.fields['target_modules'] ?? []) === '[]'
  const options: LoraOptions = {
    rank: reader.take('r', isRank, 'a positive integer', 8),
    alpha: reader.take('lora_alpha', isNumber, 'a number', 8),
    dropout: reader.take('lora_dropout', isShare, 'a number from 0 to 1', 0),
    targetModules: isOnlyWeights
      ? []
      : reader.take('target_modules', isTargets, 'a list of names, or a regular expression'),
    ...(modulesToSave?.length ? { modulesToSave } : {}),
    ...(tied ? { ensureWeightTying: tied } : {}),
    rankPattern: reader.take('rank_pattern', isTable(isRank), 'an object of positive integers', {}),
    alphaPattern: reader.take('alpha_pattern', isTable(isNumber), 'an object of numbers', {}),
    rankStabilized: reader.take('use_rslora', isFlag, 'true or false', false),
    ...(isGiven(blocks) ? { layersToTransform: blocks } : {}),
    ...(isGiven(lists) ? { layersPattern: lists } : {}),
    ...(isGiven(excluded) ? { excludeModules: excluded } : {}),
    ...(bias === 'none' ? {} : { bias }),
    ...(isGiven(tokens) ? { trainableTokenIndices: tokens } : {}),
    ...(isGiven(invocation) ? { invocationTokens: invocation } : {}),
    ...init,
    ...(dora ? { dora } : {}),
    ...(loraBias ? { loraBias } : {}),
  }
  if (weights.length > 0) return withWeights(reader, options, weights)
  reader.finish(idle, off)
  return options
}

/** Settings that PEFT reads differently for weights than for the layers that hold them, or refuses. */
const ofLayersAlone = [
  'excludeModules',
  'layersToTransform',
  'trainableTokenIndices',
  'invocationTokens',
  'init',
  'dora',
  'loraBias',
] as const satisfies readonly (keyof LoraOptions)[]

/**
 * The options with the layers that hold these weights among the targets. A product beside the weight of a linear layer
 * is one beside the layer, and its files are the same.
 */
function withWeights(reader: FieldReader, options: LoraOptions, weights: readonly string[]): LoraOptions {
  const { targetModules, rankPattern = {}, alphaPattern = {} } = options
  const held = weights.map((name) => name.replace(/\.weight$/, ''))
  const isPlain =
    Array.isArray(targetModules) &&
    ofLayersAlone.every((name) => options[name] === undefined) &&
    Object.keys({ ...rankPattern, ...alphaPattern }).length === 0
  if (!isPlain || held.some((name, i) => name === weights[i]))
    reader.faults.push(
      `target_parameters is ${asJson(weights)}, of which only weights of linear layers can be loaded ('q_proj.weight'), with ` +
        'target_modules that is a list, and without patterns and other settings of single layers',
    )
  reader.finish(idle, off)
  return { ...options, targetModules: [...(Array.isArray(targetModules) ? targetModules : []), ...held] }
}

/** The config of an adapter, with `targets` as a list of names, or as a regular expression if no list will do. */
export function loraConfig(options: LoraOptions, targets: readonly string[] | string): Fields {
  return {
    ...off,
    peft_type: 'LORA',
    init_lora_weights: options.init ?? true,
    r: options.rank,
    lora_alpha: options.alpha,
    lora_dropout: options.dropout,
    target_modules: targets,
    modules_to_save: options.modulesToSave?.length ? [...options.modulesToSave] : null,
    ensure_weight_tying: options.ensureWeightTying ?? false,
    rank_pattern: options.rankPattern ?? {},
    alpha_pattern: options.alphaPattern ?? {},
    use_rslora: options.rankStabilized ?? false,
    use_dora: options.dora ?? false,
    lora_bias: options.loraBias ?? false,
    bias: options.bias ?? 'none',
    trainable_token_indices: options.trainableTokenIndices ?? null,
    exclude_modules: options.excludeModules ?? null,
    layers_to_transform: options.layersToTransform ?? null,
    layers_pattern: options.layersPattern ?? null,
    alora_invocation_tokens: options.invocationTokens ?? null,
    target_parameters: null,
  }
}

/** Adapters in PEFT's files: adapter_config.json and adapter_model.safetensors. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { loadTensors, saveTensors } from '../nn/files.js'
import type { Module } from '../nn/module.js'
import { loadStateDict } from '../nn/state.js'
import { applyLora, isNamed, type LoraOptions, loraLayers, loraOptions } from './lora.js'

const prefix = 'base_model.model.'
const configFile = 'adapter_config.json'
const weightsFile = 'adapter_model.safetensors'

/** The fields of PEFT's LoraConfig that say something here. */
interface PeftConfig {
  readonly peft_type: string
  readonly r: number
  readonly lora_alpha: number
  readonly lora_dropout?: number
  readonly target_modules: readonly string[] | string
  readonly modules_to_save?: readonly string[] | null
  readonly rank_pattern?: { readonly [name: string]: number }
  readonly alpha_pattern?: { readonly [name: string]: number }
  readonly use_rslora?: boolean
}

/** Settings of PEFT that change the mathematics and are not there yet, with the only value they may have. */
const required: readonly (readonly [field: string, value: unknown])[] = [
  ['use_dora', false],
  ['use_qalora', false],
  ['bias', 'none'],
  ['lora_bias', false],
  ['fan_in_fan_out', false],
  ['layer_replication', null],
  ['target_parameters', null],
  ['trainable_token_indices', null],
]

/** What an adapter holds, under PEFT's names: the low-rank weights, and the modules that learn whole. */
function* adapterState(model: Module): Iterable<readonly [string, Tensor]> {
  for (const [path, , adapter] of loraLayers(model))
    for (const [name, tensor] of adapter.namedState()) yield [`${prefix}${path}.${name}`, tensor]
  const { modulesToSave = [] } = loraOptions('saveAdapter', model)
  for (const [path, module] of model.namedModules())
    if (isNamed(path, modulesToSave))
      for (const [name, tensor] of module.namedState()) yield [`${prefix}${path}.${name}`, tensor]
}

function toConfig(model: Module, options: LoraOptions): PeftConfig & { readonly [field: string]: unknown } {
  const { targetModules } = options
  // PEFT knows names only; a pattern is written out as what it matched here.
  const names = Array.isArray(targetModules) ? targetModules : [...loraLayers(model)].map(([path]) => path)
  return {
    ...Object.fromEntries(required),
    peft_type: 'LORA',
    task_type: null,
    base_model_name_or_path: null,
    inference_mode: true,
    init_lora_weights: true,
    r: options.rank ?? 8,
    lora_alpha: options.alpha ?? options.rank ?? 8,
    lora_dropout: options.dropout ?? 0,
    target_modules: names,
    modules_to_save: options.modulesToSave ? [...options.modulesToSave] : null,
    rank_pattern: options.rankPattern ?? {},
    alpha_pattern: options.alphaPattern ?? {},
    use_rslora: options.rankStabilized ?? false,
  }
}

/** Writes the model's adapter into a folder, as PEFT does; the folder is made if it is not there. */
export async function saveAdapter(model: Module, folder: string): Promise<void> {
  const config = toConfig(model, loraOptions('saveAdapter', model))
  await mkdir(folder, { recursive: true })
  await saveTensors(join(folder, weightsFile), new Map(adapterState(model)), { format: 'pt' })
  await writeFile(join(folder, configFile), `${JSON.stringify(config, null, 2)}\n`)
}

async function readConfig(folder: string): Promise<PeftConfig> {
  const path = join(folder, configFile)
  const fail = (why: string): never => {
    throw new ValueError('loadAdapter', `${path}: ${why}`)
  }
  const text = await readFile(path, 'utf8').catch((error: Error) => fail(error.message))
  let config: PeftConfig & { readonly [field: string]: unknown }
  try {
    config = JSON.parse(text as string) as typeof config
  } catch (error) {
    return fail(`is no JSON (${(error as Error).message})`)
  }
  if (config.peft_type !== 'LORA') fail(`peft_type is ${String(config.peft_type)}; only LORA can be loaded`)
  for (const [field, value] of required) {
    const given = config[field] ?? value
    if (given !== value) fail(`${field} is ${JSON.stringify(given)}; only ${JSON.stringify(value)} can be loaded`)
  }
  return config
}

/**
 * Applies an adapter that PEFT or saveAdapter wrote: makes it if the model has none, then loads its weights. Throws
 * StateDictError listing every weight that is missing, unexpected or misshapen; the model is then unchanged but for the
 * empty adapter.
 */
export async function loadAdapter(model: Module, folder: string): Promise<void> {
  const config = await readConfig(folder)
  const file = await loadTensors(join(folder, weightsFile))
  if ([...loraLayers(model)].length === 0) {
    const target = config.target_modules
    applyLora(model, {
      rank: config.r,
      alpha: config.lora_alpha,
      dropout: config.lora_dropout ?? 0,
      targetModules:
        typeof target === 'string' ? (target === 'all-linear' ? target : new RegExp(`^(?:${target})$`)) : target,
      ...(config.modules_to_save ? { modulesToSave: config.modules_to_save } : {}),
      ...(config.rank_pattern ? { rankPattern: config.rank_pattern } : {}),
      ...(config.alpha_pattern ? { alphaPattern: config.alpha_pattern } : {}),
      rankStabilized: config.use_rslora ?? false,
    })
  }
  const own = new Map(adapterState(model))
  loadStateDict({ namedState: () => own.entries() }, file)
}

/** Models by what a folder's `config.json` says they are. */
import { join } from 'node:path'
import { DTypeError, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkPath } from '../io/refusal.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import type { CausalModel } from './causal.js'
import { type ConfigJson, dtypeOf, readConfig, Settings } from './config.js'
import { type LoadModelOptions, loadModel } from './load.js'
import type { PretrainedModel } from './pretrained.js'

/** What a model is loaded for, and the class of models that do it. */
interface Tasks {
  readonly causalLM: CausalModel
}

/** An architecture for a task, of folders with one of these `model_type`s. Its file is loaded when it is needed. */
interface Entry<T extends keyof Tasks> {
  readonly task: T
  readonly modelTypes: readonly string[]
  open(): Promise<Architecture<object, Tasks[T] & PretrainedModel>>
}

const registry: readonly Entry<keyof Tasks>[] = [
  { task: 'causalLM', modelTypes: ['gpt2'], open: async () => (await import('./gpt2.js')).gpt2Architecture },
  { task: 'causalLM', modelTypes: ['llama'], open: async () => (await import('./llama.js')).llamaArchitecture },
  { task: 'causalLM', modelTypes: ['mistral'], open: async () => (await import('./llama.js')).mistralArchitecture },
  { task: 'causalLM', modelTypes: ['qwen2'], open: async () => (await import('./llama.js')).qwen2Architecture },
  { task: 'causalLM', modelTypes: ['qwen3'], open: async () => (await import('./llama.js')).qwen3Architecture },
  { task: 'causalLM', modelTypes: ['gemma2'], open: async () => (await import('./gemma.js')).gemma2Architecture },
  { task: 'causalLM', modelTypes: ['gemma3_text'], open: async () => (await import('./gemma.js')).gemma3Architecture },
]

export interface AutoModelOptions extends LoadModelOptions {
  /** For the weights of a configuration. */
  readonly generator?: Generator
}

const autoNames: OptionNames<AutoModelOptions> = { device: true, dtype: true, generator: true }

function entryFor<T extends keyof Tasks>(op: string, path: string, json: ConfigJson, task: T): Entry<T> {
  const type = json['model_type']
  const found = registry.find((entry) => entry.task === task && entry.modelTypes.includes(type as string))
  if (found !== undefined) return found as Entry<T>
  const known = registry.filter((entry) => entry.task === task).flatMap(({ modelTypes }) => modelTypes)
  throw new ValueError(
    op,
    `${path}: model_type is ${shown(type)} (architectures ${shown(json['architectures'])}), but known are ${known.join(', ')}`,
  )
}

/** A model of a folder; or, of a configuration, one with the weights that training begins with. */
async function load<T extends keyof Tasks>(
  task: T,
  op: string,
  from: string | ConfigJson,
  options: AutoModelOptions,
): Promise<Tasks[T]> {
  const { generator, ...loading } = checkOptions(op, options, autoNames)
  checkGenerator(op, generator)
  if (typeof from !== 'object' || from === null) {
    checkPath(op, 'read', from)
    if (generator !== undefined)
      throw new ValueError(
        op,
        'generator is for the weights of a configuration, but a folder has its own; leave it out',
      )
    const path = join(from, 'config.json')
    const json = await readConfig(op, path)
    const architecture = await entryFor(op, path, json, task).open()
    return loadModel(op, from, architecture, json, loading)
  }
  const what = 'the configuration'
  const { json } = new Settings(op, what, from)
  const architecture = await entryFor(op, what, json, task).open()
  const { device, dtype = 'float32' } = loading
  const own = dtype === 'auto' ? (dtypeOf(op, what, json) ?? 'float32') : dtype
  if (own !== 'float32' && own !== 'bfloat16')
    throw new DTypeError(op, `dtype is ${shown(own)}, but must be float32 or bfloat16, or 'auto' for that of ${what}`)
  return fromConfig(op, architecture, json, layerOf({ device, dtype: own, generator }))
}

/**
 * Models from Hugging Face folders: `config.json` with `model.safetensors`, or with shards and their index. Instead of a folder, the
 * object that a `config.json` holds gives a model with the weights that training begins with. Each method throws ValueError for an architecture that is unknown, listing those that are known, and for settings that are wrong, unknown or
 * unsupported; and StateDictError listing all weights that are missing, left over or misshapen.
 */
export const AutoModel = {
  /** A model that predicts the next token. */
  forCausalLM(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<CausalModel> {
    return load('causalLM', 'AutoModel.forCausalLM', from, options)
  },
} as const

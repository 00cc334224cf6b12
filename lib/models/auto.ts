/** Models by what a folder's `config.json` says they are. */
import { join } from 'node:path'
import { shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkPath } from '../io/refusal.js'
import type { Architecture } from './architecture.js'
import type { CausalModel } from './causal.js'
import { type ConfigJson, readConfig } from './config.js'
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

const loadNames: OptionNames<LoadModelOptions> = { device: true, dtype: true }

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

async function load<T extends keyof Tasks>(
  task: T,
  op: string,
  folder: string,
  options: LoadModelOptions,
): Promise<Tasks[T]> {
  checkOptions(op, options, loadNames)
  checkPath(op, 'read', folder)
  const path = join(folder, 'config.json')
  const json = await readConfig(op, path)
  const architecture = await entryFor(op, path, json, task).open()
  return loadModel(op, folder, architecture, json, options)
}

/**
 * Models from Hugging Face folders: `config.json` with `model.safetensors`, or with shards and their index. Each method throws
 * ValueError for an architecture that is unknown, listing those that are known, and for settings that are wrong, unknown or
 * unsupported; and StateDictError listing all weights that are missing, left over or misshapen.
 */
export const AutoModel = {
  /** A model that predicts the next token. */
  forCausalLM(folder: string, options: LoadModelOptions = {}): Promise<CausalModel> {
    return load('causalLM', 'AutoModel.forCausalLM', folder, options)
  },
} as const

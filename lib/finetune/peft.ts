/** Adapters in PEFT's files: adapter_config.json and adapter_model.safetensors. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { writeTogether } from '../io/atomic.js'
import { checkPath, refusal } from '../io/refusal.js'
import { SafetensorsFile } from '../io/safetensors.js'
import { isAdaptable } from '../nn/adapter.js'
import { tensorFile, tensorsIn } from '../nn/files.js'
import type { Module } from '../nn/module.js'
import { matchState } from '../nn/state.js'
import { warnOfLost } from './base.js'
import { configFrom, optionsFrom, settingsHash } from './config.js'
import {
  adaptersOf,
  attach,
  hasLora,
  type LoraAdapter,
  type LoraOptions,
  loraLayers,
  loraOptions,
  planLora,
  savedModules,
} from './lora.js'
import { unmergeLora } from './merge.js'
import { checkModel, endsWith, listed, type Named } from './select.js'

const prefix = 'base_model.model.'
const configFile = 'adapter_config.json'
const weightsFile = 'adapter_model.safetensors'
/** In the metadata of the weights: the hash of the config that they belong to. PEFT writes none. */
const hashKey = 'settings_sha256'
/** How often files of different saves are read again, because another process may be between its two renames, and after how many ms. */
const mostTries = 10
const pause = 20
/** A config is a page of text; more is something else. */
const mostConfigBytes = 2 ** 24

/** What an adapter holds, under PEFT's names: the low-rank weights, and the modules that learn whole. */
function adapterState(
  adapters: readonly (readonly [path: string, adapter: LoraAdapter])[],
  saved: readonly Named[],
  replaced: ReadonlySet<Tensor> = new Set(),
): Map<string, Tensor> {
  const found = new Map<string, Tensor>()
  for (const [path, module] of [...adapters, ...saved])
    for (const [name, tensor] of module.namedState())
      if (!replaced.has(tensor)) found.set(`${prefix}${path === '' ? '' : `${path}.`}${name}`, tensor)
  return found
}

/** Names of the adapted layers, in a form that selects just these among all: as they were given, else their paths. */
function targetsOf(model: Module, { targetModules }: LoraOptions): readonly string[] | string {
  if (typeof targetModules === 'string' && targetModules !== 'all-linear') return targetModules
  if (Array.isArray(targetModules)) return targetModules
  const paths = loraLayers(model).map(([path]) => path)
  const others = model.namedModules().filter(([path, module]) => isAdaptable(module) && !paths.includes(path))
  const ambiguous = others.some(([path]) => paths.some((name) => endsWith(path, name)))
  return ambiguous ? paths.map((path) => path.replace(/[^\w]/g, '\\$&')).join('|') : paths
}

/**
 * Writes the model's adapter, as it is at the call, into a folder, as PEFT does; the folder is made if it is not there. Both
 * files are complete before they take their places, weights first, and the weights hold a hash of the config's settings:
 * loadAdapter takes the old save or the new one, at whatever time it comes. A kill just between the two renames, of a save with
 * other settings, leaves a folder that it refuses; save again. `.partial` files of killed saves are removed by a later save,
 * when they are older than a day. Two processes must not save to one folder at the same time. Throws ValueError where the files
 * cannot be written, and the folder is then as it was.
 *
 * The base is not saved. Where buffers of it changed since LoRA was applied, as running statistics of a batch norm in training
 * do, or where its parameters learn, outside of `modulesToSave`, a warning of the process (FIRESTEEL_ADAPTER) names them.
 */
export async function saveAdapter(model: Module, folder: string): Promise<void> {
  const op = 'saveAdapter'
  const options = loraOptions(op, model)
  checkPath(op, 'write', folder)
  const adapters = loraLayers(model).map(([path, , adapter]) => [path, adapter] as const)
  const saved = savedModules(op, model, options)
  warnOfLost(
    op,
    model,
    saved,
    adapters.map(([, adapter]) => adapter),
  )
  const state = adapterState(adapters, saved)
  const config = `${JSON.stringify(configFrom(options, targetsOf(model, options)), null, 2)}\n`
  // Of what is read from the text, as loadAdapter will.
  const hash = settingsHash(optionsFrom(op, configFile, JSON.parse(config)))
  const weights = tensorFile(join(folder, weightsFile), state, { format: 'pt', [hashKey]: hash }, op)
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw refusal(op, 'write', folder, error)
  }
  await writeTogether([weights, { path: join(folder, configFile), chunks: [Buffer.from(config)] }], op)
}

async function readConfig(op: string, folder: string): Promise<LoraOptions> {
  const path = join(folder, configFile)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw refusal(op, 'read', path, error)
  }
  if (text.length > mostConfigBytes) throw new ValueError(op, `${path} has ${text.length} characters, and is no config`)
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch (error) {
    throw new ValueError(op, `${path} is no JSON (${(error as Error).message})`)
  }
  return optionsFrom(op, path, config)
}

/** The config's options and the open file of its weights, both of one save. */
async function openTogether(op: string, folder: string): Promise<{ options: LoraOptions; file: SafetensorsFile }> {
  checkPath(op, 'read', folder)
  const path = join(folder, weightsFile)
  for (let tries = 1; ; tries++) {
    const options = await readConfig(op, folder)
    const file = await SafetensorsFile.open(path, op)
    const hash = file.metadata.get(hashKey)
    if (hash === undefined || hash === settingsHash(options)) return { options, file }
    await file.close()
    if (tries === mostTries)
      throw new ValueError(
        op,
        `${path} and ${configFile} beside it are of different saves, or the config's settings were edited; save the adapter ` +
          'again, with settings made by applyLora',
      )
    await setTimeout(pause)
  }
}

/**
 * Applies an adapter that PEFT or saveAdapter wrote. A model that has one already gets the file's in its place: rank, alpha,
 * patterns, dropout, layers and weights; what was merged is unmerged first. Optimisers over `model.parameters()` go on with
 * it; where the rank is another, what they remember of its weights begins anew. Another process may save to the folder at the
 * same time. Throws ValueError for a config that is none or asks for what is not there, and for files of different saves, and StateDictError listing every weight that is missing, unexpected or misshapen; the model
 * has not changed then.
 */
export async function loadAdapter(model: Module, folder: string): Promise<void> {
  const op = 'loadAdapter'
  checkModel(op, model)
  const { options, file } = await openTogether(op, folder)
  const check = () => {
    const others = loraLayers(model).map(([path]) => path)
    if (!hasLora(model) && others.length > 0)
      throw new ValueError(op, `LoRA was applied to a part of this model, in ${listed(others)}; removeLora there first`)
    const plan = planLora(op, model, options)
    const adapters = adaptersOf(plan)
    const named = plan.layers.map(({ path, layer }) => [path, adapters.get(layer) as LoraAdapter] as const)
    // A module that is to learn whole may have an adapter until now.
    const going = loraLayers(model).filter(([, layer]) => !adapters.has(layer))
    const replaced = new Set(going.flatMap(([, , adapter]) => [...adapter.parameters()]))
    return { plan, adapters, state: adapterState(named, plan.saved, replaced) }
  }
  // Once before the file is read, for what of it is wanted, and again after, because the model may have changed meanwhile.
  const path = join(folder, weightsFile)
  let tensors: Map<string, Tensor>
  try {
    tensors = await tensorsIn(file, path, check().state, op)
  } finally {
    await file.close()
  }
  const { plan, adapters, state } = check()
  const matched = matchState(op, { namedState: () => state }, tensors, {}, path)
  if (hasLora(model)) unmergeLora(model)
  attach(model, plan, adapters)
  matched.write()
}

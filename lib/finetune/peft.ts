/** Adapters in PEFT's files: adapter_config.json and adapter_model.safetensors. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { writeTogether } from '../io/atomic.js'
import { makeFolder } from '../io/folders.js'
import { readJson } from '../io/json.js'
import { checkPath } from '../io/refusal.js'
import { SafetensorsFile } from '../io/safetensors.js'
import { join } from '../io/system.js'
import { tensorFile, tensorsIn } from '../io/tensors.js'
import { type Adapter, isAdaptable } from '../nn/adapter.js'
import { type Copy, copiesIn } from '../nn/copies.js'
import type { Module } from '../nn/module.js'
import { Prompt, type PromptSizes } from '../nn/prompt.js'
import { matchState } from '../nn/state.js'
import type { ModelCardOptions } from '../train/report/card.js'
import { cardFile } from '../train/report/card-file.js'
import { adaptableLayers, checkFree, checkSwitch, slotsIn } from './adapters.js'
import { type Applied, appliedAs, appliedName, appliedNames, namingOf } from './applied.js'
import { warnOfLost } from './base.js'
import { appliedFrom, configFrom, optionalHeads, type PromptModel, settingsHash } from './config.js'
import { planIa3 } from './ia3.js'
import { planLora } from './lora.js'
import { unmergeLora } from './merge.js'
import { byPath, fileNaming, type Naming } from './names.js'
import { adaptersOf, attach, copiesOf, layersOf, type Plan } from './plan.js'
import { planPrompt } from './prompt.js'
import { areSame, canSwitch, equalOutputs, isProbed, snapshot } from './prove.js'
import { checkModel, endsWith } from './select.js'
import type { TargetOptions } from './targets.js'
import { TokenRows } from './token-rows.js'

/** The beginning of names in files. PEFT wraps a model twice, but only once for a prompt. */
const prefixOf = ({ kind }: Applied): string => (kind === 'prompt' ? 'base_model.' : 'base_model.model.')
/** The only tensor in a prompt's file. */
const promptKey = 'prompt_embeddings'
const configFile = 'adapter_config.json'
const weightsFile = 'adapter_model.safetensors'
/** The key in the metadata of the weights for the hash of their config. PEFT writes none. */
const hashKey = 'settings_sha256'
/**
 * The number of tries to read files that belong to different saves, and the pause in ms, because another process may be
 * between its two renames.
 */
const mostTries = 10
const pause = 20

/** The name of an adapter's tensor in a file: without the adapter's name, which follows the property. */
function fileName(name: string, adapter: Adapter): string {
  // In PEFT DoRA's norms were a parameter before they became a module, and their name in files stayed.
  return name.replace(`.${adapter.adapterName}`, '').replace(/^lora_magnitude_vector\.weight$/, 'lora_magnitude_vector')
}

/** The tensors of an adapter under PEFT's names: the low-rank weights, and the modules that learn whole. */
function adapterState(
  adapters: readonly (readonly [path: string, adapter: Adapter])[],
  saved: readonly (readonly [path: string, copy: Copy])[],
  naming: Naming,
  prefix: string,
): Map<string, Tensor> {
  const found = new Map<string, Tensor>()
  const put = (path: string, name: string, tensor: Tensor) =>
    void found.set(`${prefix}${naming(path === '' ? name : `${path}.${name}`)}`, tensor)
  for (const [path, adapter] of adapters)
    if (adapter instanceof Prompt)
      found.set(
        promptKey,
        noGrad(() => adapter.results()),
      )
    else for (const [name, tensor] of adapter.namedState()) put(path, fileName(name, adapter), tensor)
  // In PEFT the bias of an adapted layer is inside the layer that it wraps.
  const adapted = new Set(adapters.map(([path]) => path))
  for (const [path, { named, isPart }] of saved)
    for (const [name, tensor] of named) put(path, isPart && adapted.has(path) ? `base_layer.${name}` : name, tensor)
  return found
}

/** The adapter's layers, by their names in files. */
function fileNames(model: Module, name: string): (readonly [path: string, adapter: Adapter])[] {
  const layers = layersOf(model, name)
  const along = new Map(
    layers.flatMap(([path, layer]) => {
      const { adaptation } = layer
      const inner = adaptation.by === 'linear' ? (adaptation.along ?? []) : []
      return inner.map((each) => [each, path] as const)
    }),
  )
  const prompts = slotsIn(model).flatMap(([path, { adapters }]) => {
    const adapter = adapters.get(name)
    return adapter instanceof Prompt ? [[path, adapter] as const] : []
  })
  const named = layers.map(([path, layer, adapter]) => {
    const outer = along.get(layer)
    return [outer === undefined ? path : `${outer}.base_layer${path.slice(outer.length)}`, adapter] as const
  })
  return [...named, ...prompts]
}

/** The adapter's learned copies of whole modules, by path. */
function copiesNamed(model: Module, name: string): (readonly [path: string, copy: Copy])[] {
  return copiesIn(model).flatMap(([path, copies]) => {
    const copy = copies.get(name)
    return copy === undefined ? [] : [[path, copy] as const]
  })
}

/**
 * Names of the adapted layers that select exactly these among all layers: the given names if they do, otherwise paths.
 */
function targetsOf(model: Module, name: string, { kind, options }: Applied): readonly string[] | string {
  if (kind === 'prompt') return []
  const { targetModules } = options
  if (typeof targetModules === 'string' && targetModules !== 'all-linear') return targetModules
  if (Array.isArray(targetModules)) return targetModules
  const layers = layersOf(model, name).filter(([, , adapter]) => !(adapter instanceof TokenRows))
  const along = new Set(
    layers.flatMap(([, { adaptation }]) => (adaptation.by === 'linear' ? (adaptation.along ?? []) : [])),
  )
  const naming = namingOf(model, name)
  const paths = layers.filter(([, layer]) => !along.has(layer)).map(([path]) => naming(path))
  const others = adaptableLayers(model).flatMap(([path]) => (paths.includes(naming(path)) ? [] : [naming(path)]))
  const ambiguous = others.some((path) => paths.some((target) => endsWith(path, target)))
  return ambiguous ? paths.map((path) => path.replace(/[^\w]/g, '\\$&')).join('|') : paths
}

/** The sizes of a model for PEFT's configs of prompts, or null if the model takes no prompt. */
function promptModel(model: Module): PromptModel | null {
  const { promptSizes = null } = model as { readonly promptSizes?: PromptSizes | null }
  if (promptSizes === null) return null
  const { layers, keyHeads, headDim, width, reader = 'decoder' } = promptSizes
  return { layers, keyHeads, keyWidth: keyHeads * headDim, width, reader }
}

export interface AdapterFileOptions {
  /** The adapter's name. Default for saving: the only adapter. Default for loading: 'default'. */
  readonly name?: string
}

export interface SaveAdapterOptions extends AdapterFileOptions {
  /** Also writes a model card, the folder's README.md, with these contents (see `modelCard`). */
  readonly card?: ModelCardOptions
  /**
   * Receives the line about what was written and verified. Default: `console.log`, for models that can be tried, such
   * as AutoModel's.
   */
  readonly log?: (line: string) => void
}

/** Unfinished saves, by folder. They run one at a time, because each reads what it wrote. */
const saving = new Map<string, Promise<void>>()

/**
 * Writes the model's adapter, in its state at the call, into a folder in PEFT's form. The folder is made if missing.
 * Both files are complete before they take their places, weights first, and the weights contain a hash of the config's
 * settings. So loadAdapter reads either the old save or the new one, at any time. A kill exactly between the two
 * renames, in a save with other settings, leaves a folder that loadAdapter refuses; save again. A later save removes
 * `.partial` files of killed saves that are older than a day. Two processes must not save to one folder at the same
 * time. Throws ValueError if the files cannot be written, and the folder then stays as it was.
 *
 * Then it reads both files and compares every number with the state at the call. If the model can be tried (`probe()`,
 * as AutoModel's models have it), it also compares the outputs with the read adapter to those with the model's own, bit
 * for bit. It leaves this out if the adapter has learned more by then, is merged, or began as singular values. It
 * reports this in a line. Throws ValueError if anything differs.
 *
 * The base is not saved. A warning of the process (FIRESTEEL_ADAPTER) names parameters that learn outside of
 * `modulesToSave`. It also names buffers that have changed since LoRA was applied, as running statistics of a batch
 * norm do in training.
 */
export async function saveAdapter(model: Module, folder: string, options: SaveAdapterOptions = {}): Promise<void> {
  const op = 'saveAdapter'
  const { name: given, log: told, card } = checkOptions(op, options, { name: true, log: true, card: true })
  const name = appliedName(op, model, given)
  if (told !== undefined && typeof told !== 'function')
    throw new ValueError(op, `log is ${kindOf(told)}, but must be a function of a line`)
  const log = told ?? (isProbed(model) ? console.log : () => undefined)
  const applied = appliedAs(model, name)
  checkPath(op, 'write', folder)
  const cards = card === undefined ? [] : [cardFile(op, folder, card)]
  const adapters = fileNames(model, name)
  warnOfLost(op, model)
  const state = adapterState(adapters, copiesNamed(model, name), namingOf(model, name), prefixOf(applied))
  const config = `${JSON.stringify(configFrom(applied, targetsOf(model, name, applied), promptModel(model)), null, 2)}\n`
  // The hash covers the settings as loadAdapter will read them from the text.
  const hash = settingsHash(appliedFrom(op, configFile, JSON.parse(config)))
  const weights = tensorFile(join(folder, weightsFile), state, { format: 'pt', [hashKey]: hash }, op)
  const kept = snapshot(state)
  const write = async () => {
    await makeFolder(op, folder)
    const settings = { path: join(folder, configFile), chunks: [new TextEncoder().encode(config)] }
    await writeTogether([weights, settings, ...cards], op)
    log(await prove(op, model, name, folder, kept))
  }
  const before = saving.get(folder)
  const done = before === undefined ? write() : before.then(write, write)
  saving.set(folder, done)
  try {
    await done
  } finally {
    if (saving.get(folder) === done) saving.delete(folder)
    for (const tensor of kept.values()) tensor.dispose()
  }
}

/** Reads the written files and compares them with the intended state. Returns the line with the result. */
async function prove(
  op: string,
  model: Module,
  name: string,
  folder: string,
  kept: ReadonlyMap<string, Tensor>,
): Promise<string> {
  const files = await openTogether(op, folder)
  let tensors: Map<string, Tensor>
  try {
    tensors = await tensorsIn(files.file, kept, op)
  } finally {
    await files.file.close()
  }
  // From here on everything runs in one turn, because the model may learn more.
  if (!areSame(kept, tensors))
    throw new ValueError(op, `${folder} was written, but reading it gives other numbers, so do not use the folder`)
  const line = `saved ${folder}: ${kept.size} tensors, read again and proved: they are equal bit for bit`
  const isSingular = files.applied.kind === 'lora' && ![undefined, 'mica'].includes(files.applied.options.init)
  if (!isProbed(model) || isSingular || !canSwitch(model)) return line
  if (!appliedNames(model).includes(name)) return line
  const now = adapterState(
    fileNames(model, name),
    copiesNamed(model, name),
    namingOf(model, name),
    prefixOf(files.applied),
  )
  if (!areSame(kept, now)) return line
  // A program cannot give this name to an adapter, because an adapter with it could not be saved.
  const { plan, adapters, whole, state } = placed(planOf(op, model, `${name}\0`, files, new Generator(0)))
  matchState(op, { namedState: () => state }, tensors, {}, join(folder, weightsFile)).write()
  return `${line}, and so are ${equalOutputs(op, folder, model, name, plan, adapters, whole)} outputs`
}

interface AdapterFiles {
  readonly applied: Applied
  /** Names in `modulesToSave` that the model need not have. */
  readonly optional: readonly string[]
  readonly file: SafetensorsFile
}

/** The config's options and the open file of its weights, both from one save. */
async function openTogether(op: string, folder: string): Promise<AdapterFiles> {
  checkPath(op, 'read', folder)
  const [config, path] = [join(folder, configFile), join(folder, weightsFile)]
  for (let tries = 1; ; tries++) {
    const json = await readJson(op, config)
    const applied = appliedFrom(op, config, json)
    const file = await SafetensorsFile.open(path, op)
    const hash = file.metadata.get(hashKey)
    if (hash === undefined || hash === settingsHash(applied)) return { applied, optional: optionalHeads(json), file }
    await file.close()
    if (tries === mostTries)
      throw new ValueError(
        op,
        `${path} and ${configFile} beside it come from different saves, or the config's settings were edited; save the adapter ` +
          'again, with settings made by applyLora',
      )
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/**
 * Names of biases that PEFT writes twice if all biases learn: those of modules that learn whole, which it also writes
 * in their original state.
 */
function secondBiases({ applied, saved }: Plan, names: Iterable<string>): string[] {
  if (applied.kind !== 'lora' || applied.options.bias !== 'all') return []
  const again = saved.flatMap(([path]) =>
    ['modules_to_save', 'original_module'].map((each) => `${prefixOf(applied)}${path}.${each}.`),
  )
  return [...names].filter((name) => /\bbias$/.test(name) && again.some((beginning) => name.startsWith(beginning)))
}

/**
 * The plan that puts a file's adapter into a model. Optional modules that the model does not have are left out. PEFT
 * reads `modules_to_save` as ends of paths, so 'norm' also means input_layernorm. Such modules are included if the file
 * holds their weights.
 */
function planOf(
  op: string,
  model: Module,
  name: string,
  { applied, optional, file }: AdapterFiles,
  generator?: Generator,
): Plan {
  const begin = generator === undefined ? {} : { generator }
  const prefix = prefixOf(applied)
  const { modulesToSave = [] } = applied.options
  const modules = [fileNaming(model), byPath].flatMap((naming) =>
    model.namedModules().map(([path, module]) => [naming(path), module, naming] as const),
  )
  const kept = modulesToSave.filter(
    (each) => !optional.includes(each) || modules.some(([path]) => endsWith(path, each)),
  )
  for (const [path, module, naming] of modules)
    if (
      modulesToSave.some((each) => path.endsWith(each)) &&
      !kept.some((each) => endsWith(path, each)) &&
      [...module.namedState()].some(([own]) => file.tensors.has(`${prefix}${naming(`${path}.${own}`)}`))
    )
      kept.push(path)
  const own = { modulesToSave: kept, name }
  const paths = modules.map(([path]) => path)
  switch (applied.kind) {
    case 'lora':
      return planLora(op, model, { ...applied.options, ...own, ...begin, ...beside(applied.options, paths, kept) })
    case 'ia3':
      return planIa3(op, model, { ...applied.options, ...own, ...beside(applied.options, paths, kept) })
    case 'prompt':
      return planPrompt(op, model, { ...applied.options, ...own, ...begin })
  }
}

/**
 * The targets of a file, without those that lie entirely within modules that learn whole. For 'all-linear' PEFT writes
 * every linear layer that it found, including those of a head, but does not adapt these.
 */
function beside(
  { targetModules }: Pick<TargetOptions, 'targetModules'>,
  paths: readonly string[],
  saved: readonly string[],
): Pick<TargetOptions, 'targetModules'> {
  if (!Array.isArray(targetModules)) return { targetModules }
  const whole = paths.filter((path) => saved.some((each) => endsWith(path, each)))
  const isWithin = (path: string) => whole.some((each) => path === each || path.startsWith(`${each}.`))
  const left = targetModules.filter((name: string) => {
    const own = paths.filter((path) => endsWith(path, name))
    return own.length === 0 || !own.every(isWithin)
  })
  return { targetModules: left }
}

/** A plan with its adapters, the modules that learn whole, and the tensors of both under their names in files. */
function placed(plan: Plan) {
  const adapters = adaptersOf(plan)
  const named = plan.layers.map(({ fileName, layer }) => [fileName, adapters.get(layer) as Adapter] as const)
  const whole = copiesOf(plan)
  const state = adapterState(
    named,
    [...plan.saved, ...plan.biases].map(([path, module]) => [path, whole.get(module) as Copy] as const),
    plan.naming,
    prefixOf(plan.applied),
  )
  return { plan, adapters, whole, state }
}

/**
 * Applies an adapter that was written by PEFT or saveAdapter. If the model already has an adapter of that name, the
 * file's replaces it: rank, alpha, patterns, dropout, layers and weights. Merged parts are unmerged first. It is then
 * the only active adapter. Optimizers of `model.parameters()` continue with it. If the rank differs, their state for
 * its weights begins anew. If PEFT also wrote the weight of an adapted layer, as it does for embeddings, that is loaded
 * too. Another process may save to the folder at the same time.
 *
 * Throws ValueError if the config is invalid or asks for modules that do not exist, if the files come from different
 * saves, or if an active adapter cannot be switched off. Throws StateDictError that lists every weight that is missing,
 * unexpected or of the wrong shape. The model has not changed then.
 */
export async function loadAdapter(model: Module, folder: string, options: AdapterFileOptions = {}): Promise<void> {
  const op = 'loadAdapter'
  checkModel(op, model)
  const { name = 'default' } = checkOptions(op, options, { name: true })
  const files = await openTogether(op, folder)
  const { file } = files
  const check = () => {
    const has = appliedNames(model).includes(name)
    if (!has) checkFree(op, model, name)
    const plan = planOf(op, model, name, files)
    checkSwitch(op, model, has ? [name] : [])
    const found = placed(plan)
    const { state } = found
    for (const { fileName, layer } of plan.layers) {
      const key = `${prefixOf(plan.applied)}${fileName}.base_layer.weight`
      if (file.tensors.has(key) && isAdaptable(layer)) state.set(key, layer.adaptation.weight)
    }
    return found
  }
  // The plan is made once before the file is read, to know which tensors are needed, and again afterwards, because the
  // model may have changed meanwhile.
  const path = join(folder, weightsFile)
  let tensors: Map<string, Tensor>
  try {
    tensors = await tensorsIn(file, check().state, op)
  } finally {
    await file.close()
  }
  const { plan, adapters, whole, state } = check()
  for (const key of secondBiases(plan, tensors.keys())) tensors.delete(key)
  const matched = matchState(op, { namedState: () => state }, tensors, {}, path)
  if (appliedNames(model).includes(name)) unmergeLora(model, { name })
  attach(model, plan, adapters, whole)
  matched.write()
}

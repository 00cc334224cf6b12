/** Loads a model from a folder: it is made on meta, where it takes no memory, and gets the weights piece by piece. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { noGrad } from '../autograd/mode.js'
import { defaultDevice } from '../backend/devices.js'
import type { Device } from '../core/device.js'
import { DTypeError, formatShape, shown } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { keep, outsideFrames } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import { replaceMemory } from '../core/tensor.js'
import { openTensors } from '../io/shards.js'
import type { TensorSource } from '../io/source.js'
import { PieceReader } from '../io/tensors.js'
import { type Adaptable, isAdaptable } from '../nn/adapter.js'
import type { Module, Parameter } from '../nn/module.js'
import type { LoadOptions } from '../nn/state.js'
import { castTo } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { type Architecture, configOf, type FileNames } from './architecture.js'
import { type ConfigJson, dtypeOf, readConfig } from './config.js'
import { checkQuantization, Nf4Source } from './nf4.js'
import type { PretrainedModel } from './pretrained.js'

export interface LoadModelOptions {
  /** The device for the model. Default: the default device. */
  readonly device?: string | Device
  /**
   * The dtype of its weights. Default float32, with which training is safe. 'auto' is the dtype named in `config.json`.
   * bfloat16 takes half the memory. float16 becomes float32, because no kernel computes in float16. Weights in NF4 stay
   * in NF4, and are frozen.
   */
  readonly dtype?: 'auto' | 'float32' | 'bfloat16'
}

/** Names of modules, such as a new head on an existing body, that need not be as they are in the folder. */
export interface FreshParts {
  /** Those that the folder may lack. They begin with initial weights. */
  readonly fresh?: readonly string[]
  /** Called with a line for each of these that the folder lacks. */
  readonly absent?: (line: string) => void
  /** Those that the folder may have in another size. Their layers of other sizes begin with initial weights. */
  readonly resizable?: readonly string[]
  /** Called with a line for each layer, or part, that begins anew because of its size. */
  readonly replaced?: (line: string) => void
}

const dtypes = ['auto', 'float32', 'bfloat16'] as const

const isOf = (part: string, name: string): boolean => name === part || name.startsWith(`${part}.`)

/** The model's names for those of the folder, the names that are left out, and the parts that begin anew. */
function naming(
  model: PretrainedModel,
  source: TensorSource,
  files: FileNames,
  { fresh = [], resizable = [], absent, replaced }: FreshParts,
): LoadOptions & { readonly begun: readonly string[] } {
  const own = new Map(model.namedState())
  const { base, ignored, rename = (name) => name } = files
  // A body that was saved alone has names without the beginning that they have within a model with a head.
  const isBody = base !== undefined && !source.names.some((name) => name.startsWith(`${base}.`))
  const called = (name: string): string => {
    const plain = rename(name)
    return isBody && !own.has(plain) ? `${base}.${plain}` : plain
  }
  const names = source.names.map(called)
  const begun = fresh.filter((part) => !names.some((name) => isOf(part, name)))
  for (const part of begun) absent?.(`${part} begins with new weights: ${source.path} has none`)
  for (const [i, name] of names.entries()) {
    const part = resizable.find((each) => isOf(each, name))
    const before = source.spec(source.names[i] as string)?.shape
    const now = own.get(name)?.sizes
    if (part === undefined || before === undefined || (now !== undefined && sameShape(before, now))) continue
    // A part of another structure has no layer to compare.
    const lost = now === undefined ? part : name.slice(0, name.lastIndexOf('.'))
    if (begun.some((each) => isOf(each, lost))) continue
    replaced?.(
      `${lost} begins with new weights: ${name} is ${formatShape(before)} in ${source.path}, but ` +
        `${now === undefined ? 'the model has none' : `${formatShape(now)} in the model`}`,
    )
    begun.push(lost)
  }
  const unread = ignored !== undefined && names.some((name) => ignored.test(name)) ? [ignored] : []
  return { rename: called, exclude: [...begun, ...unread], begun }
}

/** Gives memory and initial weights to parts that do not come from the folder. */
function begin(model: PretrainedModel, device: Device, names: readonly string[]): void {
  const isLeft = (part: Module) => [...part.parameters()].some((parameter) => parameter.device.kind === 'meta')
  const left = model.namedModules().filter(([path, part]) => names.includes(path) && isLeft(part))
  outsideFrames(() => {
    for (const [, part] of left)
      for (const tensor of [...part.parameters(), ...part.namedBuffers().map(([, buffer]) => buffer)])
        if (tensor.device.kind === 'meta')
          replaceMemory(tensor, keep(zeros([...tensor.sizes], { dtype: tensor.dtype, device })))
  })
  for (const [, part] of left) model.initialize(part)
}

/**
 * Prepares parameters whose blocks will be loaded: they take only the blocks' memory, and do not learn. A Conv1D's
 * weight becomes [out, in].
 */
function storeInBlocks(model: PretrainedModel, names: Iterable<string>): void {
  const own = new Map(model.namedParameters())
  const layers = new Map<Parameter, Adaptable>()
  for (const layer of model.modules()) if (isAdaptable(layer)) layers.set(layer.adaptation.weight, layer)
  noGrad(() => {
    for (const name of names) {
      const parameter = own.get(name)
      if (parameter === undefined) continue
      const stored = keep(castTo(layers.get(parameter)?.dense() ?? parameter.detach(), 'nf4'))
      parameter.requiresGrad = false
      replaceMemory(parameter, stored)
    }
  })
}

/** The settings, completed by evidence from the folder's weights. */
async function settled(
  op: string,
  json: ConfigJson,
  { ends, settle }: Required<Pick<Architecture, 'ends' | 'settle'>>,
  source: TensorSource,
): Promise<ConfigJson> {
  const { embedding, head } = ends
  const [table, scores] = [source.spec(embedding), source.spec(head)]
  if (scores === undefined) return settle(json, true)
  // A mismatch is reported together with all others, when the model is filled.
  const comparable = table !== undefined && sameShape(table.shape, scores.shape)
  return settle(
    json,
    comparable && (await new PieceReader(op, source).agree(embedding, head, 'float32', defaultDevice())),
  )
}

/** The model of a configuration, on meta. */
export function skeleton<C extends object, M extends PretrainedModel<C>>(
  op: string,
  path: string,
  architecture: Architecture<C, M>,
  json: ConfigJson,
  { dtype = 'float32' }: LoadModelOptions,
): M {
  if (!dtypes.includes(dtype))
    throw new DTypeError(op, `dtype is ${shown(dtype)}, but must be one of ${dtypes.join(', ')}`)
  const config = configOf(op, path, json, architecture)
  const own = dtypeOf(op, path, json) === 'bfloat16' ? 'bfloat16' : 'float32'
  // Nothing is drawn on meta, so the program's generator stays as it is.
  const generator = new Generator(0)
  return architecture.make(config, json, { device: 'meta', dtype: dtype === 'auto' ? own : dtype, generator })
}

/**
 * The model of a folder with `config.json` and weights. Throws ValueError for settings that are wrong, unknown or
 * unsupported, and StateDictError that lists all weights that are missing, unexpected or of the wrong shape.
 */
export async function loadModel<C extends object, M extends PretrainedModel<C>>(
  op: string,
  folder: string,
  architecture: Architecture<C, M>,
  given: ConfigJson | null,
  options: LoadModelOptions & FreshParts = {},
): Promise<M> {
  const path = join(folder, 'config.json')
  const json = given ?? (await readConfig(op, path))
  let model = skeleton(op, path, architecture, json, options)
  const writing = join(folder, 'generation_config.json')
  const generationConfig = existsSync(writing) ? await readConfig(op, writing) : null
  const pictures = join(folder, 'preprocessor_config.json')
  const preprocessorConfig = existsSync(pictures) ? await readConfig(op, pictures) : null
  const quantised = checkQuantization(op, path, json)
  const file = await openTensors(folder, op)
  try {
    const source = quantised ? await Nf4Source.open(op, file) : file
    const { ends, settle } = architecture
    if (ends !== undefined && settle !== undefined) {
      const known = await settled(op, json, { ends, settle }, source)
      if (!isDeepStrictEqual(known, json)) model = skeleton(op, path, architecture, known, options)
    }
    model.generationConfig = generationConfig
    model.preprocessorConfig = preprocessorConfig
    if (source instanceof Nf4Source) storeInBlocks(model, source.quantised)
    const { device } = options
    const { begun, ...names } = naming(model, source, architecture.files ?? {}, options)
    await model.load(source, { ...names, ...(device === undefined ? {} : { device }) })
    const filled = [...model.parameters()].find((parameter) => parameter.device.kind !== 'meta')
    begin(model, filled?.device ?? defaultDevice(), begun)
    model.newWeights = [...model.namedParameters()].flatMap(([name]) =>
      begun.some((part) => isOf(part, name)) ? [name] : [],
    )
  } finally {
    await file.close()
  }
  return model
}

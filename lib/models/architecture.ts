/** A kind of model, as the code sees it that loads, saves and chooses models. */
import { namedAs } from '../core/errors.js'
import type { LayerOptions } from '../nn/layer.js'
import { type ConfigJson, Settings } from './config.js'
import type { PretrainedModel } from './pretrained.js'

/** Names in files, if they differ from the model's own. */
export interface FileNames {
  /**
   * The module in a folder of the model without its head, such as GPT-2's `transformer`: names in that folder lack this
   * beginning.
   */
  readonly base?: string
  /** The model's name for a name in an old file, such as LayerNorm.gamma. */
  readonly rename?: (name: string) => string
  /** Tensors in files that are not weights, such as tables that follow from the configuration, by the model's names. */
  readonly ignored?: RegExp
}

/** A kind of model: makes a model from a configuration. `AutoModel` has a list of them. */
export interface Architecture<C extends object = object, M extends PretrainedModel<C> = PretrainedModel<C>> {
  /** Its class in transformers, as in `architectures` of a configuration. */
  readonly name: string
  /** Its `model_type`s. */
  readonly modelTypes: readonly string[]
  readonly files?: FileNames
  /** Names of the modules of a new head, which are missing in folders of a model for another task. */
  readonly head?: readonly string[]
  /**
   * Names of the embedding's weight and the head's. They are given if the folder's content decides whether these are
   * one or two, whatever its settings say. They are one if the head is missing or has the same values. Then `settle`
   * returns the matching settings.
   */
  readonly ends?: { readonly embedding: string; readonly head: string }
  settle?(json: ConfigJson, tied: boolean): ConfigJson
  /** Reads the content of `config.json`. */
  read(settings: Settings): C
  make(config: C, json: ConfigJson, options: LayerOptions): M
}

/** Throws ValueError for settings that are wrong, unknown or unsupported. */
export function configOf<C extends object, M extends PretrainedModel<C>>(
  op: string,
  path: string,
  json: ConfigJson,
  architecture: Architecture<C, M>,
): C {
  const settings = new Settings(op, path, json)
  const config = architecture.read(settings)
  settings.close()
  return config
}

/** A model from a configuration, with initial weights for training. */
export function fromConfig<C extends object, M extends PretrainedModel<C>>(
  op: string,
  architecture: Architecture<C, M>,
  json: ConfigJson,
  options: LayerOptions = {},
): M {
  const known = Object.entries(json).filter(([, value]) => value !== undefined)
  const given = {
    model_type: architecture.modelTypes[0],
    architectures: [architecture.name],
    ...Object.fromEntries(known),
  }
  const config = configOf(op, 'the configuration', given, architecture)
  return namedAs(op, () => {
    const model = architecture.make(config, given, options)
    model.initialize(model, options.generator)
    return model
  })
}

/** The options of layers within a larger object. */
export function layerOf({
  device,
  dtype,
  generator,
}: {
  readonly [K in keyof LayerOptions]: LayerOptions[K] | undefined
}): LayerOptions {
  return {
    ...(device === undefined ? {} : { device }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(generator === undefined ? {} : { generator }),
  }
}

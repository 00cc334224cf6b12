/** A kind of model, as those see it who load, save and choose models. */
import { namedAs } from '../core/errors.js'
import type { LayerOptions } from '../nn/layer.js'
import { type ConfigJson, Settings } from './config.js'
import type { PretrainedModel } from './pretrained.js'

/** Names in files, where they are not the model's own. */
export interface FileNames {
  /** The module that a folder of the model without its head holds, as GPT-2's `transformer`: its names lack that beginning. */
  readonly base?: string
  /** The model's name for a name of an old file, as LayerNorm.gamma. */
  readonly rename?: (name: string) => string
  /** Tensors in files besides weights, as tables that follow from the configuration, by the model's names. */
  readonly ignored?: RegExp
}

/** A kind of model: what makes one of a configuration. `AutoModel` has a list of them. */
export interface Architecture<C extends object = object, M extends PretrainedModel<C> = PretrainedModel<C>> {
  /** Its class in transformers, as `architectures` of a configuration has it. */
  readonly name: string
  /** Its `model_type`s. */
  readonly modelTypes: readonly string[]
  readonly files?: FileNames
  /** Names of the modules that a new head has, which folders of a model for something else lack. */
  readonly head?: readonly string[]
  /**
   * Names of the embedding's weight and the head's, where these are one or two by what a folder holds, whatever its settings say:
   * one where the head is missing or has the same values. Then `settle` gives the settings that say so.
   */
  readonly ends?: { readonly embedding: string; readonly head: string }
  settle?(json: ConfigJson, tied: boolean): ConfigJson
  /** Takes what `config.json` says. */
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

/** A model of a configuration, with the weights that training begins with. */
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

/** The options of layers among others. */
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

/**
 * The common part of all models of Hugging Face's folders: a configuration, saving to a folder, and initial weights.
 */
import { noGrad } from '../autograd/mode.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { DTypeError, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import type { Tensor } from '../core/tensor.js'
import { isAdaptable } from '../nn/adapter.js'
import { Embedding } from '../nn/embedding.js'
import { normal_, zeros_ } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { fill_ } from '../ops/inplace.js'
import { select } from '../ops/shape/index.js'
import type { Architecture } from './architecture.js'
import type { ConfigJson } from './config.js'
import { Conv1D } from './conv1d.js'
import { type SaveOptions, saveModel } from './save.js'

/** A model that a Hugging Face folder can hold. */
export abstract class PretrainedModel<out C extends object = object> extends Module {
  #config: C
  readonly #json: ConfigJson

  /**
   * The content of `generation_config.json` beside the configuration, or null if there is none. Saving writes it again.
   */
  generationConfig: ConfigJson | null = null

  /**
   * The content of `preprocessor_config.json`, which describes how pictures become pixels, or null. Saving writes it
   * again.
   */
  preprocessorConfig: ConfigJson | null = null

  /**
   * Names of weights that the folder lacked, so that they began with initial ones, which are random except for biases:
   * those of a new head, for example. Empty if all weights came from the folder, and for a model of a configuration, in
   * which all are new.
   */
  newWeights: readonly string[] = []

  /** `json` is the object from which `config` was read. */
  constructor(config: C, json: ConfigJson) {
    super()
    this.#config = config
    this.#json = json
  }

  /** The configuration from which the model was made. */
  get config(): C {
    return this.#config
  }

  abstract get architecture(): Architecture<object, PretrainedModel>

  /** The layers in the middle, from the input to the output. */
  abstract blocks(): Module[]

  /** Settings in a saved `config.json` that differ from those from which the model was made. */
  protected get changes(): ConfigJson {
    return {}
  }

  /** Changes the model's configuration, because its vocabulary may be resized. */
  protected reconfigure(change: Partial<C>): void {
    this.#config = { ...this.#config, ...change }
  }

  /** The `config.json` of the model in its present state. */
  toConfig(): ConfigJson {
    return { ...this.#json, architectures: [this.architecture.name], ...this.changes }
  }

  /** The standard deviation of initial weights. */
  protected get initializerRange(): number {
    return Number(this.#json['initializer_range'] ?? 0.02)
  }

  /**
   * Gives a part of the model, or all of it, initial weights for training, as in transformers. Linear layers and
   * embeddings get normally distributed ones with the standard deviation `initializer_range`. Biases and padding get
   * zeros. Norms stay unchanged.
   */
  initialize(part: Module, generator?: Generator): void {
    const std = this.initializerRange
    const done = new Set<object>()
    noGrad(() => {
      for (const layer of part.modules()) {
        if (!(layer instanceof Linear || layer instanceof Conv1D || layer instanceof Embedding)) continue
        // Tied weights are initialised once, so that both names draw the same numbers.
        if (done.has(layer.weight)) continue
        done.add(layer.weight)
        normal_(layer.weight, 0, std, { generator })
        if (layer instanceof Embedding) {
          if (layer.paddingIdx !== null) fill_(select(layer.weight, 0, layer.paddingIdx), 0)
        } else if (layer.bias !== null) zeros_(layer.bias)
      }
    })
  }

  /**
   * Throws if the model has adapters, or weights in blocks or in several dtypes, because this kind of folder cannot
   * hold them.
   */
  checkPlain(op: string): void {
    const dtypes = new Map<DType, string>()
    for (const [name, { dtype }] of this.namedParameters()) {
      if (isBlocks(dtype))
        throw new ValueError(
          op,
          `${name} is in ${dtype} blocks, which this kind of folder cannot hold; save the adapters beside them with saveAdapter`,
        )
      if (dtype !== 'float32' && dtype !== 'bfloat16')
        throw new DTypeError(op, `${name} is ${dtype}, but must be float32 or bfloat16; convert the model with .to()`)
      if (!dtypes.has(dtype)) dtypes.set(dtype, name)
    }
    if (dtypes.size > 1) {
      const found = [...dtypes].map(([dtype, name]) => `${name} is ${dtype}`)
      throw new DTypeError(
        op,
        `${found.join(', ')}, but all weights must be of one dtype; convert the model with .to()`,
      )
    }
    for (const [path, layer] of this.namedModules())
      if (isAdaptable(layer) && layer.adapters.names.length > 0)
        throw new ValueError(
          op,
          `${path} has the adapter '${layer.adapters.names[0]}'; save it with saveAdapter, or merge it and remove it first ` +
            '(mergeLora, removeLora)',
        )
  }

  /**
   * Writes `config.json` and `model.safetensors`, in transformers' form, into a folder, which is made if missing. Then
   * it loads a model from the written files, compares its outputs with this model's, bit for bit, and reports that in a
   * line. This takes the memory of the weights once more. `card` adds a README.md in the hub's form. More bytes than
   * `maxShardSize` become shards with an index, and files of weights of an earlier save do not remain. A process that
   * is killed while shards take the places of others may leave a folder that says it lacks an index. A tied pair that
   * is no longer tied is written as two tensors, and `tie_word_embeddings` becomes false. Throws ValueError if the
   * files cannot be written, if the model has adapters, or if the folder's outputs differ.
   */
  override async save(folder: string, options: SaveOptions = {}): Promise<void> {
    await saveModel(this, folder, options)
  }

  /** The outputs that verify a save, for a few inputs derived from the configuration. */
  abstract probe(): readonly Tensor[]
}

/** The common part of all models of Hugging Face's folders: a configuration, a folder to be saved to, and initial weights. */
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

/** A model that a Hugging Face folder holds. */
export abstract class PretrainedModel<out C extends object = object> extends Module {
  #config: C
  readonly #json: ConfigJson

  /** The content of `generation_config.json` beside the configuration; null where there is none. It is saved again. */
  generationConfig: ConfigJson | null = null

  /** The content of `preprocessor_config.json`, which says how pictures become pixels; likewise. */
  preprocessorConfig: ConfigJson | null = null

  /** `json` is what `config` was read from. */
  constructor(config: C, json: ConfigJson) {
    super()
    this.#config = config
    this.#json = json
  }

  /** The configuration that the model was made of. */
  get config(): C {
    return this.#config
  }

  abstract get architecture(): Architecture<object, PretrainedModel>

  /** The layers in the middle, from the input to the output. */
  abstract blocks(): Module[]

  /** Settings that a saved `config.json` has otherwise than the one that the model was made of. */
  protected get changes(): ConfigJson {
    return {}
  }

  /** Writes to the model's configuration, because it may change size. */
  protected reconfigure(change: Partial<C>): void {
    this.#config = { ...this.#config, ...change }
  }

  /** The `config.json` of the model as it is now. */
  toConfig(): ConfigJson {
    return { ...this.#json, architectures: [this.architecture.name], ...this.changes }
  }

  /** The deviation of initial weights. */
  protected get initializerRange(): number {
    return Number(this.#json['initializer_range'] ?? 0.02)
  }

  /**
   * Gives a part of the model, or all of it, the weights that training begins with, as transformers does: normal ones of
   * deviation `initializer_range` for linear layers and embeddings, zeros for biases and padding. Norms stay as they were made.
   */
  initialize(part: Module, generator?: Generator): void {
    const std = this.initializerRange
    const done = new Set<object>()
    noGrad(() => {
      for (const layer of part.modules()) {
        if (!(layer instanceof Linear || layer instanceof Conv1D || layer instanceof Embedding)) continue
        // Tied weights once, so that both draw the same numbers.
        if (done.has(layer.weight)) continue
        done.add(layer.weight)
        normal_(layer.weight, 0, std, { generator })
        if (layer instanceof Embedding) {
          if (layer.paddingIdx !== null) fill_(select(layer.weight, 0, layer.paddingIdx), 0)
        } else if (layer.bias !== null) zeros_(layer.bias)
      }
    })
  }

  /** Throws where adapters stand beside the weights, or these are in blocks or of several dtypes: no such folder holds that. */
  checkPlain(op: string): void {
    const dtypes = new Map<DType, string>()
    for (const [name, { dtype }] of this.namedParameters()) {
      if (isBlocks(dtype))
        throw new ValueError(
          op,
          `${name} is of ${dtype} blocks, which such a folder does not hold; save what learns beside them with saveAdapter`,
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
          `${path} has the adapter '${layer.adapters.names[0]}'; save it with saveAdapter, or merge it and take it out before ` +
            '(mergeLora, removeLora)',
        )
  }

  /**
   * Writes `config.json` and `model.safetensors`, as transformers has them, into a folder, which is made where it is not there.
   * Then it makes a model of what was written and holds its outputs against this model's, bit for bit, and says so in a line.
   * That takes the memory of the weights once more. `card` adds a README.md, as the hub has it. A tied pair that is no longer one is written as two, and
   * `tie_word_embeddings` says false. Throws ValueError where it cannot be written, where the model has adapters, or where the
   * folder gives other outputs.
   */
  override async save(folder: string, options: SaveOptions = {}): Promise<void> {
    await saveModel(this, folder, options)
  }

  /** The outputs that prove a save, of a few inputs that follow from the configuration. */
  abstract probe(): readonly Tensor[]
}

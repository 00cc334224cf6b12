/** The common part of models that support prompts, which learn while the weights stay unchanged. */
import { type PromptSizes, Prompts } from '../nn/prompt.js'
import type { OnGenerator, OnHolder, OnTensor } from '../nn/walk.js'
import { PretrainedModel } from './pretrained.js'

export abstract class PromptableModel<out C extends object = object> extends PretrainedModel<C> {
  readonly #prompts = new Prompts(this)

  /** Learned prompts, by name: see `applyPrompt`. */
  get adapters(): Prompts {
    return this.#prompts
  }

  /** The sizes of this model's prompts, or null if it takes none. */
  get promptSizes(): PromptSizes | null {
    return null
  }

  /** Also visits the prompts, under PEFT's names. */
  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    if (onHolder !== null)
      for (const [name, prompt] of this.#prompts) onHolder(`adapters.${name}`, prompt, `prompt_encoder.${name}`)
  }
}

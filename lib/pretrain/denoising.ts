/** Denoising auto-encoders (Vincent et al., 2008): an input is damaged, and the model learns to restore it. */
import { isFloating } from '../core/dtype.js'
import { DTypeError, formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { add, ge, mul, where } from '../ops/elementwise/index.js'
import { binaryCrossEntropyWithLogits, mseLoss } from '../ops/loss/index.js'
import { rand, randn } from '../ops/random.js'
import type { Objective } from '../train/objective.js'

export interface DenoisingOptions {
  /** The damage: added normal noise (default), or elements set to 0. */
  readonly noise?: 'normal' | 'masking'
  /** The standard deviation of normal noise, or the share of elements that are set to 0. Default 0.3. */
  readonly amount?: number
  /**
   * The loss: squares of the errors (default), or cross entropy for inputs from 0 to 1 and a model that gives logits.
   */
  readonly loss?: 'squares' | 'crossEntropy'
}

/** A model that returns its input: [B, ...] -> [B, ...]. */
export interface AutoEncoder extends Module {
  forward(x: Tensor): Tensor
}

/**
 * The objective of denoising auto-encoders over batches of inputs, or of lists that begin with them ([input, target]).
 * It is the loss of the model's output for the damaged input against the whole one, summed over elements. Noise is
 * drawn from the default generator. In evaluation mode it is the same for each batch of a shape, so that validations can
 * be compared and disturb no training. `predict` damages nothing. Throws ValueError for an unknown noise or loss, or an
 * amount out of range.
 */
export function denoising(
  options: DenoisingOptions = {},
): Objective<AutoEncoder, Tensor | readonly [input: Tensor, ...rest: unknown[]]> {
  const op = 'denoising'
  const {
    noise = 'normal',
    amount = 0.3,
    loss = 'squares',
  } = checkOptions(op, options, {
    noise: true,
    amount: true,
    loss: true,
  })
  if (noise !== 'normal' && noise !== 'masking')
    throw new ValueError(op, `noise is ${shown(noise)}, but must be 'normal' or 'masking'`)
  if (loss !== 'squares' && loss !== 'crossEntropy')
    throw new ValueError(op, `loss is ${shown(loss)}, but must be 'squares' or 'crossEntropy'`)
  if (!(typeof amount === 'number' && amount >= 0 && amount < (noise === 'masking' ? 1 : Number.POSITIVE_INFINITY)))
    throw new ValueError(
      op,
      `amount is ${shown(amount)}, but must be ${noise === 'masking' ? 'a share from 0 to below 1' : 'a standard deviation, not negative'}`,
    )
  const inputOf = (batch: unknown): Tensor => {
    const input: unknown = Array.isArray(batch) ? batch[0] : batch
    if (!(input instanceof Tensor))
      throw new ValueError(op, `the batch is ${kindOf(batch)}, but must be a tensor, or a list that begins with one`)
    if (!isFloating(input.dtype)) throw new DTypeError(op, `the input is ${input.dtype}, but must be floating`)
    return input
  }
  return {
    loss(model, batch) {
      const target = inputOf(batch)
      const output = model.forward(damaged(target, { noise, amount }, model.training ? null : new Generator(0)))
      if (!sameShape(output.sizes, target.sizes))
        throw new ShapeError(
          op,
          `the model gave ${formatShape(output.sizes)} for an input of ${formatShape(target.sizes)}, but must give its shape`,
          [output.sizes, target.sizes],
        )
      const total =
        loss === 'squares'
          ? mseLoss(output, target, { reduction: 'sum' })
          : binaryCrossEntropyWithLogits(output, target, { reduction: 'sum' })
      return { total, count: target.numel, output, target }
    },
    predict: (model, batch) => model.forward(inputOf(batch)),
  }
}

/** A damaged copy of an input, by numbers of the generator, or of the default one. */
export function damaged(
  x: Tensor,
  { noise, amount }: Required<Pick<DenoisingOptions, 'noise' | 'amount'>>,
  generator: Generator | null,
): Tensor {
  const from = { device: x.device, ...(generator && { generator }) }
  if (noise === 'normal') return add(x, mul(randn(x.sizes, from), amount))
  return where(ge(rand(x.sizes, from), amount), x, 0)
}

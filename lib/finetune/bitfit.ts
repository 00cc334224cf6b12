/** BitFit: only biases learn. */
import { ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { type Module, Parameter } from '../nn/module.js'
import { type Selection, select, setLearning } from './freeze.js'
import { isBias, normParameters } from './norms.js'
import { checkModel } from './select.js'

export interface BitfitOptions {
  /** Parameters that learn whole besides the biases, such as a new head's. */
  readonly head?: Selection
  /** Whether the weights of norms also learn, which is necessary in models without biases. Default false. */
  readonly norms?: boolean
}

/**
 * Lets only biases learn, and freezes everything else (Ben Zaken et al., 2022). Returns the number of learning
 * parameters. Throws ValueError for a model without biases, such as Llama, unless its norms learn.
 */
export function bitfit(model: Module, options: BitfitOptions = {}): number {
  const op = 'bitfit'
  checkModel(op, model)
  const { head, norms = false } = checkOptions(op, options, { head: true, norms: true })
  checkFlag(op, 'norms', norms)
  const ofNorms = norms ? normParameters(model) : new Set()
  const learning = new Set<Parameter>()
  for (const [path, tensor] of model.namedState())
    if (tensor instanceof Parameter && (isBias(path) || ofNorms.has(tensor))) learning.add(tensor)
  if (learning.size === 0)
    throw new ValueError(
      op,
      norms
        ? 'the model has neither biases nor norms with weights; choose what learns with freeze and unfreeze'
        : 'the model has no biases; let the weights of its norms learn instead: bitfit(model, { norms: true })',
    )
  for (const parameter of head === undefined ? [] : select(op, model, head)) learning.add(parameter)
  setLearning(model.parameters(), false)
  setLearning(learning, true)
  return learning.size
}

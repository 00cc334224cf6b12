/** Norms and biases of a model. Weight decay leaves them out, and they can be frozen or learned separately. */
import type { Tensor } from '../core/tensor.js'
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
} from '../nn/batch-norm.js'
import type { Module, Parameter } from '../nn/module.js'
import { GroupNorm, LayerNorm, RMSNorm } from '../nn/norm.js'
import { setLearning } from './freeze.js'
import { checkModel } from './select.js'

const kinds = [
  ...[LayerNorm, RMSNorm, GroupNorm],
  ...[BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d],
] as const

/** Whether it is a norm of the library, or a program's own layer that calls itself one and has only vectors. */
function isNorm(path: string, module: Module): boolean {
  if (kinds.some((kind) => module instanceof kind)) return true
  const names = [module.constructor.name, path.slice(path.lastIndexOf('.') + 1)]
  if (!names.some((name) => /norm$/i.test(name)) || module.children().length > 0) return false
  return module.ownParameters().every((parameter) => parameter.ndim === 1)
}

/** Norms in the model, each once. */
export function normsIn(model: Module): Module[] {
  return model.namedModules().flatMap(([path, module]) => (isNorm(path, module) ? [module] : []))
}

/** Parameters of norms. */
export function normParameters(model: Module): Set<Tensor> {
  return new Set(normsIn(model).flatMap((norm) => norm.ownParameters()))
}

/** Whether a parameter's path names a bias: `bias`, `in_proj_bias`, `bias_hh_l0`. */
export function isBias(path: string): boolean {
  return /(^|_)bias(_|$)/.test(path.slice(path.lastIndexOf('.') + 1))
}

/**
 * Freezes norms: their weights and biases, and the running statistics of batch norms, with which these then normalise
 * in training too. Returns the number of norms, 0 if a model has none. `unfreeze` lets weights and biases learn again,
 * and `model.train()` the statistics; the Trainer leaves both as they are.
 */
export function freezeNorms(model: Module): number {
  checkModel('freezeNorms', model)
  const norms = normsIn(model)
  for (const norm of norms) {
    setLearning(norm.ownParameters() as Parameter[], false)
    norm.eval()
  }
  return norms.length
}

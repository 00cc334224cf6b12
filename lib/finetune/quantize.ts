/**
 * Storing weights in blocks, in a fourth of their memory or less and frozen, as QLoRA does
 * (https://arxiv.org/abs/2305.14314).
 */
import { noGrad } from '../autograd/mode.js'
import { checkBlockShape } from '../core/blocks.js'
import { type BlockDType, blockDTypes, isBlocks, isFloating } from '../core/dtype.js'
import { DTypeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep } from '../core/scope.js'
import { isOverlapping } from '../core/shape.js'
import { replaceMemory } from '../core/tensor.js'
import { type Adaptable, isAdaptable } from '../nn/adapter.js'
import type { Module, Parameter } from '../nn/module.js'
import { stateless } from '../nn/naming.js'
import { castTo } from '../ops/convert.js'
import { byNames, checkModel, checkNames, type Named, quoted } from './select.js'

export interface QuantizeOptions {
  /**
   * The layers among Linear, Conv1D and Embedding: names, each a path or the last parts of one, or a regular expression
   * for paths. The default is every Linear and Conv1D.
   */
  readonly modules?: readonly string[] | RegExp
}

function isStorable(layer: unknown): layer is Adaptable {
  if (!isAdaptable(layer)) return false
  const { adaptation } = layer
  return adaptation.by === 'embedding' || (adaptation.by === 'linear' && adaptation.along === undefined)
}

function chosen(model: Module, modules: QuantizeOptions['modules']): readonly Named<Adaptable>[] {
  const storable = [...model.namedModules()].filter((named): named is [string, Adaptable] => isStorable(named[1]))
  if (Array.isArray(modules)) {
    checkNames('quantize', 'modules', modules)
    return byNames('quantize', 'modules', modules, storable)
  }
  if (modules !== undefined && !(modules instanceof RegExp))
    throw new ValueError(
      'quantize',
      `modules is ${shown(modules)}, but must be a list of names or a regular expression`,
    )
  const matches = modules === undefined ? null : stateless(modules)
  const found = storable.filter(([path, { adaptation }]) => (matches ? matches(path) : adaptation.by === 'linear'))
  if (found.length === 0)
    throw new ValueError(
      'quantize',
      storable.length === 0
        ? 'the model has no Linear, Conv1D or Embedding layer, and only their weights can be stored in blocks'
        : `no layer is chosen; those that can be stored in blocks are ${quoted(storable.map(([path]) => path))}`,
    )
  return found
}

/**
 * Stores the weights of linear layers (or of those that `modules` names) in a block dtype, in place, and freezes them.
 * They no longer want a gradient, but gradients still flow through them. Adapters and biases stay unchanged and learn.
 * Everything is checked before anything changes. Quantising a model on `meta` predicts its memory, and `load` then
 * stores weights this way. The weight of a Conv1D is turned to [out, in], which files of its floats no longer fit, so
 * quantise GPT-2 after loading it. Throws ShapeError if the last dimension of a weight does not consist of whole
 * blocks. Throws DTypeError if the dtype has no blocks, or a weight is not of floats. Throws ValueError if a name fits
 * no layer, or weights share memory.
 */
export function quantize<M extends Module>(model: M, dtype: BlockDType, options: QuantizeOptions = {}): M {
  checkModel('quantize', model)
  if (!blockDTypes.some((each) => each === dtype))
    throw new DTypeError('quantize', `the dtype is ${shown(dtype)}, but must be one of ${blockDTypes.join(', ')}`)
  const { modules } = checkOptions<QuantizeOptions>('quantize', options, { modules: true })
  const layers = chosen(model, modules)
  const weights = new Map<Parameter, Named<Adaptable>>()
  for (const named of layers) weights.set(named[1].adaptation.weight, named)
  const parameters = [...model.namedParameters()]
  for (const [weight, [path, layer]] of weights) {
    const place = path === '' ? 'the weight' : `the weight of ${path}`
    weight.storage.check('quantize', place)
    if (!isFloating(weight.dtype) && !isBlocks(weight.dtype))
      throw new DTypeError('quantize', `${place} is ${weight.dtype}, but must be floating`)
    if (isBlocks(weight.dtype) && weight.dtype !== dtype)
      throw new DTypeError('quantize', `${place} is already ${weight.dtype}; quantise the model with floating weights`)
    // The sizes of `dense` are used, because blocks lie along the dimension over which a product sums, however the
    // layer stores its floats.
    const sizes = isBlocks(weight.dtype) ? weight.sizes : layer.dense().sizes
    checkBlockShape(`quantize: ${place}`, dtype, sizes)
    const other = parameters.find(([, each]) => each !== weight && each.storage === weight.storage)
    if (other !== undefined || isOverlapping(weight))
      throw new ValueError(
        'quantize',
        `${place} shares memory with ${other?.[0] ?? 'itself'}, which blocks cannot do; give it its own memory first`,
      )
  }
  noGrad(() => {
    for (const [weight, [, layer]] of weights) {
      if (weight.dtype === dtype) continue
      const stored = keep(castTo(layer.dense(), dtype))
      weight.requiresGrad = false
      weight.grad = null
      replaceMemory(weight, stored)
    }
  })
  return model
}

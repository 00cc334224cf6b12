/** Weights of layers that are drawn, and handed to both libraries under PyTorch's names. */
import type * as f from '../../../lib/index.js'
import type { Choices, Given } from './setting.js'

/** The layer with tensors in place of its parameters, in the order in which a walk finds them. */
export function filled<M extends f.nn.Module>(layer: M, given: readonly f.Tensor[]): M {
  const parameters = [...layer.namedParameters()]
  if (parameters.length !== given.length)
    throw new Error(`${parameters.length} parameters, but ${given.length} tensors`)
  for (const [i, [name, parameter]] of parameters.entries()) {
    const path = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()).split('.')
    const last = path.pop() as string
    const owner = path.reduce<unknown>((at, part) => Reflect.get(at as object, part), layer) as object
    if (Reflect.get(owner, last) !== parameter) throw new Error(`${name} is not the property ${last} of its module`)
    Reflect.set(owner, last, given[i])
  }
  return layer
}

/** A tensor for each parameter of the layer, and PyTorch's names of these inputs, the first of which is x`first`. */
export function weightsOf(draw: Choices, layer: f.nn.Module, first: number, scale = 0.5) {
  const named = [...layer.namedParameters()]
  const given: Given[] = named.map(([, { shape }]) => draw.floats(shape, scale))
  return { given, python: `{${named.map(([name], i) => `'${name}': x${first + i}`).join(', ')}}` }
}

/** The options of a layer that computes where the tensor is. */
export const like = (x: f.Tensor) => ({ device: x.device, dtype: x.dtype as 'float32' })

/** Activations by the names that `config.json` has for them. */
import type { Tensor } from '../core/tensor.js'
import { gelu, relu, silu, tanh } from '../ops/elementwise/index.js'

const tanhGelu = (x: Tensor): Tensor => gelu(x, { approximate: 'tanh' })

const activations = {
  gelu: (x: Tensor): Tensor => gelu(x),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  relu: (x: Tensor): Tensor => relu(x),
  silu: (x: Tensor): Tensor => silu(x),
  swish: (x: Tensor): Tensor => silu(x),
  tanh: (x: Tensor): Tensor => tanh(x),
} as const satisfies { readonly [name: string]: (x: Tensor) => Tensor }

export type ActivationName = keyof typeof activations

export const activationNames = Object.keys(activations) as readonly ActivationName[]

/** The function of that name. `gelu` is exact; `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh` are its approximation by tanh. */
export function activationOf(name: ActivationName): (x: Tensor) => Tensor {
  return activations[name]
}

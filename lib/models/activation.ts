/** Activations by the names in `config.json`, which are those of transformers' table. */
import type { Tensor } from '../core/tensor.js'
import {
  add,
  clamp,
  erf,
  gelu,
  hardswish,
  leakyRelu,
  mish,
  mul,
  relu,
  relu6,
  sigmoid,
  silu,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
} from '../ops/elementwise/index.js'

const exactGelu = (x: Tensor): Tensor => gelu(x)
const tanhGelu = (x: Tensor): Tensor => gelu(x, { approximate: 'tanh' })

/** The cumulative normal distribution whose mean and deviation approximate the square of ReLU (Ma et al., 2022). */
function laplace(x: Tensor): Tensor {
  const [mean, deviation] = [0.707107, 0.282095]
  return mul(add(erf(mul(sub(x, mean), 1 / (deviation * Math.SQRT2)) as Tensor), 1), 0.5)
}

const activations = {
  gelu: exactGelu,
  gelu_python: exactGelu,
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_accurate: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_python_tanh: tanhGelu,
  gelu_10: (x: Tensor): Tensor => clamp(gelu(x), -10, 10),
  quick_gelu: (x: Tensor): Tensor => mul(x, sigmoid(mul(x, 1.702) as Tensor)),
  relu: (x: Tensor): Tensor => relu(x),
  relu2: (x: Tensor): Tensor => square(relu(x)),
  relu6: (x: Tensor): Tensor => relu6(x),
  leaky_relu: (x: Tensor): Tensor => leakyRelu(x),
  silu: (x: Tensor): Tensor => silu(x),
  swish: (x: Tensor): Tensor => silu(x),
  hardswish: (x: Tensor): Tensor => hardswish(x),
  mish: (x: Tensor): Tensor => mish(x),
  sigmoid: (x: Tensor): Tensor => sigmoid(x),
  tanh: (x: Tensor): Tensor => tanh(x),
  sqrtsoftplus: (x: Tensor): Tensor => sqrt(softplus(x)),
  laplace,
  linear: (x: Tensor): Tensor => x,
} as const satisfies { readonly [name: string]: (x: Tensor) => Tensor }

export type ActivationName = keyof typeof activations

export const activationNames = Object.keys(activations) as readonly ActivationName[]

/** The function with this name. `gelu` is exact. `gelu_new` and its relatives are its approximation by tanh. */
export function activationOf(name: ActivationName): (x: Tensor) => Tensor {
  return activations[name]
}

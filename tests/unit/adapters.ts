/** Adapters as a user would write them, and the numbers of their tests. */

import { expect } from 'vitest'
import { LoraAdapter } from '../../lib/finetune/index.js'
import {
  add,
  linear,
  matmul,
  mul,
  nn,
  noGrad,
  ones,
  reshape,
  sum,
  type Tensor,
  tensor,
  transpose,
} from '../../lib/index.js'

/** The inputs that PyTorch was given for the values below, in float64. */
export const values = (count: number, k = 0) =>
  Array.from({ length: count }, (_, i) => (((i * 7 + k * 3) % 11) - 5) / 4)
export const numbers = (shape: readonly number[], k: number, device: string) =>
  reshape(
    tensor(
      values(
        shape.reduce((a, b) => a * b, 1),
        k,
      ),
      { device },
    ),
    [...shape],
  )
export const put = (parameter: Tensor, k: number) =>
  noGrad(() => void parameter.copy_(numbers(parameter.shape, k, parameter.device.name)))
export const close = (found: Tensor | null, expected: readonly number[] | Tensor, digits = 5) => {
  const wanted = 'dataSync' in expected ? [...expected.dataSync()] : expected
  const got = [...(found as Tensor).dataSync()]
  expect(got.length).toBe(wanted.length)
  for (const [i, value] of got.entries()) expect(value, `element ${i}`).toBeCloseTo(wanted[i] as number, digits)
}

export const fill = (model: nn.Module, name: string, ks: readonly [number, number]) => {
  for (const [, module] of model.namedModules())
    if (module instanceof LoraAdapter && module.adapterName === name)
      for (const [i, factor] of module.factors.entries()) put(factor, ks[i] as number)
}

/** DoRA (Liu et al., 2024) as a user would write it, with the formulas of PEFT. */
export class Dora extends nn.Adapter {
  static override readonly stateNames = {
    loraA: 'lora_A',
    loraB: 'lora_B',
    magnitude: 'lora_magnitude_vector',
  }
  readonly loraA: nn.Parameter
  readonly loraB: nn.Parameter
  readonly magnitude: nn.Parameter
  readonly scale: number

  constructor(layer: nn.Adaptable, rank: number, scale: number) {
    super()
    const weight = layer.dense().detach()
    const [out = 0, inputs = 0] = weight.shape
    const { device } = weight
    this.scale = scale
    this.loraA = new nn.Parameter(ones([rank, inputs], { device }))
    this.loraB = new nn.Parameter(ones([out, rank], { device }))
    this.magnitude = new nn.Parameter(norms(weight))
  }

  override linear(layer: nn.BaseLayer, x: Tensor): Tensor {
    const delta = mul(matmul(this.loraB, this.loraA), this.scale)
    const norm = noGrad(() => norms(add(layer.dense(), delta)))
    const product = add(layer.product(x), linear(x, delta))
    const scaled = mul(product, this.magnitude.div(norm))
    return layer.bias ? add(scaled, layer.bias) : scaled
  }
}
export const norms = (weight: Tensor): Tensor => sum(weight.square(), [1]).sqrt()

/** IA3 (Liu et al., 2022): learned factors for the result, or for the input. */
export class Ia3 extends nn.Adapter {
  static override readonly stateNames = { factors: 'ia3_l' }
  readonly factors: nn.Parameter
  readonly isFeedforward: boolean

  constructor(layer: nn.Adaptable, isFeedforward: boolean) {
    super()
    const [out = 0, inputs = 0] = layer.dense().shape
    this.isFeedforward = isFeedforward
    this.factors = new nn.Parameter(ones([isFeedforward ? inputs : out], { device: layer.dense().device }))
  }

  override linear(layer: nn.BaseLayer, x: Tensor): Tensor {
    return this.isFeedforward ? layer.forward(mul(x, this.factors)) : mul(layer.forward(x), this.factors)
  }
}

/** A linear layer whose weight is stored [in, out], as those of GPT-2. */
export class Conv1D extends nn.Adaptable {
  readonly weight: nn.Parameter
  readonly bias: nn.Parameter
  constructor(inputs: number, out: number, device: string) {
    super()
    this.weight = new nn.Parameter(ones([inputs, out], { device }))
    this.bias = new nn.Parameter(ones([out], { device }))
  }
  override get adaptation(): nn.Adaptation {
    const [inFeatures = 0, outFeatures = 0] = this.weight.shape
    return { by: 'linear', weight: this.weight, inFeatures, outFeatures }
  }
  override product(x: Tensor): Tensor {
    return matmul(x, this.weight)
  }
  override dense(): Tensor {
    return transpose(this.weight, 0, 1)
  }
  forward(x: Tensor): Tensor {
    return this.adapt(x)
  }
}

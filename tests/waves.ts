/** Models with waves as weights, like those of the programs that compute PEFT's numbers. */
import { type nn, noGrad, type Tensor, tensor } from '../lib/index.js'

/** Makes element i of a weight scale * sin(0.7 i + by). */
export function putWave(weight: Tensor, by: number, scale: number): void {
  const values = Array.from({ length: weight.numel }, (_, i) => scale * Math.sin(0.7 * i + by))
  weight.copy_(tensor(values).reshape([...weight.shape]) as never)
}

/** Gives every weight a wave, shifted by the length of its name. */
export function fillWithWaves<M extends nn.Module>(model: M): M {
  noGrad(() => {
    for (const [name, weight] of model.namedParameters()) putWave(weight, name.length, 0.3)
  })
  return model.eval() as M
}

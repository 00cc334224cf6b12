/** Recurrence of bfloat16, which is computed in float32, because a state would add up the roundings of all steps. */
import { Tensor } from '../../core/tensor.js'
import { widened } from '../widened.js'
import type { RecurrentWeights } from './layers.js'
import { entry } from './steps.js'

type States = readonly (Tensor | null)[]

/** Runs a layer or a step, in float32 if x is bfloat16; the results are then rounded. */
export function inFloat32<W extends RecurrentWeights>(
  x: Tensor,
  states: States,
  weights: W,
  run: (x: Tensor, states: States, weights: W) => readonly Tensor[],
): readonly Tensor[] {
  if (x.dtype !== 'bfloat16') return run(x, states, weights)
  const named = Object.entries(weights).filter((pair): pair is [string, Tensor] => pair[1] instanceof Tensor)
  return widened('recurrence', [x, ...states, ...named.map(([, weight]) => weight)], ([wide, ...rest]) => {
    const parts = rest.slice(states.length)
    const wideWeights = Object.fromEntries(named.map(([name], i) => [name, entry(parts, i)]))
    return run(wide, rest.slice(0, states.length), { ...weights, ...wideWeights })
  })
}

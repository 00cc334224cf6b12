/** Linear layers that get the same input: one kernel call where nobody looks at a single one of them. */
import { modulesAreObserved } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import { linearEach } from '../ops/linear-each.js'
import { inherits } from './fusion.js'
import { Linear } from './linear.js'

/** Whether a layer is nothing but its weight and bias, so that its forward need not be called. */
function isPlain(layer: Linear): boolean {
  return layer.adapters.adapted === null && !layer.hasForwardHooks && inherits(layer, Linear)
}

/** x [.., in] through each layer, as the layers themselves give it, to the bit. */
export function forwardEach(x: Tensor, layers: readonly Linear[]): Tensor[] {
  const together = !modulesAreObserved() && layers.every(isPlain) ? linearEach(x, layers) : null
  return together ?? layers.map((layer) => layer.forward(x))
}

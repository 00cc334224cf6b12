/** Questions that the kinds of LoRA ask of the layer that they adapt. */
import { kindOf, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { type Adaptation, isAdaptable } from '../nn/adapter.js'
import type { LayerOptions } from '../nn/layer.js'

/** The device and the dtype of new factors. */
export function placed(
  { weight }: Adaptation,
  generator: Generator | undefined,
): LayerOptions & { readonly bias: false } {
  const dtype = weight.dtype === 'float64' ? 'float64' : 'float32'
  return { device: weight.device, dtype, bias: false, ...(generator ? { generator } : {}) }
}

/** How a layer is adapted. Throws ValueError for another kind of layer. */
export function adaptationOf<B extends Adaptation['by']>(
  op: string,
  layer: unknown,
  by: B,
): Adaptation & { readonly by: B } {
  if (!isAdaptable(layer))
    throw new ValueError(op, `the layer is ${kindOf(layer)}, but must be an adaptable layer, such as Linear`)
  const { adaptation } = layer
  if (adaptation.by !== by)
    throw new ValueError(
      op,
      `the layer is ${kindOf(layer)}, which is adapted by ${adaptation.by}, but must be adapted by ${by}`,
    )
  return adaptation as Adaptation & { readonly by: B }
}

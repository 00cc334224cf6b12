/**
 * Several linear layers of one input in one kernel call, because the calls for a token of a small model cost more than
 * the products.
 */
import { autocastDType } from '../autograd/autocast.js'
import { isGradEnabled } from '../autograd/mode.js'
import { kernelOf } from '../backend/call.js'
import { empty, runOn } from '../backend/dispatch.js'
import { isBlocks } from '../core/dtype.js'
import { countOf, denseStrides } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { floating, seenAs } from './common.js'
import { transposedView } from './views.js'

/** The parameters of a layer. */
export interface Affine {
  /** [out, in] */
  readonly weight: Tensor
  /** [out], or null. */
  readonly bias: Tensor | null
}

const kernel = kernelOf('matmul_each')

/**
 * Returns the results of `linear` for x [.., in] and each layer, with the same bits, in one memory. Returns null if a
 * graph or a conversion is wanted, if the device has no such kernel, or if anything does not fit; `linear` then throws
 * the error.
 */
export function linearEach(x: Tensor, layers: readonly Affine[]): Tensor[] | null {
  const { device, dtype, sizes } = x
  const features = sizes.at(-1)
  const biases = layers.flatMap(({ bias }) => bias ?? [])
  if (isGradEnabled() || autocastDType() !== null || features === undefined || !device.hasKernel('matmul_each'))
    return null
  if (biases.length > 0 && biases.length < layers.length) return null
  let columns = 0
  for (const { weight, bias } of layers) {
    if (!fits(weight, x) || weight.ndim !== 2 || weight.sizes[1] !== features) return null
    if (bias !== null && !(fits(bias, x) && bias.ndim === 1 && bias.sizes[0] === weight.sizes[0])) return null
    columns += weight.sizes[0] as number
  }
  const lead = sizes.slice(0, -1)
  const rows = countOf(lead)
  const out = empty(device, [rows * columns], dtype, 'linear')
  runOn(device, kernel, {
    out,
    a: seenAs(x, [rows, features]),
    b: layers.map(({ weight }) => transposedView(weight)),
    biases,
  })
  let offset = 0
  return layers.map(({ weight }) => {
    const shape = [...lead, weight.sizes[0] as number]
    const part = new Tensor(out.storage, shape, denseStrides(shape), offset)
    offset += rows * (weight.sizes[0] as number)
    return part
  })
}

/** Whether a parameter is alive beside x, and of a dtype that goes with x's. */
function fits({ storage, dtype }: Tensor, x: Tensor): boolean {
  const known = dtype === x.dtype ? dtype === 'bfloat16' || floating.includes(dtype) : isBlocks(dtype)
  return known && !storage.freed && !x.storage.freed && storage.device === x.storage.device
}

/** The bfloat16 copies of parameters that autocast reads. A step writes those that were read since the last step. */
import { run } from '../backend/dispatch.js'
import type { Shadow } from '../core/storage.js'
import { Tensor } from '../core/tensor.js'

/**
 * A parameter's copy if the step must write it, because it is current and was read since the last step. A copy that
 * autocast no longer reads is released, so that training in float32 pays nothing for it.
 */
export function writableShadow({ storage, numel, isContiguous }: Tensor): Shadow | null {
  const { shadow } = storage
  if (shadow === null || shadow.storage.freed) return null
  if (!shadow.used) {
    storage.shadow = null
    shadow.storage.device.free(shadow.storage)
    return null
  }
  return shadow.version === storage.version && numel === storage.count && isContiguous ? shadow : null
}

/** A view of the copy with the parameter's shape and strides. */
export function shadowView({ sizes: shape, steps: strides, offset }: Tensor, shadow: Shadow): Tensor {
  return new Tensor(shadow.storage, shape, strides, offset)
}

/** Writes the copy from the new values, if the kernel did not write both. */
export function renewShadow(parameter: Tensor, shadow: Shadow): void {
  run('copy', { out: shadowView(parameter, shadow), x: parameter })
}

/** Marks the copy as current after the step, when the parameter has its new version. */
export function shadowWritten({ storage }: Tensor, shadow: Shadow, writer: string): void {
  shadow.storage.markWritten(writer)
  shadow.version = storage.version
  shadow.used = false
}

/** Whether operators of this thread record a graph. lib/autograd sets it. */
let enabled = true

/** Whether operators record a graph: false inside `noGrad`. */
export function isGradEnabled(): boolean {
  return enabled
}

/** Sets the mode, and returns the one before. */
export function setGradEnabled(value: boolean): boolean {
  const before = enabled
  enabled = value
  return before
}

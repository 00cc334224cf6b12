/** The entries to a backward pass: gradients into leaves (`backward`), or returned (`grad`); hooks. */

import { type DType, isFloating } from '../core/dtype.js'
import { AutogradError, DeviceError, DTypeError, formatShape, kindOf, ShapeError, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkOptions, listOf, type OptionNames } from '../core/options.js'
import { inOuterFrame, outliveScopes, outsideFrames } from '../core/scope.js'
import { isOverlapping, type Shape, sameShape } from '../core/shape.js'
import type { LeafState, Tensor } from '../core/tensor.js'
import { gradientArithmetic } from './arithmetic.js'
import { isGradEnabled } from './mode.js'
import type { Node } from './node.js'
import { checkTensor } from './operator.js'
import { Pass, type Root } from './pass.js'

export interface BackwardOptions {
  /** The gradient of the root, with its shape. It may be left out for a root of one element, and is then 1. */
  readonly gradient?: Tensor | undefined
  /** Keeps the saved tensors, so that another backward can follow. Default: createGraph. */
  readonly retainGraph?: boolean | undefined
  /** Records the backward pass itself, for second derivatives. Default false. */
  readonly createGraph?: boolean | undefined
}

const backwardNames: OptionNames<BackwardOptions> = { gradient: true, retainGraph: true, createGraph: true }

/**
 * Adds d root / d leaf to `leaf.grad` of every leaf that wants a gradient.
 * Throws AutogradError if the root has no graph, was used before, or a saved tensor was overwritten.
 */
export function backward(root: Tensor, options: BackwardOptions = {}): void {
  checkOptions('backward', options, backwardNames)
  const createGraph = options.createGraph ?? false
  new Pass({
    op: 'backward',
    createGraph,
    retainGraph: options.retainGraph ?? createGraph,
    wanted: null,
    deliver: (target, _output, gradient, alone) => deliverToLeaf(target as Tensor, gradient, alone, createGraph),
  }).run([checkRoot('backward', root, options.gradient ?? null)])
}

export interface GradOptions extends Omit<BackwardOptions, 'gradient'> {
  /** The gradients of the outputs. The gradient of an output with one element may be left out. */
  readonly gradOutputs?: readonly (Tensor | null)[] | undefined
  /** Gives null for an input on which the outputs do not depend, instead of an error. */
  readonly allowUnused?: boolean | undefined
}

/**
 * The gradients of the outputs with respect to the inputs (leaves or not), without touching any `.grad`. Throws
 * AutogradError if an input does not want a gradient, or if the outputs do not depend on it (unless `allowUnused`).
 * Throws ValueError if the lists do not fit together.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  checkOptions('grad', options, { gradOutputs: true, retainGraph: true, createGraph: true, allowUnused: true })
  const all = Array.isArray(outputs) ? (outputs as readonly Tensor[]) : [outputs as Tensor]
  const given = options.gradOutputs ?? []
  if (!Array.isArray(inputs))
    throw new ValueError('grad', `inputs are ${kindOf(inputs)}, but must be an array; write [x]`)
  if (!Array.isArray(given)) throw new ValueError('grad', `gradOutputs are ${kindOf(given)}, but must be an array`)
  if (options.gradOutputs && given.length !== all.length)
    throw new ValueError(
      'grad',
      `there are ${given.length} gradOutputs for ${all.length} outputs; give one for each, or null`,
    )
  const roots = all.map((output, i) => checkRoot('grad', output, given[i] ?? null))
  const createGraph = options.createGraph ?? false
  const wanted = new Map<Node | Tensor, Set<number>>()
  for (const input of inputs) {
    checkTensor('grad', 'each input', input)
    if (!input.requiresGrad)
      throw new AutogradError('grad', `an input does not want a gradient: ${input.describe()}; set requiresGrad`)
    const target = (input.node as Node | null) ?? input
    const slots = wanted.get(target) ?? new Set<number>()
    wanted.set(target, slots.add(input.outputIndex))
  }
  const found = new Map<Node | Tensor, Map<number, Tensor>>()
  new Pass({
    op: 'grad',
    createGraph,
    retainGraph: options.retainGraph ?? createGraph,
    wanted,
    deliver: (target, output, gradient, alone) => {
      const slots = found.get(target) ?? new Map<number, Tensor>()
      // A gradient with a graph belongs to the scope that asked for it, as its graph does.
      const clone = () => gradientArithmetic().clone(gradient)
      const own = alone ? gradient : createGraph ? clone() : outsideFrames(clone)
      found.set(target, slots.set(output, own))
      if (alone) gradient.storage.adopt()
      return alone
    },
  }).run(roots)
  return inputs.map((input, i) => {
    const gradient = found.get((input.node as Node | null) ?? input)?.get(input.outputIndex) ?? null
    if (gradient === null && !options.allowUnused)
      throw new AutogradError(
        'grad',
        `the outputs do not depend on input ${i} (${input.describe()}); pass { allowUnused: true } for null`,
      )
    return gradient
  })
}

function checkRoot(op: string, tensor: Tensor, gradient: Tensor | null): Root {
  checkTensor(op, 'the root', tensor)
  tensor.storage.check(op)
  if (!tensor.requiresGrad)
    throw new AutogradError(
      op,
      `${tensor.describe()} has no graph: no input of its operators wants a gradient, or it was made under noGrad${hooksRunning > 0 && !isGradEnabled() ? '; a hook runs without gradients, so make it within enableGrad(() => ...) there' : ''}`,
    )
  if (gradient === null && tensor.numel !== 1)
    throw new AutogradError(
      op,
      `the root has shape ${formatShape(tensor.sizes)}; reduce it to one element or pass { gradient }`,
    )
  if (gradient !== null) checkGiven(op, 'gradient', gradient, tensor)
  return { tensor, gradient }
}

/** Throws unless a program's gradient has the tensor's shape and device, and a floating dtype. */
function checkGiven(op: string, name: string, gradient: Tensor, tensor: Tensor): void {
  checkTensor(op, name, gradient)
  gradient.storage.check(op)
  if (!sameShape(gradient.sizes, tensor.sizes))
    throw new ShapeError(
      op,
      `${name} is ${formatShape(gradient.sizes)}, but its tensor is ${formatShape(tensor.sizes)}; give it that shape`,
      [gradient.sizes, tensor.sizes],
    )
  if (!isFloating(gradient.dtype))
    throw new DTypeError(
      op,
      `${name} is ${gradient.dtype}, but must be floating; convert it with .to('${tensor.dtype}')`,
    )
  if (gradient.device !== tensor.device)
    throw new DeviceError(
      op,
      `${name} is on ${gradient.device.name}, but its tensor is on ${tensor.device.name}; ` +
        `move it with .to('${tensor.device.name}')`,
    )
}

function deliverToLeaf(leaf: Tensor, gradient: Tensor, alone: boolean, createGraph: boolean): boolean {
  const value = throughHooks(leaf, gradient)
  const before = leaf.peekGrad()
  before?.storage.check('backward')
  const { add, accumulate, clone } = gradientArithmetic()
  // A leaf's gradient must have its own memory, because the next pass adds to it in place.
  const taken = before === null && !createGraph && alone && value === gradient && !value.storage.seen
  if (taken) {
    value.storage.adopt()
    leaf.ownGrad(value)
  } else if (before !== null && !createGraph && before.storage !== value.storage && !isOverlapping(before)) {
    accumulate(before, value)
  } else {
    const sum = outsideFrames(() => (before === null ? clone(value) : add(before, value)))
    leaf.freeUnseenGrad()
    leaf.ownGrad(sum)
    if (sum.node !== null) outliveScopes(leaf)
  }
  for (const hook of leaf.leaf?.readyHooks ?? []) runHook(hook, leaf)
  return taken
}

/** Hooks that have not returned yet. */
let hooksRunning = 0

/** Runs a hook. No step of the pass frees the tensors made in it, because they belong to the program. */
function runHook<R>(hook: (tensor: Tensor) => R, tensor: Tensor): R {
  hooksRunning++
  try {
    return inOuterFrame(() => hook(tensor))
  } finally {
    hooksRunning--
  }
}

/** A leaf's gradient after its hooks. */
function throughHooks(leaf: Tensor, gradient: Tensor): Tensor {
  if (leaf.leaf === null) return gradient
  let value = gradient
  for (const hook of leaf.leaf.hooks) {
    // A program may hold the gradient that its hook was shown, so the garbage collector frees this memory, and nothing
    // writes to it.
    value.storage.seen = true
    value.storage.adopt()
    const given = runHook(hook, value) ?? value
    if (given !== value) checkGiven('registerHook', 'what the hook returned', given, leaf)
    value = given.dtype === leaf.dtype ? given : gradientArithmetic().convert(given, leaf.dtype)
  }
  return value
}

function leafState(tensor: Tensor, op: string, hook: unknown): LeafState {
  checkTensor(op, 'the leaf', tensor)
  if (typeof hook !== 'function') throw new ValueError(op, `the hook must be a function, but is ${kindOf(hook)}`)
  if (!tensor.isLeaf || !tensor.requiresGrad)
    throw new AutogradError(
      op,
      `hooks can be registered only on leaves that want a gradient, but this is ${tensor.describe()}`,
    )
  tensor.leaf ??= { hooks: new Set(), readyHooks: new Set() }
  return tensor.leaf
}

/**
 * Calls `hook` with each gradient of a leaf before it is accumulated. A tensor that the hook returns replaces the
 * gradient. Returns a function that removes the hook. A hook records no graph unless the pass has `createGraph`; use
 * `enableGrad` in it to record one. Its tensors live as long as those made beside the call of `backward()`.
 */
export function registerHook(tensor: Tensor, hook: (gradient: Tensor) => Tensor | undefined | void): () => void {
  const { hooks } = leafState(tensor, 'registerHook', hook)
  hooks.add(hook)
  return () => void hooks.delete(hook)
}

/**
 * Calls `hook` with the leaf when its gradient of a backward pass is complete, under the rules of `registerHook`.
 * Returns a function that removes the hook.
 */
export function registerPostAccumulateGradHook(tensor: Tensor, hook: (tensor: Tensor) => void): () => void {
  const { readyHooks } = leafState(tensor, 'registerPostAccumulateGradHook', hook)
  readyHooks.add(hook)
  return () => void readyHooks.delete(hook)
}

/**
 * Sets the gradients of leaves to null. Memory that the program has not seen through `.grad` or a hook is freed at
 * once.
 */
export function zeroGrad(tensors: Iterable<Tensor>): void {
  for (const tensor of listOf('zeroGrad', 'the tensors', tensors, 'in a list; write zeroGrad([x])')) {
    checkTensor('zeroGrad', 'each tensor', tensor)
    tensor.freeUnseenGrad()
    tensor.ownGrad(null)
  }
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    backward(options?: BackwardOptions): void
    registerHook(hook: (gradient: Tensor) => Tensor | undefined | void): () => void
    registerPostAccumulateGradHook(hook: (tensor: Tensor) => void): () => void
  }
}

defineMethods({
  backward(options?: BackwardOptions) {
    backward(this, options)
  },
  registerHook(hook: (gradient: Tensor) => Tensor | undefined | void) {
    return registerHook(this, hook)
  },
  registerPostAccumulateGradHook(hook: (tensor: Tensor) => void) {
    return registerPostAccumulateGradHook(this, hook)
  },
})

/** The entries to a backward pass: gradients into leaves (`backward`), or returned (`grad`); hooks. */
import { AutogradError, formatShape, ShapeError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { adopt, outsideFrames } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import type { LeafState, Tensor } from '../core/tensor.js'
import { gradientArithmetic } from './arithmetic.js'
import type { Node } from './node.js'
import { checkTensor } from './operator.js'
import { Pass, type Root } from './pass.js'

export interface BackwardOptions {
  /** The gradient of the root, of its shape; may be left out for a root with one element (1). */
  readonly gradient?: Tensor | undefined
  /** Keep what was saved, so that another backward can follow. Default: createGraph. */
  readonly retainGraph?: boolean | undefined
  /** Record the backward pass itself, for second derivatives. Default false. */
  readonly createGraph?: boolean | undefined
}

/**
 * Adds d root / d leaf to `leaf.grad` of every leaf that wants a gradient.
 * Throws AutogradError if the root has no graph, was used before, or a saved tensor was overwritten.
 */
export function backward(root: Tensor, options: BackwardOptions = {}): void {
  checkOptions('backward', options, { gradient: true, retainGraph: true, createGraph: true })
  const createGraph = options.createGraph ?? false
  new Pass({
    createGraph,
    retainGraph: options.retainGraph ?? createGraph,
    wanted: null,
    deliver: (target, _output, gradient, alone) => deliverToLeaf(target as Tensor, gradient, alone, createGraph),
  }).run([checkRoot('backward', root, options.gradient ?? null)])
}

export interface GradOptions extends Omit<BackwardOptions, 'gradient'> {
  /** The gradients of the outputs; may be left out where an output has one element. */
  readonly gradOutputs?: readonly (Tensor | null)[] | undefined
  /** Give null for an input the outputs do not depend on, instead of an error. */
  readonly allowUnused?: boolean | undefined
}

/** The gradients of the outputs with respect to the inputs (leaves or not), without touching any `.grad`. */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  checkOptions('grad', options, { gradOutputs: true, retainGraph: true, createGraph: true, allowUnused: true })
  const roots = (Array.isArray(outputs) ? (outputs as readonly Tensor[]) : [outputs as Tensor]).map((output, i) =>
    checkRoot('grad', output, options.gradOutputs?.[i] ?? null),
  )
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
    createGraph,
    retainGraph: options.retainGraph ?? createGraph,
    wanted,
    deliver: (target, output, gradient, alone) => {
      const slots = found.get(target) ?? new Map<number, Tensor>()
      const taken = createGraph || alone
      found.set(target, slots.set(output, taken ? gradient : outsideFrames(() => gradientArithmetic().clone(gradient))))
      if (alone) adopt(gradient.storage)
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
  if (gradient !== null) checkTensor(op, 'gradient', gradient)
  tensor.storage.check(op)
  if (!tensor.requiresGrad)
    throw new AutogradError(
      op,
      `${tensor.describe()} has no graph: no input of its operators wants a gradient, or it was made under noGrad`,
    )
  if (gradient === null && tensor.numel !== 1)
    throw new AutogradError(
      op,
      `the root has shape ${formatShape(tensor.shape)}; reduce it to one element or pass { gradient }`,
    )
  if (gradient !== null && !sameShape(gradient.shape, tensor.shape))
    throw new ShapeError(
      op,
      `gradient is ${formatShape(gradient.shape)}, but the root is ${formatShape(tensor.shape)}`,
      [gradient.shape, tensor.shape],
    )
  return { tensor, gradient }
}

function deliverToLeaf(leaf: Tensor, gradient: Tensor, alone: boolean, createGraph: boolean): boolean {
  let value = gradient
  let seen = false
  for (const hook of leaf.leaf?.hooks ?? []) {
    // The program may hold what a hook shows it: such memory is left to the garbage collector.
    value.storage.kept = true
    adopt(value.storage)
    seen = true
    value = hook(value) ?? value
    if (!sameShape(value.shape, leaf.shape))
      throw new ShapeError(
        'hook',
        `gave a gradient of ${formatShape(value.shape)} for a leaf of ${formatShape(leaf.shape)}`,
        [value.shape],
      )
  }
  const before = leaf.peekGrad()
  const { add, accumulate, clone } = gradientArithmetic()
  let taken = false
  if (before !== null && createGraph) leaf.ownGrad(add(before, value))
  else if (before !== null) accumulate(before, value)
  else if (createGraph) leaf.ownGrad(value)
  else if (alone && !seen) {
    adopt(value.storage)
    leaf.ownGrad(value)
    taken = true
  } else leaf.ownGrad(outsideFrames(() => clone(value)))
  for (const hook of leaf.leaf?.readyHooks ?? []) hook(leaf)
  return taken
}

function leafState(tensor: Tensor, op: string): LeafState {
  if (!tensor.isLeaf || !tensor.requiresGrad)
    throw new AutogradError(op, `hooks are for leaves that want a gradient, but this is ${tensor.describe()}`)
  tensor.leaf ??= { hooks: new Set(), readyHooks: new Set() }
  return tensor.leaf
}

/** Calls `hook` with each gradient of a leaf before it is accumulated; what it returns replaces the gradient. Gives the undo. */
export function registerHook(tensor: Tensor, hook: (gradient: Tensor) => Tensor | undefined | void): () => void {
  const { hooks } = leafState(tensor, 'registerHook')
  hooks.add(hook)
  return () => void hooks.delete(hook)
}

/** Calls `hook` with the leaf when its gradient of a backward pass is complete. Gives the undo. */
export function registerPostAccumulateGradHook(tensor: Tensor, hook: (tensor: Tensor) => void): () => void {
  const { readyHooks } = leafState(tensor, 'registerPostAccumulateGradHook')
  readyHooks.add(hook)
  return () => void readyHooks.delete(hook)
}

/**
 * Sets the gradients of leaves to null. Memory that the program has not seen through `.grad` or a hook is free at once.
 */
export function zeroGrad(tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) {
    tensor.freeUnseenGrad()
    tensor.ownGrad(null)
  }
}

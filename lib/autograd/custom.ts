/** A program's own operators, each with its own backward (PyTorch's `autograd.Function`). */

import type { Device } from '../core/device.js'
import type { Precision } from '../core/dtype.js'
import {
  AutogradError,
  DeviceError,
  DTypeError,
  formatShape,
  kindOf,
  ShapeError,
  shown,
  ValueError,
} from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import { checkFinished } from '../core/synchronous.js'
import { Tensor } from '../core/tensor.js'
import { autocastDType, autocastInputs, withAutocast } from './autocast.js'
import { isGradEnabled, withGradMode } from './mode.js'
import { Node } from './node.js'
import type { BackwardContext, Gradient, Inputs, Outputs } from './operator.js'
import { findWithin, mapLeaves } from './values.js'

/** The result of a forward: one tensor or several, and the values that backward will read, if it reads any. */
export interface CustomForward<Out extends Tensor | readonly Tensor[], Saved> {
  readonly output: Out
  /**
   * Tensors, numbers or any other values, alone or in arrays, plain objects, Maps and Sets. Save only what the
   * gradients in `needs` require. Default: undefined.
   */
  readonly saved?: Saved
}

export interface CustomContext<Saved> {
  /**
   * The value that `forward` saved. Reading it throws AutogradError if one of its tensors has been overwritten since.
   */
  readonly saved: Saved
  /** Whether each argument of the call wants a gradient. */
  readonly needs: readonly boolean[]
  /** Whether the gradients need their own graph. */
  readonly createGraph: boolean
}

/** The gradient of each output; null if nothing flowed back to it. A single output always has one. */
export type GradientsOf<Out> = Out extends Tensor
  ? [Tensor]
  : { [K in keyof Out]: Tensor | null } extends infer G extends readonly (Tensor | null)[]
    ? [...G]
    : never

/** The gradient of each argument; null if it is not a tensor, or nothing flows back to it. */
export type GradientsFor<Args extends readonly unknown[]> = {
  readonly [K in keyof Args]: Extract<Args[K], Tensor> extends never ? null : Tensor | null
}

export interface CustomOperator<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[], Saved> {
  /** The name in errors and graphs. */
  readonly name: string
  /**
   * Computes the output. It runs without a graph, so it may use any operators. `needs` says for each argument whether
   * it wants a gradient; under `noGrad` none does.
   */
  forward(context: { readonly needs: readonly boolean[] }, ...args: Args): CustomForward<Out, Saved>
  /**
   * Computes the gradients of the arguments from those of the outputs. If it is written with operators, it has
   * derivatives itself, so that `createGraph` gives second ones. It may give null for an argument that wants no
   * gradient.
   */
  backward(context: CustomContext<Saved>, ...gradients: GradientsOf<Out>): GradientsFor<Args>
  /**
   * The dtype of floating tensor arguments under autocast: 'low' is autocast's, 'widest' (the default) the widest among
   * them. Within `forward` autocast is off.
   */
  readonly precision?: Precision
}

/** Stands for a tensor within a saved value. */
class Place {
  readonly of: 'input' | 'output'
  readonly index: number
  /** The place within the saved value. */
  readonly path: string
  constructor(of: 'input' | 'output', index: number, path: string) {
    this.of = of
    this.index = index
    this.path = path
  }
}

interface Call {
  /** The index of each argument among the node's inputs; -1 if the argument is not a tensor. */
  readonly places: readonly number[]
  readonly needs: readonly boolean[]
  /** The device of each argument that is a tensor. */
  readonly devices: readonly Device[]
  readonly saved: unknown
  /** Whether the call returned a single tensor rather than a list. */
  readonly isSingle: boolean
  readonly outputs: number
}

type CustomCallContext = BackwardContext<Inputs, Call, Outputs, []>

/**
 * Makes an operator from a forward and a backward. The operator is a function of tensors and any other arguments.
 *
 *     const clampedLog = customOperator({
 *       name: 'clampedLog',
 *       forward(_, x: Tensor, floor: number) {
 *         return { output: x.clamp(floor).log(), saved: { x, floor } }
 *       },
 *       backward: ({ saved: { x, floor } }, g) => [where(x.gt(floor), g.div(x), 0), null],
 *     })
 *
 * A call throws the errors of `forward`, and ValueError if it gives anything but tensors. It throws AutogradError if
 * `forward` saves an instance of a class that holds a tensor, because such a tensor could not be checked. A backward
 * pass throws an error with the operator's name if `backward` gives something wrong. A wrong number of gradients is an
 * AutogradError. A gradient with another shape, dtype or device than its argument is a ShapeError, DTypeError or
 * DeviceError. With `createGraph`, it throws AutogradError if a saved floating tensor is neither an argument nor an
 * output. Its computation from the arguments was not recorded, so make it an output.
 */
export function customOperator<Args extends readonly unknown[], const Out extends Tensor | readonly Tensor[], Saved>(
  operator: CustomOperator<Args, Out, Saved>,
): (...args: Args) => Out {
  const { name, forward, backward, precision = 'widest' } = checkOperator(operator)
  const gradient: Gradient<Inputs, Call, Outputs, []> = {
    saves: (_needs, { saved }) => {
      const inputs = new Set<number>()
      const outputs = new Set<number>()
      mapLeaves(saved, (leaf) => leaf instanceof Place && (leaf.of === 'input' ? inputs : outputs).add(leaf.index))
      return { inputs: [...inputs], outputs: [...outputs] }
    },
    backward: (context, gradients) => {
      const { needs, outputs, isSingle } = context.attrs
      const given = gradients.slice(0, outputs)
      const own: CustomContext<Saved> = {
        needs,
        createGraph: context.createGraph,
        get saved() {
          return recalled(name, context) as Saved
        },
      }
      const found: unknown = backward.call(operator, own, ...((isSingle ? [given[0]] : given) as GradientsOf<Out>))
      return checkedGradients(name, context, found)
    },
  }
  return (...args) => {
    const places: number[] = []
    const tensors: Tensor[] = []
    for (const arg of args) {
      places.push(arg instanceof Tensor ? tensors.push(arg) - 1 : -1)
      if (arg instanceof Tensor) arg.storage.check(name)
      else checkInside(name, places.length - 1, arg)
    }
    const low = autocastDType()
    const inputs = low === null ? tensors : (autocastInputs(precision, [], tensors, low) as readonly Tensor[])
    const wanted = inputs.map((input) => isGradEnabled() && input.requiresGrad)
    const needs = places.map((place) => wanted[place] === true)
    const own = places.map((place, i) => (place < 0 ? args[i] : inputs[place])) as unknown as Args
    const run = () => withAutocast(null, () => forward.call(operator, { needs }, ...own))
    const given = checkForward(name, withGradMode(name, false, run))
    const isSingle = given.output instanceof Tensor
    const list = (isSingle ? [given.output] : given.output) as readonly Tensor[]
    // The outputs get new tensor objects, because an argument that is returned unchanged has another place in the
    // graph.
    const outputs = list.map(({ storage, sizes, steps, offset }) => new Tensor(storage, sizes, steps, offset))
    if (wanted.includes(true)) {
      const results = [...outputs]
      const saved = mapLeaves(given.saved, (leaf, path) => {
        if (!(leaf instanceof Tensor)) return checkSaved(name, leaf, path)
        const [input, output] = [inputs.indexOf(leaf), list.indexOf(leaf)]
        if (input >= 0) return new Place('input', input, path)
        if (output < 0 && leaf.requiresGrad)
          throw new AutogradError(
            name,
            `saved${path} wants a gradient, but is not an argument, so it would get none; pass it as an argument, or detach() it`,
          )
        return new Place('output', output >= 0 ? output : results.push(leaf) - 1, path)
      })
      const devices = inputs.map((input) => input.device)
      const call: Call = { places, needs, devices, saved, isSingle, outputs: outputs.length }
      new Node(
        { op: name, outputs: outputs.length, composite: null, conversion: false },
        gradient,
        inputs,
        call,
        wanted,
        results,
      )
    }
    return (isSingle ? outputs[0] : outputs) as Tensor as Out
  }
}

function checkOperator<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[], Saved>(
  operator: CustomOperator<Args, Out, Saved>,
): CustomOperator<Args, Out, Saved> {
  const op = 'customOperator'
  if (typeof operator !== 'object' || operator === null)
    throw new ValueError(op, `needs { name, forward, backward }, but got ${kindOf(operator)}`)
  checkOptions(op, operator, { name: true, forward: true, backward: true, precision: true })
  const { name, forward, backward, precision } = operator
  if (typeof name !== 'string' || name === '')
    throw new ValueError(op, `the name is ${shown(name)}, but must be a text that errors can show`)
  for (const [what, fn] of Object.entries({ forward, backward }))
    if (typeof fn !== 'function')
      throw new ValueError(op, `${what} of ${name} is ${kindOf(fn)}, but must be a function`)
  const precisions: readonly unknown[] = [undefined, 'low', 'float32', 'widest']
  if (!precisions.includes(precision))
    throw new ValueError(op, `precision of ${name} is ${shown(precision)}, but must be 'low', 'float32' or 'widest'`)
  return operator
}

/** Throws if an argument hides a tensor that wants a gradient, because that tensor would get none. */
function checkInside(name: string, index: number, arg: unknown): void {
  if (typeof arg !== 'object' || arg === null || !isGradEnabled()) return
  const path = findWithin(arg, (object) => object instanceof Tensor && object.requiresGrad)
  if (path === undefined) throw tooLarge(name, `argument ${index}`, arg)
  if (path !== null)
    throw new AutogradError(
      name,
      `argument ${index} holds a tensor that wants a gradient (at ${path}), but only tensors that are arguments themselves have ` +
        'gradients; pass it as one, or detach() it',
    )
}

/** Throws if a saved value hides a tensor, because nothing would check whether it was overwritten. */
function checkSaved(name: string, leaf: unknown, path: string): unknown {
  if (typeof leaf !== 'object' || leaf === null) return leaf
  const within = findWithin(leaf, (object) => object instanceof Tensor)
  if (within === undefined) throw tooLarge(name, `saved${path}`, leaf)
  if (within !== null)
    throw new AutogradError(
      name,
      `saved${path} is ${kindOf(leaf)} that holds a tensor (at ${within}), which would not be checked for having been overwritten; ` +
        'save the tensor itself, in arrays, plain objects, Maps or Sets',
    )
  return leaf
}

function tooLarge(name: string, what: string, value: unknown): AutogradError {
  return new AutogradError(
    name,
    `${what} is ${kindOf(value)} with too many objects to be searched for tensors; give only the part that is needed`,
  )
}

function checkForward<F extends CustomForward<Tensor | readonly Tensor[], unknown>>(name: string, given: F): F {
  checkFinished(name, given)
  if (typeof given !== 'object' || given === null || !('output' in given))
    throw new ValueError(name, `forward gave ${kindOf(given)}, but must give { output }, or { output, saved }`)
  const { output } = given
  const list: readonly unknown[] = Array.isArray(output) ? output : [output]
  if (list.length === 0)
    throw new ValueError(name, 'forward gave an empty list as its output; give at least one tensor')
  list.forEach((each, i) => {
    if (!(each instanceof Tensor))
      throw new ValueError(
        name,
        `${Array.isArray(output) ? `output ${i}` : 'the output'} of forward is ${kindOf(each)}, but must be a tensor; give ` +
          '{ output, saved } with a tensor or an array of tensors as output',
      )
    each.storage.check(name)
  })
  return given
}

/** The value that forward saved, with its tensors. */
function recalled(name: string, context: CustomCallContext): unknown {
  const { outputs, saved } = context.attrs
  return mapLeaves(saved, (leaf) => {
    if (!(leaf instanceof Place)) return leaf
    if (leaf.of === 'input') return context.input(leaf.index)
    const tensor = context.output(leaf.index)
    if (context.createGraph && leaf.index >= outputs && tensor.dtype.includes('float'))
      throw new AutogradError(
        name,
        `saved${leaf.path} is neither an argument nor an output, so a second derivative would miss how it depends on the ` +
          'arguments; give it as another output, or compute it in backward',
      )
    return tensor
  })
}

function checkedGradients(name: string, context: CustomCallContext, found: unknown): (Tensor | null)[] {
  const { places, needs } = context.attrs
  checkFinished(name, found)
  if (!Array.isArray(found))
    throw new AutogradError(
      name,
      `backward gave ${kindOf(found)}, but must give an array with a gradient, or null, for each of ${places.length} arguments`,
    )
  if (found.length !== places.length)
    throw new AutogradError(
      name,
      `backward gave ${found.length} gradients for ${places.length} arguments; give one for each, and null for each argument that is not a tensor`,
    )
  const gradients: (Tensor | null)[] = []
  places.forEach((place, i) => {
    const gradient: unknown = found[i]
    if (gradient === undefined || (gradient !== null && !(gradient instanceof Tensor)))
      throw new AutogradError(
        name,
        `backward gave ${kindOf(gradient)} for argument ${i}, but must give a tensor or null`,
      )
    if (place < 0) {
      if (gradient !== null)
        throw new AutogradError(name, `backward gave a gradient for argument ${i}, which is not a tensor; give null`)
      return
    }
    if (gradient !== null && needs[i]) checkGradient(name, context, gradient, place, i)
    gradients.push(needs[i] ? gradient : null)
  })
  return gradients
}

function checkGradient(name: string, context: CustomCallContext, gradient: Tensor, place: number, i: number): void {
  gradient.storage.check(name)
  const { shape, dtype } = context.spec(place)
  if (!sameShape(gradient.sizes, shape))
    throw new ShapeError(
      name,
      `backward gave a gradient of ${formatShape(gradient.sizes)} for argument ${i} of ${formatShape(shape)}; it must have the ` +
        'shape of its argument: sum over what was broadcast',
      [gradient.sizes, shape],
    )
  const device = context.attrs.devices[place]
  if (gradient.device !== device)
    throw new DeviceError(
      name,
      `backward gave a gradient on ${gradient.device.name} for argument ${i} on ${device?.name}; move it with .to('${device?.name}')`,
    )
  if (gradient.dtype !== dtype)
    throw new DTypeError(
      name,
      `backward gave a gradient in ${gradient.dtype} for argument ${i} in ${dtype}; convert it with .to('${dtype}')`,
    )
}

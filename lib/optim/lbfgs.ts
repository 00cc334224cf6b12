/** L-BFGS, which evaluates the loss several times a step, and therefore calls the program's function. */
import { withAutocast } from '../autograd/autocast.js'
import { zeroGrad } from '../autograd/backward.js'
import { enableGrad, noGrad } from '../autograd/mode.js'
import { isMap } from '../core/engine.js'
import { formatShape, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { checkFinished } from '../core/synchronous.js'
import { checkAlive, Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { abs, add, mul, neg, sub } from '../ops/elementwise/index.js'
import { dot } from '../ops/products.js'
import { item } from '../ops/read.js'
import { max } from '../ops/reduce/index.js'
import { cat, clone, narrow, reshape } from '../ops/shape/index.js'
import { zerosLike } from '../ops/views.js'
import { gradientFits, refuseGradient } from './gradient.js'
import { notAtLeast, overlaid } from './options.js'
import { checkParameters, isGroups, namedParameters, type Parameters } from './parameters.js'
import { type Place, strongWolfe } from './strong-wolfe.js'

export interface LbfgsOptions {
  /** The step along each direction, and the first one that a line search tries. Default 1. */
  readonly lr: number
  /** Directions per step. Default 20. */
  readonly maxIter: number
  /** Evaluations of the loss per step, which bound the line search too. Default null: 5 / 4 of `maxIter`. */
  readonly maxEval: number | null
  /** A step ends if no element of the gradient is larger. Default 1e-7. */
  readonly toleranceGrad: number
  /** A step ends if neither a parameter nor the loss changed by more. Default 1e-9. */
  readonly toleranceChange: number
  /** The number of past directions that the estimate of the curvature uses. Default 100. */
  readonly historySize: number
  /** Default null: every direction is followed by `lr`. */
  readonly lineSearchFn: 'strongWolfe' | null
}

/** A resumable state: the tensors are those of the last direction and of the history, flat over all parameters. */
export interface LbfgsState {
  readonly options: LbfgsOptions
  readonly iterations: number
  readonly evaluations: number
  readonly step: number
  readonly scale: number
  readonly loss: number
  readonly tensors: ReadonlyMap<string, Tensor>
}

/** A move of the parameters, and the change of the gradient by it. */
interface Pair {
  readonly move: Tensor
  readonly change: Tensor
  readonly inverse: number
}

interface Known {
  iterations: number
  evaluations: number
  step: number
  /** The estimate of the inverse curvature where no pair says more. */
  scale: number
  loss: number
  direction: Tensor | null
  gradient: Tensor | null
  pairs: Pair[]
}

const op = 'LBFGS'
const defaults: LbfgsOptions = {
  lr: 1,
  maxIter: 20,
  maxEval: null,
  toleranceGrad: 1e-7,
  toleranceChange: 1e-9,
  historySize: 100,
  lineSearchFn: null,
}
const names = Object.fromEntries(Object.keys(defaults).map((name) => [name, true])) as OptionNames<LbfgsOptions>
const newlyKnown = (): Known => ({
  iterations: 0,
  evaluations: 0,
  step: 0,
  scale: 1,
  loss: 0,
  direction: null,
  gradient: null,
  pairs: [],
})

/** A curvature below which a pair would spoil the estimate. */
const leastCurvature = 1e-10

function checked(where: string, given: Partial<LbfgsOptions>): LbfgsOptions {
  checkOptions<object>(where, given, names)
  const options = overlaid<LbfgsOptions>(given, defaults, names)
  const notCount = (name: 'maxIter' | 'maxEval' | 'historySize') =>
    !(Number.isSafeInteger(options[name]) && (options[name] as number) >= 1) &&
    `${name} is ${shown(options[name])}, but must be a positive integer`
  const faults = [
    notAtLeast('lr', options.lr, 0),
    notCount('maxIter'),
    options.maxEval !== null && notCount('maxEval'),
    notAtLeast('toleranceGrad', options.toleranceGrad, 0),
    notAtLeast('toleranceChange', options.toleranceChange, 0),
    notCount('historySize'),
    options.lineSearchFn !== null &&
      options.lineSearchFn !== 'strongWolfe' &&
      `lineSearchFn is ${shown(options.lineSearchFn)}, but must be 'strongWolfe' or null`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) throw new ValueError(where, faults.join('; '))
  return options
}

const largest = (x: Tensor): number => item(max(abs(x)))
const product = (a: Tensor, b: Tensor): number => item(dot(a, b))

/**
 * Limited-memory BFGS (Nocedal, 1980; Liu and Nocedal, 1989), as in PyTorch. A step takes a function that clears the
 * gradients, computes the loss, calls `backward()` and returns the loss. The function is called many times, and must
 * give the same loss for the same weights: no dropout, and one batch per step. All parameters are one group, of one
 * device and dtype. The Trainer has no use for it, because its steps evaluate a batch once.
 *
 *     const optimizer = new optim.LBFGS(model.parameters(), { lineSearchFn: 'strongWolfe' })
 *     optimizer.step(() => {
 *       optimizer.zeroGrad()
 *       const loss = nn.functional.mseLoss(model.forward(x), y)
 *       loss.backward()
 *       return loss
 *     })
 */
export class LBFGS {
  readonly #params: Parameters
  #options: LbfgsOptions
  #known = newlyKnown()

  constructor(params: Parameters, options: Partial<LbfgsOptions> = {}) {
    if (isGroups<LbfgsOptions & { lr: number }>(op, params))
      throw new ValueError(op, 'all parameters share one estimate of the curvature; pass one list instead of groups')
    this.#options = checked(op, options)
    this.#params = checkParameters(op, params)
    if (this.parameters().length === 0)
      throw new ValueError(op, 'there are no parameters to optimise; pass model.parameters()')
  }

  /** The current parameters, each once. */
  parameters(): Parameter[] {
    return [...new Set(this.#params)]
  }

  /** The options. */
  get options(): LbfgsOptions {
    return { ...this.#options }
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    zeroGrad(this.#params)
  }

  /**
   * Follows up to `maxIter` directions, and returns the loss of the first evaluation. Throws ValueError if that loss is
   * not finite, or if the function does not return the loss as a tensor of one element. Throws DisposedError if a
   * parameter was disposed.
   */
  step(closure: () => Tensor): Tensor {
    if (typeof closure !== 'function')
      throw new ValueError(
        `${op}.step`,
        `the closure is ${kindOf(closure)}, but must be a function that returns the loss`,
      )
    checkAlive(`${op}.step`, namedParameters(`${op}.step`, [this.#params]))
    const params = this.parameters().filter((parameter) => parameter.requiresGrad)
    // A scope frees the gradients of all evaluations at the end; `keep` saves those of the history.
    return outsideFrames(() =>
      scope(() => {
        let first: Tensor | undefined
        this.#iterate(params, () => {
          const loss = scope(() => enableGrad(() => checkFinished(`${op}.step`, closure())))
          checkLoss(loss)
          first ??= loss
          this.#known.evaluations++
          return { loss: item(loss.detach()), gradient: quietly(() => this.#gradient(params)) }
        })
        return first as unknown as Tensor
      }),
    )
  }

  /** All gradients in one vector; zeros for a parameter without one. */
  #gradient(params: readonly Parameter[]): Tensor {
    const parts = params.map((parameter) => {
      const gradient = parameter.peekGrad()
      if (gradient !== null && !gradientFits(parameter, gradient))
        refuseGradient(`${op}.step`, this.#nameOf(parameter), parameter, gradient)
      return reshape(gradient ?? zerosLike(parameter), [-1])
    })
    return cat(parts)
  }

  #nameOf(parameter: Parameter): string {
    for (const [name, other] of namedParameters(`${op}.step`, [this.#params])) if (other === parameter) return name
    return parameter.describe()
  }

  #iterate(params: readonly Parameter[], evaluate: () => { loss: number; gradient: Tensor }): void {
    const known = this.#known
    const { lr, maxIter, maxEval, toleranceGrad, toleranceChange, lineSearchFn } = this.#options
    const before = known.evaluations
    const most = before + (maxEval ?? Math.floor((maxIter * 5) / 4))
    let { loss, gradient } = evaluate()
    if (!Number.isFinite(loss))
      throw new ValueError(
        `${op}.step`,
        `the loss is ${loss}, so there is no direction to take; a smaller lr or lineSearchFn: 'strongWolfe' keeps it finite`,
      )
    if (quietly(() => largest(gradient)) <= toleranceGrad) return
    for (let i = 1; i <= maxIter; i++) {
      const direction = quietly(() => this.#direction(gradient))
      known.iterations++
      const step = known.iterations === 1 ? Math.min(1, 1 / quietly(() => item(abs(gradient).sum()))) * lr : lr
      const slope = quietly(() => product(gradient, direction))
      known.step = step
      known.loss = loss
      if (slope > -toleranceChange) break
      const reach = quietly(() => largest(direction))
      if (lineSearchFn === null) {
        quietly(() => move(params, direction, step))
        if (i < maxIter) ({ loss, gradient } = evaluate())
      } else {
        const start: Place<Tensor> = { step: 0, loss, slope, gradient }
        const origin = quietly(() => params.map((parameter) => clone(parameter.detach())))
        const at = (there: number): Place<Tensor> => {
          quietly(() => restore(params, origin))
          quietly(() => move(params, direction, there))
          const found = evaluate()
          return { step: there, slope: quietly(() => product(found.gradient, direction)), ...found }
        }
        const found = strongWolfe(at, start, step, reach, toleranceChange, most - known.evaluations)
        quietly(() => restore(params, origin))
        quietly(() => move(params, direction, found.step))
        ;({ loss, gradient, step: known.step } = found)
      }
      if (i === maxIter || known.evaluations >= most || !Number.isFinite(loss)) break
      if (quietly(() => largest(gradient)) <= toleranceGrad) break
      if (reach * known.step <= toleranceChange || Math.abs(loss - known.loss) < toleranceChange) break
    }
  }

  /** The direction in which the estimated curvature puts the minimum, and which becomes the last one. */
  #direction(gradient: Tensor): Tensor {
    const known = this.#known
    if (known.direction !== null && known.gradient !== null) {
      const change = sub(gradient, known.gradient)
      const moved = mul(known.direction, known.step)
      const curvature = product(change, moved)
      if (curvature > leastCurvature) {
        if (known.pairs.length >= this.#options.historySize) known.pairs.shift()
        known.pairs.push({ move: keep(moved), change: keep(change), inverse: 1 / curvature })
        known.scale = curvature / product(change, change)
      }
    }
    let d: Tensor = neg(gradient)
    const shares: number[] = []
    for (const { move: s, change, inverse } of known.pairs.toReversed()) {
      const share = product(s, d) * inverse
      shares.push(share)
      d = sub(d, mul(change, share))
    }
    d = mul(d, known.scale)
    for (const { move: s, change, inverse } of known.pairs)
      d = add(d, mul(s, (shares.pop() as number) - product(change, d) * inverse))
    known.direction = keep(d)
    known.gradient = keep(gradient)
    return d
  }

  /**
   * Everything needed to stop and resume. The tensors are not copies: the next step replaces them. `loadStateDict`
   * copies.
   */
  stateDict(): LbfgsState {
    const { iterations, evaluations, step, scale, loss, direction, gradient, pairs } = this.#known
    const tensors = new Map<string, Tensor>()
    if (direction !== null) tensors.set('direction', direction)
    if (gradient !== null) tensors.set('gradient', gradient)
    for (const [i, pair] of pairs.entries()) tensors.set(`moves.${i}`, pair.move).set(`changes.${i}`, pair.change)
    return { options: this.options, iterations, evaluations, step, scale, loss, tensors }
  }

  /** Copies a state into this optimiser. Throws StateDictError, and changes nothing, if it does not fit. */
  loadStateDict(saved: LbfgsState): void {
    this[prepareState](saved)()
  }

  [prepareState](saved: LbfgsState): () => void {
    const where = `${op}.loadStateDict`
    if (!(saved && typeof saved === 'object' && isMap(saved.tensors)))
      throw new StateDictError(['the state must have options and a Map of tensors, as stateDict() gives it'], where)
    const problems: string[] = []
    const counts = ['iterations', 'evaluations', 'step', 'scale', 'loss'] as const
    for (const name of counts)
      if (!Number.isFinite(saved[name])) problems.push(`${name} is ${shown(saved[name])}, but must be a finite number`)
    const params = this.parameters().filter((parameter) => parameter.requiresGrad)
    const size = params.reduce((sum, parameter) => sum + parameter.numel, 0)
    const pairs = Math.ceil([...saved.tensors.keys()].filter((name) => name.includes('.')).length / 2)
    const expected = Array.from({ length: pairs }, (_, i) => [`moves.${i}`, `changes.${i}`]).flat()
    if (saved.tensors.size > 0) expected.push('direction', 'gradient')
    for (const name of expected) if (!saved.tensors.has(name)) problems.push(`missing: ${name}`)
    for (const [name, tensor] of saved.tensors) {
      if (!expected.includes(name)) problems.push(`unexpected: ${name}`)
      else if (!(tensor instanceof Tensor)) problems.push(`${name} is ${kindOf(tensor)}, but must be a tensor`)
      else if (tensor.storage.freed) problems.push(`${name} was freed`)
      else if (tensor.ndim !== 1 || tensor.numel !== size || !tensor.dtype.startsWith('float'))
        problems.push(`${name} is ${tensor.dtype} ${formatShape(tensor.sizes)}, but must be floats [${size}]`)
    }
    let options = this.#options
    try {
      options = checked(where, saved.options)
    } catch (error) {
      problems.push((error as Error).message)
    }
    if (problems.length > 0) throw new StateDictError(problems, where)
    const known = quietly(() => outsideFrames(() => this.#copied(saved, pairs, params)))
    return () => {
      this.#options = options
      this.#known = known
    }
  }

  #copied(saved: LbfgsState, pairs: number, params: readonly Parameter[]): Known {
    const first = params[0]
    const copy = (name: string): Tensor | null => {
      const tensor = saved.tensors.get(name)
      if (tensor === undefined || first === undefined) return null
      return keep(clone(to(to(tensor.detach(), first.device), first.dtype)))
    }
    const { iterations, evaluations, step, scale, loss } = saved
    const list = Array.from({ length: pairs }, (_, i): Pair => {
      const [moved, change] = [copy(`moves.${i}`) as Tensor, copy(`changes.${i}`) as Tensor]
      return { move: moved, change, inverse: 1 / product(change, moved) }
    })
    const [direction, gradient] = [copy('direction'), copy('gradient')]
    return { iterations, evaluations, step, scale, loss, direction, gradient, pairs: list }
  }
}

function checkLoss(loss: unknown): asserts loss is Tensor {
  if (loss instanceof Tensor && loss.numel === 1) return
  const given = loss instanceof Tensor ? formatShape(loss.sizes) : kindOf(loss)
  throw new ValueError(`${op}.step`, `the closure returned ${given}, but must return the loss, one number in a tensor`)
}

/** Runs arithmetic without a graph and outside of autocast, and frees what it does not return. */
function quietly<R>(fn: () => R): R {
  return noGrad(() => withAutocast(null, () => scope(fn)))
}

function restore(params: readonly Parameter[], origin: readonly Tensor[]): void {
  for (const [i, parameter] of params.entries()) parameter.copy_(origin[i] as Tensor)
}

/** Adds the direction, `step` times, to the parameters. */
function move(params: readonly Parameter[], direction: Tensor, step: number): void {
  let start = 0
  for (const parameter of params) {
    const part = reshape(narrow(direction, 0, start, parameter.numel), parameter.sizes)
    parameter.copy_(add(parameter, mul(part, step)))
    start += parameter.numel
  }
}

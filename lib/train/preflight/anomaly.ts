/**
 * Finds the operator, module and pass in which a number first was not finite, by running a step again and watching it.
 */
import { noGrad } from '../../autograd/mode.js'
import { type OperatorObserver, observeOperators, unobserved } from '../../autograd/observe.js'
import { isFloating } from '../../core/dtype.js'
import { currentLabel, describeLabel } from '../../core/module-path.js'
import { outsideFrames, scope, visitTensors } from '../../core/scope.js'
import { denseTensor, type Tensor } from '../../core/tensor.js'
import { Buffer } from '../../nn/module.js'
import { loadRandomState, type RandomState, randomState } from '../../nn/random-state.js'
import { clone } from '../../ops/shape/index.js'
import { Aside } from './aside.js'
import type { Subject } from './predict.js'

export interface Anomaly {
  /** Whether the first bad number was NaN or infinite. */
  readonly kind: 'NaN' | 'infinite'
  readonly where: 'batch' | 'parameter' | 'forward' | 'backward'
  /** Name of the operator, or path of the parameter. Empty for a batch. */
  readonly name: string
  /** Path of the module in which the operator was called. Empty outside of modules. */
  readonly module: string
}

/** The first number that is not finite, and the first NaN if that is a different one. */
export type Anomalies = readonly Anomaly[]

type Kind = Anomaly['kind'] | null

/** Whether a tensor holds NaN, or otherwise infinite numbers. Null if all are finite. */
export function kindOf(x: Tensor): Kind {
  if (!isFloating(x.dtype) || x.storage.freed || x.numel === 0) return null
  return unobserved(() =>
    noGrad(() =>
      scope((): Kind => {
        const numbers = x.detach().to('float32')
        // Every number that is not finite gives NaN when multiplied by 0.
        if (numbers.mul(0).sum().item() === 0) return null
        return numbers.ne(numbers).to('float32').sum().item() === 0 ? 'infinite' : 'NaN'
      }),
    ),
  )
}

class AnomalyWatch implements OperatorObserver {
  readonly found: Anomaly[] = []
  readonly #labels = new WeakMap<object, number>()
  /** The node whose backward is running, or null in the forward pass. */
  #back: { readonly name: string } | null = null

  note(kind: Kind, where: Anomaly['where'], name: string, module = ''): void {
    if (kind === null || this.found.some((each) => each.kind === kind || each.kind === 'NaN')) return
    this.found.push({ kind, where, name, module })
  }

  goesBack(node: { readonly name: string }): void {
    this.#back = node
  }

  ran({ op }: { readonly op: string }, _inputs: unknown, _attrs: unknown, results: readonly (Tensor | null)[]): void {
    const back = this.#back
    if (back !== null) {
      this.#noteBack(back, results)
      return
    }
    const label = currentLabel()
    for (const result of results) {
      if (result === null) continue
      if (result.node !== null) this.#labels.set(result.node, label)
      this.note(kindOf(result), 'forward', op, describeLabel(label))
    }
  }

  wentBack(node: { readonly name: string }, gradients: readonly (Tensor | null)[]): void {
    this.#back = null
    this.#noteBack(node, gradients)
  }

  #noteBack(node: { readonly name: string }, made: readonly (Tensor | null)[]): void {
    const module = describeLabel(this.#labels.get(node) ?? 0)
    for (const tensor of made) if (tensor !== null) this.note(kindOf(tensor), 'backward', node.name, module)
  }
}

/** Runs forward and backward of a batch again, with the random numbers of `state`, and watches. It changes nothing. */
export function findAnomalies(op: string, subject: Subject, batch: unknown, state: RandomState): Anomalies {
  const { model, optimizer, measured } = subject
  const watch = new AnomalyWatch()
  visitTensors(batch, (tensor) => watch.note(kindOf(tensor), 'batch', ''))
  for (const [path, parameter] of model.namedParameters()) watch.note(kindOf(parameter), 'parameter', path)
  // Otherwise the statistics of batch norm would learn from the batch a second time.
  const copy = (tensor: Tensor) =>
    tensor instanceof Buffer
      ? noGrad(() => outsideFrames(() => clone(denseTensor(tensor.storage, [tensor.storage.count])))).storage
      : null
  const aside = new Aside(model, optimizer, { copy, hooks: false })
  try {
    aside.run(() => {
      loadRandomState(model, state)
      observeOperators(watch, () => scope(() => measured(op, batch).mean().backward()))
    })
  } finally {
    aside.end()
  }
  return watch.found
}

/**
 * Says where the first anomalies came from, such as `an infinite number came first from exp in Net.head, in the forward
 * pass; NaN from sub in Net.head, in the forward pass`.
 */
export function describeAnomalies(found: Anomalies): string {
  const text = ({ kind, where, name, module }: Anomaly) => {
    const what = kind === 'NaN' ? 'NaN' : 'an infinite number'
    if (where === 'batch') return `${what} is in the batch itself`
    if (where === 'parameter') return `${what} is in the parameter ${name}`
    return `${what} came from ${name}${module === '' ? '' : ` in ${module}`}, in the ${where} pass`
  }
  return `the first that is not finite: ${found.map(text).join('; then ')}`
}

/** Watches the steps of a training, so that the optimizer gets no loss that is not finite. */
export class Sentinel {
  readonly #subject: Subject
  readonly #state: RandomState

  /** Must be made before the forward pass. */
  constructor(subject: Subject) {
    this.#subject = subject
    this.#state = randomState(subject.model)
  }

  /** Finds numbers in the loss or the gradients that are not finite, after a backward pass. Null if all are finite. */
  look(op: string, loss: Tensor, batch: unknown): Anomalies | null {
    const { optimizer } = this.#subject
    const gradients = optimizer.parameters().flatMap((parameter) => parameter.peekGrad() ?? [])
    const sound = noGrad(() =>
      scope(() => {
        const sums = gradients.map((gradient) => gradient.to('float32').mul(0).sum())
        return [loss.detach().mul(0).sum(), ...sums].reduce((all, each) => all.add(each)).item() === 0
      }),
    )
    return sound ? null : findAnomalies(op, this.#subject, batch, this.#state)
  }
}

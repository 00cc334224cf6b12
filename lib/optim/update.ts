/**
 * The update of a round's parameters: by one kernel call, or one after the other with operators. Only this file knows
 * of shadows.
 */
import { run } from '../backend/dispatch.js'
import type { KernelArguments, KernelName } from '../backend/table/index.js'
import { DisposedError, InternalError, ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Shadow } from '../core/storage.js'
import { checkFinished } from '../core/synchronous.js'
import type { Tensor } from '../core/tensor.js'
import { clone, contiguous } from '../ops/shape/index.js'
import type { Known, Ready, Round, Row } from './round.js'
import { renewShadow, shadowView, shadowWritten, writableShadow } from './shadow.js'
import { nothingMissing, writeAssigned } from './slots.js'

/** A round that has begun: its slots are in the states. */
export interface Batch {
  /** The parameters; those with a shadow come first, as rows require. */
  readonly ready: readonly Ready[]
  readonly shadowed: readonly (readonly [Ready, Shadow])[]
}

/** Begins a round: puts the new tensors into the states. */
export function begin({ ready, written, device, dtype }: Round): Batch {
  const shadowed: (readonly [Ready, Shadow])[] = []
  const others: Ready[] = []
  for (const each of ready) {
    const { parameter, gradient, known, made } = each
    if (made !== nothingMissing) Object.assign(known.state.tensors, made)
    if (known.device !== device || known.dtype !== dtype) Object.assign(known, { device, dtype })
    // A gradient may share memory with what the step writes.
    each.gradient = written.has(gradient.storage) ? clone(gradient) : contiguous(gradient)
    const shadow = writableShadow(parameter)
    if (shadow === null) others.push(each)
    else shadowed.push([each, shadow])
  }
  return { ready: shadowed.length === 0 ? others : [...shadowed.map(([each]) => each), ...others], shadowed }
}

/** Updates all parameters by one kernel call. */
export function updateByRow(op: string, { kernel, args }: Row, batch: Batch): void {
  const { ready, shadowed } = batch
  const params = ready.map(({ parameter }) => parameter)
  const grads = ready.map(({ gradient }) => gradient)
  const shadows = shadowed.map(([{ parameter }, shadow]) => shadowView(parameter, shadow))
  // The object was made for this step, and writing into it is cheaper than a copy.
  const call = Object.assign(args, { params, grads, shadows })
  run(kernel as KernelName, call as unknown as KernelArguments<KernelName, Tensor>)
  noteUpdate(op, batch)
}

/** Notes that all parameters were updated by one kernel call. */
export function noteUpdate(op: string, { ready, shadowed }: Batch): void {
  for (const each of ready) noteStep(op, each)
  noteShadows(op, shadowed)
}

type Update = (parameter: Tensor, gradient: Tensor, tensors: object) => unknown

/** Updates one parameter after the other. */
export function updateEach(op: string, { ready, shadowed }: Batch, update: Update): void {
  for (const each of ready) {
    scope(() => updateAlone(op, each, update))
    noteStep(op, each)
  }
  for (const [{ parameter }, shadow] of shadowed) renewShadow(parameter, shadow)
  noteShadows(op, shadowed)
}

function noteStep(op: string, { parameter, known }: Ready): void {
  parameter.storage.markWritten(op)
  known.state.step++
}

function noteShadows(op: string, shadowed: Batch['shadowed']): void {
  for (const [{ parameter }, shadow] of shadowed) shadowWritten(parameter, shadow, op)
}

function updateAlone(op: string, { parameter, gradient, known }: Ready, update: Update): void {
  const used = known.slots
    .filter(({ slot }) => slot.used !== false)
    .map(({ name }) => ({ name, tensor: tensorOf(op, name, known) }))
  const given: { [name: string]: Tensor } = Object.fromEntries(used.map(({ name, tensor }) => [name, tensor]))
  checkFinished(op, update(parameter, gradient, given))
  for (const name in given) if (!used.some((each) => each.name === name)) throw undeclared(op, name, known)
  const assigned = used.map(({ name, tensor }) => ({ name, tensor, value: given[name] }))
  writeAssigned(
    op,
    assigned.filter(({ tensor, value }) => value !== tensor),
  )
}

function undeclared(op: string, name: string, { slots }: Known): ValueError {
  const switchedOff = slots.some((each) => each.name === name)
  return new ValueError(
    op,
    `the update assigned the slot ${name}, which ${switchedOff ? 'slots() says is not used' : 'slots() does not declare'}, so ` +
      `it would be lost after the step; ${switchedOff ? 'give it used: true there' : `declare it there: ${name}: {}`}`,
  )
}

/** The tensors of a slot in the parameters' order; an empty list if it is not used. */
export function tensorsOf(op: string, name: string, ready: readonly Ready[]): readonly Tensor[] {
  const found = ready[0]?.known.slots.find((each) => each.name === name)
  if (found === undefined) throw new InternalError(op, `there is no slot ${name}`)
  return found.slot.used === false ? [] : ready.map(({ known }) => tensorOf(op, name, known))
}

function tensorOf(op: string, name: string, { state }: Known): Tensor {
  const tensor = state.tensors[name]
  if (tensor === undefined || tensor.storage.freed)
    throw new DisposedError(
      op,
      `the tensor ${name} of a state was freed or removed; load the state, or make a new optimiser`,
    )
  return tensor
}

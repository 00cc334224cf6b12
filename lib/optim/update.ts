/** The update of parameters together: by one kernel call, or one after the other with operators. Only here are shadows known. */
import { run } from '../backend/dispatch.js'
import type { KernelArguments } from '../backend/table/index.js'
import { DisposedError, InternalError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Shadow } from '../core/storage.js'
import { checkFinished } from '../core/synchronous.js'
import type { Tensor } from '../core/tensor.js'
import { clone, contiguous } from '../ops/shape.js'
import type { At, Known, Ready, Round, Row } from './round.js'
import { renewShadow, shadowView, shadowWritten, writableShadow } from './shadow.js'
import { nothingMissing, writeAssigned } from './slots.js'

/** What an optimiser makes of parameters, with the options of their group. */
export interface Rule {
  /** What errors name. */
  readonly op: string
  row(slot: (name: string) => readonly Tensor[], at: At): Row | null
  update(parameter: Tensor, gradient: Tensor, tensors: object, at: At): unknown
}

/** One kernel call where the device has a row for it, else one update after the other. */
export function updateRound(rule: Rule, { ready, written, device, dtype, at }: Round): void {
  const { op } = rule
  // A row writes the shadows of the first parameters.
  const shadowed: (readonly [Ready, Shadow])[] = []
  const others: Ready[] = []
  for (const each of ready) {
    const { parameter, gradient, known, made } = each
    if (made !== nothingMissing) Object.assign(known.state.tensors, made)
    known.device = device
    known.dtype = dtype
    // A gradient may be the very memory that the step writes.
    each.gradient = written.has(gradient.storage) ? clone(gradient) : contiguous(gradient)
    const shadow = writableShadow(parameter)
    if (shadow === null) others.push(each)
    else shadowed.push([each, shadow])
  }
  const ordered = shadowed.length === 0 ? others : [...shadowed.map(([each]) => each), ...others]
  const row = rule.row((name) => tensorsOf(op, name, ordered), at)
  if (row !== null && device.hasKernel(row.kernel)) {
    const shadows = shadowed.map(([{ parameter }, shadow]) => shadowView(parameter, shadow))
    runRow(row, ordered, shadows)
    for (const each of ready) noteStep(op, each)
  } else {
    for (const each of ordered) {
      scope(() => updateAlone(rule, each, at))
      noteStep(op, each)
    }
    for (const [{ parameter }, shadow] of shadowed) renewShadow(parameter, shadow)
  }
  for (const [{ parameter }, shadow] of shadowed) shadowWritten(parameter, shadow, op)
}

function noteStep(op: string, { parameter, known }: Ready): void {
  parameter.storage.markWritten(op)
  known.state.step++
}

function runRow({ kernel, args }: Row, ready: readonly Ready[], shadows: readonly Tensor[]): void {
  const params = ready.map(({ parameter }) => parameter)
  const grads = ready.map(({ gradient }) => gradient)
  // The object is the step's own, and writing into it is cheaper than a copy.
  run(kernel, Object.assign(args, { params, grads, shadows }) as KernelArguments<typeof kernel, Tensor>)
}

function updateAlone({ op, update }: Rule, { parameter, gradient, known }: Ready, at: At): void {
  const used = known.slots
    .filter(({ slot }) => slot.used !== false)
    .map(({ name }) => ({ name, tensor: tensorOf(op, name, known) }))
  const given: { [name: string]: Tensor } = Object.fromEntries(used.map(({ name, tensor }) => [name, tensor]))
  checkFinished(op, update(parameter, gradient, given, at))
  const assigned = used.map(({ name, tensor }) => ({ name, tensor, value: given[name] }))
  writeAssigned(
    op,
    assigned.filter(({ tensor, value }) => value !== tensor),
  )
}

/** The tensors of a slot in the parameters' order, where they use it. */
function tensorsOf(op: string, name: string, ready: readonly Ready[]): readonly Tensor[] {
  const found = ready[0]?.known.slots.find((each) => each.name === name)
  if (found === undefined) throw new InternalError(op, `there is no slot ${name}`)
  return found.slot.used === false ? [] : ready.map(({ known }) => tensorOf(op, name, known))
}

function tensorOf(op: string, name: string, { state }: Known): Tensor {
  const tensor = state.tensors[name]
  if (tensor === undefined || tensor.storage.freed)
    throw new DisposedError(
      op,
      `the tensor ${name} of a state was freed or taken out of it; load the state, or make the optimiser anew`,
    )
  return tensor
}

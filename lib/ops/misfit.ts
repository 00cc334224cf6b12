/**
 * Errors about inputs whose dtypes do not fit a row. They list every conversion that is needed, so that one try
 * suffices.
 */
import { type InputRule, type Inputs, noTensor } from '../autograd/operator.js'
import type { ParsedArgument } from '../backend/table/index.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { DTypeError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { mixedDTypes, widerOf } from './elementwise/numbers.js'

/** The rule of the row for an input. */
export interface InputFact extends InputRule {
  /** The kernel's argument; null if several arguments stand for the input. */
  readonly argument: ParsedArgument | null
}

interface Given extends InputFact {
  readonly given: DType
}

/** The error for inputs of which at least one is not a tensor, or breaks its rule. */
export function misfit(op: string, facts: readonly InputFact[], inputs: Inputs): DTypeError {
  const all: Given[] = []
  for (let i = 0; i < inputs.length; i++) {
    const fact = facts[Math.min(i, facts.length - 1)]
    const input: unknown = inputs[i]
    if (fact === undefined || (input === null && fact.isOptional)) continue
    if (!(input instanceof Tensor)) return noTensor(op, fact.name, input)
    all.push({ ...fact, given: input.dtype })
  }
  return misfitOfList(op, all) ?? misfitOfArguments(op, all)
}

/** The error for a list of tensors of several dtypes; null if the inputs are not such a list. */
function misfitOfList(op: string, all: readonly Given[]): DTypeError | null {
  const kinds = [...new Set(all.map(({ given }) => given))]
  const last = kinds.pop()
  if (all[0]?.argument?.arity !== 'list' || last === undefined || kinds.length === 0) return null
  const widest = kinds.reduce((a, b) => widerOf(a, b), last)
  return new DTypeError(
    op,
    `the tensors have dtypes ${kinds.join(', ')} and ${last}, but must have one; convert them with .to('${widest}')`,
  )
}

/**
 * Whether the input must agree with others: inputs of T in their dtype, floats in whether they are float64. Blocks
 * agree with all.
 */
const isJoint = ({ argument, given }: Given): boolean =>
  argument?.dtype === 'T' || ((argument?.dtype === 'float' || argument?.dtype === 'weight') && !isBlocks(given))

const fits = ({ dtypes, given }: Given): boolean => dtypes === null || dtypes.includes(given)

/**
 * The error for arguments. It blames the narrower of two operands; otherwise all must follow the first argument that
 * the row accepts.
 */
function misfitOfArguments(op: string, all: readonly Given[]): DTypeError {
  const operand = (name: string) => all.find((input) => input.argument?.name === name && isJoint(input))
  const [a, b] = [operand('a'), operand('b')]
  const wider = a && b && a.given !== b.given ? widerOf(a.given, b.given, a.dtypes ?? undefined) : null
  const lead = all.findIndex((input) => isJoint(input) && fits(input))
  const common = wider ?? all[lead]?.given
  const agrees = (dtype: DType) => common === undefined || (dtype === 'float64') === (common === 'float64')
  const shared = all.find((input) => input.argument?.dtype === 'T' && fits(input) && agrees(input.given))?.given
  const allowedFor = (input: Given): readonly DType[] | null => {
    if (wider !== null && (input === a || input === b)) return [wider]
    if (input.argument?.dtype === 'T' && shared !== undefined) return [shared]
    return (isJoint(input) && input.dtypes?.filter(agrees)) || input.dtypes
  }
  const faults = all.flatMap((input, i) => {
    const allowed = allowedFor(input)
    if (allowed === null || allowed.includes(input.given)) return []
    const target = common !== undefined && allowed.includes(common) ? common : allowed[0]
    // An input before the first that fits is told all allowed dtypes.
    const choice = i < lead && input.dtypes !== null && !fits(input) ? input.dtypes : allowed
    const model = fits(input) ? all.find((other) => isJoint(other) && other.given === target) : undefined
    return [{ ...input, input, target, choice, reason: model === undefined ? '' : `, as ${model.name} is` }]
  })
  if (a && b && wider !== null && faults.every(({ input }) => input === a || input === b))
    return mixedDTypes(op, a.given, b.given, a.dtypes ?? undefined, [a.name, b.name])
  const texts = faults.map(
    ({ name, given, choice, reason }) => `${name} is ${given}, but must be ${choice.join(' or ')}${reason}`,
  )
  const [first] = faults
  const advice = faults.every(({ target }) => target === first?.target)
    ? `${faults.length > 1 ? 'them' : 'it'} with .to('${first?.target}')`
    : faults.map(({ name, target }) => `${name} with .to('${target}')`).join(' and ')
  return new DTypeError(op, `${texts.join('; ')}; convert ${advice}`)
}

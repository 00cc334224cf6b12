/**
 * Typed errors. Every message has the form `[operator] rule with the actual values; what to do.` All faults of a call are
 * collected into one error (`Faults`), and `op`, `shapes` and `code` are there for programs.
 */

/** The properties of all Firesteel's errors, each of which is a RangeError, TypeError or Error too. */
export interface FiresteelError extends Error {
  readonly code: string
  /** The operator, function or class that complains. */
  readonly op: string
  readonly shapes: readonly (readonly number[])[]
}

type ErrorClass = new (op: string, message: string, shapes?: readonly (readonly number[])[]) => FiresteelError

/** A class of errors on top of one of JavaScript's own, whose messages begin with the operator. */
function typed(Base: new (message: string) => Error, name: string, code: string): ErrorClass {
  class Typed extends Base implements FiresteelError {
    readonly code = code
    readonly op: string
    readonly shapes: readonly (readonly number[])[]
    constructor(op: string, message: string, shapes: readonly (readonly number[])[] = []) {
      super(`[${op}] ${message}`)
      this.op = op
      // Copies, because a tensor's own list is not to be handed out.
      this.shapes = shapes.map((shape) => [...shape])
    }
  }
  // On the prototype, where V8 looks for it when it writes the first line of the stack.
  Object.defineProperty(Typed.prototype, 'name', { value: name })
  return Typed
}

/** Sizes or numbers of dimensions do not fit together. */
export class ShapeError extends typed(RangeError, 'ShapeError', 'ERR_SHAPE') {}

/** A dtype that the operator or the device does not take. */
export class DTypeError extends typed(TypeError, 'DTypeError', 'ERR_DTYPE') {}

/** Tensors of one call live on different devices, or a device is not available. */
export class DeviceError extends typed(Error, 'DeviceError', 'ERR_DEVICE') {}

/** An option or argument outside of what it may be. */
export class ValueError extends typed(RangeError, 'ValueError', 'ERR_VALUE') {}

/** Functions whose indices count from the end where they are negative. Kernels, which know of none, allow those from 0 on. */
const fromEnd: ReadonlySet<string> = new Set(['index', 'indexPut', 'indexPut_', 'take'])

/** A label or index in a tensor's data lies outside its range. Found by the kernel, thrown by the next read or step. */
export class IndexOutOfRangeError extends typed(RangeError, 'IndexOutOfRangeError', 'ERR_INDEX') {
  constructor(op: string, message: string, shapes?: readonly (readonly number[])[]) {
    const range = /allowed are 0 to (\d+)/
    super(
      op,
      fromEnd.has(op) ? message.replace(range, (_, last) => `allowed are ${allowed(Number(last) + 1)}`) : message,
      shapes,
    )
  }
}

/** The indices of so many places, those from the end too. */
export function allowed(size: number): string {
  return `${-size} to ${size - 1}`
}

/** A tensor was used after its memory was freed by `dispose`, `using` or the end of its scope. */
export class DisposedError extends typed(Error, 'DisposedError', 'ERR_DISPOSED') {}

/** The request does not fit in the memory that is left. */
export class OutOfMemoryError extends typed(RangeError, 'OutOfMemoryError', 'ERR_MEMORY') {}

/** A wrong use of automatic differentiation: backward twice, an overwritten saved tensor, a root without a graph. */
export class AutogradError extends typed(Error, 'AutogradError', 'ERR_AUTOGRAD') {}

/** The addon reports a fault of its own: a call that dispatch should never have let through. */
export class InternalError extends typed(Error, 'InternalError', 'ERR_INTERNAL') {}

/** A thread of a DataLoader failed. `cause` is its error, with the stack of that thread. */
export class WorkerError extends typed(Error, 'WorkerError', 'ERR_WORKER') {
  /** The index of the row that could not be made; null where no single row is at fault. */
  readonly row: number | null
  constructor(op: string, message: string, cause?: Error, row: number | null = null) {
    super(op, message)
    this.row = row
    if (cause !== undefined) Object.defineProperty(this, 'cause', { value: cause, writable: true, configurable: true })
  }
}

/** Keys or shapes of a state do not fit what it is loaded into; lists all mismatches. */
export class StateDictError extends typed(Error, 'StateDictError', 'ERR_STATE_DICT') {
  readonly problems: readonly string[]
  /** `path` is that of the file whose state it is. */
  constructor(problems: readonly string[], op = 'loadStateDict', path?: string) {
    const count = `${problems.length} ${problems.length === 1 ? 'mismatch' : 'mismatches'}`
    super(op, `${path === undefined ? '' : `${path}: `}${count}:\n  ${problems.join('\n  ')}`)
    this.problems = problems
  }
}

/** Whether something thrown is one of the errors above. */
export function isFiresteelError(error: unknown): error is FiresteelError {
  return error instanceof Error && 'code' in error && 'op' in error && 'shapes' in error
}

/** The function that the program called, if it is made of others. Null where kernels and operators already have the right names. */
let called: string | null = null

export function calledName(): string | null {
  return called
}

/** Late errors: they bear the name of the call that they come from, which is none of those that read. */
const late = new WeakSet<FiresteelError>()

export function asLate<E extends FiresteelError>(error: E): E {
  late.add(error)
  return error
}

/**
 * Runs what something is made of: an error in there is told in the name that the program called, with its cause. So are the
 * late errors of kernels that run in there (`currentLabel` of module-path.ts).
 */
export function namedAs<R>(op: string, run: () => R): R {
  const outer = called
  called = outer ?? op
  try {
    return run()
  } catch (error) {
    if (!isFiresteelError(error) || error instanceof StateDictError || error.op === op || late.has(error)) throw error
    const Same = error.constructor as ErrorClass
    throw Object.assign(new Same(op, error.message.slice(`[${error.op}] `.length), error.shapes), { cause: error })
  } finally {
    called = outer
  }
}

/** `[2, 3]` as people write a shape; whatever a list of sizes holds besides numbers, as `kindOf`. */
export function formatShape(shape: readonly number[]): string {
  return `[${Array.from(shape, bare).join(', ')}]`
}

/**
 * A value of an unexpected kind as a message names it: `null`, `'cpu'`, `the number 5`, `an array`, `a Map`. Never the value's
 * own words, because these can be long, or throw: a Symbol, an object without a prototype, detached memory, a tensor.
 */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return value.length > 40 ? 'a text' : `'${value}'`
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'bigint') return `the bigint ${value}n`
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'symbol') return 'a symbol'
  if (typeof value === 'function') return 'a function'
  try {
    return kindOfObject(value)
  } catch {
    // A getter or proxy of the program's that throws, or a proxy that was revoked.
    return 'an object that cannot be looked into'
  }
}

function kindOfObject(value: object): string {
  if (Array.isArray(value)) return 'an array'
  if (value instanceof RegExp) return String(value)
  const { name } = (value.constructor as { name?: unknown } | undefined) ?? {}
  return typeof name === 'string' && name !== '' && name !== 'Object'
    ? `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
    : 'an object'
}

const bare = (value: unknown): string => (typeof value === 'number' ? String(value) : kindOf(value))

/** The value of an option as a message shows it: numbers bare, lists with their first values, all else as `kindOf`. */
export function shown(value: unknown): string {
  if (typeof value !== 'object' || kindOf(value) !== 'an array') return bare(value)
  const list = value as readonly unknown[]
  const items = Array.from(list.slice(0, 8), bare)
  return `[${(list.length > 8 ? [...items, '...'] : items).join(', ')}]`
}

/** Collects all faults of one call, so that the user mends them in one go. */
export class Faults {
  readonly #found: string[] = []
  check(condition: boolean, fault: () => string): void {
    if (!condition) this.#found.push(fault())
  }
  throwShape(op: string, shapes: readonly (readonly number[])[]): void {
    if (this.#found.length > 0) throw new ShapeError(op, this.#found.join('; '), shapes)
  }
  throwValue(op: string): void {
    if (this.#found.length > 0) throw new ValueError(op, this.#found.join('; '))
  }
}

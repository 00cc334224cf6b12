/**
 * Typed errors. Every message has the form `[operator] rule with the actual values; what to do.` `Faults` collects all
 * faults of a call into one error. Programs read `op`, `shapes` and `code`.
 */

/** The properties of every Firesteel error, which is also a RangeError, TypeError or Error. */
export interface FiresteelError extends Error {
  readonly code: string
  /** The operator, function or class that throws. */
  readonly op: string
  readonly shapes: readonly (readonly number[])[]
}

type ErrorClass = new (op: string, message: string, shapes?: readonly (readonly number[])[]) => FiresteelError

/** Makes a class of errors on top of one of JavaScript's own. Its messages begin with the operator. */
function typed(Base: new (message: string) => Error, name: string, code: string): ErrorClass {
  class Typed extends Base implements FiresteelError {
    readonly code = code
    readonly op: string
    readonly shapes: readonly (readonly number[])[]
    constructor(op: string, message: string, shapes: readonly (readonly number[])[] = []) {
      super(`[${op}] ${message}`)
      this.op = op
      // The lists are copied, because a tensor's own list must not be handed out.
      this.shapes = shapes.map((shape) => [...shape])
    }
  }
  // The name stands on the prototype, because V8 looks for it there when it writes the first line of the stack.
  Object.defineProperty(Typed.prototype, 'name', { value: name })
  return Typed
}

/** Sizes or numbers of dimensions do not fit together. */
export class ShapeError extends typed(RangeError, 'ShapeError', 'ERR_SHAPE') {}

/** The operator or the device does not accept this dtype. */
export class DTypeError extends typed(TypeError, 'DTypeError', 'ERR_DTYPE') {}

/** Tensors of one call live on different devices, or a device is not available. */
export class DeviceError extends typed(Error, 'DeviceError', 'ERR_DEVICE') {}

/** An option or argument is outside its allowed range. */
export class ValueError extends typed(RangeError, 'ValueError', 'ERR_VALUE') {}

/** Functions whose negative indices count from the end. Their kernels accept only indices from 0 on. */
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

/** The range of valid indices into `size` places, negative ones included. */
export function allowed(size: number): string {
  return `${-size} to ${size - 1}`
}

/** A tensor was used after its memory was freed by `dispose`, `using` or the end of its scope. */
export class DisposedError extends typed(Error, 'DisposedError', 'ERR_DISPOSED') {}

/** The request does not fit in the remaining memory. */
export class OutOfMemoryError extends typed(RangeError, 'OutOfMemoryError', 'ERR_MEMORY') {}

/** A wrong use of automatic differentiation: backward twice, an overwritten saved tensor, a root without a graph. */
export class AutogradError extends typed(Error, 'AutogradError', 'ERR_AUTOGRAD') {}

/** The addon reports a fault of its own: a call that dispatch should never have let through. */
export class InternalError extends typed(Error, 'InternalError', 'ERR_INTERNAL') {}

/** A thread of a DataLoader failed. `cause` is its error, with the stack of that thread. */
export class WorkerError extends typed(Error, 'WorkerError', 'ERR_WORKER') {
  /** The index of the row that could not be made; null if no single row is at fault. */
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
  /** `path` names the file that holds the state. */
  constructor(problems: readonly string[], op = 'loadStateDict', path?: string) {
    const count = `${problems.length} ${problems.length === 1 ? 'mismatch' : 'mismatches'}`
    super(op, `${path === undefined ? '' : `${path}: `}${count}:\n  ${problems.join('\n  ')}`)
    this.problems = problems
  }
}

/** Whether a thrown value is one of the errors above. */
export function isFiresteelError(error: unknown): error is FiresteelError {
  return error instanceof Error && 'code' in error && 'op' in error && 'shapes' in error
}

/**
 * The function that the program called, if it is composed of others. Null if kernels and operators already have the
 * right names.
 */
let called: string | null = null

export function calledName(): string | null {
  return called
}

/** Late errors. They bear the name of the call that caused them, not of the call that read the result. */
const late = new WeakSet<FiresteelError>()

export function asLate<E extends FiresteelError>(error: E): E {
  late.add(error)
  return error
}

/**
 * Runs the parts of a composed function. An error within them is reported under `op`, the name that the program called,
 * with its cause. So are the late errors of kernels that run there (`currentLabel` of module-path.ts).
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

/** A shape as people write it: `[2, 3]`. Entries other than numbers appear as `kindOf` names them. */
export function formatShape(shape: readonly number[]): string {
  return `[${Array.from(shape, bare).join(', ')}]`
}

/**
 * A value of an unexpected kind as a message names it: `null`, `'cpu'`, `the number 5`, `an array`, `a Map`. The
 * value's own `toString` is never used, because it can be long, or throw: a Symbol, an object without a prototype,
 * detached memory, a tensor.
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
    // A getter or proxy of the program threw, or a proxy was revoked.
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

/**
 * The value of an option as a message shows it: numbers bare, lists with their first values, everything else by
 * `kindOf`.
 */
export function shown(value: unknown): string {
  if (typeof value !== 'object' || kindOf(value) !== 'an array') return bare(value)
  const list = value as readonly unknown[]
  const items = Array.from(list.slice(0, 8), bare)
  return `[${(list.length > 8 ? [...items, '...'] : items).join(', ')}]`
}

/** Collects all faults of one call, so that the user can mend them in one go. */
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

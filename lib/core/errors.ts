/**
 * Typed errors. Every message has the form `[operator] rule with the actual values; what to do.` All faults of a call are
 * collected into one error (`Faults`), and `op`, `shapes` and `code` are there for programs.
 */

interface Details {
  readonly op?: string
  readonly shapes?: readonly (readonly number[])[]
}

/** What all of Firesteel's errors have besides being a RangeError, TypeError or Error. */
export interface FiresteelError extends Error {
  readonly code: string
  readonly op: string | undefined
  readonly shapes: readonly (readonly number[])[]
}

function prefixed(op: string, message: string): string {
  return `[${op}] ${message}`
}

/** Sizes or numbers of dimensions do not fit together. */
export class ShapeError extends RangeError implements FiresteelError {
  override readonly name = 'ShapeError'
  readonly code = 'ERR_SHAPE'
  readonly op: string
  readonly shapes: readonly (readonly number[])[]
  constructor(op: string, message: string, shapes: readonly (readonly number[])[] = []) {
    super(prefixed(op, message))
    this.op = op
    this.shapes = shapes
  }
}

/** A dtype that the operator or the device does not take. */
export class DTypeError extends TypeError implements FiresteelError {
  override readonly name = 'DTypeError'
  readonly code = 'ERR_DTYPE'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** Tensors of one call live on different devices, or a device is not available. */
export class DeviceError extends Error implements FiresteelError {
  override readonly name = 'DeviceError'
  readonly code = 'ERR_DEVICE'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** An option or argument outside of what it may be. */
export class ValueError extends RangeError implements FiresteelError {
  override readonly name = 'ValueError'
  readonly code = 'ERR_VALUE'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** A label or index in a tensor's data lies outside its range. Found by the kernel, thrown by the next read or step. */
export class IndexOutOfRangeError extends RangeError implements FiresteelError {
  override readonly name = 'IndexOutOfRangeError'
  readonly code = 'ERR_INDEX'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** A tensor was used after its memory was freed by `dispose`, `using` or the end of its scope. */
export class DisposedError extends Error implements FiresteelError {
  override readonly name = 'DisposedError'
  readonly code = 'ERR_DISPOSED'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** The request does not fit in the memory that is left. */
export class OutOfMemoryError extends RangeError implements FiresteelError {
  override readonly name = 'OutOfMemoryError'
  readonly code = 'ERR_MEMORY'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** A wrong use of automatic differentiation: backward twice, an overwritten saved tensor, a non-scalar root. */
export class AutogradError extends Error implements FiresteelError {
  override readonly name = 'AutogradError'
  readonly code = 'ERR_AUTOGRAD'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** Keys or shapes of a state do not fit the module it is loaded into; lists all mismatches. */
export class StateDictError extends Error implements FiresteelError {
  override readonly name = 'StateDictError'
  readonly code = 'ERR_STATE_DICT'
  readonly op = 'loadStateDict'
  readonly shapes: readonly (readonly number[])[] = []
  readonly problems: readonly string[]
  constructor(problems: readonly string[], details: Details = {}) {
    super(prefixed(details.op ?? 'loadStateDict', `${problems.length} mismatches:\n  ${problems.join('\n  ')}`))
    this.problems = problems
  }
}

/** The addon reports a fault of its own: a call that dispatch should never have let through. */
export class InternalError extends Error implements FiresteelError {
  override readonly name = 'InternalError'
  readonly code = 'ERR_INTERNAL'
  readonly op: string
  readonly shapes: readonly (readonly number[])[] = []
  constructor(op: string, message: string) {
    super(prefixed(op, message))
    this.op = op
  }
}

/** `[2, 3]` as people write a shape. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`
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

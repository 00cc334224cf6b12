/** Limits on what templates of chats may use up, because they come from strangers. */
import { ValueError } from '../../core/errors.js'
import type { Environment, Interpreter, Jinja, Statement, Value } from './jinja.js'

/** The most characters of a template, and of a text that one makes. */
export const mostTemplate = 2 ** 20
const mostText = 2 ** 24

/** The most expressions and statements that one rendering evaluates, which take some seconds. */
const mostSteps = 10_000_000

/**
 * The price of an entry of a loop, or of one that a function makes. The interpreter makes a scope for it, which takes
 * as long.
 */
const stepsOfEntry = 400

/** The most entries of a list or table that a template makes. */
const mostEntries = 2 ** 16

function sizeOf({ value }: Value): { readonly size: number; readonly most: number } {
  if (typeof value === 'string') return { size: value.length, most: mostText }
  if (Array.isArray(value)) return { size: value.length, most: mostEntries }
  return { size: value instanceof Map ? value.size : 0, most: mostEntries }
}

/** The expression of a loop's entries, without the condition that `for ... in ... if` adds. */
function iterableOf(loop: object): object {
  const { iterable } = loop as { readonly iterable: { readonly type: string; readonly lhs?: object } }
  return iterable.type === 'SelectExpression' && iterable.lhs !== undefined ? iterable.lhs : iterable
}

/** An interpreter that counts its steps, and refuses values that grow too large, so that every template ends soon. */
export function boundedInterpreter({ Interpreter }: Jinja, op: string, globals: Environment): Interpreter {
  let steps = 0
  /** Lists that loops go over. */
  const walked = new WeakSet<object>()
  class Bounded extends Interpreter {
    override evaluate(statement: Statement | undefined, environment: Environment): Value {
      if (statement?.type === 'For') walked.add(iterableOf(statement))
      const value = super.evaluate(statement, environment)
      const { size, most } = sizeOf(value)
      const counts = statement !== undefined && (walked.has(statement) || statement.type === 'CallExpression')
      steps += counts && most === mostEntries ? 1 + size * stepsOfEntry : 1
      if (steps > mostSteps)
        throw new ValueError(op, `the template takes more than ${mostSteps} steps, and may never end`)
      if (size > most)
        throw new ValueError(op, `the template makes a value of ${size} entries, but may have at most ${most}`)
      return value
    }
  }
  return new Bounded(globals)
}

/** Python's `range`, within bounds. */
export function boundedRange(op: string) {
  return (first: number, second?: number, step = 1): number[] => {
    const [start, stop] = second === undefined ? [0, first] : [first, second]
    if (![start, stop, step].every(Number.isInteger) || step === 0)
      throw new ValueError(op, 'the template calls range() with a number that is not whole, or with a step of 0')
    const count = Math.max(0, Math.ceil((stop - start) / step))
    if (count > mostEntries)
      throw new ValueError(op, `the template asks for a range of ${count} entries, but may have at most ${mostEntries}`)
    return Array.from({ length: count }, (_, i) => start + i * step)
  }
}

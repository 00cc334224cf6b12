/** The parser of einsum's equations. */
import { formatShape, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'

/** Names of dimensions: a letter, or '...' with the dimension's place among those of '...', counted from the end. */
export type Labels = readonly string[]

export interface Equation {
  readonly inputs: readonly Labels[]
  readonly output: Labels
  /** The name of a label in errors. */
  nameOf(label: string): string
}

const ellipsis = '...'

function fault(equation: string, message: string): ValueError {
  return new ValueError('einsum', `${message}; equation is '${equation}'`)
}

/** The letters of a term, with at most one '...'. */
function termsOf(equation: string, text: string, where: string): string[] {
  const terms: string[] = []
  for (let i = 0; i < text.length; i++) {
    const letter = text[i] as string
    if (/[a-zA-Z]/.test(letter)) terms.push(letter)
    else if (text.startsWith(ellipsis, i)) {
      if (terms.includes(ellipsis)) throw fault(equation, `${where} has '...' twice`)
      terms.push(ellipsis)
      i += ellipsis.length - 1
    } else throw fault(equation, `${where} has '${letter}', but only letters, '...', ',' and '->' have a meaning`)
  }
  return terms
}

/** The labels of the `count` dimensions of '...', which align from the last. */
function spread(terms: readonly string[], count: number): Labels {
  const dims = Array.from({ length: count }, (_, i) => `${ellipsis}${count - i}`)
  return terms.flatMap((term) => (term === ellipsis ? dims : [term]))
}

/** The number of dimensions that '...' stands for in an operand. */
function widthOf(equation: string, terms: readonly string[], x: Tensor, i: number): number {
  const letters = terms.filter((term) => term !== ellipsis).length
  const hasEllipsis = letters < terms.length
  if (hasEllipsis ? x.ndim < letters : x.ndim !== letters)
    throw fault(
      equation,
      `operand ${i} is ${formatShape(x.sizes)}, which has ${x.ndim} dimensions, but its term has ${letters} letters` +
        (hasEllipsis || x.ndim < letters ? '' : "; write '...' for the others"),
    )
  return x.ndim - letters
}

/** The output without '->': '...', then the letters that occur once, capitals first. */
function implicitOutput(terms: readonly (readonly string[])[]): string[] {
  const all = terms.flat().filter((term) => term !== ellipsis)
  const once = all.filter((letter) => all.indexOf(letter) === all.lastIndexOf(letter))
  return [ellipsis, ...once.sort((a, b) => (a < b ? -1 : 1))]
}

/** Parses an equation. Throws ValueError if it is not valid for these operands. */
export function parseEquation(equation: string, operands: readonly Tensor[]): Equation {
  const [left = '', right, ...more] = equation.replaceAll(' ', '').split('->')
  if (more.length > 0) throw fault(equation, "'->' stands twice")
  const texts = left.split(',')
  if (operands.length === 0) throw fault(equation, 'there are no operands')
  if (texts.length !== operands.length)
    throw fault(equation, `the equation has ${texts.length} terms, but there are ${operands.length} operands`)
  const terms = texts.map((text, i) => termsOf(equation, text, `term ${i}`))
  const widths = operands.map((operand, i) => widthOf(equation, terms[i] ?? [], operand, i))
  const result = right === undefined ? implicitOutput(terms) : termsOf(equation, right, 'the result')
  result.forEach((term, i) => {
    if (term !== ellipsis && !terms.some((each) => each.includes(term)))
      throw fault(equation, `the result has the letter ${term}, which no operand has`)
    if (result.indexOf(term) !== i) throw fault(equation, `the result has the letter ${term} twice`)
  })
  return {
    inputs: terms.map((term, i) => spread(term, widths[i] as number)),
    output: spread(result, Math.max(...widths)),
    nameOf: (label) =>
      label.startsWith(ellipsis) ? `dimension -${label.slice(ellipsis.length)} of '...'` : `letter ${label}`,
  }
}

/**
 * An operator takes as many files as CONTRIBUTING says. This counts them for two operators, written as a contributor
 * would.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { composite, type Operator, primitive } from '../addition/edits.js'

const read = (file: string) => readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8')
const numbers = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']

/** The number of files that CONTRIBUTING gives for an operator of this kind. */
function promised(kind: string): number {
  const heading = new RegExp(`^## A ${kind} operator: (\\w+) files`, 'm').exec(read('CONTRIBUTING.md'))
  return numbers.indexOf(heading?.[1] ?? '')
}

describe.each([
  ['composite', composite],
  ['primitive', primitive],
] as const)('a %s operator', (kind, { name, edits }: Operator) => {
  it('takes the files that CONTRIBUTING counts', () => {
    expect(new Set(edits.map(({ file }) => file)).size).toBe(promised(kind))
  })

  it.each(edits.map((edit) => [edit.file, edit] as const))('has its place in %s', (file, { behind }) => {
    const text = read(file)
    expect(text.split(behind).length - 1).toBe(1)
    expect(text).not.toContain(name)
  })
})

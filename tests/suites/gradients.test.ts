/** First and second derivatives of every operator against central differences, in float64 on the reference. */
import { describe, it } from 'vitest'
import { checkFirstDerivatives, checkSecondDerivatives, small } from './derivatives.js'
import { casesFor, nameOf } from './support.js'

describe('first derivatives', () => {
  it.each(casesFor('finite differences', small).map((each) => [nameOf(each), each.case] as const))('%s', (_name, c) =>
    checkFirstDerivatives(c),
  )
})

describe('second derivatives', () => {
  const cases = casesFor('second derivative', small).filter(
    (each) => each.case.without?.['finite differences'] === undefined,
  )
  it.each(cases.map((each) => [nameOf(each), each.case] as const))('%s', (_name, c) => checkSecondDerivatives(c))
})

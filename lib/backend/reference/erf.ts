/**
 * The error function to double precision, by rational approximations on three intervals: W. J. Cody, "Rational Chebyshev
 * approximations for the error function", Mathematics of Computation 23 (1969), 631-637. The coefficients are the paper's.
 */
const small = {
  p: [3.20937758913846947e3, 3.77485237685302021e2, 1.13864154151050156e2, 3.16112374387056560, 1.85777706184603153e-1],
  q: [2.84423683343917062e3, 1.28261652607737228e3, 2.44024637934444173e2, 2.36012909523441209e1, 1],
}
const middle = {
  p: [
    1.23033935479799725e3, 2.05107837782607147e3, 1.71204761263407058e3, 8.81952221241769090e2, 2.98635138197400131e2,
    6.61191906371416295e1, 8.88314979438837594, 5.64188496988670089e-1, 2.15311535474403846e-8,
  ],
  q: [
    1.23033935480374942e3, 3.43936767414372164e3, 4.36261909014324716e3, 3.29079923573345963e3, 1.62138957456669019e3,
    5.37181101862009858e2, 1.17693950891312499e2, 1.57449261107098347e1, 1,
  ],
}
const large = {
  p: [
    6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1, 3.60344899949804439e-1,
    3.05326634961232344e-1, 1.63153871373020978e-2,
  ],
  q: [
    2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1, 1.87295284992346725, 2.56852019228982242, 1,
  ],
}

/** Horner's rule; the constant comes first. */
function polynomial(c: readonly number[], x: number): number {
  let sum = 0
  for (let i = c.length - 1; i >= 0; i--) sum = sum * x + (c[i] as number)
  return sum
}

/** exp(-y^2) with y cut into a part whose square is exact and the small rest. */
function expOfMinusSquare(y: number): number {
  const head = Math.trunc(y * 16) / 16
  return Math.exp(-head * head) * Math.exp(-(y - head) * (y + head))
}

export function erf(x: number): number {
  const y = Math.abs(x)
  if (!(y > 0.46875)) return (x * polynomial(small.p, y * y)) / polynomial(small.q, y * y)
  if (y > 6) return Math.sign(x)
  let complement: number
  if (y <= 4) {
    complement = (expOfMinusSquare(y) * polynomial(middle.p, y)) / polynomial(middle.q, y)
  } else {
    const z = 1 / (y * y)
    const tail = (z * polynomial(large.p, z)) / polynomial(large.q, z)
    complement = (expOfMinusSquare(y) * (1 / Math.sqrt(Math.PI) - tail)) / y
  }
  return x > 0 ? 1 - complement : complement - 1
}

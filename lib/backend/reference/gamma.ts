/**
 * The logarithm of the gamma function, and its derivatives, in doubles. Sources of the formulas: Abramowitz and Stegun,
 * Handbook of Mathematical Functions (1964), chapter 6; the sum for Hurwitz's zeta function is Euler's and Maclaurin's.
 */

/** The even Bernoulli numbers B2, B4, .. B26. */
const bernoulli = [
  1 / 6,
  -1 / 30,
  1 / 42,
  -1 / 30,
  5 / 66,
  -691 / 2730,
  7 / 6,
  -3617 / 510,
  43867 / 798,
  -174611 / 330,
  854513 / 138,
  -236364091 / 2730,
  8553103 / 6,
]
/** From here on, the asymptotic series are exact to the last digits. */
const far = 10

/** The sum of (q + k)^-s over k from 0, for an integer s > 1 and q >= 0. */
function zetaFrom(s: number, q: number): number {
  let sum = 0
  let a = q
  for (; a < far; a++) sum += a ** -s
  sum += a ** (1 - s) / (s - 1) + a ** -s / 2
  let factor = s / 2
  let power = a ** (-s - 1)
  bernoulli.forEach((b, j) => {
    sum += b * factor * power
    factor *= ((s + 2 * j + 1) * (s + 2 * j + 2)) / ((2 * j + 3) * (2 * j + 4))
    power /= a * a
  })
  return sum
}

/**
 * The same for any q; infinite at 0 and at negative integers. The terms below 0 are those of two sums over positive
 * numbers.
 */
function zeta(s: number, q: number): number {
  // Adding 0 makes -0 to 0, whose reciprocal is infinity.
  if (!(q < 0)) return zetaFrom(s, q + 0)
  // PyTorch takes -infinity for a negative integer, but not in the derivative of digamma.
  if (q === Number.NEGATIVE_INFINITY) return s > 2 ? Number.POSITIVE_INFINITY : Number.NaN
  // The distance of a tiny number from the integer below it would round.
  if (q > -0.5) return q ** -s + zetaFrom(s, q + 1)
  const rest = q - Math.floor(q)
  const below = zetaFrom(s, 1 - rest) - zetaFrom(s, 1 - q)
  return zetaFrom(s, rest) + (s % 2 === 0 ? below : -below)
}

/** The derivative of lgamma. Infinite at 0, with the sign opposite to the zero's; NaN at negative integers. */
export function digamma(x: number): number {
  if (x === 0) return Object.is(x, 0) ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  // The distance of a tiny number from the integer below it would round.
  if (x < 0 && x > -0.5) return digamma(1 + x) - 1 / x
  if (x < 0) {
    const rest = x - Math.floor(x)
    return rest === 0 || x === Number.NEGATIVE_INFINITY
      ? Number.NaN
      : digamma(1 - x) - Math.PI / Math.tan(Math.PI * rest)
  }
  let sum = 0
  let a = x
  for (; a < far; a++) sum -= 1 / a
  const squared = 1 / (a * a)
  let series = 0
  for (let j = 7; j >= 0; j--) series = squared * ((bernoulli[j] as number) / (2 * j + 2) + series)
  return sum + Math.log(a) - 0.5 / a - series
}

/** The derivative of digamma of an order of at least 1: (-1)^(order + 1) order! zeta(order + 1, x). */
export function polygamma(x: number, order: number): number {
  let factor = order % 2 === 0 ? -1 : 1
  for (let k = 2; k <= order; k++) factor *= k
  return factor * zeta(order + 1, x)
}

/** (zeta(k) - 1) / k with alternating signs, for k from 2. */
const series = Array.from({ length: 30 }, (_, i) => ((i % 2 === 0 ? 1 : -1) * zetaFrom(i + 2, 2)) / (i + 2))
const eulersConstant = 0.5772156649015329

/** lgamma(2 + z) for |z| <= 1/2, exact near its zeros at z = 0. */
function nearTwo(z: number): number {
  let sum = 0
  for (let i = series.length - 1; i >= 0; i--) sum = z * (sum + (series[i] as number))
  return z * (1 - eulersConstant + sum)
}

/** log |gamma(x)|; infinite at 0, at negative integers and at infinities. */
export function lgamma(x: number): number {
  if (Math.abs(x) === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
  if (x <= 0) {
    const rest = x - Math.floor(x)
    if (rest === 0) return Number.POSITIVE_INFINITY
    if (x > -0.5) return lgamma(1 + x) - Math.log(-x)
    return Math.log(Math.PI / Math.sin(Math.PI * rest)) - lgamma(1 - x)
  }
  if (x < 0.5) return nearTwo(x) - Math.log1p(x) - Math.log(x)
  if (x < 1.5) return nearTwo(x - 1) - Math.log1p(x - 1)
  if (x < far) {
    let product = 1
    let a = x
    for (; a > 2.5; a--) product *= a - 1
    return nearTwo(a - 2) + Math.log(product)
  }
  const squared = 1 / (x * x)
  let sum = 0
  for (let j = 7; j >= 0; j--) sum = squared * sum + (bernoulli[j] as number) / ((2 * j + 1) * (2 * j + 2))
  return (x - 0.5) * (Math.log(x) - 1) - 0.5 + Math.log(2 * Math.PI) / 2 + sum / x
}

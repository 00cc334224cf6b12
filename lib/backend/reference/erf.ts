/**
 * The error function to double precision, by rational approximations on three intervals: W. J. Cody, "Rational
 * Chebyshev approximations for the error function", Mathematics of Computation 23 (1969), 631-637. The coefficients are
 * the paper's, written as the doubles they round to.
 */
const small = {
  p: [3209.3775891384694, 377.485237685302, 113.86415415105016, 3.1611237438705655, 0.18577770618460315],
  q: [2844.236833439171, 1282.6165260773723, 244.02463793444417, 23.601290952344122, 1],
}
const middle = {
  p: [
    1230.3393547979972, 2051.0783778260716, 1712.0476126340707, 881.952221241769, 298.6351381974001, 66.11919063714163,
    8.883149794388377, 0.5641884969886701, 2.1531153547440383e-8,
  ],
  q: [
    1230.3393548037495, 3439.3676741437216, 4362.619090143247, 3290.7992357334597, 1621.3895745666903,
    537.1811018620099, 117.6939508913125, 15.744926110709835, 1,
  ],
}
const large = {
  p: [
    0.0006587491615298378, 0.016083785148742275, 0.12578172611122926, 0.36034489994980445, 0.30532663496123236,
    0.016315387137302097,
  ],
  q: [0.0023352049762686918, 0.06051834131244132, 0.5279051029514285, 1.8729528499234673, 2.568520192289822, 1],
}

/** Horner's rule; the constant comes first. */
function polynomial(c: readonly number[], x: number): number {
  let sum = 0
  for (let i = c.length - 1; i >= 0; i--) sum = sum * x + (c[i] as number)
  return sum
}

/** exp(-y^2), where y is split into a part whose square is exact and a small rest. */
function expOfMinusSquare(y: number): number {
  const head = Math.trunc(y * 16) / 16
  return Math.exp(-head * head) * Math.exp(-(y - head) * (y + head))
}

/** 1 - erf(y) for y > 0.46875. */
function complementOf(y: number): number {
  if (y <= 4) return (expOfMinusSquare(y) * polynomial(middle.p, y)) / polynomial(middle.q, y)
  const z = 1 / (y * y)
  const tail = (z * polynomial(large.p, z)) / polynomial(large.q, z)
  return (expOfMinusSquare(y) * (1 / Math.sqrt(Math.PI) - tail)) / y
}

export function erf(x: number): number {
  const y = Math.abs(x)
  if (!(y > 0.46875)) return (x * polynomial(small.p, y * y)) / polynomial(small.q, y * y)
  if (y > 6) return Math.sign(x)
  const complement = complementOf(y)
  return x > 0 ? 1 - complement : complement - 1
}

/** 1 - erf(x), without cancellation if it is small. */
export function erfc(x: number): number {
  const y = Math.abs(x)
  if (!(y > 0.46875)) return 1 - erf(x)
  // The complement is less than the smallest double if y > 28.
  const complement = y > 28 ? 0 : complementOf(y)
  return x > 0 ? complement : 2 - complement
}

/** The x with erf(x) = y: Giles' approximation (GPU Computing Gems 2, 2010), made exact by Newton's method. */
export function erfinv(y: number): number {
  const size = Math.abs(y)
  if (!(size < 1)) return size === 1 ? y * Number.POSITIVE_INFINITY : Number.NaN
  if (y === 0) return y
  const w = -Math.log((1 - size) * (1 + size))
  let x =
    w < 5
      ? polynomial([1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-6], w - 2.5)
      : polynomial(
          [2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844],
          Math.sqrt(w) - 3,
        )
  x *= size
  const halfRoot = Math.sqrt(Math.PI) / 2
  for (let step = 0; step < 4; step++) {
    if (size < 0.5) x -= ((erf(x) - size) * halfRoot) / expOfMinusSquare(x)
    // Near 1, the logarithm of erfc is almost a parabola, so that the steps are good from afar as well.
    else x += (Math.log(erfc(x) / (1 - size)) * erfc(x) * halfRoot) / expOfMinusSquare(x)
  }
  return y < 0 ? -x : x
}

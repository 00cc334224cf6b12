/**
 * Functions from random words to numbers of a distribution. Each uses only + - * / and sqrt of float64 in a fixed
 * order, so that every device gives the same bits. native/cpu/random/normal.h is the same sequence in C++.
 */

/** A uniform number in [0, 1): the upper 24 bits of the word. */
export function uniform(word: number): number {
  return (word >>> 8) / 16777216
}

/**
 * -log(odd / 2^33) for odd integers below 2^32, to 2 units in the last place: log(m 2^e) = log(m) + e log(2) with m in
 * [sqrt(1/2), sqrt(2)], and log(m) = 2 artanh(s), s = (m - 1) / (m + 1), as its power series up to s^21.
 */
function negativeLog(odd: number): number {
  const exponent = 31 - Math.clz32(odd)
  let m = odd / ((1 << exponent) >>> 0)
  let e = exponent - 33
  if (m > Math.SQRT2) {
    m *= 0.5
    e += 1
  }
  const s = (m - 1) / (m + 1)
  const z = s * s
  let series = z * 0.09523809523809523 + 0.10526315789473684
  series = series * z + 0.11764705882352941
  series = series * z + 0.13333333333333333
  series = series * z + 0.15384615384615385
  series = series * z + 0.18181818181818182
  series = series * z + 0.2222222222222222
  series = series * z + 0.2857142857142857
  series = series * z + 0.4
  series = series * z + 0.6666666666666666
  series = series * z + 2
  return e * -Math.LN2 - series * s
}

/**
 * A standard normal number: the quantile of (word + 0.5) / 2^32. It is PPND16 of Wichura, "Algorithm AS 241: the
 * percentage points of the normal distribution" (Applied Statistics 37, 1988). Its third region, below e^-25, is never
 * reached. By symmetry, words in the upper half mirror those in the lower.
 */
export function normalQuantile(word: number): number {
  const upper = word > 0x7fffffff
  const odd = 2 * (upper ? 0xffffffff - word : word) + 1
  const q = 0.5 - odd * 1.1641532182693481e-10 // 2^-33
  let top: number
  let bottom: number
  if (q <= 0.425) {
    const r = 0.180625 - q * q
    top = r * 2509.0809287301227 + 33430.57558358813
    top = top * r + 67265.7709270087
    top = top * r + 45921.95393154987
    top = top * r + 13731.69376550946
    top = top * r + 1971.5909503065513
    top = top * r + 133.14166789178438
    top = top * r + 3.3871328727963665
    top = q * top
    bottom = r * 5226.495278852854 + 28729.085735721943
    bottom = bottom * r + 39307.89580009271
    bottom = bottom * r + 21213.794301586597
    bottom = bottom * r + 5394.196021424751
    bottom = bottom * r + 687.1870074920579
    bottom = bottom * r + 42.31333070160091
    bottom = bottom * r + 1
  } else {
    const t = Math.sqrt(negativeLog(odd)) - 1.6
    top = t * 0.0007745450142783414 + 0.022723844989269184
    top = top * t + 0.2417807251774506
    top = top * t + 1.2704582524523684
    top = top * t + 3.6478483247632045
    top = top * t + 5.769497221460691
    top = top * t + 4.630337846156546
    top = top * t + 1.4234371107496835
    bottom = t * 1.0507500716444169e-9 + 0.0005475938084995345
    bottom = bottom * t + 0.015198666563616457
    bottom = bottom * t + 0.14810397642748008
    bottom = bottom * t + 0.6897673349851
    bottom = bottom * t + 1.6763848301838038
    bottom = bottom * t + 2.053191626637759
    bottom = bottom * t + 1
  }
  const size = top / bottom
  return upper ? size : -size
}

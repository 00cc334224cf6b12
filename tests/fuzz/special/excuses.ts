/** Differences from PyTorch at special values that are meant, with their reasons. */

export interface Difference {
  readonly name: string
  /** 'result 0', 'gradient 1' and so on. */
  readonly what: string
  /** The inputs of the element, or of its line. */
  readonly element: readonly number[]
  readonly own: number
  readonly other: number
  readonly dtype: string
  readonly device: string
}

interface Excuse {
  readonly why: string
  readonly names: RegExp
  readonly covers: (difference: Difference) => boolean
}

const bothZero = ({ own, other }: Difference) => own === 0 && other === 0
const isGradient = ({ what }: Difference) => what.startsWith('gradient')
const isLarge = (x: number) => Math.abs(x) > 2 ** 120
const hasZeros = ({ element }: Difference) => element.some((x) => x === 0)

const excuses: readonly Excuse[] = [
  {
    why: 'no optimiser tells a gradient of -0 from one of 0, and its sign is that of factors in the formula',
    names: /./,
    covers: (d) => isGradient(d) && bothZero(d),
  },
  {
    why: "the extreme of two zeros is either, in PyTorch's vectors and behind them as well",
    names:
      /^(amax|amin|aminmax|max|min|cummax|cummin|maximum|minimum|fmax|fmin|clamp|sort|median|nanmedian|topk|kthvalue)/,
    covers: (d) => bothZero(d) && hasZeros(d),
  },
  {
    why: 'a loss of 0 has no sign; its formula is a product, whose second derivatives are right',
    names: /^(smoothL1Loss|huberLoss)$/,
    covers: bothZero,
  },
  {
    why: 'PyTorch gives a number in the rest behind its vectors, and NaN within them; ours is NaN, as for all activations',
    names: /^(elu|selu|celu|hardswish)/,
    covers: (d) => isGradient(d) && Number.isNaN(d.own) && Number.isNaN(d.element[0]),
  },
  {
    why: "PyTorch's trigamma rounds the poles at negative integers to large numbers, and has 9 digits elsewhere",
    names: /^(digamma|polygamma1)$/,
    covers: ({ own, other, element: [x = 0] }) =>
      Math.abs(own - other) < 1e-8 * Math.abs(own) || (x < 0 && Number.isInteger(x) && Math.abs(own) > 1e30),
  },
  {
    why: 'derivatives of digamma go to 0 at infinity, where PyTorch multiplies 0 by infinity',
    names: /^polygamma/,
    covers: ({ own, element: [x] }) => own === 0 && x === Number.POSITIVE_INFINITY,
  },
  {
    why: "the rest of a division is known, but PyTorch's is NaN where the quotient overflows",
    names: /^(fmod|remainder)$/,
    covers: ({ own, other }) => Number.isFinite(own) && Number.isNaN(other),
  },
  {
    why: 'a product or square within the formula of the gradient overflows or vanishes in PyTorch only',
    names: /^(atan2|hypot|addcdiv|geluTanh|norm|std|variance|normalize|logsumexp|sinc)/,
    covers: (d) =>
      (isGradient(d) || /^(std|variance)/.test(d.name)) &&
      d.element.some((x) => isLarge(x) || Math.abs(x) < 2 ** -100) &&
      !Number.isNaN(d.own),
  },
  {
    why: 'sums and products within a kernel are wider here, so that they do not overflow',
    names: /^(mean|hardswish)/,
    covers: (d) => Number.isFinite(d.own) && d.element.some(isLarge),
  },
  {
    why: "PyTorch's vectors multiply and add with one rounding, which keeps a product that overflows",
    names: /^addcmul$/,
    covers: (d) => Number.isNaN(d.own) && d.element.some(isLarge),
  },
  {
    why: 'the mean of no numbers has no gradient, where PyTorch multiplies infinity by 0',
    names: /^nanmean$/,
    covers: (d) => isGradient(d) && d.own === 0 && Number.isNaN(d.other),
  },
  {
    why: 'PyTorch has two formulas, and takes the one without a quotient if any line of the tensor has a zero',
    names: /^prod$/,
    covers: (d) =>
      isGradient(d) && (!Number.isFinite(d.own) || d.element.some((x) => isLarge(x) || Math.abs(x) < 2 ** -100)),
  },
  {
    why: 'x is NaN and takes part in no comparison, so that no limit gets its gradient, where PyTorch compares limits',
    names: /^clampBetween$/,
    covers: (d) => d.what === 'gradient 1' && d.own === 0 && Number.isNaN(d.element[0]),
  },
  {
    why: "in PyTorch's gelu 1 + erf(x) loses digits of the left tail, and infinity gives NaN",
    names: /^gelu/,
    covers: ({ own, other, element: [x = 0] }) =>
      (x <= -3 && Math.abs(own - other) < 1e-6) || (x > 2 ** 100 && own === x),
  },
  {
    why: 'of two equal infinities one gets the whole gradient, where PyTorch has NaN',
    names: /^logaddexp/,
    covers: (d) => isGradient(d) && Number.isNaN(d.other) && d.element[0] === d.element[1],
  },
  {
    why: 'where x is 0 the result is constant, and infinite or undefined slopes of the logarithm do not count',
    names: /^xlogy$/,
    covers: (d) => isGradient(d) && d.own === 0 && d.element[0] === 0,
  },
  {
    why: 'PyTorch loses the logarithm of 2 beside large numbers',
    names: /^logsumexp$/,
    covers: (d) => isGradient(d) && d.element.every((x) => Math.abs(x) >= 2 ** 24),
  },
  {
    why: 'the logarithm of a gradient is lost beside large numbers, in PyTorch and here',
    names: /^logcumsumexp$/,
    covers: (d) => isGradient(d) && d.dtype === 'bfloat16' && d.element.some((x) => Math.abs(x) >= 2 ** 24),
  },
  {
    why: "PyTorch's vectors and the rest behind them have infinities of both signs at -0",
    names: /^logit$/,
    covers: ({ own, element: [x] }) => Object.is(x, -0) && Math.abs(own) === Number.POSITIVE_INFINITY,
  },
  {
    why: "in bfloat16 PyTorch's vectors differ from its own float32: they keep signs of zeros and flush small results",
    names: /^(softshrink|erf)$/,
    covers: ({ dtype, own, other }) => dtype === 'bfloat16' && other === 0 && Math.abs(own) < 2 ** -125,
  },
  {
    why: 'PyTorch rounds pi x to bfloat16, which turns a large angle',
    names: /^sinc$/,
    covers: (d) => d.dtype === 'bfloat16' && d.element.every((x) => Math.abs(x) >= 2 ** 24),
  },
  {
    why: 'NaN has no sign here, where PyTorch in bfloat16 takes one from the bits',
    names: /^copysign$/,
    covers: (d) => Number.isNaN(d.element[1]),
  },
]

/** Why the difference is right, or null. */
export function excuseOf(difference: Difference): string | null {
  return excuses.find(({ names, covers }) => names.test(difference.name) && covers(difference))?.why ?? null
}

/** Twelve workloads that nobody has tuned for. Their sizes are drawn from a seed. */
import type { Workload } from './work.js'

/** Draws numbers from a seed (splitmix32). */
class Draw {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** Uniform in [0, 1). */
  #next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32
  }

  /** An integer between the two. Its logarithm is uniform. */
  between(low: number, high: number): number {
    return Math.min(high, Math.floor(low * ((high + 1) / low) ** this.#next()))
  }

  odd(low: number, high: number): number {
    return this.between(low, high - 1) | 1
  }

  of<T>(...choices: readonly [T, ...T[]]): T {
    return choices[Math.floor(this.#next() * choices.length)] as T
  }
}

type Sizes = { readonly [name: string]: number | boolean }

/** A convolution that keeps the image's size if the kernel is odd. */
function convolution(draw: Draw, channels: Sizes & { readonly kernel: number }): Sizes {
  return { n: draw.between(3, 13), h: draw.between(19, 61), w: draw.between(19, 61), ...channels }
}

function sizes(draw: Draw): readonly (readonly [kind: string, sizes: Sizes])[] {
  const depthwise = draw.between(33, 160)
  const grouped = draw.between(2, 6)
  return [
    ['matmul', { m: draw.odd(257, 1400), n: draw.odd(257, 1400), k: draw.odd(257, 1400) }],
    ['matmul', { m: draw.between(2, 40), n: draw.odd(700, 5000), k: draw.odd(700, 3000) }],
    ['matmul', { m: draw.odd(65, 500), n: draw.odd(33, 300), k: draw.odd(900, 6000) }],
    ['conv2d', convolution(draw, { c: draw.odd(17, 110), out: draw.odd(17, 110), kernel: 3, stride: 1, pad: 1 })],
    ['conv2d', convolution(draw, { c: draw.odd(65, 300), out: draw.odd(65, 300), kernel: 1, stride: 1, pad: 0 })],
    [
      'conv2d',
      draw.of(
        convolution(draw, { c: depthwise, out: depthwise, groups: depthwise, kernel: 3, stride: 1, pad: 1 }),
        convolution(draw, { c: 11 * grouped, out: 14 * grouped, groups: grouped, kernel: 5, stride: 2, pad: 2 }),
      ),
    ],
    ['lstm', { t: draw.between(20, 90), b: draw.between(3, 40), i: draw.odd(40, 300), hidden: draw.odd(65, 420) }],
    [
      'attention',
      {
        b: draw.between(1, 4),
        heads: draw.between(2, 9),
        t: draw.odd(150, 900),
        d: draw.of(32, 48, 80, 96),
        causal: true,
      },
    ],
    [
      'attention',
      {
        b: draw.between(1, 3),
        heads: draw.between(2, 7),
        t: draw.odd(100, 600),
        d: draw.of(24, 40, 72, 128),
        causal: false,
      },
    ],
    ['layernorm', { rows: draw.odd(500, 9000), cols: draw.odd(200, 2500) }],
    ['gelu', { rows: draw.odd(500, 5000), cols: draw.odd(500, 5000) }],
    ['cross_entropy', { rows: draw.between(33, 700), cols: draw.odd(5000, 60_000) }],
  ]
}

/** Draws the same twelve workloads whenever the seed is the same. */
export function drawWorkloads(seed: number): readonly Workload[] {
  return sizes(new Draw(seed)).map(([kind, values], i) => ({
    name: `drawn${String(i + 1).padStart(2, '0')}_${kind}_${Object.values(values).map(Number).join('x')}`,
    kind,
    ...values,
  }))
}

/** A day as a number, such as 20260131. */
export function seedOf(date: Date): number {
  return date.getFullYear() * 10_000 + (date.getMonth() + 1) * 100 + date.getDate()
}

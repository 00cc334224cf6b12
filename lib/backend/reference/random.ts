/**
 * Random tensors and dropout: element i of a call takes word i % 4 of Philox block offset + floor(i / 4). Numbers are
 * computed in float64 and rounded when they are stored, as in the native kernels, so that bits are equal.
 */
import { normalQuantile, uniform } from '../../core/distributions.js'
import { dropThreshold, multiplyHigh, philox4 } from '../../core/philox.js'
import { countOf, denseStrides } from '../../core/shape.js'
import type { Kernels, PhiloxPosition } from '../table/index.js'
import type { HostView } from './view.js'
import { walk } from './walk.js'

/** The words of a position, one after the other. */
class Words {
  readonly #seed: number
  readonly #stream: number
  readonly #words = new Uint32Array(4)
  #block: number
  #taken = 4

  constructor(position: PhiloxPosition) {
    this.#seed = position.seed
    this.#stream = position.stream
    this.#block = position.offset
  }

  next(): number {
    if (this.#taken === 4) {
      philox4(this.#seed, this.#stream, this.#block++, this.#words)
      this.#taken = 0
    }
    return this.#words[this.#taken++] as number
  }
}

function fill(out: HostView, position: PhiloxPosition, convert: (word: number) => number): void {
  const words = new Words(position)
  const end = out.offset + countOf(out.shape)
  for (let i = out.offset; i < end; i++) out.data[i] = convert(words.next())
}

export const random = {
  random_uniform({ out, random: position, low, high }) {
    const range = high - low
    fill(out, position, (word) => low + range * uniform(word))
  },

  random_normal({ out, random: position, mean, std }) {
    fill(out, position, (word) => normalQuantile(word) * std + mean)
  },

  random_integers({ out, random: position, low, high }) {
    const range = high - low
    fill(out, position, (word) => low + multiplyHigh(word, range))
  },

  dropout({ out, x, random: position, p }) {
    const words = new Words(position)
    const threshold = dropThreshold(p)
    const scale = 1 / (1 - p)
    const dense = { offset: out.offset, strides: denseStrides(out.shape) }
    walk(out.shape, [dense, x], (length, at, step) => {
      const [to = 0, from = 0] = at
      const [, stride = 0] = step
      for (let i = 0; i < length; i++)
        out.data[to + i] = words.next() < threshold ? 0 : (x.data[from + i * stride] as number) * scale
    })
  },
} satisfies Pick<Kernels<HostView>, 'random_uniform' | 'random_normal' | 'random_integers' | 'dropout'>

/** The rows of random numbers: element i of a call takes word i % 4 of Philox block offset + floor(i / 4). */
import { float, floats } from './grammar.js'

export const random = {
  /** low + (high - low) * u, u = (word >> 8) / 2^24 in [0, 1), computed in float64 and rounded */
  random_uniform: {
    args: { out: 'out T', random: 'philox', low: 'number', high: 'number' },
    T: float,
  },
  /** mean + std * inverse normal distribution((word + 0.5) / 2^32), computed in float64 and rounded */
  random_normal: {
    args: { out: 'out T', random: 'philox', mean: 'number', std: 'number' },
    T: float,
  },
  /** low + floor(word * (high - low) / 2^32) */
  random_integers: {
    args: { out: 'out int32', random: 'philox', low: 'integer', high: 'integer' },
  },
  /** out = word < round(p * 2^32) ? 0 : x / (1 - p); with the same position it is its own backward */
  dropout: {
    args: { out: 'out T', x: 'strided T', random: 'philox', p: 'number' },
    T: floats,
  },
} as const

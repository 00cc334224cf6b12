/** A setting of a call, drawn at random, in the words of both libraries. */
import type * as f from '../../../lib/index.js'
import { Draw } from '../../cases/large.js'

export interface Given {
  readonly shape: f.Shape
  /** 'float' is float64 in PyTorch, and float32 here, or float64 on the reference device. */
  readonly dtype: 'float' | f.DType
  readonly values: readonly number[]
  readonly wanted: boolean
}

export interface Setting {
  /** An expression of x0, x1, ... for PyTorch. */
  readonly python: string
  readonly inputs: readonly Given[]
  readonly call: (x: readonly f.Tensor[]) => f.Tensor | readonly f.Tensor[]
  /** Why one library may refuse what the other takes. */
  readonly mayDiffer?: string
}

const countOf = (shape: f.Shape) => shape.reduce((product, size) => product * size, 1)

export class Choices extends Draw {
  /** Normal numbers that float32 holds. */
  floats(shape: f.Shape, scale = 1, wanted = true): Given {
    const one = () => Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random())
    return this.given(shape, 'float', () => Math.fround(one() * scale), wanted)
  }

  /** Numbers in [low, high). */
  between(shape: f.Shape, low: number, high: number, wanted = true): Given {
    return this.given(shape, 'float', () => Math.fround(low + (high - low) * this.random()), wanted)
  }

  /** Numbers that all differ, in random order. */
  distinct(shape: f.Shape): Given {
    const values = Array.from({ length: countOf(shape) }, (_, i) => i / 8 - 2)
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.integer(0, i)
      const [a, b] = [values[i] as number, values[j] as number]
      values[i] = b
      values[j] = a
    }
    return { shape, dtype: 'float', values, wanted: true }
  }

  integers(shape: f.Shape, least: number, most: number): Given {
    return this.given(shape, 'int32', () => this.integer(least, most), false)
  }

  bits(shape: f.Shape, share = 0.5): Given {
    return this.given(shape, 'bool', () => (this.chance(share) ? 1 : 0), false)
  }

  given(shape: f.Shape, dtype: Given['dtype'], one: () => number, wanted: boolean): Given {
    return { shape, dtype, values: Array.from({ length: countOf(shape) }, one), wanted }
  }

  flag(): boolean {
    return this.chance(0.5)
  }

  /** Sizes of `least` to `most` dimensions. */
  shape(least: number, most: number, size = 5): number[] {
    return Array.from({ length: this.integer(least, most) }, () => this.integer(1, size))
  }

  /** A dimension, often a negative one. */
  dim(rank: number): number {
    return rank === 0 ? this.integer(-1, 0) : this.integer(-rank, rank - 1)
  }
}

/** The value as a literal of Python. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return `'${value}'`
  if (Array.isArray(value)) return `(${value.map((each) => `${literal(each)}, `).join('')})`
  if (value === Number.POSITIVE_INFINITY) return 'math.inf'
  if (value === Number.NEGATIVE_INFINITY) return '-math.inf'
  return String(value)
}

/** The options as keyword arguments, with a comma before each. */
export function keywords(options: object): string {
  return Object.entries(options)
    .map(([name, value]) => `, ${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}=${literal(value)}`)
    .join('')
}

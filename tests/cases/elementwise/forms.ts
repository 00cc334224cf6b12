/** The forms that most cases of single elements have. */
import type * as f from '../../../lib/index.js'
import { awayFrom, type Case, type Input, label, normal, ragged } from '../case.js'

export type Make = (shape: f.Shape) => Input

export function unary(op: string, fn: (x: f.Tensor) => f.Tensor, input: Make, more: Partial<Case> = {}): Case[] {
  return ragged.map((shape) => ({ op, name: label(shape), inputs: [input(shape)], call: fn, ...more }))
}

export const smooth: Make = (shape) => normal(shape)
export const kinkAt =
  (...points: number[]): Make =>
  (shape) =>
    awayFrom(shape, points)

/** Shapes of two operands, and the number of elements that share one element of a broadcast operand. */
export const pairs: readonly [f.Shape, f.Shape, number][] = [
  [[], [], 1],
  [[31], [31], 1],
  [[33, 32], [32], 33],
  [[33, 1], [1, 31], 33],
  [[2, 1, 5], [3, 1], 5],
  [[0, 3], [3], 1],
  [[7], [], 7],
  [[3, 23001], [3, 23001], 1],
]

export function binary(
  op: string,
  fn: (a: f.Tensor, b: f.Tensor) => f.Tensor,
  a: Make,
  b: Make,
  more: Partial<Case> = {},
): Case[] {
  return pairs.map(([left, right, length]) => ({
    op,
    name: `${label(left)} and ${label(right)}`,
    inputs: [a(left), b(right)],
    call: fn,
    length,
    ...more,
  }))
}

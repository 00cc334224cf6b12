/**
 * Shapes at compile time. A shape is a tuple with a literal for each known size and `number` for each unknown one. It
 * is `readonly number[]` if the number of dimensions is unknown. A shape that does not fit becomes a type that no
 * tensor has, whose text says what is wrong (`Misfit`).
 */
import type { Shape } from './shape.js'

/** The shape without `readonly`, so that the compiler's messages read `[32, 784]`. */
export type Mutable<S extends Shape> = { -readonly [K in keyof S]: S[K] }

/** No tensor has this property: an argument of this type does not compile, and the text says why. */
export interface Misfit<Message extends string> {
  readonly 'shapes do not fit': Message
}

type IsUnknownRank<S extends Shape> = number extends S['length'] ? true : false

/** A size as a message shows it. */
export type FormatSize<N extends number> = number extends N ? 'number' : `${N}`

export type FormatShape<S extends Shape> = S extends readonly [infer Head extends number, ...infer Tail extends Shape]
  ? Tail extends readonly []
    ? FormatSize<Head>
    : `${FormatSize<Head>}, ${FormatShape<Tail>}`
  : ''

type BroadcastSize<A extends number, B extends number> = number extends A
  ? B extends 1
    ? number
    : B
  : number extends B
    ? A extends 1
      ? number
      : A
    : A extends 1
      ? B
      : B extends 1
        ? A
        : A extends B
          ? A
          : never

/** The broadcast tuple; `never` if two sizes differ and neither is 1. */
type BroadcastTuples<A extends Shape, B extends Shape, Out extends number[] = []> = A extends readonly [
  ...infer RestA extends Shape,
  infer LastA extends number,
]
  ? B extends readonly [...infer RestB extends Shape, infer LastB extends number]
    ? BroadcastSize<LastA, LastB> extends infer Size extends number
      ? [Size] extends [never]
        ? never
        : BroadcastTuples<RestA, RestB, [Size, ...Out]>
      : never
    : [...Mutable<A>, ...Out]
  : [...Mutable<B>, ...Out]

/** The shape that both broadcast to; unknown if either rank is. */
export type Broadcast<A extends Shape, B extends Shape> =
  IsUnknownRank<A> extends true ? Shape : IsUnknownRank<B> extends true ? Shape : BroadcastTuples<A, B>

/** `unknown` if both can broadcast, else a Misfit. */
export type BroadcastFits<A extends Shape, B extends Shape, Op extends string> = [Broadcast<A, B>] extends [never]
  ? Misfit<`${Op}: shapes do not broadcast: [${FormatShape<A>}] and [${FormatShape<B>}]`>
  : unknown

/**
 * The size of dimension N, counted from the end if negative: `number` if unknown, `never` if there is no such
 * dimension.
 */
export type SizeAt<S extends Shape, N extends number> = number extends N
  ? number
  : IsUnknownRank<S> extends true
    ? number
    : At<S, N> extends infer Size extends number
      ? Size
      : never

/** The item of a tuple at a literal index, counted from the end if negative; `undefined` if there is none. */
export type At<L extends readonly unknown[], N extends number> = `${N}` extends `-${infer Back extends number}`
  ? FromEnd<L, Back>
  : N extends keyof L
    ? L[N]
    : `${N}` extends keyof L
      ? L[`${N}` & keyof L]
      : undefined

type FromEnd<
  L extends readonly unknown[],
  Back extends number,
  Passed extends readonly unknown[] = [unknown],
> = L extends readonly [...infer Rest, infer Item]
  ? Passed['length'] extends Back
    ? Item
    : FromEnd<Rest, Back, readonly [...Passed, unknown]>
  : undefined

/** Items of type T nested as deep as the shape has dimensions; unknown if the rank is. */
export type NestedOf<S extends Shape, T> =
  IsUnknownRank<S> extends true
    ? Nested<T>
    : S extends readonly [number, ...infer Rest extends Shape]
      ? NestedOf<Rest, T>[]
      : T

export type Nested<T = number | boolean> = T | Nested<T>[]

/** The last size: `[2, 3, 4]` -> 4. `number` if unknown. */
export type Last<S extends Shape> = S extends readonly [...Shape, infer L extends number] ? L : number

/** `S` with another last size. */
export type WithLast<S extends Shape, L extends number> = S extends readonly [...infer Head extends Shape, number]
  ? [...Mutable<Head>, L]
  : Shape

type SameSize<A extends number, B extends number> = number extends B
  ? true
  : number extends A
    ? true
    : A extends B
      ? true
      : false

/** `unknown` if the last size of S can be L, else a Misfit. */
export type LastIs<S extends Shape, L extends number, Where extends string> =
  SameSize<Last<S>, L> extends true ? unknown : Misfit<`[${Where}] gets ${Last<S>} features, but takes ${L}`>

/** Result of `a.matmul(b)`. */
export type MatmulShape<A extends Shape, B extends Shape> = A extends readonly [infer M extends number, number]
  ? B extends readonly [number, infer N extends number]
    ? [M, N]
    : Shape
  : A extends readonly [...infer Batch extends Shape, infer M extends number, number]
    ? B extends readonly [number, infer N extends number]
      ? [...Mutable<Batch>, M, N]
      : Shape
    : Shape

/** `unknown` if the inner sizes of a matmul can agree, else a Misfit. */
export type MatmulFits<A extends Shape, B extends Shape> = B extends readonly [...Shape, infer K extends number, number]
  ? SameSize<Last<A>, K> extends true
    ? unknown
    : Misfit<`matmul: inner sizes differ: [${FormatShape<A>}] and [${FormatShape<B>}]`>
  : unknown

/**
 * Shapes through layers at compile time. The type of a layer says what it takes and gives (`Signature`), and shapes
 * follow from that as far as sizes are known. `number` is an unknown size, `Shape` an unknown shape, and `[...number[],
 * 64, number, number]` a shape whose last three dimensions are 64 channels of images of unknown size.
 *
 * A layer that does not fit gives a text instead of a shape: the message of the error at run time, with sizes and
 * place. Over 600 lines, because the types of layers and of containers refer to one another.
 */
import type { Difference, Digits, NumberOf, Product, Quotient, Sum } from './number-types.js'
import type { Shape } from './shape.js'
import type { FormatShape, FormatSize, Last, Misfit, Mutable } from './shape-types.js'

/** A number for all dimensions of a plane, or one for each; null takes the input's. */
type Amount = number | null | readonly (number | null)[]
/** One number for each dimension after the channels. */
type Amounts = number | null | readonly number[]
type Dims = 1 | 2 | 3

/** Channels of rows, images or volumes: [N, C, ..], or [C, ..] if no batch is needed. */
interface Channels {
  readonly channels: number
  readonly dims: Dims
  readonly batch: boolean
}

/** Sliding windows: the 'kernels' of a convolution change the channels, the 'windows' of a pool keep them. */
interface Sliding {
  readonly kind: 'kernels' | 'windows'
  readonly channels: number
  readonly dims: Dims
  readonly kernel: Amount
  readonly stride: Amount
  readonly padding: Amount | 'same' | 'valid'
  readonly dilation: Amount
  readonly ceilMode: boolean
}

/** A transposed convolution. */
interface Transposed {
  readonly kind: 'transposed'
  readonly channels: number
  readonly dims: Dims
  readonly kernel: Amount
  readonly stride: Amount
  readonly padding: Amount
  readonly dilation: Amount
  readonly outputPadding: Amount
}

/**
 * The shapes that a layer takes and gives. `features` is the last size, `second` the one after the batch. Unknown sizes
 * are `number`.
 */
export interface Signature {
  /** The function that run-time errors name. */
  readonly op: string
  readonly takes:
    | 'anything'
    | { readonly last: number | Shape }
    | { readonly features: number }
    | { readonly second: number }
    | Channels
  readonly gives:
    | 'keep'
    | 'unknown'
    | { readonly kind: 'features'; readonly features: number }
    | { readonly kind: 'recurrent'; readonly hidden: number; readonly both: boolean; readonly proj: number }
    | { readonly kind: 'flat'; readonly start: number; readonly end: number }
    | { readonly kind: 'embedded'; readonly features: number }
    | { readonly kind: 'split'; readonly dim: number; readonly sizes: Shape }
    | { readonly kind: 'sized'; readonly dims: Dims; readonly size: Amount }
    | { readonly kind: 'scaled'; readonly size: Amounts; readonly factor: Amounts }
    | Sliding
    | Transposed
}

/** The signature of a layer that passes shapes on. */
export interface Keeps {
  readonly op: string
  readonly takes: 'anything'
  readonly gives: 'keep'
}

/**
 * The signature of a layer over the last dimension, which keeps the shape. `Sizes` is that dimension's size, or a list
 * of the last sizes.
 */
export interface KeepsFeatures<Op extends string, Sizes extends number | Shape> {
  readonly op: Op
  readonly takes: { readonly last: Sizes }
  readonly gives: 'keep'
}

/**
 * The signature of a recurrent layer. Its output has `Proj` features, else `Hidden`, and twice as many if it runs in
 * both directions.
 */
export interface Recurs<
  Op extends string,
  In extends number,
  Hidden extends number,
  Both extends boolean,
  Proj extends number,
> {
  readonly op: Op
  readonly takes: { readonly features: In }
  readonly gives: {
    readonly kind: 'recurrent'
    readonly hidden: Hidden
    readonly both: Both
    readonly proj: Proj
  }
}

/** The number of features that a recurrent layer gives. */
type Recurred<G> = G extends {
  readonly hidden: infer Hidden extends number
  readonly both: infer Both extends boolean
  readonly proj: infer Proj extends number
}
  ? boolean extends Both
    ? number
    : Both extends true
      ? NumberOf<Product<Digits<Projected<Hidden, Proj>>, '2'>>
      : Projected<Hidden, Proj>
  : never

type Projected<Hidden extends number, Proj extends number> = number extends Proj
  ? number
  : Proj extends 0
    ? Hidden
    : Proj

/** The signature of a layer whose channels follow the batch, and which keeps the shape. */
export interface KeepsSecond<Op extends string, C extends number> {
  readonly op: Op
  readonly takes: { readonly second: C }
  readonly gives: 'keep'
}

/** The signature of a layer over channels of planes, which keeps the shape. */
export interface KeepsChannels<Op extends string, C extends number, D extends Dims, Batch extends boolean> {
  readonly op: Op
  readonly takes: { readonly channels: C; readonly dims: D; readonly batch: Batch }
  readonly gives: 'keep'
}

export interface Convolves<
  Op extends string,
  D extends Dims,
  In extends number,
  Out extends number,
  Kernel extends Amount,
  Stride extends Amount,
  Padding extends Amount | 'same' | 'valid',
  Dilation extends Amount,
> {
  readonly op: Op
  readonly takes: { readonly channels: In; readonly dims: D; readonly batch: false }
  readonly gives: {
    readonly kind: 'kernels'
    readonly channels: Out
    readonly dims: D
    readonly kernel: Kernel
    readonly stride: Stride
    readonly padding: Padding
    readonly dilation: Dilation
    readonly ceilMode: false
  }
}

export interface ConvolvesBack<
  Op extends string,
  D extends Dims,
  In extends number,
  Out extends number,
  Kernel extends Amount,
  Stride extends Amount,
  Padding extends Amount,
  Dilation extends Amount,
  OutputPadding extends Amount,
> {
  readonly op: Op
  readonly takes: { readonly channels: In; readonly dims: D; readonly batch: false }
  readonly gives: {
    readonly kind: 'transposed'
    readonly channels: Out
    readonly dims: D
    readonly kernel: Kernel
    readonly stride: Stride
    readonly padding: Padding
    readonly dilation: Dilation
    readonly outputPadding: OutputPadding
  }
}

export interface Pools<
  Op extends string,
  D extends Dims,
  Kernel extends Amount,
  Stride extends Amount,
  Padding extends Amount,
  Dilation extends Amount,
  Ceil extends boolean,
> {
  readonly op: Op
  readonly takes: { readonly channels: number; readonly dims: D; readonly batch: false }
  readonly gives: {
    readonly kind: 'windows'
    readonly channels: number
    readonly dims: D
    readonly kernel: Kernel
    readonly stride: Stride
    readonly padding: Padding
    readonly dilation: Dilation
    readonly ceilMode: Ceil
  }
}

export interface PoolsTo<Op extends string, D extends Dims, To extends Amount> {
  readonly op: Op
  readonly takes: { readonly channels: number; readonly dims: D; readonly batch: false }
  readonly gives: { readonly kind: 'sized'; readonly dims: D; readonly size: To }
}

/** The type of an option that was left out: its default. It is unknown if the written type leaves out the kernel. */
export type Usual<Kernel, Default, Unknown> = number extends Kernel ? Unknown : Default

type Size<A, I extends 0 | 1 | 2, Own extends number> = A extends readonly unknown[]
  ? Size<A[I], I, Own>
  : A extends number
    ? A
    : A extends null
      ? Own
      : A extends 'valid'
        ? 0
        : number

/** dilation * (kernel - 1): the number of places from the first to the last element of a window. */
type Span<W extends Sliding | Transposed, I extends 0 | 1 | 2> = Product<
  Digits<Size<W['dilation'], I, number>>,
  Difference<Digits<Size<W['kernel'], I, number>>, '1'>
>

type Padded<A extends number, W extends Sliding, I extends 0 | 1 | 2> = Sum<
  Digits<A>,
  Product<Digits<Size<W['padding'], I, number>>, '2'>
>

/** The number of windows along a dimension; never if none fits. */
type Slid<A extends number, W extends Sliding, I extends 0 | 1 | 2> = 'same' extends W['padding']
  ? W['padding'] extends 'same'
    ? A
    : number
  : Counted<
      Difference<Padded<A, W, I>, Sum<Span<W, I>, '1'>>,
      Digits<Size<W['stride'], I, number>>,
      W['ceilMode'],
      Sum<Digits<A>, Digits<Size<W['padding'], I, number>>>
    >

/** `Room` is how far a window can move. `End` is where the input ends: the last window must begin before it. */
type Counted<Room extends string, Stride extends string, Ceil extends boolean, End extends string> = [Room] extends [
  never,
]
  ? number
  : Room extends 'negative'
    ? Ceil extends true
      ? number
      : never
    : Ceil extends true
      ? CountedUp<Quotient<Sum<Room, Difference<Stride, '1'>>, Stride>, Stride, End>
      : NumberOf<Sum<Quotient<Room, Stride>, '1'>>

type CountedUp<Moves extends string, Stride extends string, End extends string> =
  Difference<Product<Moves, Stride>, End> extends infer Over extends string
    ? [Over] extends [never]
      ? number
      : Over extends 'negative'
        ? NumberOf<Sum<Moves, '1'>>
        : NumberOf<Moves>
    : never

/** (size - 1) * stride + dilation * (kernel - 1) + outputPadding + 1 - 2 * padding */
type Grown<A extends number, W extends Transposed, I extends 0 | 1 | 2> =
  Difference<
    Sum<
      Product<Difference<Digits<A>, '1'>, Digits<Size<W['stride'], I, number>>>,
      Sum<Span<W, I>, Sum<Digits<Size<W['outputPadding'], I, number>>, '1'>>
    >,
    Product<Digits<Size<W['padding'], I, number>>, '2'>
  > extends infer Out extends string
    ? NumberOf<Exclude<Out, 'negative'>>
    : never

/** The given size, or `factor` times the size if that is a whole number; `number` if both options are unknown. */
type Scaled<A extends number, Z, F, I extends 0 | 1 | 2> =
  number extends Size<F, I, never>
    ? Size<Z, I, number>
    : [Size<F, I, never>] extends [never]
      ? Size<Z, I, number>
      : NumberOf<Product<Digits<A>, Digits<Size<F, I, never>>>>

type Along<A extends number, G, I extends 0 | 1 | 2> = G extends Sliding
  ? Slid<A, G, I>
  : G extends Transposed
    ? Grown<A, G, I>
    : G extends { readonly kind: 'sized'; readonly size: infer To }
      ? Size<To, I, A>
      : G extends { readonly kind: 'scaled'; readonly size: infer Z; readonly factor: infer F }
        ? Scaled<A, Z, F, I>
        : number

type ChannelsOf<G, C extends number> = G extends {
  readonly kind: 'kernels' | 'transposed'
  readonly channels: infer Out
}
  ? Out
  : C

/** Planes or volumes after a layer that changes their sizes. */
type Resized<S extends Shape, G extends { readonly dims: Dims }, Op extends string> = G['dims'] extends 1
  ? S extends readonly [...infer Lead extends Shape, infer C extends number, infer W extends number]
    ? Along<W, G, 0> extends infer L
      ? [L] extends [never]
        ? NoRoom<S, G, Op>
        : [...Lead, ChannelsOf<G, C>, L]
      : never
    : Shape
  : G['dims'] extends 3
    ? ResizedVolume<S, G, Op>
    : S extends readonly [
          ...infer Lead extends Shape,
          infer C extends number,
          infer H extends number,
          infer W extends number,
        ]
      ? [Along<H, G, 0>, Along<W, G, 1>] extends infer Plane extends readonly [unknown, unknown]
        ? [Plane[0]] extends [never]
          ? NoRoom<S, G, Op>
          : [Plane[1]] extends [never]
            ? NoRoom<S, G, Op>
            : [...Lead, ChannelsOf<G, C>, ...Plane]
        : never
      : Shape

type ResizedVolume<S extends Shape, G, Op extends string> = S extends readonly [
  ...infer Lead extends Shape,
  infer C extends number,
  infer Z extends number,
  infer H extends number,
  infer W extends number,
]
  ? [Along<Z, G, 0>, Along<H, G, 1>, Along<W, G, 2>] extends infer Volume extends readonly [unknown, unknown, unknown]
    ? [true] extends [{ [I in keyof Volume]: [Volume[I]] extends [never] ? true : false }[number]]
      ? NoRoom<S, G, Op>
      : [...Lead, ChannelsOf<G, C>, ...Volume]
    : never
  : Shape

/** The sizes along the dimensions that a layer slides over, as messages show them. */
type Every<G extends { readonly dims: Dims }, A extends number, B extends number, C extends number> = {
  1: FormatSize<A>
  2: `${FormatSize<A>} x ${FormatSize<B>}`
  3: `${FormatSize<A>} x ${FormatSize<B>} x ${FormatSize<C>}`
}[G['dims']]

type Reach<G extends Sliding, I extends 0 | 1 | 2> = NumberOf<Sum<Span<G, I>, '1'>>

type NoRoom<S extends Shape, G, Op extends string> = G extends Sliding
  ? Every<G, Reach<G, 0>, Reach<G, 1>, Reach<G, 2>> extends infer All extends string
    ? G['kind'] extends 'windows'
      ? `[${Op}] a window that reaches over ${All} does not fit into [${FormatShape<S>}] with padding ${Every<G, Size<G['padding'], 0, 0>, Size<G['padding'], 1, 0>, Size<G['padding'], 2, 0>>}`
      : `[${Op}] a kernel that reaches over ${All} does not fit into the padded ${PaddedSpace<S, G>}`
    : never
  : never

type PaddedSpace<S extends Shape, G extends Sliding> =
  Cut<S, G['dims']> extends [Shape, number, infer Space extends Shape]
    ? Space extends readonly [infer A extends number, infer B extends number, infer C extends number]
      ? `volume ${Every<G, NumberOf<Padded<A, G, 0>>, NumberOf<Padded<B, G, 1>>, NumberOf<Padded<C, G, 2>>>}`
      : Space extends readonly [infer A extends number, infer B extends number]
        ? `image ${Every<G, NumberOf<Padded<A, G, 0>>, NumberOf<Padded<B, G, 1>>, number>}`
        : `row of ${FormatSize<NumberOf<Padded<Last<Space>, G, 0>>>}`
    : never

type Multiplied<S extends Shape, So extends string = '1'> = S extends readonly [
  infer A extends number,
  ...infer Rest extends Shape,
]
  ? Multiplied<Rest, Product<So, Digits<A>>>
  : NumberOf<So>

/** Joins all dimensions from `Start` on into one. `Before` are those already passed. */
type Flat<S extends Shape, Start extends number, Before extends Shape = []> = number extends S['length'] | Start
  ? Shape
  : S extends readonly [infer A extends number, ...infer Rest extends Shape]
    ? Before['length'] extends Start
      ? [...Before, Multiplied<S>]
      : Flat<Rest, Start, [...Before, A]>
    : Shape

/** Splits one dimension into several. One of them may be -1, which takes what is left. */
type Split<S extends Shape, D extends number, Z extends Shape, Before extends Shape = []> = number extends
  | S['length']
  | Z['length']
  | D
  ? Shape
  : S extends readonly [infer A extends number, ...infer Rest extends Shape]
    ? Before['length'] extends D
      ? [...Before, ...{ -readonly [K in keyof Z]: Z[K] extends -1 ? number : Z[K] }, ...Rest]
      : Split<Rest, D, Z, [...Before, A]>
    : Shape

type Given<S extends Shape, G, Op extends string> = G extends 'keep'
  ? S
  : G extends { readonly kind: 'features'; readonly features: infer Out extends number }
    ? S extends readonly [...infer Head extends Shape, number]
      ? [...Head, Out]
      : [...number[], Out]
    : G extends { readonly kind: 'flat'; readonly start: infer Start extends number; readonly end: infer End }
      ? End extends -1
        ? Flat<S, Start>
        : Shape
      : G extends { readonly dims: Dims }
        ? Resized<S, G, Op>
        : G extends { readonly kind: 'scaled' }
          ? S extends readonly [number, number, number]
            ? Resized<S, G & { readonly dims: 1 }, Op>
            : S extends readonly [number, number, number, number]
              ? Resized<S, G & { readonly dims: 2 }, Op>
              : S extends readonly [number, number, number, number, number]
                ? Resized<S, G & { readonly dims: 3 }, Op>
                : Shape
          : G extends { readonly kind: 'embedded'; readonly features: infer E extends number }
            ? [...S, E]
            : G extends { readonly kind: 'recurrent' }
              ? Given<S, { readonly kind: 'features'; readonly features: Recurred<G> }, Op>
              : G extends {
                    readonly kind: 'split'
                    readonly dim: infer D extends number
                    readonly sizes: infer Z extends Shape
                  }
                ? Split<S, D, Z>
                : Shape

interface UnknownPlane {
  1: [number]
  2: [number, number]
  3: [number, number, number]
}

/** A shape cut into the dimensions before the channels, the channels, and the planes; 'none' if it cannot be cut so. */
type Cut<S extends Shape, D extends Dims> = D extends 1
  ? S extends readonly [...infer Lead extends Shape, infer C extends number, infer W extends number]
    ? [Lead, C, [W]]
    : Uncut<S, D>
  : D extends 2
    ? S extends readonly [
        ...infer Lead extends Shape,
        infer C extends number,
        infer H extends number,
        infer W extends number,
      ]
      ? [Lead, C, [H, W]]
      : Uncut<S, D>
    : S extends readonly [
          ...infer Lead extends Shape,
          infer C extends number,
          infer Z extends number,
          infer H extends number,
          infer W extends number,
        ]
      ? [Lead, C, [Z, H, W]]
      : Uncut<S, D>

type Uncut<S extends Shape, D extends Dims> = number extends S['length']
  ? S extends readonly [infer N extends number, infer C extends number, ...Shape]
    ? [[N], C, UnknownPlane[D]]
    : [number[], number, UnknownPlane[D]]
  : 'none'

interface Batches {
  1: '[N, C, L]'
  2: '[N, C, H, W]'
  3: '[N, C, D, H, W]'
}
interface Singles {
  1: '[C, L]'
  2: '[C, H, W]'
  3: '[C, D, H, W]'
}

type ChannelsMisfit<
  Op extends string,
  Gets extends number,
  Takes extends number,
> = `[${Op}] gets ${Gets} channels, but takes ${Takes}`

/** The shape with the layer's channels filled in, if they were unknown. */
type InChannels<S extends Shape, T extends Channels, Op extends string> =
  Cut<S, T['dims']> extends [infer Lead extends Shape, infer C extends number, infer Plane extends Shape]
    ? [Lead['length'] & (T['batch'] extends true ? 1 : 0 | 1)] extends [never]
      ? RankMisfit<S, T, Op>
      : [C & T['channels']] extends [never]
        ? ChannelsMisfit<Op, C, T['channels']>
        : [...(T['batch'] extends true ? [number & Lead[0]] : Lead), C & T['channels'], ...Plane]
    : RankMisfit<S, T, Op>

type RankMisfit<
  S extends Shape,
  T extends Channels,
  Op extends string,
> = `[${Op}] x must be ${Batches[T['dims']]}${T['batch'] extends true ? '' : ` or ${Singles[T['dims']]}`}, but is [${FormatShape<S>}]`

/**
 * The shape with the channels after the batch filled in. They are known even if a convolution's result may lack the
 * batch.
 */
type InSecond<S extends Shape, C extends number, Op extends string> = S extends readonly [
  infer N extends number,
  infer Gets extends number,
  ...infer Rest extends Shape,
]
  ? Second<N, Gets, C, Rest, Op>
  : number extends S['length']
    ? S extends readonly [...Shape, infer Gets extends number, infer H extends number, infer W extends number]
      ? Second<number, Gets, C, [H, W], Op>
      : S extends readonly [...Shape, infer Gets extends number, infer W extends number]
        ? Second<number, Gets, C, [W], Op>
        : S extends readonly [...Shape, number]
          ? S
          : [number, C, ...number[]]
    : S

type Second<N extends number, Gets extends number, C extends number, Rest extends Shape, Op extends string> = [
  Gets & C,
] extends [never]
  ? ChannelsMisfit<Op, Gets, C>
  : [N, Gets & C, ...Rest]

type Taken<S extends Shape, T, Op extends string> = T extends Channels
  ? InChannels<S, T, Op>
  : T extends { readonly features: infer N extends number }
    ? [Last<S> & N] extends [never]
      ? `[${Op}] gets ${Last<S>} features, but takes ${N}`
      : S
    : T extends { readonly second: infer C extends number }
      ? InSecond<S, C, Op>
      : T extends { readonly last: infer N }
        ? Taken<S, { readonly features: N extends Shape ? Last<N> : N }, Op>
        : S

/** The shape that a layer gives for a shape, or the text of the misfit. */
export type Applied<S extends Shape, G extends Signature> =
  Taken<S, G['takes'], G['op']> extends infer T ? (T extends Shape ? Given<T, G['gives'], G['op']> : T) : never

/** `Applied`, for the layer at a place in a Sequential. A layer without a signature gives an unknown shape. */
type Step<S extends Shape, L, Place extends string> = L extends { readonly signature?: infer G }
  ? Exclude<G, undefined> extends infer G
    ? G extends { readonly layers: infer Inner extends readonly unknown[] }
      ? Through<Inner, S, `${Place}.`>
      : G extends Signature
        ? Applied<S, G> extends infer R
          ? R extends string
            ? `${R} (in Sequential.${Place})`
            : R
          : never
        : Shape
    : never
  : Shape

/** `Applied`, for layers one after another. No layers, or a list that is not a tuple, give an unknown shape. */
type Through<
  L extends readonly unknown[],
  S extends Shape,
  Place extends string = '',
  Passed extends readonly unknown[] = [],
> = L extends readonly [infer Head, ...infer Tail]
  ? Step<S, Head, `${Place}${Passed['length']}`> extends infer R
    ? R extends Shape
      ? Through<Tail, R, Place, [...Passed, unknown]>
      : R
    : never
  : Passed extends readonly []
    ? Shape
    : S

/**
 * A verdict for each layer: `unknown` if it fits, else a Misfit that names its place and both sizes. `S` is the shape
 * that the first layer gets. A list that is not a tuple has unknown verdicts.
 */
export type Chained<
  L extends readonly unknown[],
  S extends Shape = Shape,
  Out extends readonly unknown[] = [],
> = number extends L['length']
  ? readonly unknown[]
  : L extends readonly [infer Head, ...infer Tail]
    ? Step<S, Head, `${Out['length']}`> extends infer R
      ? R extends Shape
        ? Chained<Tail, R, [...Out, unknown]>
        : Chained<Tail, Shape, [...Out, Misfit<R & string>]>
      : never
    : Out

/** `Chained`, evaluated layer by layer, so that the compiler marks the layer at fault. */
export type Fitting<L extends readonly unknown[], S extends Shape = Shape> = {
  readonly [I in keyof L]: L[I] & VerdictAt<Chained<L, S>, I>
}

type VerdictAt<Verdicts, I> = I extends keyof Verdicts ? Verdicts[I] : unknown

/** `unknown` if a shape can pass through the layers, else a Misfit. */
export type Passes<L extends readonly unknown[], S extends Shape> =
  Through<L, S> extends infer R extends string ? Misfit<R> : unknown

/** The shape that comes out of the layers; unknown if the rank of the input is. */
export type Passed<L extends readonly unknown[], S extends Shape> = number extends S['length']
  ? Shape
  : Through<L, S> extends infer R extends Shape
    ? number extends R['length']
      ? Shape
      : Mutable<R>
    : Shape

/**
 * Arithmetic of sizes at compile time, digit by digit as on paper. TypeScript cannot add, but it knows the length of a
 * list. So a digit is a list with that many items, and a step over two digits and a carry is the length of a list of at
 * most 99 items. A sum of seven digits takes seven steps, whereas a list as long as the number itself could not exceed
 * 10,000.
 *
 * Numbers are texts with the last digit first (`Digits`), so that a carry moves in the direction of the text. `never`
 * stands for `number` itself, which is unknown, and for numbers that are not sizes: fractions, negative numbers, and
 * those that TypeScript writes with an exponent. Each member of a union is computed with, so the result is the union of
 * all possible results.
 */

interface Units {
  0: []
  1: [0]
  2: [0, 0]
  3: [0, 0, 0]
  4: [0, 0, 0, 0]
  5: [0, 0, 0, 0, 0]
  6: [0, 0, 0, 0, 0, 0]
  7: [0, 0, 0, 0, 0, 0, 0]
  8: [0, 0, 0, 0, 0, 0, 0, 0]
  9: [0, 0, 0, 0, 0, 0, 0, 0, 0]
}
type Unit = readonly 0[]
type Digit = keyof Units

/** A list repeated as often as each digit says. */
interface Times<U extends Unit> {
  0: []
  1: U
  2: [...U, ...U]
  3: [...U, ...U, ...U]
  4: [...U, ...U, ...U, ...U]
  5: [...U, ...U, ...U, ...U, ...U]
  6: [...U, ...U, ...U, ...U, ...U, ...U]
  7: [...U, ...U, ...U, ...U, ...U, ...U, ...U]
  8: [...U, ...U, ...U, ...U, ...U, ...U, ...U, ...U]
  9: [...U, ...U, ...U, ...U, ...U, ...U, ...U, ...U, ...U]
}

type Reversed<Text extends string, Out extends string = ''> = Text extends `${infer First extends Digit}${infer Rest}`
  ? Reversed<Rest, `${First}${Out}`>
  : Text extends ''
    ? Out
    : never

/** The digits of a size that is known, the last one first. */
export type Digits<N extends number> = number extends N ? never : Reversed<`${N}`>

type WithoutZeros<Text extends string> = Text extends `0${infer Rest}`
  ? Rest extends ''
    ? '0'
    : WithoutZeros<Rest>
  : Text

/** The number that the digits spell; `number` if they are unknown, or too many to be exact. */
export type NumberOf<A extends string> = [A] extends [never]
  ? number
  : WithoutZeros<Reversed<A>> extends `${infer N extends number}`
    ? N
    : number

/** A times the digit Y, plus C. Sums and products are made of this step. */
type MultiplyAdd<
  A extends string,
  Y extends Digit,
  C extends string,
  Carry extends Unit = [],
  Out extends string = '',
> = A extends `${infer X extends Digit}${infer As}`
  ? C extends `${infer Z extends Digit}${infer Cs}`
    ? Carried<As, Y, Cs, [...Times<Units[X]>[Y], ...Units[Z], ...Carry], Out>
    : Carried<As, Y, '', [...Times<Units[X]>[Y], ...Carry], Out>
  : C extends `${infer Z extends Digit}${infer Cs}`
    ? Carried<'', Y, Cs, [...Units[Z], ...Carry], Out>
    : Carry extends []
      ? Out
      : `${Out}${Carry['length']}`

type Carried<
  A extends string,
  Y extends Digit,
  C extends string,
  Total extends Unit,
  Out extends string,
> = `${Total['length']}` extends `${infer Tens extends Digit}${infer Ones extends Digit}`
  ? MultiplyAdd<A, Y, C, Units[Tens], `${Out}${Ones}`>
  : MultiplyAdd<A, Y, C, [], `${Out}${Total['length']}`>

export type Sum<A extends string, B extends string> = MultiplyAdd<A, 1, B>

export type Product<A extends string, B extends string> = B extends `${infer Y extends Digit}${infer Bs}`
  ? Bs extends ''
    ? MultiplyAdd<A, Y, ''>
    : MultiplyAdd<A, Y, `0${Product<A, Bs>}`>
  : never

/** A - B; 'negative' if B is larger. */
export type Difference<
  A extends string,
  B extends string,
  Borrow extends Unit = [],
  Out extends string = '',
> = A extends `${infer X extends Digit}${infer As}`
  ? B extends `${infer Y extends Digit}${infer Bs}`
    ? Borrowed<As, Bs, Units[X], [...Units[Y], ...Borrow], Out>
    : Borrowed<As, '', Units[X], Borrow, Out>
  : B extends `${infer Y extends Digit}${infer Bs}`
    ? Borrowed<'', Bs, [], [...Units[Y], ...Borrow], Out>
    : Borrow extends []
      ? Out
      : 'negative'

type Borrowed<
  A extends string,
  B extends string,
  From extends Unit,
  Take extends Unit,
  Out extends string,
> = From extends readonly [...Take, ...infer Rest]
  ? Difference<A, B, [], `${Out}${Rest['length'] & number}`>
  : [...From, 0, ...Units[9]] extends readonly [...Take, ...infer Rest]
    ? Difference<A, B, [0], `${Out}${Rest['length'] & number}`>
    : never

/** A / B, rounded down. The result is unknown if B is 0 or has more than two digits. */
export type Quotient<A extends string, B extends string> = B extends '1'
  ? A
  : UnitsOf<B> extends infer Divisor extends Unit
    ? Divisor extends readonly []
      ? never
      : Reversed<Divided<Reversed<A>, Divisor>>
    : never

type UnitsOf<B extends string> = B extends `${infer Ones extends Digit}${infer Tens}`
  ? Tens extends ''
    ? Units[Ones]
    : Tens extends `${infer T extends Digit}`
      ? [...Tenfold<Units[T]>, ...Units[Ones]]
      : never
  : never

type Tenfold<U extends Unit> = [...U, ...Times<U>[9]]

/** Long division: takes the first digit first, each with the remainder from those before. */
type Divided<
  Text extends string,
  Divisor extends Unit,
  Remainder extends Unit = [],
  Out extends string = '',
> = Text extends `${infer First extends Digit}${infer Rest}`
  ? Often<[...Tenfold<Remainder>, ...Units[First]], Divisor> extends [
      infer Count extends number,
      infer Left extends Unit,
    ]
    ? Divided<Rest, Divisor, Left, `${Out}${Count}`>
    : never
  : Out

/** The quotient of A by B, rounded down, and the remainder. */
type Often<A extends Unit, B extends Unit, Count extends Unit = []> = A extends readonly [
  ...B,
  ...infer Rest extends Unit,
]
  ? Often<Rest, B, [...Count, 0]>
  : [Count['length'], A]

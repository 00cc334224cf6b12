/**
 * The shapes that types infer for a layer against the shapes that it gives, for random layers and shapes. Inferred
 * sizes must be true. True sizes must be inferred, except for a few stated cases. Calls that do not compile must be
 * those that throw, with the same words.
 */
import type ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { nn, type Shape, type Tensor, zeros } from '../../lib/index.js'
import { compile, folder, textOf } from './compile.js'

/** The same numbers at each run. */
function draws(seed: number) {
  let state = seed
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
  const from = (low: number, high: number) => low + below(high - low + 1)
  const one = <T>(list: readonly T[]) => list[below(list.length)] as T
  return { from, one, chance: (n: number) => below(n) === 0 }
}
type Draws = ReturnType<typeof draws>

interface Drawn {
  readonly name: string
  readonly args: readonly unknown[]
  readonly shape: Shape
}

const lengths = [1, 2, 3, 5, 7, 8, 9, 10, 14, 15, 27, 28, 31, 32, 33, 99, 100, 101, 224, 1000]

function drawn(d: Draws): Drawn {
  const dims = d.from(1, 2)
  const amount = (low: number, high: number) => {
    const each = () => d.from(low, high)
    return dims === 2 && d.chance(3) ? [each(), each()] : dims === 1 && d.chance(4) ? [each()] : each()
  }
  const some = (options: { [name: string]: unknown }) => {
    const kept = Object.entries(options).filter(() => d.chance(2))
    return kept.length > 0 ? [Object.fromEntries(kept)] : []
  }
  const channels = d.one([1, 3, 8])
  const plane = Array.from({ length: dims }, () => d.one(lengths))
  const shape = [...(d.chance(4) ? [] : [d.from(1, 3)]), channels, ...plane]
  const layer = (name: string, ...args: readonly unknown[]) => ({ name: `${name}${dims}d`, args, shape })
  const window = { stride: amount(1, 4), padding: amount(0, 3), ceilMode: d.chance(2) }
  // Sometimes it does not fit.
  const takes = d.chance(12) ? channels + 1 : channels
  switch (d.from(0, 9)) {
    case 0:
    case 1:
      return layer(
        'Conv',
        takes,
        d.one([1, 4, 16]),
        amount(1, 7),
        ...some({ ...window, ceilMode: undefined, dilation: amount(1, 3) }),
      )
    case 2:
      return layer('Conv', takes, 4, amount(1, 4), { padding: d.one(['same', 'valid']) })
    case 3:
      return layer(
        'ConvTranspose',
        takes,
        4,
        amount(1, 5),
        ...some({ stride: amount(2, 4), padding: amount(0, 2), dilation: amount(1, 3), outputPadding: 1 }),
      )
    case 4:
      return layer('MaxPool', amount(1, 6), ...some({ ...window, dilation: amount(1, 2) }))
    case 5:
      return layer('AvgPool', amount(1, 6), ...some(window))
    case 6:
      return layer(
        d.one(['AdaptiveAvgPool', 'AdaptiveMaxPool']),
        dims === 2 ? d.one([1, 7, [2, 3], [null, 4]]) : d.one([1, 7, [2]]),
      )
    case 7:
      return { name: 'Flatten', args: d.one([[], [0], [1], [2], [1, -1], [1, 2]]), shape }
    case 8:
      return {
        name: 'Upsample',
        args: [
          d.one([{ scaleFactor: 2 }, { size: 5 }, { scaleFactor: 1.5 }, { scaleFactor: 3, mode: 'nearest-exact' }]),
        ],
        shape,
      }
    default:
      return { name: 'LPPool2d', args: [2, d.from(1, 4), { ceilMode: d.chance(2) }], shape }
  }
}

/** Whether the types may know less than could be known. */
function isExcused({ name, args }: Drawn, given: Shape): boolean {
  const options = args.at(-1) as { readonly ceilMode?: boolean; readonly scaleFactor?: number }
  // This is a window that only ceilMode may let in, depending on the stride.
  if (options?.ceilMode === true && given.includes(1)) return true
  if (name === 'Upsample') return options.scaleFactor === 1.5
  return name === 'Flatten' && args[1] === 2
}

const written = ({ name, args }: Drawn) => `new nn.${name}(${args.map((each) => JSON.stringify(each)).join(', ')})`

const prelude = `import { nn, zeros, type Tensor } from '../../lib/index.js'
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(equal: Equal<A, B>): void
`

interface Outcome {
  readonly drawn: Drawn
  readonly given: Shape | null
  readonly message: string
}

function outcomeOf(drawn: Drawn): Outcome | null {
  type Maker = new (...args: readonly unknown[]) => nn.Module & { forward(x: Tensor): Tensor | Tensor[] }
  let layer: nn.Module & { forward(x: Tensor): Tensor | Tensor[] }
  try {
    layer = new ((nn as unknown as { readonly [name: string]: Maker })[drawn.name] as Maker)(...drawn.args)
  } catch {
    return null
  }
  try {
    return { drawn, given: (layer.forward(zeros(drawn.shape)) as Tensor).shape, message: '' }
  } catch (error) {
    return { drawn, given: null, message: (error as Error).message }
  }
}

describe('types of shapes through layers', () => {
  it('know what layers give, and say what they throw', () => {
    const d = draws(7)
    const outcomes = Array.from({ length: 300 }, () => outcomeOf(drawn(d))).filter((outcome) => outcome !== null)
    expect(outcomes.length).toBeGreaterThan(200)
    const files = Object.fromEntries(
      outcomes.map(({ drawn, given }, i) => {
        const of = `new nn.Sequential(${written(drawn)}).forward(zeros(${JSON.stringify(drawn.shape)}))`
        const known =
          given && !isExcused(drawn, given) ? `same<typeof y, Tensor<${JSON.stringify(given)}>>(true)\n` : ''
        const sound = given ? `const held: typeof y = zeros(${JSON.stringify(given)})\nvoid held\n` : ''
        return [`layer${i}.ts`, `${prelude}const y = ${of}\n${known}${sound}`]
      }),
    )
    const program = compile(files)
    let told = 0
    outcomes.forEach(({ drawn, given, message }, i) => {
      const source = program.getSourceFile(`${folder}layer${i}.ts`) as ts.SourceFile
      const errors = program.getSemanticDiagnostics(source).map(textOf)
      const what = `${written(drawn)} of ${JSON.stringify(drawn.shape)}: ${JSON.stringify(given)}\n${message}\n${errors.join('\n')}`
      if (given !== null) {
        expect(errors, what).toEqual([])
        return
      }
      const [text] = errors.map((error) => /Misfit<"(.*?) \(in Sequential\.0\)">/.exec(error)?.[1])
      if (errors.length > 0) expect(message.startsWith(text ?? '?'), what).toBe(true)
      told += errors.length
    })
    // Calls that throw but compile involve something that types do not know: empty results, and ranks of layers that
    // accept several.
    const thrown = outcomes.filter(({ given }) => given === null).length
    expect(told).toBeGreaterThan(0.7 * thrown)
  }, 240_000)
})

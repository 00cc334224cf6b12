/**
 * Compares operators at special values with PyTorch: NaN, infinities, both zeros, denormals, the largest numbers, in
 * float32, float64 and bfloat16, results and gradients. Each element is judged by itself: its kind (NaN, infinity or
 * zero, with its sign), else a relative difference.
 *
 * `tsx special.ts PYTHON [PATTERN]`: PYTHON is an interpreter that has torch and numpy. PATTERN selects operators.
 * Ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as f from '../../lib/index.js'
import { binary, lines, type SpecialCase, unary } from './special/cases.js'
import { excuseOf } from './special/excuses.js'

type Float = 'float32' | 'float64' | 'bfloat16'

interface Told {
  readonly shape: readonly number[]
  readonly values: Float64Array
}

const [, , python = 'python3', pattern = ''] = process.argv

/** Numbers that the dtype holds. Beyond 2^53, float64 lacks odd numbers. */
const bounds = {
  float32: { tiny: 2 ** -126, denormal: 2 ** -140, largest: (2 - 2 ** -23) * 2 ** 127 },
  float64: { tiny: 2 ** -1022, denormal: 2 ** -1060, largest: Number.MAX_VALUE },
  bfloat16: { tiny: 2 ** -126, denormal: 2 ** -130, largest: (2 - 2 ** -7) * 2 ** 127 },
}
const valuesOf = (dtype: Float): readonly number[] => {
  const { tiny, denormal, largest } = bounds[dtype]
  const positive = [0, denormal, tiny, 0.25, 0.5, 1, 1.5, 2, 3, 4, 7, 100, 2 ** 24, largest, Number.POSITIVE_INFINITY]
  return [Number.NaN, ...positive.flatMap((value) => [value, -value])]
}
/** Relative differences. Those of gradients are larger, because PyTorch takes 1 - y of rounded results y. */
const tolerance = { float32: 1e-5, float64: 1e-7, bfloat16: 2 ** -5 }
const slope = 20
/** Functions whose results or gradients are differences of numbers near 1, and may be wrong by this much. */
const cancelling =
  /^(softmax|softmin|logSoftmax|logsumexp|logcumsumexp|logaddexp|logaddexp2|normalize|tanhshrink|softsign|std|variance|norm|lerp)/
const cancelled = { float32: 1e-6, float64: 1e-8, bfloat16: 2 ** -5 }

const answers = fileURLToPath(new URL('special_answers.py', import.meta.url))
const peer = spawn(python, [answers], { stdio: ['pipe', 'pipe', 'inherit'] })
const replies = createInterface({ input: peer.stdout })[Symbol.asyncIterator]()
const encoded = (values: Float64Array) => Buffer.from(values.buffer).toString('base64')
const decoded = ({ shape, values }: { shape: number[]; values: string }): Told => ({
  shape,
  values: new Float64Array(Uint8Array.from(Buffer.from(values, 'base64')).buffer),
})

async function theirs(one: SpecialCase, dtype: Float, inputs: readonly Told[]) {
  const told = inputs.map(({ shape, values }) => ({ shape, values: encoded(values) }))
  peer.stdin.write(`${JSON.stringify({ python: one.python, dtype, inputs: told })}\n`)
  const { value, done } = await replies.next()
  if (done) throw new Error('PyTorch ended without an answer')
  const answer = JSON.parse(value)
  if ('error' in answer) return `PyTorch refuses ${one.python} of ${dtype}: ${answer.error}`
  return { results: answer.results.map(decoded) as Told[], gradients: answer.gradients.map(decoded) as Told[] }
}

const told = (x: f.Tensor): Told => ({
  shape: x.shape,
  values: Float64Array.from(x.detach().dataSync() as Float64Array),
})

/** The gradient that comes in at a result. No weight is 0, which would hide infinities. */
function weightOf(y: f.Tensor): f.Tensor {
  const values = Float64Array.from({ length: y.numel }, (_, i) => [1, -2, 0.5][i % 3] as number)
  return f.fromTypedArray(values, y.shape, { dtype: 'float64', device: 'reference' }).to(y.dtype).to(y.device)
}

function ours(one: SpecialCase, device: f.Device, dtype: Float, inputs: readonly Told[]) {
  return f.scope(() => {
    const x = inputs.map(({ shape, values }) => {
      const plain = f.fromTypedArray(values, shape, { dtype: 'float64', device: 'reference' })
      const leaf = f.clone(plain.to(dtype).to(device))
      leaf.requiresGrad = true
      return leaf
    })
    const [a, b = a] = x as readonly f.Tensor[] as readonly [f.Tensor, f.Tensor?]
    const all = one.call(a, b)
    const results = (Array.isArray(all) ? all : [all]) as readonly f.Tensor[]
    const roots = results.filter((y) => y.requiresGrad)
    const found = roots.length > 0 ? f.grad(roots, x, { gradOutputs: roots.map(weightOf), allowUnused: true }) : []
    const gradients = (found as readonly (f.Tensor | null)[]).map((g, i) =>
      g === null ? { shape: (x[i] as f.Tensor).shape, values: new Float64Array((x[i] as f.Tensor).numel) } : told(g),
    )
    return { results: results.map(told), gradients }
  })
}

/** Whether two numbers are of one kind, and near each other. */
function isSame(name: string, what: string, own: number, other: number, dtype: Float): boolean {
  if (Object.is(own, other)) return true
  if (!Number.isFinite(own) || !Number.isFinite(other)) return false
  const { tiny } = bounds[dtype]
  // A denormal number has few digits, and PyTorch's exponential has none. A zero has the sign of what it stands for.
  if (Math.abs(other) < tiny && Math.abs(own) < tiny)
    return own !== 0 && other !== 0 ? true : 1 / own > 0 === 1 / other > 0 && own !== other
  const factor = what.startsWith('gradient') ? slope : 1
  const rest = cancelling.test(name) ? cancelled[dtype] : 0
  return Math.abs(own - other) <= factor * (tolerance[dtype] * Math.abs(other) + rest)
}

/** The inputs of a case: each value several times, in the blocks of vectors and behind them, and all pairs. */
function inputsOf(one: SpecialCase, dtype: Float, dim: number | null): Told[] {
  const values = valuesOf(dtype)
  const pairs = values.flatMap((a) => values.map((b) => [a, b] as const))
  if (dim !== null) {
    const flat = dim === 0 ? [...pairs.map(([a]) => a), ...pairs.map(([, b]) => b)] : pairs.flat()
    return [{ shape: dim === 0 ? [2, pairs.length] : [pairs.length, 2], values: Float64Array.from(flat) }]
  }
  const column = (numbers: readonly number[]): Told => ({ shape: [numbers.length], values: Float64Array.from(numbers) })
  if (one.inputs === 1) return [column([...values, ...values, ...values])]
  return [column(pairs.map(([a]) => a)), column(pairs.map(([, b]) => b))]
}

const faults: string[] = []
const tally = { passed: 0, failed: 0, excused: 0 }

/** The inputs that an element of a part comes from. */
function elementOf(inputs: readonly Told[], dim: number | null, part: Told, i: number): number[] {
  if (dim === null) return inputs.map(({ values }) => values[i] as number)
  const x = (inputs[0] as Told).values
  const count = x.length / 2
  const line = part.values.length === count ? i : dim === 0 ? i % count : Math.floor(i / 2)
  return dim === 0 ? [x[line] as number, x[line + count] as number] : [x[2 * line] as number, x[2 * line + 1] as number]
}

async function compare(one: SpecialCase, dtype: Float, dim: number | null): Promise<void> {
  const inputs = inputsOf(one, dtype, dim)
  const answer = await theirs(one, dtype, inputs)
  if (typeof answer === 'string') {
    if (dtype === 'bfloat16') return
    tally.failed++
    faults.push(answer)
    return
  }
  for (const device of dtype === 'float64' ? ['reference'] : ['reference', 'cpu']) {
    const where = `${one.name}${dim === null ? '' : ` of dim ${dim}`}, ${dtype} on ${device}`
    let outcome: ReturnType<typeof ours>
    try {
      outcome = ours(one, f.device(device), dtype, inputs)
    } catch (error) {
      // Some operators take no bfloat16.
      if (dtype === 'bfloat16' && error instanceof f.DTypeError) continue
      tally.failed++
      faults.push(`${where}: ${(error as Error).message}`)
      continue
    }
    const parts = [
      ...answer.results.map((t, i) => [`result ${i}`, outcome.results[i], t] as const),
      ...answer.gradients.map((t, i) => [`gradient ${i}`, outcome.gradients[i], t] as const),
    ]
    const seen = new Set<string>()
    for (const [what, own, other] of parts) {
      if (own === undefined || own.values.length !== other.values.length) {
        seen.add(`${what} has another size, ${own?.shape}, than ${other.shape}`)
        continue
      }
      for (const [i, value] of other.values.entries()) {
        const mine = own.values[i] as number
        if (isSame(one.name, what, mine, value, dtype)) continue
        const element = elementOf(inputs, dim, other, i)
        if (excuseOf({ name: one.name, what, element, own: mine, other: value, dtype, device }) !== null) {
          tally.excused++
          continue
        }
        const text = (x: number) => (Object.is(x, -0) ? '-0' : String(x))
        seen.add(`${what} of (${element.map(text)}) is ${text(mine)}, not ${text(value)}`)
      }
    }
    tally[seen.size === 0 ? 'passed' : 'failed']++
    if (seen.size > 0) faults.push(`${where}: ${seen.size} differences\n    ${[...seen].slice(0, 8).join('\n    ')}`)
  }
}

for (const dtype of ['float32', 'float64', 'bfloat16'] as const) {
  for (const one of [...unary, ...binary]) if (one.name.match(pattern)) await compare(one, dtype, null)
  for (const made of lines)
    for (const dim of [0, 1]) if (made(dim).name.match(pattern)) await compare(made(dim), dtype, dim)
}
peer.stdin.end()
await once(peer, 'close')

for (const fault of faults) console.error(fault)
console.log(
  `special values against PyTorch: ${tally.passed} passed, ${tally.failed} failed (${tally.excused} elements excused)`,
)
process.exitCode = tally.failed > 0 ? 1 : 0

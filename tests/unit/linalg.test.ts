/** Linear algebra beside PyTorch's numbers (tests/goldens/linalg.py writes them), and under autocast. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import * as l from '../../lib/linalg/index.js'

type Tensor = f.Tensor
type Numbers = number | readonly Numbers[]
interface Row {
  readonly name: string
  readonly inputs: readonly Numbers[]
  readonly outputs: readonly Numbers[]
  readonly gradients: readonly (Numbers | null)[]
}

const rows = JSON.parse(readFileSync(new URL('../goldens/data/linalg.json', import.meta.url), 'utf8')) as readonly Row[]

const isList = (x: Numbers): x is readonly Numbers[] => Array.isArray(x)
const flat = (x: Numbers): number[] => (isList(x) ? x.flatMap(flat) : [x])
const shapeOf = (x: Numbers): number[] => (isList(x) ? [x.length, ...shapeOf(x[0] as Numbers)] : [])

const reduced = { fullMatrices: false }
/** The calls of the generator. */
const calls: { readonly [name: string]: (x: Tensor, ...others: readonly Tensor[]) => readonly Tensor[] } = {
  cholesky: (x) => [l.cholesky(x)],
  solveTriangular: (a, b) => [l.solveTriangular(a, b as Tensor, { upper: true })],
  choleskySolve: (b, x) => [l.choleskySolve(b, l.cholesky(x as Tensor))],
  luFactor: (x) => l.luFactor(x),
  lu: (x) => l.lu(x),
  solve: (a, b) => [l.solve(a, b as Tensor)],
  inv: (x) => [l.inv(x)],
  det: (x) => [l.det(x)],
  slogdet: (x) => l.slogdet(x),
  qr: (x) => l.qr(x),
  eigh: (x) => l.eigh(x).map((each, i) => (i === 1 ? each.square() : each)),
  eigvalsh: (x) => [l.eigvalsh(x)],
  svd: (x) => l.svd(x, reduced).map((each, i) => (i !== 1 ? each.square() : each)),
  svdvals: (x) => [l.svdvals(x)],
  matrixNorm: (x) => [l.matrixNorm(x, 2), l.matrixNorm(x, -2), l.matrixNorm(x, 'nuc')],
  norm: (x) => [l.norm(x), l.norm(x, 'nuc'), l.norm(x, 3, 1)],
  cond: (x) => [l.cond(x), l.cond(x, -2), l.cond(x, 1)],
  pinv: (x) => [l.pinv(x)],
  matrixRank: (x) => [l.matrixRank(x)],
  lstsq: (a, b) => [l.lstsq(a, b as Tensor).solution],
  matrixPower: (x) => [l.matrixPower(x, 5), l.matrixPower(x, -2)],
  matrixExp: (x) => [l.matrixExp(x), l.matrixExp(f.mul(x, 9))],
  multiDot: (...all) => [l.multiDot(all)],
  vander: (x) => [l.vander(x, { n: 4 })],
}

function expectNear(x: Tensor, expected: Numbers, relative: number, what: string): void {
  const right = flat(expected)
  const got = Array.from(x.detach().dataSync(), Number)
  expect(x.shape, what).toEqual(shapeOf(expected))
  const scale = right.reduce((most, each) => Math.max(most, Math.abs(each)), 1e-3)
  const wrong = got.findIndex((each, i) => !(Math.abs(each - (right[i] as number)) <= relative * scale))
  expect(wrong, `${what}: ${got[wrong]} instead of ${right[wrong]}`).toBe(-1)
}

describe.each([
  ['reference', 'float64', 1e-9],
  ['cpu', 'float32', 2e-3],
] as const)("PyTorch's numbers on %s in %s", (device, dtype, relative) => {
  it.each(rows.map((row, i) => [`${row.name} (${i})`, row] as const))('%s', (_title, row) => {
    const inputs = row.inputs.map((x) =>
      f.fromTypedArray(Float64Array.from(flat(x)), shapeOf(x), { dtype, device, requiresGrad: true }),
    )
    const outputs = (calls[row.name] as (...given: readonly Tensor[]) => readonly Tensor[])(...inputs)
    expect(outputs.length).toBe(row.outputs.length)
    for (const [i, each] of outputs.entries()) expectNear(each, row.outputs[i] as Numbers, relative, `output ${i}`)
    const roots = outputs.filter((each) => each.requiresGrad)
    if (roots.length === 0) return
    const weights = roots.map((each) => {
      const n = each.numel
      const line = Float64Array.from({ length: n }, (_, i) => 0.5 + (n > 1 ? i / (n - 1) : 0))
      return f.fromTypedArray(line, each.shape, { dtype, device })
    })
    const gradients = f.grad(roots, inputs, { gradOutputs: weights })
    for (const [i, each] of gradients.entries())
      expectNear(each as Tensor, row.gradients[i] as Numbers, relative, `gradient ${i}`)
  })
})

it('computes in float32 under autocast', () => {
  const x = f.add(f.randn([2, 3, 3]), f.mul(f.eye(3), 4)) as Tensor
  const run = () => [l.inv(x), l.det(x), ...l.slogdet(x), ...l.lu(x), l.pinv(x), l.matrixExp(x), l.matrixPower(x, 3)]
  const exact = run()
  for (const [i, each] of f.autocast('bfloat16', run).entries()) {
    expect(each.dtype).toBe('float32')
    expect([...each.dataSync()]).toEqual([...(exact[i] as Tensor).dataSync()])
  }
})

/**
 * Compares operators with PyTorch's numbers in float64, at sizes of real models (tests/cases/large.ts), or for
 * operators that index, sort and count (tests/cases/drawn.ts).
 *
 * `tsx torch.ts PYTHON SEED CASES [small]`: PYTHON is an interpreter that has torch and numpy. The instruction set is
 * FIRESTEEL_ISA's. Ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { drawSmall } from '../cases/drawn.js'
import { drawLarge, type LargeCase } from '../cases/large.js'
import { compare, type Outcome, runCase, type Values, valuesOf } from '../suites/support.js'

const [, , python = 'python3', seedText = '1', countText = '100', which = 'large'] = process.argv
const random = randomOf(Number(seedText))
const cpu = f.device('cpu')

const folder = mkdtempSync(join(tmpdir(), 'firesteel-torch-'))
const file = join(folder, 'values')
const script = fileURLToPath(new URL('torch_answers.py', import.meta.url))
const peer = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]()

async function answerOf(c: LargeCase, values: readonly Float64Array[]): Promise<Outcome> {
  const arrays = values.map((x, i) => {
    const { kind } = c.inputs[i] as LargeCase['inputs'][number]
    return kind === 'float' ? x : kind === 'int32' ? Int32Array.from(x) : Uint8Array.from(x)
  })
  writeFileSync(file, Buffer.concat(arrays.map((x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength))))
  const inputs = c.inputs.map(({ shape, kind, differentiable }) => ({ shape, kind, wanted: differentiable }))
  peer.stdin.write(`${JSON.stringify({ ...c.torch, inputs, file })}\n`)
  const { value, done } = await answers.next()
  if (done) throw new Error('PyTorch ended without an answer')
  const { shapes } = JSON.parse(value) as { readonly shapes: readonly f.Shape[] }
  const bytes = readFileSync(file)
  const all = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  let at = 0
  const read = shapes.map((shape): Values => {
    const count = shape.reduce((a, b) => a * b, 1)
    at += count
    return { shape, dtype: 'float64', data: all.subarray(at - count, at) }
  })
  const gradients = read.slice(1)
  return {
    outputs: read.slice(0, 1),
    gradients: c.inputs.map(({ differentiable }) => (differentiable ? (gradients.shift() ?? null) : null)),
  }
}

const faults: string[] = []
let passed = 0
try {
  for (let i = 0; i < Number(countText); i++) {
    const c = which === 'small' ? drawSmall(random) : drawLarge(random)
    const values = valuesOf(c)
    const exact = await answerOf(c, values)
    try {
      compare(c, runCase(c, cpu, 'float32', undefined, values), exact, 'float32')
      passed++
    } catch (error) {
      faults.push(`${c.op}: ${c.name}: ${(error as Error).message}`)
    }
  }
} finally {
  peer.stdin.end()
  await once(peer, 'close')
  rmSync(folder, { recursive: true })
}

for (const fault of faults.slice(0, 20)) console.error(fault)
console.log(`against PyTorch, seed ${seedText}: ${passed} passed, ${faults.length} failed`)
process.exitCode = faults.length > 0 ? 1 : 0

/** PyTorch in a process of its own, which answers settings (tests/fuzz/settings_answers.py). */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import * as f from '../../../lib/index.js'
import type { Given, Setting } from './setting.js'

export interface Told {
  readonly shape: f.Shape
  readonly dtype: string
  readonly values: Float64Array
}

export type Answer =
  | { readonly error: string }
  | { readonly results: readonly Told[]; readonly gradients: readonly Told[] }

const encoded = (values: readonly number[]) => Buffer.from(Float64Array.from(values).buffer).toString('base64')
const decoded = (text: string) => new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)

export class Peer {
  private readonly peer: ChildProcessByStdio<Writable, Readable, null>
  private readonly answers: AsyncIterator<string>

  /** `python` is an interpreter that has torch and numpy. */
  constructor(python: string) {
    const script = fileURLToPath(new URL('../settings_answers.py', import.meta.url))
    this.peer = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.answers = createInterface({ input: this.peer.stdout })[Symbol.asyncIterator]()
  }

  /** PyTorch's results and gradients, with inputs of dtype 'float' as `float`. */
  async answerOf({ python, inputs }: Setting, float: Given['dtype'] = 'float'): Promise<Answer> {
    const told = inputs.map(({ shape, dtype, values, wanted }) => ({
      shape,
      dtype: dtype === 'float' ? float : dtype,
      values: encoded(values),
      wanted,
    }))
    this.peer.stdin.write(`${JSON.stringify({ python, inputs: told })}\n`)
    const { value, done } = await this.answers.next()
    if (done) throw new Error('PyTorch ended without an answer')
    const read = (tensors: readonly { shape: f.Shape; dtype: string; values: string }[]) =>
      tensors.map(({ shape, dtype, values }) => ({ shape, dtype, values: decoded(values) }))
    const answer = JSON.parse(value)
    return 'error' in answer ? answer : { results: read(answer.results), gradients: read(answer.gradients) }
  }

  async close(): Promise<void> {
    this.peer.stdin.end()
    await once(this.peer, 'close')
  }
}

/** The input as a tensor, a leaf that wants its gradient if the setting says so. */
export function make({ shape, dtype, values, wanted }: Given, device: f.Device, float: f.DType): f.Tensor {
  const plain = f.fromTypedArray(Float64Array.from(values), shape, { dtype: 'float64', device: 'reference' })
  const x = f.clone(plain.to(dtype === 'float' ? float : dtype).to(device))
  x.requiresGrad = wanted
  return x
}

/** The gradient that comes in at a result. */
export function weightOf(y: f.Tensor): f.Tensor {
  const values = Float32Array.from({ length: y.numel }, (_, i) => (((i * 37 + 11) % 17) - 8) / 8)
  return f.fromTypedArray(values, y.shape, { device: y.device }).to(y.dtype)
}

/** The results of a setting on a device of ours, and the gradients of the inputs that require one. */
export function outcomeOf(setting: Setting, device: f.Device, float: f.DType) {
  const inputs = setting.inputs.map((given) => make(given, device, float))
  const all = setting.call(inputs)
  const results = (Array.isArray(all) ? all : [all]) as readonly f.Tensor[]
  const roots = results.filter((y) => y.requiresGrad)
  const wanted = inputs.filter((x) => x.requiresGrad)
  const gradients: readonly (f.Tensor | null)[] =
    roots.length > 0 && wanted.length > 0
      ? f.grad(roots, wanted, { gradOutputs: roots.map(weightOf), allowUnused: true })
      : []
  return { results, wanted, gradients }
}

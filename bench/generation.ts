/**
 * Times language models that read a prompt and continue it, in each dtype of their weights, and compares each with the
 * machine's bound: `tsx bench/generation.ts --help`. Peers take turns: PyTorch with transformers, and llama.cpp by
 * node-llama-cpp.
 *
 * Weights and tokens are random, because neither affects the time.
 */
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Device, describeDevice, device as findDevice, matmul, randn, scope, setDefaultDevice } from 'firesteel'
import { quantize } from 'firesteel/finetune'
import type { Gpt2, Llama } from 'firesteel/models'
import { NativeDevice } from '../lib/backend/native/device.js'
import { kernelSum } from './kernel-times.js'
import { type ShapeName, shapes } from './language-models.js'
import { Machine } from './machine.js'
import { secondsOf } from './measure.js'
import { currentCommit, writeJson } from './results.js'
import { ServedPeer } from './served.js'
import { type Interval, pairedRatio } from './statistics.js'

const usage = `Usage: tsx bench/generation.ts [options]
  --only REGEX      only shapes and dtypes whose name, such as llama360m-q8_0, matches
  --threads N       threads of the native kernels and of the peers (default 2)
  --prompt N        tokens that are read at once (default 256)
  --new N           tokens that are written, one after another (default 32)
  --repeats N       samples of each, in turns with the peers (default 5)
  --python FILE     takes turns with PyTorch and transformers in this interpreter
  --llama FOLDER    takes turns with llama.cpp: the folder has node_modules/node-llama-cpp (version 3, installed without
                    scripts) and a file such as llama360m-q8_0.gguf for each dtype that is timed
  --json FILE       writes all figures
The table: tokens per second, by the shortest of the samples; the share of the bound; the peers' times divided by ours.
The bound of a written token is the bytes of all weights that it needs, at the bandwidth of memory. The bound of the prompt is
its multiply-adds, at the speed of a plain product of 1024 x 1024 matrices in the weights' dtype (float32 for blocks).
If others use the machine, a sample says little, but kernels say more: the sum of the least times of a token's kernels. Each
kernel runs on its own, in as many tokens as there are repeats.`

const dtypes = ['float32', 'bfloat16', 'q8_0', 'q4_0'] as const

type WeightDType = (typeof dtypes)[number]

interface Settings {
  readonly threads: number
  readonly prompt: number
  readonly fresh: number
  readonly repeats: number
}

/** Seconds for the prompt, and for each token that follows. */
interface Sample {
  readonly prefill: number
  readonly decode: number
}

/** Samples of one model and of the peers, and the machine's bound. */
interface Figures {
  readonly name: string
  /** The least of the samples. */
  readonly best: Sample
  readonly bound: Sample
  readonly share: Sample
  /** Seconds of a token's kernels (see `kernelSum`). */
  readonly kernels: number
  /** The bytes of the weights that a token needs. */
  readonly bytes: number
  /** Bytes per second, and multiply-adds per second. */
  readonly bandwidth: number
  readonly rate: number
  readonly peers: readonly {
    readonly peer: string
    readonly best: Sample
    /** The ratio of the peer's time to ours. */
    readonly ratios: { readonly prefill: Interval | null; readonly decode: Interval | null }
  }[]
}

/** A model with its weights in a dtype. */
function modelOf(shape: ShapeName, dtype: WeightDType): Gpt2 | Llama {
  const model = shapes[shape].make()
  model.eval()
  if (dtype === 'float32') return model
  if (dtype === 'bfloat16') return model.to('bfloat16')
  return quantize(model, dtype, { modules: /./ })
}

/** The bytes of the weights that a token needs. Tables of which it needs only one row are left out. */
function weightBytes(model: Gpt2 | Llama): number {
  let bytes = 0
  const bytesOf = { float32: 4, bfloat16: 2, q8_0: 34 / 32, q4_0: 18 / 32 } as { readonly [dtype: string]: number }
  for (const [name, { numel, dtype }] of model.namedParameters())
    if (!name.includes('wpe')) bytes += numel * (bytesOf[dtype] as number)
  return bytes
}

async function sample(model: Gpt2 | Llama, vocab: number, { prompt, fresh }: Settings): Promise<Sample> {
  const ids = Array.from({ length: prompt }, (_, i) => 300 + ((i * 7919) % Math.min(3000, vocab - 300)))
  const started = performance.now()
  let first = 0
  for await (const _ of model.stream(ids, { maxNewTokens: fresh + 1, stopTokens: [] })) first ||= performance.now()
  return { prefill: (first - started) / 1000, decode: (performance.now() - first) / 1000 / fresh }
}

/** The multiply-adds per second of a plain product. */
function productRate(device: Device, dtype: 'float32' | 'bfloat16'): number {
  const size = 1024
  return scope(() => {
    const [a, b] = [randn([size, size]).to(dtype), randn([size, size]).to(dtype)]
    let best = Number.POSITIVE_INFINITY
    for (let i = 0; i < 12; i++)
      best = Math.min(
        best,
        secondsOf(device, () => scope(() => void matmul(a, b))),
      )
    return size ** 3 / best
  })
}

function least(samples: readonly Sample[], of: keyof Sample): number {
  return Math.min(...samples.map((each) => each[of]))
}

async function row(
  shape: ShapeName,
  dtype: WeightDType,
  { device, settings, peers }: { device: NativeDevice; settings: Settings; peers: ReadonlyMap<string, ServedPeer> },
): Promise<Figures> {
  const name = `${shape}-${dtype}`
  const model = modelOf(shape, dtype)
  const { vocab } = shapes[shape]
  const theirs = new Map<string, Sample[]>()
  for (const [peer, process] of peers) {
    const first = await process.ask<Sample | null>({ shape, dtype, ...settings })
    if (first !== null) theirs.set(peer, [])
  }
  const ours: Sample[] = []
  const machine = new Machine(device)
  const product = dtype === 'bfloat16' ? 'bfloat16' : 'float32'
  let [bandwidth, rate] = [0, 0]
  await sample(model, vocab, settings)
  for (let repeat = 0; repeat < settings.repeats; repeat++) {
    ours.push(await sample(model, vocab, settings))
    for (const [peer, samples] of theirs)
      samples.push((await peers.get(peer)?.ask<Sample>({ shape, dtype, ...settings })) as Sample)
    bandwidth = Math.max(bandwidth, machine.measure(['memory'], { seconds: 0.02 }).bandwidth.memory.read)
    rate = Math.max(rate, productRate(device, product))
  }
  const kernels = kernelSum(device, model, settings)
  const bytes = weightBytes(model)
  // The head sees only the prompt's last token.
  const head = model.outputHead().weight.numel
  const layers = [...model.parameters()].reduce((sum, { numel, ndim }) => sum + (ndim > 1 ? numel : 0), 0) - head
  const bound = { prefill: (settings.prompt * layers + head) / rate, decode: bytes / bandwidth }
  const best = { prefill: least(ours, 'prefill'), decode: least(ours, 'decode') }
  const share = { prefill: bound.prefill / best.prefill, decode: bound.decode / best.decode }
  const ratios = [...theirs].map(([peer, samples]) => {
    const ratio = (of: keyof Sample) =>
      pairedRatio(
        samples.map((each) => each[of]),
        ours.map((each) => each[of]),
      )
    const seconds = { prefill: least(samples, 'prefill'), decode: least(samples, 'decode') }
    return { peer, best: seconds, ratios: { prefill: ratio('prefill'), decode: ratio('decode') } }
  })
  return { name, best, bound, share, kernels, bytes, bandwidth, rate, peers: ratios }
}

function line(figures: Figures, { prompt }: Settings): string {
  const { name, best, share, kernels, bound, peers } = figures
  const rate = (tokens: number, seconds: number) => `${(tokens / seconds).toFixed(1).padStart(8)}/s`
  const against = peers.map(({ peer, ratios }) => {
    const [read, written] = [ratios.prefill?.estimate, ratios.decode?.estimate].map((each) => each?.toFixed(2) ?? '-')
    return `  ${peer} ${read} and ${written} times`
  })
  return (
    `${name.padEnd(20)} prompt ${rate(prompt, best.prefill)} ${share.prefill.toFixed(2)} of ${rate(prompt, bound.prefill)}` +
    `  new ${rate(1, best.decode)} ${share.decode.toFixed(2)} of ${rate(1, bound.decode)}` +
    `  kernels ${rate(1, kernels)} ${(bound.decode / kernels).toFixed(2)}${against.join('')}`
  )
}

async function main(args: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: text,
      threads: text,
      prompt: text,
      new: text,
      repeats: text,
      python: text,
      llama: text,
      json: text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) return console.log(usage)
  const count = (name: 'threads' | 'prompt' | 'new' | 'repeats', usual: number) => {
    const value = Number(values[name] ?? usual)
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`--${name} is '${values[name]}', but must be a positive integer`)
    return value
  }
  const settings: Settings = {
    threads: count('threads', 2),
    prompt: count('prompt', 256),
    fresh: count('new', 32),
    repeats: count('repeats', 5),
  }
  const device = findDevice('cpu')
  if (!(device instanceof NativeDevice)) throw new Error('the native kernels are not available')
  device.threads = settings.threads
  setDefaultDevice(device)
  console.log(describeDevice(device))
  const here = fileURLToPath(new URL('./peers/', import.meta.url))
  const peers = new Map<string, ServedPeer>()
  if (values.python !== undefined) peers.set('PyTorch', new ServedPeer(values.python, [`${here}torch_generation.py`]))
  if (values.llama !== undefined)
    peers.set('llama.cpp', new ServedPeer(process.execPath, [`${here}llama_generation.mjs`, values.llama]))
  const only = new RegExp(values.only ?? '')
  const rows: Figures[] = []
  try {
    for (const shape of Object.keys(shapes) as ShapeName[])
      for (const dtype of dtypes) {
        if (!only.test(`${shape}-${dtype}`)) continue
        const figures = await row(shape, dtype, { device, settings, peers })
        console.log(line(figures, settings))
        rows.push(figures)
        globalThis.gc?.()
      }
  } finally {
    for (const peer of peers.values()) peer.close()
  }
  if (values.json !== undefined)
    writeJson(values.json, {
      date: new Date().toISOString(),
      commit: currentCommit(),
      settings,
      // The load of the last minute shows whether anybody else used the machine.
      load: loadavg()[0],
      machine: new Machine(device).describe(),
      rows,
    })
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

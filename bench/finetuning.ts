/**
 * Times steps of fine-tuning language models, all weights or LoRA, in turns with PyTorch, transformers and PEFT:
 * `tsx bench/finetuning.ts --help`.
 *
 * A step is the forward pass, the loss of each token given those before it, the backward pass and AdamW's update.
 */
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { describeDevice, device as findDevice, optim, scope, setDefaultDevice, type Tensor, tensor } from 'firesteel'
import { applyLora } from 'firesteel/finetune'
import { NativeDevice } from '../lib/backend/native/device.js'
import { type ShapeName, shapes } from './language-models.js'
import { Machine } from './machine.js'
import { secondsOf } from './measure.js'
import { currentCommit, writeJson } from './results.js'
import { ServedPeer } from './served.js'
import { type Interval, pairedRatio } from './statistics.js'

const usage = `Usage: tsx bench/finetuning.ts [options]
  --only REGEX      only steps whose name, such as gpt2-lora, matches
  --threads N       threads of the native kernels and of the peer (default 2)
  --batch N         rows of a batch (default 2)
  --length N        tokens of a row (default 256)
  --repeats N       samples of each, in turns with the peer (default 5)
  --python FILE     takes turns with PyTorch, transformers and PEFT in this interpreter
  --json FILE       writes all figures
The table: tokens per second, by the shortest of the samples; the peer's time divided by ours; the losses of the first two
steps, which fall by about the same from about the same, although the random weights are others.`

const ways = ['full', 'lora'] as const
/** The layers that LoRA adapts: those of attention, as PEFT's lists for these models have them. */
const targets: { readonly [shape in ShapeName]: readonly string[] } = {
  gpt2: ['c_attn'],
  llama360m: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
}
const rank = 8
const learningRate = 1e-4

interface Settings {
  readonly threads: number
  readonly batch: number
  readonly length: number
}

interface Sample {
  readonly seconds: number
  readonly loss: number
}

interface Figures {
  readonly name: string
  /** Parameters that learn. */
  readonly learned: number
  /** The least seconds of a step. */
  readonly best: number
  readonly losses: readonly number[]
  readonly peer: { readonly best: number; readonly losses: readonly number[]; readonly ratio: Interval | null } | null
}

/** A function that runs one step, and the number of parameters that learn. */
function stepOf(
  shape: ShapeName,
  way: (typeof ways)[number],
  { device, settings }: { device: NativeDevice; settings: Settings },
): { step(): Sample; learned: number; dispose(): void } {
  const model = shapes[shape].make()
  model.train()
  if (way === 'lora') applyLora(model, { rank, alpha: 2 * rank, targetModules: targets[shape] })
  const learned = [...model.parameters()].filter(({ requiresGrad }) => requiresGrad)
  const optimizer = new optim.AdamW(learned, { lr: learningRate })
  const row = (b: number) => Array.from({ length: settings.length }, (_, i) => 300 + (((b * 31 + i) * 7919) % 3000))
  const ids = tensor(
    Array.from({ length: settings.batch }, (_, b) => row(b)),
    { dtype: 'int32' },
  )
  const step = () => {
    let loss = Number.NaN
    const seconds = secondsOf(device, () =>
      scope(() => {
        const { total, count } = model.loss(ids)
        const mean: Tensor = total.div(count)
        mean.backward()
        optimizer.step()
        optimizer.zeroGrad()
        loss = mean.item()
      }),
    )
    return { seconds, loss }
  }
  const dispose = () => {
    ids.dispose()
    for (const parameter of model.parameters()) parameter.dispose()
  }
  return { step, learned: learned.reduce((sum, { numel }) => sum + numel, 0), dispose }
}

async function row(
  shape: ShapeName,
  way: (typeof ways)[number],
  given: { device: NativeDevice; settings: Settings; repeats: number; peer: ServedPeer | null },
): Promise<Figures> {
  const { settings, repeats, peer } = given
  const question = { shape, way, rank, targets: targets[shape], lr: learningRate, ...settings }
  const { step, learned, dispose } = stepOf(shape, way, given)
  const [ours, theirs]: [Sample[], Sample[]] = [[], []]
  // The first sample of each warms up, and its seconds do not count.
  for (let repeat = 0; repeat <= repeats; repeat++) {
    ours.push(step())
    if (peer !== null) theirs.push(await peer.ask<Sample>(question))
  }
  dispose()
  const seconds = (samples: readonly Sample[]) => samples.slice(1).map((each) => each.seconds)
  const losses = (samples: readonly Sample[]) => samples.slice(0, 2).map(({ loss }) => loss)
  return {
    name: `${shape}-${way}`,
    learned,
    best: Math.min(...seconds(ours)),
    losses: losses(ours),
    peer:
      peer === null
        ? null
        : {
            best: Math.min(...seconds(theirs)),
            losses: losses(theirs),
            ratio: pairedRatio(seconds(theirs), seconds(ours)),
          },
  }
}

function line({ name, learned, best, losses, peer }: Figures, { batch, length }: Settings): string {
  const rate = (seconds: number) => `${((batch * length) / seconds).toFixed(1).padStart(7)} tokens/s`
  const fall = (of: readonly number[]) => of.map((loss) => loss.toFixed(3)).join(' to ')
  const against =
    peer === null
      ? ''
      : `  PyTorch ${rate(peer.best)}, ${peer.ratio?.estimate.toFixed(2) ?? '-'} times, loss ${fall(peer.losses)}`
  return `${name.padEnd(15)} ${(learned / 1e6).toFixed(2).padStart(7)} M learn  ${rate(best)}  loss ${fall(losses)}${against}`
}

async function main(args: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ only: text, threads: text, batch: text, length: text, repeats: text, python: text, json: text },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return console.log(usage)
  const count = (name: 'threads' | 'batch' | 'length' | 'repeats', usual: number) => {
    const value = Number(values[name] ?? usual)
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`--${name} is '${values[name]}', but must be a positive integer`)
    return value
  }
  const settings: Settings = { threads: count('threads', 2), batch: count('batch', 2), length: count('length', 256) }
  const repeats = count('repeats', 5)
  const device = findDevice('cpu')
  if (!(device instanceof NativeDevice)) throw new Error('the native kernels are not available')
  device.threads = settings.threads
  setDefaultDevice(device)
  console.log(describeDevice(device))
  const script = fileURLToPath(new URL('./peers/torch_finetuning.py', import.meta.url))
  const peer = values.python === undefined ? null : new ServedPeer(values.python, [script])
  const only = new RegExp(values.only ?? '')
  const rows: Figures[] = []
  try {
    for (const shape of Object.keys(shapes) as ShapeName[])
      for (const way of ways) {
        if (!only.test(`${shape}-${way}`)) continue
        const figures = await row(shape, way, { device, settings, repeats, peer })
        console.log(line(figures, settings))
        rows.push(figures)
        globalThis.gc?.()
      }
  } finally {
    peer?.close()
  }
  if (values.json !== undefined)
    writeJson(values.json, {
      date: new Date().toISOString(),
      commit: currentCommit(),
      settings: { ...settings, repeats },
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

/**
 * A table of every strategy of fine-tuning over each architecture: parameters that learn, peak memory beyond the model,
 * seconds, first and last loss. Models are small and random, and memorise one batch.
 *
 * Usage: npm run table:strategies -- [SHAPE...] [--only REGEX] [--steps 20] [--layers 4] [--width 64] [--rows 8]
 *        [--columns 32]
 * SHAPE is an architecture, alone or with its own sizes, as in llama:layers=12,width=256. Default: every architecture.
 * REGEX selects rows by 'architecture strategy'. The exit code is 1 if a strategy learns nothing.
 */
import { parseArgs } from 'node:util'
import {
  applyIa3,
  applyLora,
  applyPrompt,
  bitfit,
  countParameters,
  freeze,
  freezeNorms,
  layerwiseGroups,
  parameterGroups,
  unfreeze,
  unfreezeGradually,
} from '../../lib/finetune/index.js'
import { type Callback, memory, type nn, optim, resetPeakMemory, Trainer } from '../../lib/index.js'
import type { PretrainedModel } from '../../lib/models/index.js'
import { type Shape, shapes } from './shapes.js'

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    steps: { type: 'string', default: '20' },
    layers: { type: 'string', default: '4' },
    width: { type: 'string', default: '64' },
    rows: { type: 'string', default: '8' },
    columns: { type: 'string', default: '32' },
  },
})
const sizeNames = ['layers', 'width', 'rows', 'columns'] as const

function positive(what: string, given: string): number {
  const value = Number(given)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${what} is ${given}, but must be a positive integer`)
  return value
}
const steps = positive('--steps', args.steps)
const given = Object.fromEntries(sizeNames.map((name) => [name, positive(`--${name}`, args[name])])) as Sizes

const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '')

/** An architecture with its sizes, from an argument such as llama:layers=12,width=256. */
function shapeOf(argument: string): { readonly label: string; readonly name: string; readonly sizes: Sizes } {
  const [name, own] = argument.split(':', 2) as [string, string | undefined]
  const found = Object.keys(shapes).find((each) => plain(each) === plain(name))
  if (found === undefined)
    throw new Error(`there is no architecture '${name}'; there are ${Object.keys(shapes).join(', ')}`)
  const sizes = { ...given }
  for (const each of own?.split(',') ?? []) {
    const [size, value = ''] = each.split('=', 2) as [string, string | undefined]
    if (!(sizeNames as readonly string[]).includes(size))
      throw new Error(`${argument} has the size '${size}', but sizes are ${sizeNames.join(', ')}`)
    sizes[size as keyof Sizes] = positive(`${size} of ${argument}`, value)
  }
  return { label: own === undefined ? found : argument, name: found, sizes }
}

const promptTokens = 8

function takesPrompts(model: nn.Module): model is PretrainedModel & { readonly promptSizes: object } {
  return 'promptSizes' in model && model.promptSizes !== null
}

type Groups = readonly { readonly params: nn.ParameterView; readonly lr?: number; readonly weightDecay?: number }[]

type Sizes = { -readonly [K in (typeof sizeNames)[number]]: number }

interface Plan {
  readonly groups?: Groups
  readonly callbacks?: readonly Callback[]
  readonly slanted?: boolean
}

function withLora({ model, head, adapted }: Shape, options: { readonly dora?: boolean }): void {
  freeze(model)
  applyLora(model, { rank: 8, targetModules: [...adapted], ...options })
  unfreeze(model, head)
}

/** The change that each strategy makes to the model before training, or null if the model cannot learn so. */
const strategies: { readonly [name: string]: (shape: Shape, sizes: Sizes) => Plan | null | undefined } = {
  full: () => undefined,
  'last block': ({ model }) => {
    freeze(model)
    unfreeze(model, { last: 1 })
  },
  head: ({ model, head }) => {
    freeze(model)
    unfreeze(model, head)
  },
  gradual: ({ model }, { layers }) => ({
    callbacks: [unfreezeGradually(model, { everySteps: Math.max(1, Math.floor(steps / (layers + 1))) })],
    slanted: true,
  }),
  'layer-wise': ({ model }) => ({ groups: layerwiseGroups(model, { lr: 1e-3, decay: 0.8, weightDecay: 0.01 }) }),
  'frozen norms': ({ model }) => {
    freezeNorms(model)
  },
  BitFit: ({ model, head }) => {
    bitfit(model, { norms: true, head })
  },
  LoRA: (shape) => {
    withLora(shape, {})
  },
  DoRA: (shape) => {
    withLora(shape, { dora: true })
  },
  IA3: ({ model, head, adapted }) => {
    freeze(model)
    applyIa3(model, { targetModules: [...adapted] })
    unfreeze(model, head)
  },
  probe: ({ model, head }) => ({
    callbacks: [unfreezeGradually(model, { groups: [head, '*'], everySteps: Math.max(1, steps >> 1) })],
  }),
  prompt: ({ model, head }) => {
    if (!takesPrompts(model)) return null
    freeze(model)
    applyPrompt(model, { kind: 'prompt', tokens: promptTokens })
    unfreeze(model, head)
    return undefined
  },
}

const cells = (...values: readonly string[]) =>
  console.log(
    values.map((value, i) => (i < 2 ? value.padEnd(i === 0 ? labelWidth + 2 : 13) : value.padStart(12))).join(''),
  )

async function row({ label, name, sizes }: ReturnType<typeof shapeOf>, strategy: string): Promise<void> {
  const shape = (shapes[name] as (typeof shapes)[string])({ ...sizes, spare: promptTokens })
  const { model } = shape
  const before = memory().bytes
  resetPeakMemory()
  const plan = strategies[strategy]?.(shape, sizes)
  if (plan === null) return cells(label, strategy, 'takes none')
  const { groups, callbacks = [], slanted = false } = plan ?? {}
  const optimizer = new optim.AdamW(groups ?? parameterGroups(model, { weightDecay: 0.01 }), { lr: 1e-3 })
  const losses: Promise<number>[] = []
  const trainer = new Trainer(model, {
    optimizer,
    step: () => ({ total: shape.loss(), count: 1 }),
    ...(slanted && { schedule: new optim.SlantedTriangularLR(optimizer, { totalSteps: steps }) }),
    callbacks: [{ onStep: (step) => void losses.push(step.loss()) }, ...callbacks],
  })
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  await trainer.fit(Array.from({ length: steps }), { progress: false })
  const [{ user, system }, seconds] = [process.cpuUsage(cpu), (performance.now() - began) / 1000]
  const { trainable, total } = countParameters(model)
  const [first, last] = [await losses[0], await losses.at(-1)] as [number, number]
  if (!(last < first)) process.exitCode = 1
  const peak = (memory().peakBytes - before) / 2 ** 20
  cells(
    label,
    strategy,
    String(trainable),
    `${((100 * trainable) / total).toFixed(1)} %`,
    peak.toFixed(2),
    seconds.toFixed(2),
    ((user + system) / 1e6).toFixed(2),
    first.toFixed(4),
    last.toFixed(4),
  )
}

const only = new RegExp(args.only)
const chosen = (positionals.length === 0 ? Object.keys(shapes) : positionals).map(shapeOf)
const labelWidth = Math.max(...chosen.map(({ label }) => label.length))
cells('shape', 'strategy', 'trainable', 'of all', 'peak MB', 'seconds', 'cpu s', 'first loss', 'last loss')
for (const shape of chosen)
  for (const strategy of Object.keys(strategies)) if (only.test(`${shape.name} ${strategy}`)) await row(shape, strategy)

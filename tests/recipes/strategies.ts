/**
 * A table of every strategy of fine-tuning over each architecture: parameters that learn, peak memory beyond the model,
 * processor time, first and last loss. Models are small and random, and memorise one batch.
 *
 * Usage: npx tsx tests/recipes/strategies.ts [--only REGEX] [--steps 20] [--layers 4] [--width 64] [--rows 8]
 *        [--columns 32]
 * REGEX selects rows by 'architecture strategy'. The exit code is 1 if a strategy learns nothing.
 */
import { parseArgs } from 'node:util'
import {
  applyIa3,
  applyLora,
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
import { type Shape, shapes } from './shapes.js'

const { values: args } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    steps: { type: 'string', default: '20' },
    layers: { type: 'string', default: '4' },
    width: { type: 'string', default: '64' },
    rows: { type: 'string', default: '8' },
    columns: { type: 'string', default: '32' },
  },
})
const count = (name: 'steps' | 'layers' | 'width' | 'rows' | 'columns'): number => {
  const value = Number(args[name])
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} is ${args[name]}, but must be a positive integer`)
  return value
}
const steps = count('steps')
const sizes = { layers: count('layers'), width: count('width'), rows: count('rows'), columns: count('columns') }

type Groups = readonly { readonly params: nn.ParameterView; readonly lr?: number; readonly weightDecay?: number }[]

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

/** The change that each strategy makes to the model before training. */
const strategies: { readonly [name: string]: (shape: Shape) => Plan | undefined } = {
  full: () => undefined,
  'last block': ({ model }) => {
    freeze(model)
    unfreeze(model, { last: 1 })
  },
  head: ({ model, head }) => {
    freeze(model)
    unfreeze(model, head)
  },
  gradual: ({ model }) => ({
    callbacks: [unfreezeGradually(model, { everySteps: Math.max(1, Math.floor(steps / (sizes.layers + 1))) })],
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
}

const cells = (...values: readonly string[]) =>
  console.log(values.map((value, i) => (i < 2 ? value.padEnd(13) : value.padStart(12))).join(''))

async function row(name: string, strategy: string): Promise<void> {
  const shape = (shapes[name] as (typeof shapes)[string])(sizes)
  const { model } = shape
  const before = memory().bytes
  resetPeakMemory()
  const { groups, callbacks = [], slanted = false } = strategies[strategy]?.(shape) ?? {}
  const optimizer = new optim.AdamW(groups ?? parameterGroups(model, { weightDecay: 0.01 }), { lr: 1e-3 })
  const losses: Promise<number>[] = []
  const trainer = new Trainer(model, {
    optimizer,
    step: () => ({ total: shape.loss(), count: 1 }),
    ...(slanted && { schedule: new optim.SlantedTriangularLR(optimizer, { totalSteps: steps }) }),
    callbacks: [{ onStep: (step) => void losses.push(step.loss()) }, ...callbacks],
  })
  const cpu = process.cpuUsage()
  await trainer.fit(Array.from({ length: steps }), { progress: false })
  const { user, system } = process.cpuUsage(cpu)
  const { trainable, total } = countParameters(model)
  const [first, last] = [await losses[0], await losses.at(-1)] as [number, number]
  if (!(last < first)) process.exitCode = 1
  const peak = (memory().peakBytes - before) / 2 ** 20
  cells(
    name,
    strategy,
    String(trainable),
    `${((100 * trainable) / total).toFixed(1)} %`,
    peak.toFixed(2),
    ((user + system) / 1e6).toFixed(2),
    first.toFixed(4),
    last.toFixed(4),
  )
}

const only = new RegExp(args.only)
cells('shape', 'strategy', 'trainable', 'of all', 'peak MB', 'cpu s', 'first loss', 'last loss')
for (const name of Object.keys(shapes))
  for (const strategy of Object.keys(strategies)) if (only.test(`${name} ${strategy}`)) await row(name, strategy)

/** `firesteel search`: trials of a config, their resumption after a kill, and refusals. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { searchCommand } from '../../lib/cli/commands/search.js'
import { bundled } from '../program.js'
import { encoderModel, workplace } from './cli-finetune.js'

let folder: string
let config: string
let stdout: string
let stderr: string

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  const rows = Array.from({ length: 20 }, (_, i) => ({
    text: i % 2 ? `go on ${i}` : `ping ${i}`,
    label: i % 2 ? 'go' : 'stay',
  }))
  writeFileSync(join(folder, 'labels.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'))
  config = join(folder, 'search.yaml')
  writeFileSync(
    config,
    `model: ./bert
data: { file: labels.jsonl, validation: 0.3 }
train: { epochs: 2, batchSize: 4 }
search:
  space:
    train.lr: { logUniform: [1e-4, 1e-2] }
    train.batchSize: { integer: [2, 8] }
    method: [head, { lora: { rank: 2 } }]
  trials: 4
output: runs/none
`,
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  stdout = ''
  stderr = ''
  vi.spyOn(console, 'log').mockImplementation((text) => void (stdout += `${text}\n`))
  vi.spyOn(console, 'error').mockImplementation((text) => void (stderr += `${text}\n`))
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

const set = (...values: string[]) => values.flatMap((value) => ['--set', value])

interface Line {
  readonly trial: number
  readonly rung: number
  readonly state: string
  readonly value: number
  readonly values: object
  readonly curve: readonly (readonly [number, number])[]
}

/** The trials of a search without their times. */
const trials = (run: string): Line[] =>
  readFileSync(join(folder, run, 'search/trials.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const { seconds: _, ...rest } = JSON.parse(line) as Line & { readonly seconds: number }
      return rest
    })

describe('search', () => {
  it('tries values of the config, and names the command that trains the best', async () => {
    expect(await searchCommand([config, '--page', join(folder, 'page.html'), ...set('output=runs/first')])).toBe(0)
    const found = trials('runs/first')
    expect(found.map(({ trial, state }) => [trial, state])).toEqual([0, 1, 2, 3].map((trial) => [trial, 'done']))
    expect(new Set(found.map(({ values }) => JSON.stringify(values))).size).toBe(4)
    const best = found.reduce((least, each) => (each.value < least.value ? each : least))
    expect(readFileSync(join(folder, 'page.html'), 'utf8')).toContain('train.lr')
    // The command that is named trains what the trial trained.
    const command = /firesteel finetune \S+((?: --set '[^']+')+)/.exec(stdout)?.[1] ?? ''
    const changes = Array.from(command.matchAll(/--set '([^']+)'/g), ([, change]) => change as string)
    expect(Object.fromEntries(changes.map((change) => change.split('=')))).toMatchObject(
      Object.fromEntries(Object.entries(best.values).map(([name, value]) => [name, String(value)])),
    )
    stdout = ''
    expect(await finetuneCommand([config, '--json', ...set(...changes, 'output=runs/first')])).toBe(0)
    const { epochs } = JSON.parse(stdout) as { readonly epochs: readonly { readonly validation: { loss: number } }[] }
    expect(epochs.map(({ validation }) => validation.loss)).toEqual(best.curve.map(([, value]) => value))
  })

  // The trials are so many that the search cannot end before the signal comes.
  it.each([
    ['SIGKILL', null],
    ['SIGINT', 130],
  ] as const)('goes on after %s to the same trials, and takes more of them', async (signal, status) => {
    const output = `output=runs/${signal}`
    const program = bundled(new URL('../../lib/cli/main.ts', import.meta.url))
    const args = ['search', config, ...set(output, 'search.trials=400')]
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    let told = ''
    child.stderr.on('data', (text) => {
      told += text
    })
    const ended = new Promise((resolve) => child.once('close', (...how) => resolve(how)))
    const table = join(folder, `runs/${signal}/search/trials.jsonl`)
    while (child.exitCode === null && (!existsSync(table) || readFileSync(table, 'utf8').split('\n').length < 3))
      await sleep(2)
    child.kill(signal)
    expect(await ended).toEqual(status === null ? [null, signal] : [status, null])
    const before = trials(`runs/${signal}`).length
    if (signal === 'SIGINT') expect(told).toMatch(/stopped; `firesteel search \S+ --resume` goes on after \d+ trials/)
    await expect(searchCommand([config, ...set(output)])).rejects.toThrow(
      /already has a search; continue it with --resume/,
    )
    const more = `search.trials=${before + 1}`
    expect(await searchCommand([config, '--resume', ...set(output, more)])).toBe(0)
    expect(await searchCommand([config, ...set(`output=runs/whole-${signal}`, more)])).toBe(0)
    expect(trials(`runs/${signal}`)).toEqual(trials(`runs/whole-${signal}`))
    expect(trials(`runs/whole-${signal}`)).toHaveLength(before + 1)
    for (const change of ['train.epochs=3', 'train.precision=bfloat16'])
      await expect(searchCommand([config, '--resume', ...set(output, more, change)])).rejects.toThrow(
        `${change.split('=')[0]} is`,
      )
  })

  it.each(['constant', 'linear'])(
    'halves, and later rungs train as a run of their length does (%s)',
    async (schedule) => {
      const json = join(folder, `halving-${schedule}.json`)
      const space = { 'train.lr': [1e-3, 3e-3, 1e-2] }
      const rest = { model: './bert', data: { file: 'labels.jsonl', validation: 0.3 }, method: 'head' }
      const train = { batchSize: 4, schedule }
      const search = { space, method: 'grid', halving: { epochs: [1, 3] } }
      const output = `runs/halving-${schedule}`
      writeFileSync(json, JSON.stringify({ ...rest, train, search, output }))
      expect(await searchCommand([json])).toBe(0)
      const found = trials(output)
      expect(found.map(({ rung }) => rung)).toEqual([0, 0, 0, 1])
      const last = found.at(-1) as Line
      stdout = ''
      const lr = Object.values(last.values)[0] as number
      expect(await finetuneCommand([json, '--json', ...set(`train.lr=${lr}`, 'train.epochs=3')])).toBe(0)
      const { epochs } = JSON.parse(stdout) as { readonly epochs: readonly { readonly validation: { loss: number } }[] }
      expect(epochs).toHaveLength(3)
      expect(last.value).toBe(epochs.at(-1)?.validation.loss)
    },
  )

  it.each([
    [
      'search.space={ train.lrr: [1] }',
      /^--set search\.space: search\.space\.train\.lrr has 1: there is no 'lrr' in train; did you mean 'lr'/,
    ],
    [
      'search.space={ train.lr: [1e-3, fast] }',
      /search\.space\.train\.lr has fast: train\.lr is 'fast', but must be a positive number/,
    ],
    ['search.space={ train.lr: { logUniform: [1, 0] } }', /search\.space\.train\.lr: .*low/],
    [
      'search.space={ train.lr: { normal: [1, 0] } }',
      /there is no 'normal' in search\.space\.train\.lr; there are uniform, logUniform, integer/,
    ],
    ['search.space={ output: [a, b] }', /has output, but each trial writes into a folder of its own/],
    ['search.space={ search.trials: [1, 2] }', /a search cannot search itself/],
    [
      'search.minimise=validation.acuracy',
      /there is no 'validation\.acuracy' to search for, but only loss, .*validation\.accuracy/,
    ],
    ['search.method=grid', /has no list of values/],
    ['search.trials=0', /search\.trials is 0, but must be a whole number/],
    ['search.maximise=', /search\.maximise/],
    ['search.halving={ epochs: [1, 2] }', /leave train\.epochs, train\.steps and train\.minutes out/],
    ['search.prune=mean', /'median'/],
    ['search=null', /search is null, but must be a table/],
    ['data.validation=null', /data\.validation is null/],
  ])('refuses %s', async (change, message) => {
    await expect(searchCommand([config, ...set('output=runs/refused', change)])).rejects.toThrow(message)
    expect(existsSync(join(folder, 'runs/refused/search'))).toBe(false)
  })

  it('refuses configs without a search, and a resumption without a beginning', async () => {
    await expect(searchCommand([join(folder, 'config.yaml')])).rejects.toThrow(/search is missing; it must be a table/)
    await expect(searchCommand([config, '--resume'])).rejects.toThrow(/has no search to resume; leave --resume out/)
    await expect(searchCommand([config, '--page', 'page.txt'])).rejects.toThrow(/must end in \.html/)
    await expect(searchCommand([])).rejects.toThrow(/search takes one config/)
  })

  it('does not disturb the run of the same config when the search changes', async () => {
    const args = [config, ...set('output=runs/same', 'train.steps=1', 'method=head')]
    expect(await finetuneCommand(args)).toBe(0)
    expect(await finetuneCommand([...args, '--resume', ...set('search.trials=9')])).toBe(0)
  })
})

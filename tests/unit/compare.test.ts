/** The same work on several devices. Counts, losses and reasons are checked, never times. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { benchCommand } from '../../lib/cli/commands/bench.js'
import { UsageError } from '../../lib/cli/exit.js'
import { workloads } from '../../lib/cli/workloads.js'
import { bar, tableLines } from '../../lib/compare/text.js'
import {
  type CompareOptions,
  compare,
  type Device,
  defaultDevice,
  defaultGenerator,
  memory,
  nn,
  optim,
  randn,
  tensor,
  ValueError,
} from '../../lib/index.js'

function step(device: Device): () => ReturnType<typeof nn.functional.mseLoss> {
  // The numbers come from the default generator, which must be at the same place on each device.
  const x = randn([8, 4], { device })
  const model = new nn.Sequential(new nn.Linear(4, 3, { device }), new nn.Dropout(0.5))
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  return () => {
    optimizer.zeroGrad()
    const loss = nn.functional.mseLoss(model.forward(x), tensor([[1, 2, 3]]).expand([8, 3]))
    loss.backward()
    optimizer.step()
    return loss
  }
}

test('losses are those of the first device, and every device has its row', async () => {
  const before = [defaultDevice(), memory('cpu').tensors]
  const result = await compare(['reference', 'cpu', 'nowhere'], step, { losses: 5, seconds: 0 })
  const [reference, cpu, missing] = result.rows
  if (reference?.missing !== null || cpu?.missing !== null) throw new Error('a device is missing')
  expect(reference.losses).toHaveLength(5)
  expect(new Set(reference.losses).size).toBe(5)
  expect(reference.speedUp).toBe(1)
  expect(reference.difference).toBe(0)
  expect(cpu.difference).toBeLessThan(1e-5)
  for (const row of [reference, cpu]) {
    expect(row.steps).toBeGreaterThanOrEqual(1)
    expect(row.milliseconds).toBeGreaterThan(0)
    expect(row.speedUp).toBeGreaterThan(0)
    expect(row.peakBytes).toBeGreaterThan(8 * 4 * 4)
  }
  expect(missing).toMatchObject({ device: 'nowhere', missing: expect.stringContaining('there is no device') })
  expect(String(result).split('\n')).toHaveLength(4)
  expect(String(result)).toMatch(/^nowhere: not there \(there is no device/m)
  expect([defaultDevice(), memory('cpu').tensors - (before[1] as number) < 20]).toEqual([before[0], true])
})

test('a difference of losses is told, and one of infinity and not a number too', async () => {
  const differing = (other: number) =>
    compare(['reference', 'cpu'], (device) => () => (device.kind === 'cpu' ? other : 1), { losses: 2, seconds: 0 })
  const differenceTo = async (other: number) => {
    const row = (await differing(other)).rows[1]
    return row?.missing === null ? row.difference : undefined
  }
  expect(await differenceTo(1)).toBe(0)
  expect(await differenceTo(1.5)).toBe(0.5)
  expect(await differenceTo(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY)
  expect(await differenceTo(Number.NaN)).toBeNaN()
})

test('what a device cannot do is its reason, and other errors go on', async () => {
  const lacking = await compare(
    ['cpu', 'reference'],
    (device) => () => tensor([1], { device, dtype: 'float64' }).item(),
    { losses: 1, seconds: 0 },
  )
  expect(lacking.rows[0]?.missing).toMatch(/float64/)
  expect(lacking.rows[1]?.missing).toBeNull()
  const all = compare(['cpu'], (device) => () => tensor([1], { device, dtype: 'float64' }).item(), { seconds: 0 })
  await expect(all).rejects.toThrow('float64')
  const broken = compare(['cpu'], () => () => {
    throw new Error('of the program')
  })
  await expect(broken).rejects.toThrow('of the program')
})

test.each([
  [[], { losses: 1 }, 'the list of devices is empty; name at least one'],
  ['cpu', { losses: 1 }, 'devices are'],
  [['cpu'], { losses: -1 }, 'losses is -1'],
  [['cpu'], { losses: 0.5 }, 'losses is 0.5'],
  [['cpu'], { seconds: -1 }, 'seconds is -1'],
  [['cpu'], { seconds: Number.NaN }, 'seconds is NaN'],
  [['cpu'], { second: 1 }, 'there is no option second'],
])('wrong arguments are refused: %j %j', async (devices, options, message) => {
  await expect(compare(devices as string[], () => () => 1, options as CompareOptions)).rejects.toThrow(message)
})

test('steps must return losses where losses are compared, and none where not', async () => {
  const make = (step: () => unknown) => () => step
  await expect(
    compare(
      ['cpu'],
      make(() => undefined),
      { seconds: 0 },
    ),
  ).rejects.toThrow(ValueError)
  await expect(
    compare(
      ['cpu'],
      make(() => tensor([1, 2])),
      { seconds: 0 },
    ),
  ).rejects.toThrow('a step returned')
  await expect(
    compare(
      ['cpu'],
      make(async () => 1),
      { seconds: 0 },
    ),
  ).rejects.toThrow('promise')
  await expect(compare(['cpu'], (() => 1) as never, { seconds: 0 })).rejects.toThrow('must return a function')
  const { rows } = await compare(
    ['cpu'],
    make(() => undefined),
    { losses: 0, seconds: 0 },
  )
  expect(rows[0]).toMatchObject({ losses: [], difference: null })
})

test('it is saved as a page or as data', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-'))
  const result = await compare(['reference', '<none>'], () => () => 1, { losses: 1, seconds: 0 })
  await result.save(join(folder, 'a.json'))
  expect(JSON.parse(readFileSync(join(folder, 'a.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)))
  await result.save(join(folder, 'a.html'))
  expect(readFileSync(join(folder, 'a.html'), 'utf8')).toContain('&lt;none&gt; is not there')
  await expect(result.save(join(folder, 'a.txt'))).rejects.toThrow('must end in .html or .json')
  rmSync(folder, { recursive: true })
})

test('bars are as long as the logarithm of the ratio', () => {
  expect([1, 10, 100].map((ratio) => bar(ratio, 100).length)).toEqual([1, 13, 24])
  expect(bar(1, 1)).toHaveLength(24)
  expect(
    tableLines([
      ['a', 'bc'],
      ['def', 'g'],
    ]),
  ).toEqual(['a    bc', 'def   g'])
})

test('every small workload of the bench runs on two devices with the same losses', async () => {
  for (const { name, make, trains } of workloads('small')) {
    const start = defaultGenerator().stateDict()
    const { rows } = await compare(['reference', 'cpu'], make, { losses: trains ? 3 : 0, seconds: 0 })
    for (const row of rows) {
      expect(row.missing, name).toBeNull()
      if (row.missing !== null || !trains) continue
      expect(row.losses, name).toHaveLength(3)
      expect(row.losses[2], name).toBeLessThan(row.losses[0] as number)
      expect(row.difference, name).toBeLessThan(1e-4)
    }
    defaultGenerator().loadStateDict(start)
  }
})

test('names of workloads are their own in each size', () => {
  for (const size of ['small', 'medium', 'large'] as const)
    expect(new Set(workloads(size).map(({ name }) => name)).size).toBe(7)
})

/** Runs the command, and returns what it printed. */
async function bench(...args: string[]): Promise<string> {
  const lines: unknown[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((line) => void lines.push(line))
  try {
    await benchCommand(['--devices', 'reference,cpu,cuda:9', '--size', 'small', '--seconds', '0', ...args])
  } finally {
    log.mockRestore()
  }
  return lines.join('\n')
}

test('the command prints a line for each device, data where asked, and refuses what it does not know', async () => {
  expect(await bench('--only', 'matmul')).toMatch(
    /^cuda:9: not there \(.+\)\n\nmatmul 64\ndevice .+\nreference .+1\.00x .*#\ncpu .+x .*#$/,
  )
  const { workloads: found, missing } = JSON.parse(await bench('--only', 'matmul', '--json'))
  expect(missing).toHaveLength(1)
  expect(found).toHaveLength(1)
  expect(found[0].rows).toHaveLength(2)
  expect(await bench('--help')).toMatch(/^Usage: firesteel bench/)
  for (const wrong of [
    ['--size', 'huge'],
    ['--seconds', '-1'],
    ['--seconds', ''],
    ['--only', 'nothing of the kind'],
    ['--devices', 'cpu,'],
    ['--devices', 'cuda:9'],
    ['more'],
    ['--jso'],
  ])
    await expect(bench(...wrong), wrong.join(' ')).rejects.toThrow(UsageError)
})

/**
 * The end of memory: an error comes before the system ends the process, nothing is held afterwards, and the process
 * goes on.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadNative } from '../../lib/backend/native/loader.js'
import * as f from '../../lib/index.js'
import { bundled } from '../program.js'
import { type Group, makeGroup, runWithin } from './groups.js'

const loaded = loadNative()
const native = !('unavailable' in loaded) || process.env['FIRESTEEL_REQUIRE'] === 'native'
const script = bundled(new URL('within-group.ts', import.meta.url))
const limit = 640 * 2 ** 20

interface Met {
  readonly name: string
  readonly message: string
}

// A busy virtual machine takes many microseconds to give a page to a process.
vi.setConfig({ testTimeout: 240_000 })

const reason = (() => {
  const group = makeGroup(limit)
  if (typeof group === 'string') return group
  group.remove()
  return null
})()
if (reason !== null) process.stdout.write(`skipped, no control group can be made: ${reason}\n`)

describe.skipIf(reason !== null || !native).each([
  ['of its own', 'own'],
  ['of a group above', 'ancestor'],
] as const)(`within a control group's limit %s`, (_, place) => {
  let group: Group
  beforeAll(() => {
    const made = makeGroup(limit, place)
    if (typeof made === 'string') throw new Error(made)
    group = made
  })
  afterAll(() => group.remove())

  /** Runs a scenario, which must survive, and returns the errors that it met. All are of one class. */
  async function meet(name: string, device = 'cpu', flags: readonly string[] = []): Promise<readonly string[]> {
    const env = { FIRESTEEL_DEVICE: device }
    const kills = group.kills()
    const { status, signal, stdout, stderr } = await runWithin(group, [...flags, script, name], env)
    expect({ status, signal, kills: group.kills() }, stderr).toEqual({ status: 0, signal: null, kills })
    const met = JSON.parse(stdout) as readonly Met[]
    expect(new Set(met.map((error) => error.name))).toEqual(new Set(['OutOfMemoryError']))
    return met.map(({ message }) => message)
  }

  it('refuses tensors that nobody has touched yet', async () => {
    expect(await meet('zeros')).toEqual([
      expect.stringMatching(
        /^\[zeros\] 134\.2 MB do not fit: (402\.7|536\.9) MB are held by [34] tensors \(\1 MB in [34] results of zeros\), and \d.* are left to this process; free/,
      ),
    ])
  })

  it('refuses in a deep network with too many rows, again and again', async () => {
    const messages = await meet('a deep network')
    expect(messages.length).toBeGreaterThanOrEqual(10)
    for (const message of messages) expect(message).toMatch(/ in a result of (linear|relu) \(in Sequential\.\d+\)/)
  })

  if (place === 'ancestor') return

  it('refuses in a deep network whose layers are waited for', async () => {
    expect((await meet('a deep network, waited for')).length).toBeGreaterThanOrEqual(10)
  })

  it('refuses tensors of every size', async () => {
    expect(await meet('bytes')).toHaveLength(1)
    expect(await meet('many')).toHaveLength(1)
  })

  it('goes on after thirty errors', async () => {
    expect((await meet('rounds')).length).toBeGreaterThanOrEqual(30)
  })

  it('gives up what an operator had asked for before', async () => {
    const messages = await meet('half of an operator')
    expect(messages).toHaveLength(4)
    expect(messages[0]).toMatch(/^\[maxPool2d\] 225\.0 MB do not fit: 225\.0 MB are held by 1 tensors/)
  })

  it('names parameters by their paths', async () => {
    expect((await meet('a named parameter'))[0]).toContain('268.4 MB in the parameter words.weight')
  })

  it('refuses what no machine has', async () => {
    expect(await meet('batch norm')).toEqual([
      expect.stringMatching(/^\[BatchNorm2d\] 8\.59 GB do not fit: 0 bytes are held/),
    ])
  })

  it('refuses late what kernels need besides', async () => {
    expect(await meet('scratch')).toEqual([
      expect.stringMatching(/^\[add\] no memory for 225000000 bytes of scratch space; 450\.0 MB are held by 2 tensors/),
    ])
  })

  it('counts arrays that reads fill, and copies of uploads', async () => {
    const reads = await meet('reads')
    expect(reads.length).toBeGreaterThanOrEqual(2)
    for (const message of reads) expect(message).toMatch(/^\[data\] 67\.1 MB do not fit/)
    for (const message of await meet('uploads')) expect(message).toMatch(/^\[\w+\] [\d.]+ MB do not fit/)
  })

  it('gives what the allocator keeps back before an array is read', async () => {
    const messages = await meet('cached')
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatch(/^\[data\] 268\.4 MB do not fit/)
  })

  it('refuses files that no memory holds, packed or not', async () => {
    for (const device of ['cpu', 'reference']) {
      const messages = await meet('files', device)
      expect(messages).toHaveLength(2)
      for (const message of messages) expect(message).toMatch(/^\[readIdx\] 1\.07 GB do not fit/)
    }
  })

  it('refuses tensors that are too many for the JavaScript heap', async () => {
    expect(await meet('small tensors', 'cpu', ['--max-old-space-size=250'])).toEqual([
      expect.stringMatching(/^\[zeros\] the JavaScript heap is nearly full: \d+ tensors/),
    ])
  })

  it('tells each worker what the others were promised', async () => {
    expect((await meet('workers')).length).toBeGreaterThanOrEqual(3)
  })

  it('holds on the reference device too', async () => {
    expect(await meet('zeros', 'reference')).toEqual([expect.stringMatching(/^\[zeros\] 134\.2 MB do not fit/)])
    expect(await meet('many', 'reference')).toHaveLength(1)
    expect(await meet('batch norm', 'reference')).toHaveLength(1)
  })
})

describe.skipIf(!native)('the end of memory', () => {
  it('is told with what is asked, held and left', () => {
    const kept = f.zeros([2 ** 19], { device: 'cpu' })
    expect(() => f.zeros([2 ** 50], { device: 'cpu' })).toThrow(f.OutOfMemoryError)
    expect(() => f.zeros([2 ** 50], { device: 'cpu' })).toThrow(
      /^\[zeros\] 4503599\.63 GB do not fit: .* are held by \d+ tensors \(2\.1 MB in a result of zeros\), and .* are left/,
    )
    expect(kept.sum().item()).toBe(0)
  })

  it('names the module of a label that is out of range, late', async () => {
    class Lookup extends f.nn.Module {
      readonly table = new f.nn.Embedding(5, 3)
      forward(ids: f.Tensor): f.Tensor {
        return this.table.forward(ids).mean(1)
      }
    }
    const model = new f.nn.Sequential<readonly f.nn.Layer[]>(new Lookup(), new f.nn.Linear(3, 2))
    const ids = f.fromTypedArray(Int32Array.of(0, 1, 7, 2), [2, 2])
    const y = model.forward(ids)
    await expect(y.data()).rejects.toThrow(f.IndexOutOfRangeError)
    model.forward(ids)
    await expect(y.data()).rejects.toThrow(/^\[\w+\] .*7.*Sequential\.0\.table/)
    // An optimiser's step throws it as well, before it would learn from nonsense.
    const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
    model.forward(ids).sum().backward()
    expect(() => {
      for (let i = 0; i < 1000; i++) optimizer.step()
    }).toThrow(f.IndexOutOfRangeError)
  })
})

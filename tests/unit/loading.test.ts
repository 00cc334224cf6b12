/**
 * Loading: the sources, the destination of each tensor, and memory meanwhile. The file is over 600 lines because all
 * sources go through the same models and the same checks.
 */
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { nn } from '../../lib/index.js'
import { openTensors } from '../../lib/io/shards.js'
import type { FileArray, FileTensor, TensorSource } from '../../lib/io/source.js'
import { loadTensors, piecesOf, saveTensors } from '../../lib/io/tensors.js'
import { takeOutput } from '../setup.js'
import { deviceNames } from '../suites/support.js'

let folder = ''
const at = (...names: readonly string[]) => join(folder, ...names)
const usual = f.defaultDevice()
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterEach(() => f.setDefaultDevice(usual))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** 0, 1, 2, ... modulo 2^20, so that each is exact. */
const counting = (shape: readonly number[], device: string | f.Device = usual): f.Tensor => {
  const count = shape.reduce((a, b) => a * b, 1)
  return f.fromTypedArray(
    Float32Array.from({ length: count }, (_, i) => i % 2 ** 20),
    shape,
    { device },
  )
}

const valuesOf = (x: f.Tensor) => x.detach().dataSync()

const same = (a: f.Tensor, b: f.Tensor) => Buffer.from(valuesOf(a).buffer).equals(Buffer.from(valuesOf(b).buffer))

/** The content of a file. */
async function namesIn(path: string): Promise<readonly string[]> {
  const source = await openTensors(path)
  await source.close()
  return source.names
}

class Weights extends nn.Module {
  readonly weights: { readonly [name: string]: nn.Parameter }
  constructor(weights: { readonly [name: string]: f.Tensor }) {
    super()
    this.weights = Object.fromEntries(Object.entries(weights).map(([name, x]) => [name, new nn.Parameter(x)]))
  }
  forward() {}
}

/** A language model whose head is its embedding. */
class Tied extends nn.Module {
  readonly embed: nn.Embedding
  readonly head: nn.Linear
  constructor(device: string, same = true) {
    super()
    this.embed = new nn.Embedding(3, 2, { device })
    this.head = new nn.Linear(2, 3, { bias: false, device })
    this.head.weight = (same ? this.embed.weight : new nn.Parameter(this.embed.weight.detach())) as never
  }
  forward(ids: f.Tensor): f.Tensor {
    return this.head.forward(this.embed.forward(ids) as never)
  }
}

describe('pieces of a tensor', () => {
  it.each<[readonly number[], number]>([
    [[], 4],
    [[3], 4],
    [[4], 4],
    [[5], 4],
    [[0], 4],
    [[3, 0, 2], 4],
    [[7, 2], 4],
    [[3, 4], 4],
    [[2, 5], 4],
    [[2, 3, 5], 4],
    [[2, 3, 5], 7],
    [[2, 3, 5], 31],
    [[2, 1, 9, 1], 4],
  ])('of shape %j, at most %i at once, are all of it in order', (shape, most) => {
    const seen: number[] = []
    const steps = shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1))
    for (const { from, count, start, shape: part } of piecesOf(shape, most)) {
      expect(count).toBeLessThanOrEqual(most)
      expect(part.reduce((a, b) => a * b, 1)).toBe(count)
      expect([...start.keys()].reduce((sum, d) => sum + (start[d] as number) * (steps[d] as number), 0)).toBe(from)
      for (let i = 0; i < count; i++) seen.push(from + i)
    }
    expect(seen).toEqual(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i))
  })
})

describe.each(deviceNames)('a model on %s', (device) => {
  it('is filled from pieces, of any size and layout, in its own dtypes', async () => {
    // A piece has 2^21 float32.
    const shapes: { readonly [name: string]: readonly number[] } = {
      below: [2 ** 21 - 1],
      above: [2 ** 21 + 1],
      rest: [3, 699_053],
      scalar: [],
      none: [2, 0],
    }
    const tensors = Object.entries(shapes).map(([name, shape]) => [`weights.${name}`, counting(shape, device)] as const)
    await saveTensors(at('pieces'), new Map([...tensors, ['weights.turned', counting([1024, 3000], device)]]))
    const model = new Weights({
      ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, f.zeros(shape, { device })])),
      turned: f.zeros([3000, 1024], { device }).transpose(0, 1),
    })
    const before = Object.entries(model.weights).map(([name, { storage }]) => [name, storage])
    const version = model.weights['above']?.storage.version as number
    await model.load(at('pieces'))
    for (const [name, x] of Object.entries(model.weights)) {
      const expected = counting(x.shape, device)
      expect(same(x, expected), name).toBe(true)
    }
    // The load is in place, and counts as a write that autograd knows of.
    expect(Object.entries(model.weights).map(([name, { storage }]) => [name, storage])).toEqual(before)
    expect(model.weights['above']?.storage.version).toBeGreaterThan(version)
    model.to('bfloat16')
    await model.load(at('pieces'))
    const low = counting([2 ** 21 + 1], device).to('bfloat16')
    expect(model.weights['above']?.dtype).toBe('bfloat16')
    expect(same(model.weights['above'] as f.Tensor, low)).toBe(true)
  })

  it('that was made on meta gets memory there, and stays the same parameters', async () => {
    const source = new nn.Sequential(new nn.Linear(4, 3, { device }), new nn.BatchNorm1d(3, { device }))
    f.noGrad(() => (source.at(1) as nn.BatchNorm1d).runningMean?.fill_(5))
    await source.save(at('source'))
    const model = new nn.Sequential(new nn.Linear(4, 3, { device: 'meta' }), new nn.BatchNorm1d(3, { device: 'meta' }))
    const parameters = [...model.parameters()]
    const optimizer = new f.optim.SGD(model.parameters(), { lr: 1 })
    model
      .forward(f.zeros([2, 4], { device: 'meta' }) as never)
      .sum()
      .backward()
    expect(await model.load(at('source'), { device })).toEqual({ missing: [], unexpected: [], excluded: [] })
    expect([...model.parameters()]).toEqual(parameters)
    for (const [name, x] of source.namedState()) {
      const mine = new Map(model.namedState()).get(name) as f.Tensor
      expect([mine.device.name, mine.dtype, valuesOf(mine)], name).toEqual([device, x.dtype, valuesOf(x)])
      expect(mine.grad).toBeNull()
    }
    const before = valuesOf(parameters[1] as f.Tensor)
    model
      .forward(f.ones([2, 4], { device }) as never)
      .sum()
      .backward()
    optimizer.step()
    expect(parameters[1]?.requiresGrad).toBe(true)
    expect(valuesOf(parameters[1] as f.Tensor)).toHaveLength(before.length)
    // A state in memory is loaded the same way, and copied.
    const other = new nn.Sequential(new nn.Linear(4, 3, { device: 'meta' }), new nn.BatchNorm1d(3, { device: 'meta' }))
    other.loadStateDict(source.stateDict())
    const weight = (other.at(0) as nn.Linear).weight
    expect([weight.device.name, valuesOf(weight)]).toEqual([device, valuesOf((source.at(0) as nn.Linear).weight)])
    expect(weight.storage).not.toBe((source.at(0) as nn.Linear).weight.storage)
  })

  it('goes from meta to the default device, converted to its own dtype', async () => {
    f.setDefaultDevice(device)
    await new nn.Linear(4, 3).save(at('linear'))
    const model = new nn.Linear(4, 3, { device: 'meta', dtype: 'bfloat16' })
    await model.load(at('linear'))
    expect([model.weight.device.name, model.weight.dtype]).toEqual([device, 'bfloat16'])
    const expected = (await loadTensors(at('linear'))).get('weight')?.to('bfloat16') as f.Tensor
    expect(valuesOf(model.weight)).toEqual(valuesOf(expected))
    // A tensor of two pieces, and one that is a part of its memory. The reference would take seconds for two pieces.
    const count = device === 'reference' ? 9 : 2 ** 21 + 1
    const [long, part] = [counting([count], device), counting([2, 3], device)]
    await saveTensors(at('parts'), { 'weights.long': long, 'weights.part': part })
    const low = { device: 'meta', dtype: 'bfloat16' } as const
    const parts = new Weights({
      long: f.zeros([count], low),
      part: f.zeros([2, 4], low).narrow(1, 0, 3),
    })
    await parts.load(at('parts'))
    expect(same(parts.weights['long'] as f.Tensor, long.to('bfloat16'))).toBe(true)
    expect(same(parts.weights['part'] as f.Tensor, part.to('bfloat16'))).toBe(true)
  })

  it('keeps its tie, of one parameter or of two over one memory', async () => {
    for (const same of [true, false])
      for (const name of ['embed.weight', 'head.weight']) {
        await saveTensors(at('tied'), new Map([[name, counting([3, 2], device)]]))
        const model = new Tied('meta', same)
        expect(await model.load(at('tied'), { device })).toEqual({ missing: [], unexpected: [], excluded: [] })
        expect(model.head.weight.storage).toBe(model.embed.weight.storage)
        expect(model.embed.weight.toArray()).toEqual(counting([3, 2]).toArray())
        const there = new Tied(device, same)
        await there.load(at('tied'))
        expect(there.head.weight.toArray()).toEqual(counting([3, 2]).toArray())
      }
  })

  it('takes several names of one memory if they agree, as the model has them', async () => {
    const table = counting([3, 2], device)
    const both = (other: f.Tensor) =>
      saveTensors(
        at('both'),
        new Map([
          ['embed.weight', table],
          ['head.weight', other],
        ]),
      )
    for (const on of ['meta', device])
      for (const same of [true, false]) {
        await both(table.to('bfloat16'))
        const model = new Tied(on, same)
        await model.load(at('both'), { device })
        expect(model.embed.weight.toArray()).toEqual(table.toArray())
        await both(f.add(table, 1))
        const before = new Tied(on, same)
        const held = before.embed.weight.storage
        const load = before.load(at('both'), { strict: false, device })
        await expect(load).rejects.toThrow(f.StateDictError)
        await expect(load).rejects.toThrow(
          `[load] ${at('both')}: 1 mismatch:\n  embed.weight and head.weight share memory in this model, but have different`,
        )
        expect(before.embed.weight.storage).toBe(held)
        if (on !== 'meta') expect(before.embed.weight.toArray()).not.toEqual(table.toArray())
      }
  })

  it('tells parts of one memory apart', async () => {
    const make = (on: string) => {
      const all = f.zeros([4], { device: on })
      return new Weights({ all, first: all.slice([0, 2]), last: all.slice([2, 4]) })
    }
    const save = (last: number) =>
      saveTensors(
        at('parts'),
        new Map([
          ['weights.all', f.tensor([1, 2, 3, 4])],
          ['weights.first', f.tensor([1, 2])],
          ['weights.last', f.tensor([3, last])],
        ]),
      )
    for (const on of ['meta', device]) {
      await save(4)
      const model = make(on)
      await model.load(at('parts'), { device })
      expect(model.weights['last']?.toArray()).toEqual([3, 4])
      expect(model.weights['last']?.storage).toBe(model.weights['all']?.storage)
      await save(5)
      await expect(make(on).load(at('parts'), { device })).rejects.toThrow('weights.all and weights.last share memory')
    }
    // A missing part stays on meta, where using it is an error.
    await saveTensors(at('parts'), new Map([['weights.first', f.tensor([1, 2])]]))
    const model = make('meta')
    expect((await model.load(at('parts'), { strict: false, device })).missing).toEqual(['weights.all', 'weights.last'])
    expect(model.weights['first']?.toArray()).toEqual([1, 2])
    expect(() => model.weights['last']?.toArray()).toThrow(f.DeviceError)
  })

  it('has not changed where anything does not fit or cannot be read', async () => {
    const path = at('broken')
    const wide = new Uint8Array(BigInt64Array.of(1n, 2n ** 40n).buffer)
    const header = (second: string) =>
      `{"weights.a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"weights.b":${second}}`
    const write = async (second: string, data: Uint8Array) => {
      const text = header(second)
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(text.length))
      await writeFile(path, Buffer.concat([length, Buffer.from(text), Buffer.from(Float32Array.of(7, 7).buffer), data]))
    }
    for (const [second, data, words] of [
      ['{"dtype":"I64","shape":[2],"data_offsets":[8,24]}', wide, 'weights.b holds 1099511627776, which does not fit'],
      [
        '{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]}',
        Uint8Array.of(1, 2),
        'element 1 of tensor "weights.b" is 2',
      ],
      [
        '{"dtype":"F99","shape":[2],"data_offsets":[8,10]}',
        Uint8Array.of(1, 2),
        '"weights.b" of shape [2] has dtype F99',
      ],
      ['{"dtype":"U8","shape":[1],"data_offsets":[8,9]}', Uint8Array.of(1), 'weights.b is [1], but must be [2]'],
    ] as const) {
      await write(second, data)
      for (const on of ['meta', device]) {
        const model = new Weights({ a: f.zeros([2], { device: on }), b: f.zeros([2], { device: on }) })
        await expect(model.load(path, { device })).rejects.toThrow(words)
        expect(model.weights['a']?.device.name).toBe(on)
        if (on !== 'meta') expect(model.weights['a']?.toArray()).toEqual([0, 0])
      }
      // A fault of one tensor does not affect others.
      const only = new Weights({ a: f.zeros([2], { device }) })
      expect((await only.load(path, { strict: false })).unexpected).toEqual(['weights.b'])
      expect(only.weights['a']?.toArray()).toEqual([7, 7])
    }
  })

  it('says what is overwritten where the disk fails after all was read, unless it was on meta', async () => {
    /** A source of sevens whose second tensor cannot be read, in one of several ways. */
    class Failing implements TensorSource {
      readonly path = 'failing'
      readonly names = ['weights.a', 'weights.b']
      constructor(readonly way: 'read' | 'readSync') {}
      spec() {
        return { dtype: 'F32', shape: [2] }
      }
      #give(name: string, data: FileArray, way: string): FileTensor {
        if (name === 'weights.b' && way === this.way) throw new f.ValueError('load', 'cannot read failing: EIO')
        data.set([7, 7] as never)
        return { dtype: 'F32', shape: [2], data }
      }
      async read(name: string, into: FileArray = new Float32Array(2)) {
        return this.#give(name, into, 'read')
      }
      readSync(name: string, into: FileArray) {
        return this.#give(name, into, 'readSync')
      }
      async close() {}
    }
    const make = (on: string) => new Weights({ a: f.zeros([2], { device: on }), b: f.zeros([2], { device: on }) })
    await expect(make(device).load(new Failing('readSync'))).rejects.toThrow(
      'cannot read failing: EIO; 2 of 2 tensors were overwritten, the last one perhaps in part; load the model again',
    )
    const model = make(device)
    await expect(model.load(new Failing('read'))).rejects.toThrow(/EIO$/)
    expect(model.weights['a']?.toArray()).toEqual([0, 0])
    const meta = make('meta')
    await expect(meta.load(new Failing('read'), { device })).rejects.toThrow(/EIO$/)
    expect(meta.weights['a']?.device.name).toBe('meta')
    await meta.load(new Failing('readSync'), { device })
    expect(meta.weights['b']?.toArray()).toEqual([7, 7])
  })
})

describe('a file that is read into memory of a device', () => {
  it('and was cut off since it was opened is told as one, on every device', async () => {
    await saveTensors(at('shorter'), new Map([['weight', f.ones([64, 64])]]))
    const source = await openTensors(at('shorter'))
    await truncate(at('shorter'), 64 * 64 * 4)
    for (const device of deviceNames) {
      const model = new nn.Linear(64, 64, { bias: false, device: 'meta' })
      await expect(model.load(source, { device })).rejects.toThrow('shorter was cut off while it was read')
      expect(model.weight.device.name).toBe('meta')
    }
    await source.close()
  })

  it('is told as cut off where its 16-bit floats are widened, too', async () => {
    for (const dtype of ['bfloat16', 'float16'] as const) {
      await saveTensors(at('halves'), new Map([['weight', f.ones([64, 64], { dtype })]]))
      const source = await openTensors(at('halves'))
      await truncate(at('halves'), 64 * 64)
      for (const device of deviceNames) {
        const model = new nn.Linear(64, 64, { bias: false, device: 'meta' })
        await expect(model.load(source, { device })).rejects.toThrow('halves was cut off while it was read')
        expect(model.weight.device.name).toBe('meta')
      }
      await source.close()
    }
  })

  it('stays open until that is done, because its number would be given to another', async () => {
    await saveTensors(at('lent'), new Map([['weight', f.ones([2])]]))
    const source = await openTensors(at('lent'))
    const events: string[] = []
    const lent = source.lend?.('weight', 0, 2, async ({ bytes }) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      events.push(`read ${bytes}`)
    })
    const closing = source.close().then(() => events.push('closed'))
    await Promise.all([lent, closing])
    expect(events).toEqual(['read 8', 'closed'])
    expect(() => source.lend?.('other', 0, 2, async () => {})).toThrow('has no tensor "other"')
  })

  it('is not lent again once it is being closed, because its number is soon that of another file', async () => {
    await saveTensors(at('lent'), new Map([['weight', f.ones([2])]]))
    const source = await openTensors(at('lent'))
    let finish = () => {}
    const first = source.lend?.('weight', 0, 2, () => new Promise<void>((resolve) => (finish = resolve)))
    const closing = source.close()
    const numbers: number[] = []
    await expect(source.lend?.('weight', 0, 2, async ({ file }) => numbers.push(file))).rejects.toThrow('was closed')
    await expect(source.read('weight')).rejects.toThrow('was closed; open it again')
    finish()
    await Promise.all([first, closing])
    expect(numbers).toEqual([])
  })

  it('lends nothing that must be looked at, or that is not there', async () => {
    await saveTensors(at('lent'), new Map([['flags', f.ones([2], { dtype: 'bool' })]]))
    const source = await openTensors(at('lent'))
    expect([source.lend?.('flags', 0, 2, async () => {}), source.lend?.('flags', 1, 2, async () => {})]).toEqual([
      null,
      null,
    ])
    await source.close()
  })
})

describe('a model that changes while it is loaded', () => {
  const saved = async () => {
    await new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2)).save(at('changing'))
    return new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2))
  }

  it('by its layers is refused, and has not changed otherwise', async () => {
    const model = await saved()
    const before = (model.at(1) as nn.Linear).weight.toArray()
    const source = await openTensors(at('changing'))
    // It is checked once before the first wait.
    const loading = model.load(source)
    Object.assign(model.at(0) as nn.Linear, { weight: new nn.Parameter(f.zeros([2, 2])) })
    await expect(loading).rejects.toThrow(
      '[load] nothing was loaded, because layers or tensors of the module were replaced while its file was read',
    )
    await source.close()
    expect([(model.at(0) as nn.Linear).weight.toArray(), (model.at(1) as nn.Linear).weight.toArray()]).toEqual([
      [
        [0, 0],
        [0, 0],
      ],
      before,
    ])
  })

  it('by its dtype or device is loaded all the same', async () => {
    const model = await saved()
    const source = await openTensors(at('changing'))
    // It is checked once before the first wait.
    const loading = model.load(source)
    model.to('reference').to('bfloat16')
    await loading
    await source.close()
    const expected = (await loadTensors(at('changing'))).get('1.bias')?.to('bfloat16') as f.Tensor
    const { bias } = model.at(1) as nn.Linear
    expect([bias?.device.name, valuesOf(bias as f.Tensor)]).toEqual(['reference', valuesOf(expected)])
  })
})

describe('a model on meta', () => {
  it('is moved by load alone, which its errors say', async () => {
    const model = new nn.Linear(2, 2, { device: 'meta' })
    expect(() => model.to('reference')).toThrow(f.DeviceError)
    expect(() => model.to('reference')).toThrow(
      "[Module.to] weight is on meta, where it has a shape but no elements; load the model there: load(path, { device: 'reference' })",
    )
    expect(model.to('meta').to('bfloat16').weight.dtype).toBe('bfloat16')
    expect(new nn.Linear(2, 2).to('meta').weight.device.name).toBe('meta')
    await expect(model.save(at('x'))).rejects.toThrow('[save] weight is on meta')
    await new nn.Linear(2, 2).save(at('small'))
    await expect(model.load(at('small'), { device: 'meta' })).rejects.toThrow('[load] nothing can be loaded to meta')
    f.setDefaultDevice('meta')
    await expect(model.load(at('small'))).rejects.toThrow('[load] nothing can be loaded to meta')
    f.setDefaultDevice(usual)
    for (const on of ['meta', 'reference'])
      expect(() => new nn.Linear(2, 2, { device: on }).loadStateDict(model.stateDict())).toThrow(
        '[loadStateDict] 2 mismatches:\n  weight is on meta, but must be a tensor with elements',
      )
    const there = new nn.Linear(2, 2, { device: 'reference' })
    const other = deviceNames.find((name) => name !== 'reference')
    if (other !== undefined)
      await expect(there.load(at('small'), { device: other })).rejects.toThrow(
        `[load] device is '${other}', but weight is on reference already`,
      )
    await there.load(at('small'), { device: 'reference' })
    await expect(there.load(at('small'), { device: 'nowhere' })).rejects.toThrow("[load] 'nowhere' is not available")
  })

  it('is loaded through a loadStateDict of its own, too', async () => {
    class Own extends nn.Linear {
      override loadStateDict(state: nn.StateDict, options: nn.LoadOptions): nn.LoadResult {
        return super.loadStateDict(state, { ...options, strict: false })
      }
    }
    const source = new nn.Linear(2, 2, { bias: false })
    await source.save(at('own'))
    const model = new Own(2, 2, { device: 'meta' })
    expect((await model.load(at('own'), { device: 'reference' })).missing).toEqual(['bias'])
    expect([model.weight.device.name, model.weight.toArray()]).toEqual(['reference', source.weight.toArray()])
  })
})

describe('a buffer that is no part of the state', () => {
  const table = (device: f.Device) => f.arange(0, 4, 1, { device, dtype: 'float32' })

  class Rotary extends nn.Module {
    readonly scale: nn.Parameter
    readonly table: nn.Buffer
    constructor(device: string, again = true) {
      super()
      this.scale = new nn.Parameter(f.ones([1], { device }))
      this.table = new nn.Buffer(table(f.device(device)), { persistent: false, ...(again ? { make: table } : {}) })
    }
    forward(x: f.Tensor): f.Tensor {
      return f.mul(f.mul(x, this.table), this.scale)
    }
  }

  it('is neither saved nor missing, but moves with its module', async () => {
    const model = new Rotary('reference')
    expect([...model.stateDict().keys()]).toEqual(['scale'])
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['table'])
    await model.save(at('rotary'))
    expect(await namesIn(at('rotary'))).toEqual(['scale'])
    expect(await model.load(at('rotary'))).toEqual({ missing: [], unexpected: [], excluded: [] })
    model.to('bfloat16')
    expect(model.table.dtype).toBe('bfloat16')
    expect(model.table).toBeInstanceOf(nn.Buffer)
    for (const device of deviceNames) expect(model.to(device).table.device.name).toBe(device)
  })

  it('is made again where its module comes from meta, or the load is refused', async () => {
    await new Rotary('reference').save(at('rotary'))
    for (const device of deviceNames) {
      const model = new Rotary('meta')
      await model.load(at('rotary'), { device })
      expect(model.table.toArray()).toEqual([0, 1, 2, 3])
      expect(model.forward(f.ones([4], { device })).toArray()).toEqual([0, 1, 2, 3])
      const low = new Rotary('meta').to('bfloat16') as Rotary
      low.loadStateDict({ scale: f.ones([1], { device }) })
      expect([low.table.device.name, low.table.dtype]).toEqual([device, 'bfloat16'])
    }
    const model = new Rotary('meta', false)
    await expect(model.load(at('rotary'))).rejects.toThrow('[load] table is on meta and not part of the state')
    expect(() => model.loadStateDict({ scale: f.ones([1]) })).toThrow('[loadStateDict] table is on meta')
    expect(model.scale.device.name).toBe('meta')
  })

  it('has options that make sense together', () => {
    const x = f.ones([1])
    expect(() => new nn.Buffer(x, { persistent: 0 as never })).toThrow(f.ValueError)
    expect(() => new nn.Buffer(x, { make: () => x })).toThrow(
      '[Buffer] make is for buffers that are not part of the state',
    )
    expect(() => new nn.Buffer(x, { persistent: false, make: 1 as never })).toThrow('[Buffer] make is the number 1')
    expect(() => new nn.Buffer(x, { persist: true } as never)).toThrow('[Buffer] there is no option')
  })
})

describe('tied weights', () => {
  it('are written once, under their first name, in whichever way they are tied', async () => {
    for (const same of [true, false]) {
      await new Tied('reference', same).save(at('once'))
      expect(await namesIn(at('once'))).toEqual(['embed.weight'])
      // The file has 6 numbers and a header.
      expect((await stat(at('once'))).size).toBeLessThan(8 + 6 * 4 + 200)
      await new Tied('reference', same).load(at('once'))
    }
    const all = f.zeros([2, 3])
    await new Weights({ all, turned: all.transpose(0, 1), part: all.narrow(0, 0, 1) }).save(at('once'))
    expect([...(await namesIn(at('once')))].sort()).toEqual(['weights.all', 'weights.part'])
  })
})

describe('Embedding.asLinear', () => {
  it.each(deviceNames)('is the product with the table, with its gradients, on %s', (device) => {
    const embed = new nn.Embedding(5, 3, { device })
    const x = counting([2, 4, 3], device)
    x.requiresGrad = true
    const logits = embed.asLinear(x as never) as f.Tensor
    expect(logits.shape).toEqual([2, 4, 5])
    const expected = f.matmul(x, embed.weight.transpose(0, 1)) as f.Tensor
    expect(logits.sub(expected).abs().amax().item()).toBeLessThan(1e-4)
    logits.sum().backward()
    // The sum over all outputs: each row of the table is multiplied with the sum of all vectors.
    const sum = x.detach().sum([0, 1]).toArray()
    expect(embed.weight.grad?.toArray()).toEqual(Array.from({ length: 5 }, () => sum))
    expect((embed.asLinear(f.ones([3], { device })) as f.Tensor).shape).toEqual([5])
    expect(() => embed.asLinear(f.ones([2, 4], { device }) as never)).toThrow('[Embedding.asLinear] ')
  })
})

describe('a folder of shards', () => {
  const map = { a: 's-1.safetensors', b: 's-2.safetensors', c: 's-2.safetensors' }

  /** Two shards of 3 tensors, 24 bytes. */
  async function shards(name: string, index: unknown = { metadata: { total_size: 24 }, weight_map: map }) {
    const path = at(name)
    await mkdir(path, { recursive: true })
    await saveTensors(join(path, 's-1.safetensors'), new Map([['a', f.tensor([1, 2])]]))
    await saveTensors(
      join(path, 's-2.safetensors'),
      new Map([
        ['b', f.tensor([3, 4])],
        ['c', f.tensor([5, 6])],
      ]),
    )
    const text = typeof index === 'string' ? index : JSON.stringify(index)
    await writeFile(join(path, 'model.safetensors.index.json'), text)
    return path
  }

  it('is one source, opened by its own path or that of the index', async () => {
    const path = await shards('sharded')
    for (const each of [path, join(path, 'model.safetensors.index.json')]) {
      const tensors = await loadTensors(each)
      expect([...tensors].map(([name, x]) => [name, x.toArray()])).toEqual([
        ['a', [1, 2]],
        ['b', [3, 4]],
        ['c', [5, 6]],
      ])
    }
    const source = await openTensors(path)
    expect(source.spec('b')).toMatchObject({ dtype: 'F32', shape: [2] })
    expect([source.spec('d'), source.names]).toEqual([undefined, ['a', 'b', 'c']])
    await expect(source.read('d')).rejects.toThrow('has no tensor "d"')
    const into = new Float32Array(1)
    expect((await source.read('c', into, 1)).data).toBe(into)
    expect([...into]).toEqual([6])
    await source.close()
    class Model extends nn.Module {
      a = new nn.Parameter(f.zeros([2], { device: 'meta' }))
      b = new nn.Parameter(f.zeros([2], { device: 'meta' }))
      c = new nn.Parameter(f.zeros([2], { device: 'meta' }))
      forward() {}
    }
    const model = new Model()
    await model.load(path)
    expect(model.c.toArray()).toEqual([5, 6])
    // A whole file has precedence over an index, as elsewhere.
    await saveTensors(join(path, 'model.safetensors'), new Map([['a', f.tensor([9, 9])]]))
    expect([...(await loadTensors(path)).keys()]).toEqual(['a'])
  })

  it.each<[string, unknown, string]>([
    ['is no JSON', '{"weight_map":', 'is not an index of shards: it is not JSON'],
    ['is a list', [], 'it has no weight_map'],
    ['has no map', { metadata: {} }, 'it has no weight_map'],
    ['has a map of numbers', { weight_map: { a: 1 } }, 'the shard of "a" is the number 1'],
    [
      'leads out of the folder',
      { weight_map: { a: '../x.safetensors' } },
      'the shard of "a" is "../x.safetensors", but must be',
    ],
    ['leads to a path', { weight_map: { a: '/etc/passwd' } }, 'must be the name of a file beside the index'],
    ['leads to a path of Windows', { weight_map: { a: '..\\x' } }, 'must be the name of a file beside the index'],
    ['leads to the folder', { weight_map: { a: '..' } }, 'must be the name of a file beside the index'],
    ['names a shard that is missing', { weight_map: { ...map, a: 's-3.safetensors' } }, 's-3.safetensors: ENOENT'],
    [
      'names a shard that lacks the tensor',
      { weight_map: { ...map, d: 's-1.safetensors' } },
      'does not fit its shards: "d" should be in s-1.safetensors, but is not there',
    ],
    [
      'lacks a tensor',
      { weight_map: { a: map.a, b: map.b } },
      's-2.safetensors holds "c" [2], which the index does not name',
    ],
    ['has no number as total', { metadata: { total_size: '24' }, weight_map: map }, "its total_size is '24'"],
  ])('whose index %s is refused', async (name, index, words) => {
    const path = await shards(name.replaceAll(' ', '-'), index)
    const load = new nn.Linear(1, 1).load(path)
    await expect(load).rejects.toThrow(f.ValueError)
    await expect(load).rejects.toThrow('[load] ')
    await expect(load).rejects.toThrow(words)
  })

  it('whose index has another total is loaded, with a warning', async () => {
    const path = await shards('another-total', { metadata: { total_size: 25 }, weight_map: map })
    expect((await loadTensors(path)).get('c')?.toArray()).toEqual([5, 6])
    await new Promise((resolve) => setImmediate(resolve))
    const [warning, ...others] = takeOutput()
    expect(warning).toContain('a total_size of 25, but its shards have 24 bytes of tensors')
    expect(others).toEqual([])
  })

  it('with a tensor in two of them is refused', async () => {
    const path = await shards('twice')
    await saveTensors(
      join(path, 's-1.safetensors'),
      new Map([
        ['a', f.tensor([1, 2])],
        ['b', f.tensor([3, 4])],
      ]),
    )
    await expect(loadTensors(path)).rejects.toThrow('"b" is in two shards, s-2.safetensors and s-1.safetensors')
  })

  it('may lack the total, and a folder without weights says what it wants', async () => {
    expect((await loadTensors(await shards('total', { weight_map: map }))).size).toBe(3)
    await mkdir(at('empty'))
    await expect(loadTensors(at('empty'))).rejects.toThrow(
      'holds none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json',
    )
    await writeFile(at('other.json'), JSON.stringify({ weight_map: map }))
    await expect(loadTensors(at('other.json'))).rejects.toThrow('load the folder that it is in')
    await truncate(join(await shards('cut'), 's-2.safetensors'), 60)
    await expect(loadTensors(at('cut'))).rejects.toThrow('cut off')
    expect((await readFile(at('other.json'))).length).toBeGreaterThan(0)
  })
})

// Only Linux tells the most memory that a process took.
describe.skipIf(f.unavailable('cpu') !== null || process.platform !== 'linux')(
  'the memory of a process that loads',
  () => {
    const script = fileURLToPath(new URL('../../build/compiled/tests/unit/load-peak.js', import.meta.url))
    const run = (...given: readonly string[]) => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [script, ...given], {
        encoding: 'utf8',
      })
      if (status !== 0) throw new Error(stderr)
      return JSON.parse(stdout) as { readonly before: number; readonly peak: number }
    }

    it('peaks at the weights and a bounded buffer', () => {
      const path = at('large.safetensors')
      const bytes = 256e6
      run('write', path)
      // Two pieces of 8 MB are on their way, and the process takes other memory. A second copy would be 256 MB.
      for (const how of ['meta', 'cpu']) {
        const { before, peak } = run(how, path)
        expect(peak - before, how).toBeGreaterThan(how === 'meta' ? bytes : 0)
        expect(peak - before, how).toBeLessThan((how === 'meta' ? bytes : 0) + 80e6)
      }
    })
  },
)

/** Models and datasets in files: what is saved, at what moment, and what is loaded. */
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, open, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  add,
  type BlockDType,
  DisposedError,
  type DType,
  defaultDevice,
  device as deviceOf,
  fromTypedArray,
  full,
  indexSelect,
  loadTensors,
  memory,
  nn,
  noGrad,
  openTensors,
  randn,
  StateDictError,
  saveTensors,
  setDefaultDevice,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { SafetensorsFile } from '../../lib/io/safetensors.js'
import { tensorFile, tensorsIn, type Wanted } from '../../lib/io/tensors.js'
import { deviceNames } from '../suites/support.js'

let folder = ''
const at = (name: string) => join(folder, name)
const usual = defaultDevice()
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterEach(() => setDefaultDevice(usual))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A file with a given header. */
async function write(path: string, header: string, data: Uint8Array = new Uint8Array(0)): Promise<number> {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)))
  await writeFile(
    path,
    [length, header, data].map((part) => Buffer.from(part)).reduce((a, b) => Buffer.concat([a, b])),
  )
  return 8 + Buffer.byteLength(header)
}

/** The wanted tensors of a file, and the others by name and shape. */
async function wantedOf(path: string, wanted: ReadonlyMap<string, Wanted>): Promise<Map<string, Tensor>> {
  const source = await openTensors(path)
  try {
    return await tensorsIn(source, wanted, 'load')
  } finally {
    await source.close()
  }
}

describe('safetensors files', () => {
  it('give back what was written', async () => {
    const [a, b] = [new nn.Linear(3, 2), new nn.Linear(3, 2)]
    const path = at('linear.safetensors')
    await a.save(path)
    await b.load(path)
    const x = randn([4, 3])
    expect([...b.forward(x).dataSync()]).toEqual([...a.forward(x).dataSync()])
    await expect(new nn.Linear(2, 2).load(path)).rejects.toThrow(StateDictError)
  })

  it('are named where their state does not fit', async () => {
    const path = at('misfit.safetensors')
    await new nn.Linear(3, 2).save(path)
    await expect(new nn.Linear(2, 2).load(path)).rejects.toThrow(
      `[load] ${path}: 1 mismatch:\n  weight is [2, 3], but must be [2, 2]`,
    )
    await expect(new nn.Linear(2, 1).load(path)).rejects.toThrow(`[load] ${path}: 2 mismatches:`)
    await expect(new nn.Linear(3, 2).load(path, { strct: false } as never)).rejects.toThrow('[load] there is no option')
  })

  it('hold what a class has made of its state', async () => {
    class Weights extends nn.Linear {
      override stateDict(): nn.StateDict {
        return new Map([...super.stateDict()].filter(([name]) => name === 'weight'))
      }
      override loadStateDict(state: nn.StateDict): nn.LoadResult {
        return super.loadStateDict(state, { strict: false })
      }
    }
    const path = at('weights.safetensors')
    await new Weights(3, 2).save(path)
    expect([...(await loadTensors(path)).keys()]).toEqual(['weight'])
    expect(await new Weights(3, 2).load(path)).toEqual({ missing: ['bias'], unexpected: [], excluded: [] })
  })

  it('hold what a class has getters for, beside its fields', async () => {
    class Weights {
      readonly field = full([2], 1)
      get computed(): Tensor {
        return full([3], 2)
      }
    }
    class Named extends Weights {
      get more(): Tensor {
        return full([1], 3)
      }
    }
    await saveTensors(at('getters'), new Named() as never)
    const back = await loadTensors(at('getters'))
    expect(Object.fromEntries([...back].map(([name, x]) => [name, x.toArray()]))).toEqual({
      computed: [2, 2, 2],
      field: [1, 1],
      more: [3],
    })
  })

  it('are written whole or not at all', async () => {
    const path = at('missing/linear.safetensors')
    const saving = new nn.Linear(3, 2).save(path)
    await expect(saving).rejects.toThrow(ValueError)
    await expect(saving).rejects.toThrow(`[save] cannot write ${path}`)
    await expect(saving).rejects.toThrow('make its folder first')
    // A folder is in the place of the file.
    await expect(new nn.Linear(3, 2).save(folder)).rejects.toThrow(`cannot write ${folder}: it is a directory`)
    expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual([])
  })

  it('keep their links and modes', async () => {
    await new nn.Linear(1, 1).save(at('target'))
    await chmod(at('target'), 0o600)
    await symlink('target', at('link'))
    const layer = new nn.Linear(1, 1)
    await layer.save(at('link'))
    expect(await readlink(at('link'))).toBe('target')
    expect((await stat(at('target'))).mode & 0o777).toBe(0o600)
    expect((await loadTensors(at('target'))).get('weight')?.item()).toBe(layer.weight.item())
  })

  it('that are none are refused, and say why', async () => {
    const path = at('whole.safetensors')
    await new nn.Linear(3, 2).save(path)
    const whole = await readFile(path)
    const load = async (bytes: Uint8Array) => {
      await writeFile(at('broken.safetensors'), bytes)
      return new nn.Linear(3, 2).load(at('broken.safetensors'))
    }
    await expect(load(whole.subarray(0, 4))).rejects.toThrow('it has 4 bytes')
    await expect(load(whole.subarray(0, 40))).rejects.toThrow('cut off')
    await expect(load(whole.subarray(0, whole.length - 4))).rejects.toThrow('cut off')
    await expect(load(Buffer.concat([whole.subarray(0, 8), Buffer.alloc(whole.length)]))).rejects.toThrow(
      'does not begin with {',
    )
    await expect(load(Buffer.from(whole.toString('latin1').replace('F32', 'F99'), 'latin1'))).rejects.toThrow(
      'dtype F99',
    )
    await expect(new nn.Linear(3, 2).load(at('nowhere'))).rejects.toThrow('[load] cannot read')
    await expect(new nn.Linear(3, 2).load(folder)).rejects.toThrow(`cannot read ${folder}`)
    for (const path of [undefined, null, 3, '', 'a\0b'])
      for (const use of [new nn.Linear(3, 2).load(path as never), new nn.Linear(3, 2).save(path as never)]) {
        await expect(use).rejects.toThrow(ValueError)
        await expect(use).rejects.toThrow(' a file: the path is ')
      }
  })

  it('are read only where the model wants it', async () => {
    const wanted = '"weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}'
    const end = 2 ** 40
    // A terabyte, which no machine has; a dtype that cannot be loaded; and booleans with wrong bytes.
    const header = `{${wanted},"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[4,8]},"b":{"dtype":"BOOL","shape":[4],"data_offsets":[8,12]},"c":{"dtype":"U8","shape":[${end}],"data_offsets":[12,${12 + end}]}}`
    const start = await write(
      at('huge'),
      header,
      new Uint8Array([...new Uint8Array(Float32Array.of(7).buffer), 1, 2, 3, 4, 9, 9, 9, 9]),
    )
    const handle = await open(at('huge'), 'r+')
    await handle.truncate(start + 12 + end)
    await handle.close()
    const layer = new nn.Linear(1, 1)
    const result = await layer.load(at('huge'), { strict: false })
    expect(result).toEqual({ missing: ['bias'], unexpected: ['a', 'b', 'c'], excluded: [] })
    expect(layer.weight.item()).toBe(7)
    await expect(layer.load(at('huge'))).rejects.toThrow(/unexpected: a\n.*unexpected: b\n.*unexpected: c/)
    // A wrong shape is found without reading the elements.
    class Model extends nn.Module {
      c = new nn.Parameter(zeros([2]))
      forward() {}
    }
    await expect(new Model().load(at('huge'), { strict: false })).rejects.toThrow(`c is [${end}], but must be [2]`)
    await rm(at('huge'))
    // Tensors that were not read cannot be mistaken for numbers.
    await saveTensors(
      at('two'),
      new Map([
        ['x', zeros([2])],
        ['y', zeros([2])],
      ]),
    )
    const some = await wantedOf(at('two'), new Map([['x', zeros([2])]]))
    expect(() => some.get('y')?.dataSync()).toThrow(DisposedError)
    expect(some.get('x')?.toArray()).toEqual([0, 0])
  })

  it('take nothing for what is not wanted, however many names there are', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `t${i}`)
    const one = zeros([3])
    await saveTensors(at('many'), new Map(names.map((name) => [name, one])))
    const before = memory()
    const tensors = await wantedOf(
      at('many'),
      new Map<string, Tensor>(Object.entries({ t0: one, t1: zeros([2]), t2: zeros([4]) })),
    )
    // The tensor that is read, one number for two tensors of another shape, and none for the others.
    expect(new Set([...tensors.values()].map(({ storage }) => storage)).size).toBe(3)
    expect(memory().tensors - before.tensors).toBeLessThanOrEqual(5)
    expect([tensors.get('t1')?.shape, tensors.get('t4999')?.shape]).toEqual([[3], [3]])
  })

  it('name the tensor that is not as it should be', async () => {
    for (const [dtype, bytes, words] of [
      [
        'I64',
        new Uint8Array(BigInt64Array.of(1n, 2n ** 31n).buffer),
        'x holds 2147483648, which does not fit into 32 bits',
      ],
      ['I64', new Uint8Array(BigInt64Array.of(1n, -(2n ** 31n) - 1n).buffer), 'x holds -2147483649, which'],
      ['I64', new Uint8Array(BigInt64Array.of(1n, 2n ** 32n).buffer), 'x holds 4294967296, which'],
      ['F8_E4M3', Uint8Array.of(1, 2), 'tensor "x" of shape [2] has dtype F8_E4M3, which cannot be loaded'],
    ] as const) {
      await write(at('x'), `{"x":{"dtype":"${dtype}","shape":[2],"data_offsets":[0,${bytes.length}]}}`, bytes)
      await expect(loadTensors(at('x'))).rejects.toThrow(ValueError)
      await expect(loadTensors(at('x'))).rejects.toThrow(`[loadTensors] ${at('x')}: ${words}`)
    }
    await write(at('x'), `{"x":{"dtype":"U8","shape":[${'1,'.repeat(8)}1],"data_offsets":[0,1]}}`, Uint8Array.of(1))
    await expect(loadTensors(at('x'))).rejects.toThrow('x has 9 dimensions; a tensor has at most 8')
    await expect(saveTensors(at('x'), new Map([['__metadata__', zeros([1])]]))).rejects.toThrow('rename it')
  })
})

describe.each(deviceNames)('on %s, a file', (name) => {
  const device = deviceOf(name)

  it('gives back every dtype and shape bit by bit', async () => {
    const arrays: {
      readonly [D in Exclude<DType, BlockDType>]: ArrayBufferView & { slice(from: number, to: number): ArrayBufferView }
    } = {
      float32: new Float32Array(Uint32Array.of(0x7fc00001, 0x80000000, 1, 0x3f800000, 0xff7fffff, 0).buffer),
      float64: Float64Array.of(1 / 3, -0, Number.MIN_VALUE, Number.MAX_VALUE, Number.NaN, 0),
      bfloat16: Uint16Array.of(0x7fc1, 0xff81, 0x8000, 0x3f80, 1, 0),
      float16: Uint16Array.of(0x7e01, 0xfc01, 0x8000, 0x3c00, 1, 0),
      int32: Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31), 0, 1, 2),
      uint8: Uint8Array.of(0, 1, 255, 3, 4, 5),
      bool: Uint8Array.of(0, 1, 1, 0, 1, 0),
    }
    setDefaultDevice(device)
    const tensors = new Map<string, Tensor>()
    for (const dtype of Object.keys(arrays) as (keyof typeof arrays)[]) {
      if (!device.supports(dtype)) continue
      for (const shape of [[], [0], [2, 0, 3], [3, 2], [1, 6, 1]]) {
        const count = shape.reduce((product, size) => product * size, 1)
        tensors.set(`${dtype} ${shape}`, fromTypedArray(arrays[dtype].slice(0, count) as never, shape, { dtype }))
      }
      const wide = fromTypedArray(arrays[dtype] as never, [2, 3], { dtype })
      tensors.set(`${dtype} turned`, wide.transpose(0, 1))
      tensors.set(`${dtype} part`, wide.narrow(1, 1, 2))
    }
    await saveTensors(at('all'), tensors)
    const back = await loadTensors(at('all'))
    expect(back.size).toBe(tensors.size)
    const bits = (x: Tensor) => {
      const dense = x.contiguous()
      const { buffer, byteOffset, byteLength } = dense.device.readSync(dense)
      return [...new Uint8Array(buffer, byteOffset, byteLength)]
    }
    for (const [name, x] of tensors) {
      const y = back.get(name) as Tensor
      expect([y.dtype, y.shape, y.device], name).toEqual([x.dtype, x.shape, device])
      expect(bits(y), name).toEqual(bits(x))
    }
  })

  it('of int64 is narrowed, of float64 rounded where the device has none', async () => {
    setDefaultDevice(device)
    const wide = BigInt64Array.of(2n ** 31n - 1n, -(2n ** 31n), -1n, 0n)
    const doubles = Float64Array.of(0.1, 1e300)
    await write(
      at('wide'),
      '{"i":{"dtype":"I64","shape":[4],"data_offsets":[0,32]},"d":{"dtype":"F64","shape":[2],"data_offsets":[32,48]}}',
      Buffer.concat([Buffer.from(wide.buffer), Buffer.from(doubles.buffer)]),
    )
    const back = await loadTensors(at('wide'))
    expect([back.get('i')?.dtype, back.get('i')?.toArray()]).toEqual(['int32', [2 ** 31 - 1, -(2 ** 31), -1, 0]])
    const expected = device.supports('float64') ? doubles : Float32Array.from(doubles)
    expect(back.get('d')?.dataSync()).toEqual(expected)
  })

  it('is loaded to the device of the model', async () => {
    const source = new nn.Linear(2, 2).to(device)
    await source.save(at('linear'))
    for (const other of deviceNames) {
      setDefaultDevice(other)
      const layer = new nn.Linear(2, 2).to(device)
      await layer.load(at('linear'))
      expect(layer.weight.device).toBe(device)
      expect(layer.weight.toArray()).toEqual(source.weight.toArray())
    }
  })

  /** Three layers, each with more elements than are read without the queue, and a single value in all. */
  function model() {
    setDefaultDevice(device)
    const made = new nn.Sequential(new nn.Linear(300, 300), new nn.Linear(300, 3), new nn.Linear(3, 300))
    const fill = (value: number) => noGrad(() => [...made.parameters()].map((weight) => weight.fill_(value)))
    return { made, fill }
  }

  async function valuesIn(path: string): Promise<number[]> {
    const values = new Set<number>()
    for (const [, x] of await loadTensors(path)) for (const value of x.dataSync()) values.add(value)
    return [...values]
  }

  it('holds the moment of the call, though training goes on', async () => {
    const { made, fill } = model()
    fill(1)
    const saving = made.save(at('moment'))
    for (let i = 2; i < 50; i++) {
      fill(i)
      if (i % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await saving
    expect(await valuesIn(at('moment'))).toEqual([1])
    // Views that must be copied first, and tensors that are freed before the file is written.
    const x = full([400, 300], 1)
    const saves = saveTensors(
      at('moment'),
      new Map([
        ['x', x.transpose(0, 1)],
        ['y', x],
      ]),
    )
    noGrad(() => x.fill_(2))
    x.dispose()
    await saves
    expect(await valuesIn(at('moment'))).toEqual([1])
  })

  it('is one of those that were saved to the path at the same time', async () => {
    const { made, fill } = model()
    for (let round = 0; round < 40; round++) {
      const values = Array.from({ length: 6 }, (_, i) => 6 * round + i)
      await Promise.all(
        values.map((value) => {
          fill(value)
          return made.save(at('same'))
        }),
      )
      const found = await valuesIn(at('same'))
      expect(found).toHaveLength(1)
      expect(values).toContain(found[0])
    }
    expect((await readdir(folder)).filter((name) => name.startsWith('same'))).toEqual(['same'])
  })

  it('is not touched where an earlier kernel failed, whose error the save gives', async () => {
    setDefaultDevice(device)
    await saveTensors(at('before'), new Map([['x', full([2], 3)]]))
    const late = () => add(indexSelect(zeros([2]), 0, tensor([5], { dtype: 'int32' })), 1)
    const save = async () =>
      saveTensors(
        at('before'),
        new Map([
          ['x', late()],
          ['y', zeros([200_000])],
        ]),
      )
    await expect(save()).rejects.toMatchObject({ code: 'ERR_INDEX' })
    expect(await valuesIn(at('before'))).toEqual([3])
  })
})

describe('a save that is killed', () => {
  it('leaves the old file whole', async () => {
    const script = fileURLToPath(new URL('./save-until-killed.mjs', import.meta.url))
    for (const milliseconds of [0, 20, 60]) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, at('killed')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, milliseconds))
      child.kill('SIGKILL')
      await ended
      const values = new Set<number>()
      for (const [, x] of await loadTensors(at('killed'))) for (const value of x.dataSync()) values.add(value)
      expect(values.size).toBe(1)
    }
  })
})

describe('files that belong together', () => {
  it('can be written with one of tensors among them', async () => {
    const x = full([3], 1)
    const file = tensorFile(at('part'), new Map([['x', x]]), { format: 'pt' })
    noGrad(() => x.fill_(2))
    const { writeTogether } = await import('../../lib/io/atomic.js')
    await writeTogether([file, { path: at('config'), chunks: [Buffer.from('{}')] }])
    expect((await loadTensors(at('part'))).get('x')?.toArray()).toEqual([1, 1, 1])
    const opened = await SafetensorsFile.open(at('part'))
    expect([...opened.metadata]).toEqual([['format', 'pt']])
    await opened.close()
  })
})

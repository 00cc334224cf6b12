/** Sizes for which no memory, list or loop has room: a typed error at once, and a device that still works. */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readIdx } from '../../lib/data/datasets/index.js'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

const huge = 2 ** 40

describe.each(deviceNames)('on %s', (device) => {
  const zeros = (shape: f.Shape): f.Tensor => f.zeros(shape, { device })

  it.each([
    [[Number.NaN], [1], 0],
    [[Number.POSITIVE_INFINITY], [1], 0],
    [[-1], [1], 0],
    [[0.3], [1], 0],
    [[0.25], [1], 0],
    [[1e300], [1], 0],
  ] as const)(
    'a tensor of sizes %j of its own making is refused, and nothing of it counted',
    (sizes, strides, offset) => {
      const x = f.ones([4], { device })
      expect(() => f.exp(new f.Tensor(x.storage, sizes, strides, offset))).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(VALUE|MEMORY)$/) }),
      )
      const { bytes, tensors } = f.memory(device)
      expect([bytes, tensors].every((count) => Number.isSafeInteger(count) && count >= 0)).toBe(true)
      expect(f.exp(x).sum().item()).toBeCloseTo(4 * Math.E, 4)
    },
  )

  it('strides that cannot be counted are refused, though there are no elements', () => {
    expect(() => zeros([0, 3, 2 ** 52])).toThrow(f.ValueError)
    expect(() => zeros([2 ** 27, 2 ** 27, 0])).toThrow(f.ValueError)
    expect(zeros([0, 2 ** 26, 2 ** 26]).numel).toBe(0)
    const half = zeros([2 ** 52, 0])
    expect(() => f.cat([half, half])).toThrow(f.ValueError)
    const quarter = zeros([2 ** 51, 0])
    expect(f.cat([quarter, quarter]).shape).toEqual([2 ** 52, 0])
  })

  it('more pieces than a list or the heap holds are refused', () => {
    for (const size of [2 ** 24 + 1, 2 ** 27, huge]) {
      const x = f.zeros([1], { device }).expand([size])
      expect(() => f.split(x, 1, 0)).toThrow(f.ValueError)
      expect(() => f.chunk(zeros([size, 0]), size, 0)).toThrow(
        /^\[chunk\] .* pieces, but at most 16777216 are possible; take/,
      )
    }
    expect(() => f.split(f.zeros([1], { device }).expand([2 ** 24]), 1, 0)).toThrow(f.OutOfMemoryError)
    expect(f.split(f.zeros([1], { device }).expand([huge]), huge / 2)).toHaveLength(2)
    expect(f.chunk(zeros([huge, 0]), 3).map(({ shape }) => shape[0])).toEqual([
      366503875926, 366503875926, 366503875924,
    ])
  })

  it('nested arrays that no list or heap holds are refused before anything is read', () => {
    for (const shape of [
      [2 ** 26 + 1, 0],
      [huge, 0],
      [2, huge, 0],
    ] as const)
      expect(() => zeros(shape).toArray()).toThrow(/^\[toArray\] .*at most 67108864 are possible; read data/)
    expect(() => zeros([2 ** 13, 2 ** 13, 2, 0]).toArray()).toThrow(f.OutOfMemoryError)
    expect(() =>
      f
        .zeros([1], { device })
        .expand([2 ** 20, 2 ** 20])
        .toArray(),
    ).toThrow(f.OutOfMemoryError)
    expect(zeros([0, huge]).toArray()).toEqual([])
    expect(zeros([3, 0]).toArray()).toEqual([[], [], []])
    const long = f.arange(0, 2 ** 20 + 1, 1, { device }).toArray()
    expect([long.length, long[0], long.at(-1)]).toEqual([2 ** 20 + 1, 0, 2 ** 20])
  })

  it('text abbreviates before it reads', () => {
    expect(String(zeros([2 ** 27, 0]))).toMatch(/^\[\[\],\n \[\],\n \[\],\n \.\.\.,\n \[\],\n \[\],\n \[\]\]\n/)
    expect(String(zeros([0, huge]))).toMatch(/^\[\]\n/)
    const wide = String(f.full([1], 7, { device }).expand([huge]))
    expect(wide).toMatch(/^\[7\., 7\., 7\., \.\.\., 7\., 7\., 7\.\]\n/)
    const x = f.arange(0, 2000, 1, { dtype: 'float32', device }).reshape([2, 1000])
    x.requiresGrad = true
    const before = f.memory(device).tensors
    const text = f.autocast('bfloat16', () => String(x.mul(1).detach()))
    expect(text).toMatch(
      /^\[\[ {3}0\., {4}1\., {4}2\., \.\.\., {2}997\., {2}998\., {2}999\.\],\n \[1000\., 1001\., 1002\., \.\.\., 1997\., 1998\., 1999\.\]\]/,
    )
    String(x)
    expect(f.memory(device).tensors - before).toBeLessThanOrEqual(1)
  })

  it('what has nothing to write is done at once', () => {
    const leaf = (shape: f.Shape) => {
      const x = zeros(shape)
      x.requiresGrad = true
      return x
    }
    const x = leaf([huge, 0])
    for (const y of [f.softmax(x, 1), f.logSoftmax(x, 1), f.cumsum(x, 1), f.matmul(x, zeros([0, 0]))]) {
      expect(y.shape).toEqual([huge, 0])
      y.sum().backward()
      expect(x.grad?.shape).toEqual([huge, 0])
    }
  })
})

describe('sizes beside a 0 on reference', () => {
  const zeros = (shape: f.Shape): f.Tensor => f.zeros(shape, { device: 'reference' })
  const attend = (q: f.Shape, k: f.Shape) => f.scaledDotProductAttention(zeros(q), zeros(k), zeros(k))

  it('attention without a result has nothing to do, and with one no room for its keys', () => {
    const long = [0, 1, huge, 4] as const
    expect(attend(long, long).shape).toEqual(long)
    expect(() => attend([1, 1, 2, 0], [1, 1, huge, 0])).toThrow(
      /^\[scaledDotProductAttention\] JavaScript cannot make an array/,
    )
    expect(() => attend([1, 1, 2, 0], [1, 1, huge, 0])).toThrow(f.OutOfMemoryError)
  })

  it('an LSTM without rows takes no steps', () => {
    const lstm = new f.nn.LSTM(2, 3)
    lstm.to('reference')
    const result = lstm.forward(zeros([huge, 0, 2])) as unknown as { output?: f.Tensor } & readonly f.Tensor[]
    const y = (result.output ?? result[0]) as f.Tensor
    expect(y.shape).toEqual([huge, 0, 3])
    y.sum().backward()
    for (const parameter of lstm.parameters()) expect(parameter.grad?.abs().sum().item()).toBe(0)
  })
})

describe('files larger than memory', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('are refused before they are read', async () => {
    const path = join(folder, 'sparse')
    const file = await open(path, 'w')
    await file.write(Buffer.from([0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff]))
    await file.truncate(2 ** 43)
    await file.close()
    await expect(readIdx(path)).rejects.toThrow(f.OutOfMemoryError)
  })

  it('a small gzip file that announces much says what it holds', async () => {
    const path = join(folder, 'bomb.gz')
    const file = await open(path, 'w')
    await file.write(gzipSync(Buffer.from([0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])))
    await file.close()
    await expect(readIdx(path)).rejects.toThrow(/it holds 3 bytes after its header/)
  })
})

/** The native device itself: calls, order, errors, memory, and calls that make no sense. */

import { spawnSync } from 'node:child_process'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { kernelOf } from '../../lib/backend/call.js'
import { createNativeDevice, type NativeDevice } from '../../lib/backend/native/device.js'
import { loadNative } from '../../lib/backend/native/loader.js'
import { kernels, longestIntegers, parseArguments } from '../../lib/backend/table/index.js'
import type { Device, StridedView } from '../../lib/core/device.js'
import type { DType, TypedArray } from '../../lib/core/dtype.js'
import { IndexOutOfRangeError, InternalError, OutOfMemoryError, ValueError } from '../../lib/core/errors.js'
import { withinModule } from '../../lib/core/module-path.js'
import type { Storage } from '../../lib/core/storage.js'
import { ones, trace } from '../../lib/index.js'
import { guardFlags, WordWriter } from '../fuzz/words.js'

const created = createNativeDevice()
const unavailable = 'unavailable' in created ? created.unavailable : null
if (unavailable !== null && process.env['FIRESTEEL_REQUIRE'] === 'native') throw new Error(unavailable)

function view(storage: Storage, shape: readonly number[]): StridedView {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride
    stride *= shape[d] as number
  }
  return { storage, offset: 0, sizes: shape, steps: strides, dtype: storage.dtype }
}

function upload(device: Device, data: TypedArray, dtype: DType = 'float32'): StridedView {
  const storage = device.allocate(dtype, data.length, true, 'test')
  device.upload(storage, data)
  return view(storage, [data.length])
}

function make(device: Device, count: number, tracked = true): StridedView {
  return view(device.allocate('float32', count, tracked, 'test'), [count])
}

describe.skipIf(unavailable !== null)('the native device', () => {
  const device = created as NativeDevice

  afterEach(() => device.synchronize())

  it('adds', async () => {
    const a = upload(device, Float32Array.of(1, 2, 3))
    const out = make(device, 3)
    device.run(kernelOf('add'), { out, a, b: a })
    expect([...device.readSync(out)]).toEqual([2, 4, 6])
    expect([...(await device.read(out))]).toEqual([2, 4, 6])
  })

  it('takes vectors of integers of the length that the kernel wants, and refuses others by name', () => {
    const x = view(upload(device, Float32Array.of(1, 2, 3, 4)).storage, [1, 1, 2, 2])
    const pooled = (kernel: readonly number[]) => {
      const out = view(device.allocate('float32', 1, true, 'test'), [1, 1, 1, 1])
      const indices = view(device.allocate('int32', 1, true, 'test'), [1, 1, 1, 1])
      device.run(kernelOf('max_pool2d_forward'), {
        out,
        indices,
        x,
        kernel,
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
      })
      return device.readSync(out)[0]
    }
    const before = device.memory().tensors
    expect(pooled([2, 2])).toBe(4)
    for (const length of [0, 1, 3, longestIntegers])
      expect(() => pooled(new Array<number>(length).fill(2)), `${length}`).toThrow(
        /a pooling's window has 2 dimensions/,
      )
    expect(() => pooled(new Array<number>(longestIntegers + 1).fill(2))).toThrow(
      /^\[max_pool2d_forward\] kernel is an array of 9 integers, but must be an array of at most 8 integers/,
    )
    expect(() => pooled(2 as never)).toThrow(/kernel is the number 2, but must be an array of at most 8 integers/)
    expect(() => pooled(['2', 2] as never)).toThrow(/kernel is of type string/)
    for (const wrong of [0.5, Number.NaN, 2 ** 53]) expect(() => pooled([2, wrong])).toThrow(/is not a safe integer/)
    expect(pooled([2, 2])).toBe(4)
    expect(device.memory().tensors - before).toBeLessThan(40)
  })

  it('keeps program order when large calls queue up', async () => {
    const count = 200_000
    let x = upload(device, new Float32Array(count).fill(1))
    for (let step = 0; step < 40; step++) {
      const next = make(device, count, false)
      device.run(kernelOf('add'), { out: next, a: x, b: x })
      if (step > 0) device.free(x.storage)
      x = next
      if (step % 8 === 7) {
        const scaled = make(device, count, false)
        device.run(kernelOf('affine'), { out: scaled, x, scale: 1 / 256, shift: 0 })
        device.free(x.storage)
        x = scaled
      }
    }
    const later = device.read(x)
    const now = device.readSync(x)
    expect(now.every((value) => value === 1)).toBe(true)
    expect(await later).toEqual(now)
    device.free(x.storage)
  })

  it('copies what it uploads, at any state of the queue', () => {
    const count = 1 << 20
    const busy = make(device, count)
    device.run(kernelOf('fill'), { out: busy, value: 1 })
    const source = new Float32Array(count).fill(7)
    const target = upload(device, source)
    source.fill(8)
    expect(device.readSync(target).every((value) => value === 7)).toBe(true)
  })

  it('reports the first error of the data at the next read, with the module, and goes on', async () => {
    const x = upload(device, new Float32Array(4))
    const out = make(device, 2)
    class Classifier {}
    withinModule(new Classifier(), () => {
      device.run(kernelOf('index_select'), { out, x, index: upload(device, Int32Array.of(0, 9), 'int32'), dim: 0 })
    })
    expect(() => device.readSync(out)).toThrow(/9.*\(in Classifier\)/s)
    device.run(kernelOf('index_select'), { out, x, index: upload(device, Int32Array.of(0, 9), 'int32'), dim: 0 })
    expect(() => device.readSync(out)).toThrow(IndexOutOfRangeError)
    device.run(kernelOf('index_select'), { out, x, index: upload(device, Int32Array.of(0, 9), 'int32'), dim: 0 })
    await expect(device.read(out)).rejects.toThrow(/^\[indexSelect\]/)
    device.run(kernelOf('index_select'), { out, x, index: upload(device, Int32Array.of(0, 3), 'int32'), dim: 0 })
    expect(device.readSync(out)).toEqual(new Float32Array(2))
  })

  it('frees by hand and by the collector, and counts both', () => {
    const before = device.memory().tensors
    const kept = make(device, 1000, false)
    device.run(kernelOf('fill'), { out: kept, value: 1 })
    device.free(kept.storage)
    expect(kept.storage.freed).toBe(true)
    expect(() => device.readSync(kept)).toThrow(/freed/)
    expect(device.memory().tensors).toBe(before)
    let highest = 0
    for (let i = 0; i < 3000; i++) {
      const out = make(device, 250_000)
      device.run(kernelOf('fill'), { out, value: i })
      highest = Math.max(highest, device.memory().bytes)
    }
    expect(highest).toBeLessThan(700e6)
  })

  it('frees many at once, those that no kernel has made among them, while others are in use', () => {
    const before = device.memory()
    const kept = upload(device, Float32Array.of(7, 8))
    const many = Array.from({ length: 2000 }, (_, i) => make(device, 4, i % 3 === 0))
    for (const [i, out] of many.entries()) if (i % 2 === 0) device.run(kernelOf('fill'), { out, value: i })
    device.freeAll(many.map(({ storage }) => storage))
    expect(many.every(({ storage }) => storage.freed)).toBe(true)
    expect(() => device.readSync(many[0] as StridedView)).toThrow(/freed/)
    device.synchronize()
    expect([device.memory().tensors, device.memory().bytes]).toEqual([before.tensors + 1, before.bytes + 8])
    // Handles and memory go to others, which alone have them.
    const next = Array.from({ length: 2000 }, (_, i) => upload(device, Float32Array.of(i, i)))
    expect(next.every((x, i) => device.readSync(x)[1] === i)).toBe(true)
    expect([...device.readSync(kept)]).toEqual([7, 8])
  })

  it('keeps a small storage that shares its guard with others, and frees the others with it', () => {
    const one = upload(device, Float32Array.of(1, 2, 3))
    const before = device.memory().tensors
    const kept: StridedView[] = []
    for (let i = 0; i < 300_000; i++) {
      const out = make(device, 3)
      device.run(kernelOf('affine'), { out, x: one, scale: 1, shift: i })
      if (i % 5000 === 0) kept.push(out)
      else if (i % 7 === 0) device.free(out.storage)
    }
    // At most 50,000 are made before a search for freed ones, and 15 that each of the kept ones holds.
    expect(device.memory().tensors - before).toBeLessThan(51_000 + 16 * kept.length)
    for (const [k, { storage }] of kept.entries()) {
      const [first] = device.readSync(view(storage, [3]))
      expect(first).toBe(1 + 5000 * k)
    }
  })

  it('lets an untracked storage be tracked later', () => {
    const big = 16 << 20
    for (let i = 0; i < 40; i++) {
      const out = make(device, big, false)
      device.run(kernelOf('fill'), { out, value: 1 })
      device.track(out.storage)
    }
    expect(device.memory().bytes).toBeLessThan(1.5e9)
  })

  it('foresees the end of memory, naming what is asked and held', () => {
    const asked = () => device.allocate('float32', 2 ** 50, true, 'randn')
    expect(asked).toThrow(OutOfMemoryError)
    expect(asked).toThrow(/^\[randn\] 4503599\.63 GB do not fit: .* held by \d+ tensors.* are left to this process/)
    expect(device.allocate('float32', 1000, true, 'randn').count).toBe(1000)
  })

  it('uploads from buffers of every kind, with a copy that waits and without one', () => {
    const count = 1 << 18
    const resizable = Reflect.construct(ArrayBuffer, [4 * count, { maxByteLength: 8 * count }])
    const growable = Reflect.construct(SharedArrayBuffer, [4 * count, { maxByteLength: 8 * count }])
    for (const buffer of [new ArrayBuffer(4 * count), new SharedArrayBuffer(4 * count), resizable, growable]) {
      const data = new Float32Array(buffer).fill(3)
      expect(device.readSync(upload(device, data)).every((value) => value === 3)).toBe(true)
      const busy = make(device, 1 << 20)
      device.run(kernelOf('fill'), { out: busy, value: 1 })
      const target = upload(device, data.subarray(1))
      data.fill(4)
      expect(device.readSync(target).every((value) => value === 3)).toBe(true)
    }
  })

  it('uploads parts, the first of which makes the memory, and none beyond it', () => {
    const { storage } = make(device, 5)
    device.uploadPart(storage, Float32Array.of(4, 5), 3)
    const busy = make(device, 1 << 20)
    device.run(kernelOf('fill'), { out: busy, value: 1 })
    device.uploadPart(storage, Float32Array.of(1, 2, 3), 0)
    device.uploadPart(storage, new Float32Array(0), 5)
    expect([...device.readSync(view(storage, [5]))]).toEqual([1, 2, 3, 4, 5])
    for (const [count, from] of [
      [1, 5],
      [2, 4],
      [6, 0],
      [1, -1],
      [1, Number.NaN],
    ] as const)
      expect(() => device.uploadPart(storage, new Float32Array(count), from)).toThrow(
        'upload: the part extends beyond the storage',
      )
    expect([...device.readSync(view(storage, [5]))]).toEqual([1, 2, 3, 4, 5])
  })

  it('loads parts of files, the first of which makes the memory, and says where a file ends before', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    await writeFile(join(folder, 'x'), Float32Array.of(1, 2, 3, 4, 5))
    const handle = await open(join(folder, 'x'))
    try {
      const part = (position: number, bytes: number) => ({ file: handle.fd, position, bytes })
      const { storage } = make(device, 5)
      const busy = make(device, 1 << 20)
      device.run(kernelOf('fill'), { out: busy, value: 1 })
      const loads = [device.loadPart(storage, 3, part(0, 8)), device.loadPart(storage, 0, part(8, 12))]
      expect(await Promise.all(loads)).toEqual([true, true])
      expect([...device.readSync(view(storage, [5]))]).toEqual([3, 4, 5, 1, 2])
      expect(await device.loadPart(storage, 5, part(20, 0))).toBe(true)
      expect(await device.loadPart(storage, 0, part(16, 8))).toBe(false)
      expect(await device.loadPart(storage, 0, { ...part(0, 8), file: 2 ** 30 })).toBe(false)
      for (const [from, position, bytes] of [
        [5, 0, 4],
        [0, 0, 24],
        [-1, 0, 4],
        [0, 0, -1],
        [0, 0, Number.NaN],
      ] as const)
        await expect(device.loadPart(storage, from, part(position, bytes))).rejects.toThrow(
          'load: the part extends beyond the storage',
        )
      for (const wrong of [part(-1, 4), part(Number.NaN, 4), { ...part(0, 4), file: -1 }])
        await expect(device.loadPart(storage, 0, wrong)).rejects.toThrow(
          'load: expected the number of an open file and a position of at least 0 in it',
        )
    } finally {
      await handle.close()
      await rm(folder, { recursive: true })
    }
  })

  it('widens 16-bit floats of files to the bits that its kernel gives, wherever they lie', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    // Every pattern of 16 bits lies in the file again and again, from an odd place on.
    const most = 2 ** 20 + 5
    const halves = Uint16Array.from({ length: most }, (_, i) => i)
    await writeFile(join(folder, 'x'), Buffer.concat([Buffer.of(1), new Uint8Array(halves.buffer)]))
    const handle = await open(join(folder, 'x'))
    try {
      for (const widened of ['bfloat16', 'float16'] as const) {
        const out = make(device, most)
        device.run(kernelOf('copy'), { out, x: upload(device, halves, widened) })
        const expected = new Int32Array((device.readSync(out) as Float32Array).buffer)
        const part = (count: number) => ({ file: handle.fd, position: 1, bytes: 2 * count, widened })
        // Sizes around those that a thread widens, reads and is given at a time.
        for (const count of [0, 1, 31, 32, 33, 2 ** 16 - 1, 2 ** 16, 2 ** 16 + 1, 2 ** 19, 2 ** 19 + 1, most]) {
          const { storage } = make(device, count + 3)
          device.uploadPart(storage, Float32Array.of(7, 8, 9), 0)
          expect(await device.loadPart(storage, 3, part(count))).toBe(true)
          const bits = new Int32Array((device.readSync(view(storage, [count + 3])) as Float32Array).buffer)
          expect([...new Float32Array(bits.buffer, 0, 3)]).toEqual([7, 8, 9])
          expect(Buffer.from(bits.buffer, 12).equals(Buffer.from(expected.buffer, 0, 4 * count))).toBe(true)
        }
        const { storage } = make(device, most)
        expect(await device.loadPart(storage, 0, { ...part(2), position: 2 * most })).toBe(false)
        expect(await device.loadPart(storage, 0, { ...part(most), position: 2 })).toBe(false)
        await expect(device.loadPart(storage, 0, { ...part(2), bytes: 3 })).rejects.toThrow('not whole elements')
        await expect(device.loadPart(storage, most - 1, part(2))).rejects.toThrow('the part extends beyond the storage')
        await expect(device.loadPart(upload(device, halves, 'float16').storage, 0, part(2))).rejects.toThrow(
          `${widened} is widened to float32 alone, and the storage is float16`,
        )
      }
    } finally {
      await handle.close()
      await rm(folder, { recursive: true })
    }
  })

  it('refuses an array whose buffer is gone', () => {
    const data = new Float32Array(4)
    structuredClone(data.buffer, { transfer: [data.buffer] })
    const storage = device.allocate('float32', 4, true, 'test')
    expect(() => device.upload(storage, data)).toThrow(ValueError)
    expect(() => device.upload(storage, data)).toThrow(/the array has 0 elements, but must have 4; .*detached/)
  })

  it('refuses an operator in the middle of another, and goes on', () => {
    const a = upload(device, Float32Array.of(1, 2, 3))
    let inner: unknown = null
    const curious: StridedView = {
      ...a,
      get steps() {
        const out = make(device, 3)
        try {
          device.run(kernelOf('mul'), { out, a, b: a })
        } catch (error) {
          inner = error
        }
        return a.steps
      },
    }
    const before = device.memory().tensors
    const out = make(device, 3)
    device.run(kernelOf('add'), { out, a: curious, b: a })
    expect(inner).toBeInstanceOf(ValueError)
    expect(String(inner)).toMatch(
      /^ValueError: \[mul\] a getter of a tensor's .* runs 'mul' while 'add' reads the tensor/,
    )
    expect([...device.readSync(out)]).toEqual([2, 4, 6])
    expect(device.memory().tensors - before).toBe(1)
    const throwing: StridedView = {
      ...a,
      get offset(): number {
        throw new Error('on purpose')
      },
    }
    expect(() => device.run(kernelOf('add'), { out: make(device, 3), a: throwing, b: a })).toThrow('on purpose')
    device.run(kernelOf('mul'), { out, a, b: a })
    expect([...device.readSync(out)]).toEqual([1, 4, 9])
  })

  it('refuses a trace within one, which would cut the outer one off', () => {
    expect(() => trace(() => trace(() => 0))).toThrow('[trace] a trace of cpu is running already')
    expect(trace(() => ones([2]).add(1)).kernels.length).toBe(2)
  })

  it('traces kernels with their times and bytes', () => {
    const a = upload(device, new Float32Array(1000))
    const trace = device.startTrace()
    device.run(kernelOf('add'), { out: make(device, 1000), a, b: a })
    const records = trace.stop()
    expect(records).toMatchObject([{ kernel: 'add', bytes: 12_000 }])
    expect(records[0]?.milliseconds).toBeGreaterThanOrEqual(0)
  })

  it('computes the same with any number of threads', () => {
    const threads = device.threads
    const data = Float32Array.from({ length: 300_000 }, (_, i) => Math.sin(i))
    const results = [1, 2, 5].map((count) => {
      device.threads = count
      const out = view(device.allocate('float32', 1, true, 'test'), [1])
      device.run(kernelOf('sum'), { out, x: upload(device, data), scale: 1 })
      return device.readSync(out)[0]
    })
    device.threads = threads
    expect(new Set(results).size).toBe(1)
  })
})

describe.skipIf(unavailable !== null)('the addon, called with words that make no sense', () => {
  const loaded = loadNative()
  const addon = 'unavailable' in loaded ? null : loaded.addon
  const words = new WordWriter()
  const sizes = new Float64Array(new ArrayBuffer(8 * 64))

  it('throws ERR_INTERNAL and stays alive', () => {
    if (addon === null) throw new Error('no addon')
    addon.words(words.ints, words.doubles)
    const dead = new Int32Array(new ArrayBuffer(4 * 64))
    addon.handles(sizes, dead)
    sizes.fill(256)
    for (let handle = 0; handle < 8; handle++) addon.upload(handle, 0, new Float32Array(64).fill(handle), true)
    for (let handle = 4; handle < 8; handle++) addon.release(handle)
    let seed = 1
    const random = (below: number) => {
      seed = (seed * 48271) % 2147483647
      return seed % below
    }
    const pick = <T>(values: readonly T[]): T => values[random(values.length)] as T
    const handles = [0, 1, 2, 3, 4, 5, 10, 63, 64, -1, -2, 2147483647, -2147483648]
    const numbers = [
      0,
      1,
      2,
      3,
      4,
      8,
      16,
      -1,
      -0,
      0.5,
      Number.NaN,
      1e300,
      -1e300,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      2 ** 40,
    ]
    // The words are mostly sound, so that calls get far.
    const number = () => (random(8) === 0 ? pick(numbers) : pick([0, 1, 2, 4]))
    let thrown = 0
    let calls = 0
    for (let round = 0; round < 60; round++)
      for (const [opcode, spec] of Object.values(kernels).entries()) {
        words.start(random(200) === 0 ? pick(handles) : opcode, 0)
        for (const { role, arity } of parseArguments(spec)) {
          if (role === 'philox') for (let k = 0; k < 3; k++) words.double(number())
          else if (role === 'integers') {
            const length = pick([0, 1, 2, 2, 2, 3, longestIntegers, longestIntegers + 1])
            words.double(random(20) === 0 ? number() : length)
            for (let k = 0; k < length; k++) words.double(number())
          } else if (role === 'number' || role === 'integer' || role === 'flag') words.double(number())
          else {
            const length = arity === 'list' ? pick([0, 1, 2, 3]) : 1
            if (arity === 'list') words.int(random(50) === 0 ? pick(handles) : length)
            for (let k = 0; k < length; k++) {
              const makes = role === 'out' || role === 'place'
              const handle = random(6) === 0 ? pick(handles) : makes ? 16 + random(40) : random(4)
              const dims = random(20) === 0 ? pick([9, 200]) : random(3)
              const guard = random(50) === 0 ? pick(guardFlags) : 0
              const word = (random(4) === 0 ? random(7) : 0) | (dims << 8) | guard
              const offset = random(4) === 0 ? number() : 0
              const shape = Array.from({ length: Math.min(dims, 16) }, number)
              let stride = 1
              const strides = shape.map(() => 0)
              for (let s = shape.length - 1; s >= 0; s--) {
                strides[s] = random(10) === 0 ? pick(numbers) : stride
                stride *= shape[s] as number
              }
              words.tensor({ handle, word, offset, shape, strides }, random(100) / 100)
            }
          }
        }
        calls++
        try {
          addon.call()
        } catch (error) {
          thrown++
          expect(error).toMatchObject({ code: 'ERR_INTERNAL' })
        }
        for (const handle of [16 + random(40)])
          try {
            addon.release(handle)
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_INTERNAL' })
          }
      }
    addon.finish()
    addon.takeError()
    expect(thrown).toBeGreaterThan(0)
    expect(thrown).toBeLessThan(calls)
    const target = new Float32Array(64)
    addon.upload(4, 0, new Float32Array(64), true)
    addon.release(4)
    for (const handle of [4, 64, -1, Number.NaN, 1e300])
      expect(() => addon.readNow(handle, 0, target, true)).toThrow(/not a live storage/)
    for (const offset of [1, -1, Number.NaN, 1e300])
      expect(() => addon.readNow(0, offset, target, true)).toThrow(/beyond the storage/)
    expect(() => addon.upload(0, 0, new Float32Array(65), true)).toThrow(/beyond the storage/)
    expect(() => addon.upload(0, 0, new DataView(new ArrayBuffer(256)) as never, true)).toThrow(/not a typed array/)
    expect(() => addon.track(4, {})).toThrow(/live/)
    expect(() => addon.call(1 as never, 'x' as never)).toThrow()
    // Arguments of other types than the function's, and no arguments.
    const misused: readonly (() => unknown)[] = [
      () => addon.release('1' as never),
      () => (addon.release as () => void)(),
      () => addon.releaseAll(-1),
      () => addon.releaseAll(65),
      // Handle 0, which lives, twice.
      () => addon.releaseAll(2),
      () => addon.load(4, 0, -1, 0, 4, -1),
      () => addon.load(0, 0, 0, 0, 1e300, -1),
      // Other dtypes than those of 16 bits, and parts of an element.
      () => addon.load(0, 0, 0, 0, 4, 0),
      () => addon.load(0, 0, 0, 0, 4, 256),
      () => addon.load(0, 0, 0, 0, 6, 1),
      () => addon.load(0, 2, 0, 0, 4, 2),
      () => Reflect.apply(addon.load, addon, []),
      () => addon.poll(0 as never),
      () => addon.track(0, 1 as never),
      () => addon.watch('x' as never),
      () => addon.words(new Float64Array(4) as never, new Float64Array(4)),
      () => addon.handles(sizes.subarray(1), new Int32Array(64)),
      () => addon.status(new Int32Array(0)),
      () => addon.setThreadCount(0),
      () => addon.setThreadCount(257),
      () => addon.read(0, 1, target),
      () => addon.call(...Array.from({ length: 20 }, () => ({}))),
    ]
    for (const call of misused) {
      let thrown: unknown = null
      try {
        call()
      } catch (error) {
        thrown = error
      }
      expect(thrown, String(call)).toMatchObject({ code: 'ERR_INTERNAL' })
    }
    expect(() => addon.readNow(0, 0, target, true)).toThrow(/not a live storage/)
    addon.readNow(1, 0, target, true)
  })
})

describe.skipIf(unavailable !== null)('reads of a storage whose allocation failed', () => {
  it('are rejected one and all, where the first failure alone is recorded', async () => {
    const loaded = loadNative()
    if ('unavailable' in loaded) throw new Error(loaded.unavailable)
    const { addon } = loaded
    const words = new WordWriter()
    addon.words(words.ints, words.doubles)
    addon.handles(new Float64Array(new ArrayBuffer(16)).fill(2 ** 52), new Int32Array(new ArrayBuffer(8)))
    words.start(kernelOf('fill').number, 0)
    words.tensor({ handle: 0, word: 1 << 8, offset: 0, shape: [4], strides: [1] }, 0)
    words.double(1)
    addon.call()
    const reads = await Promise.allSettled([0, 1, 2].map(() => addon.read(0, 0, new Float32Array(4))))
    expect(reads).toMatchObject(Array(3).fill({ status: 'rejected', reason: { code: 'ERR_MEMORY' } }))
    expect(addon.takeError()).toMatchObject([4, 'fill', 0, expect.stringContaining('no memory for a tensor')])
    expect(addon.takeError()).toBe(null)
  })
})

describe.skipIf(unavailable !== null)('the ends of processes and workers', () => {
  const script = fileURLToPath(new URL('native-ends.mjs', import.meta.url))
  for (const end of ['natural', 'exit', 'throw', 'workers', 'terminate', 'pending'])
    it(`survives: ${end}`, () => {
      const { status, signal, stderr } = spawnSync(process.execPath, [script, end], { encoding: 'utf8' })
      expect({ signal, status }, stderr).toEqual({ signal: null, status: end === 'throw' ? 1 : end === 'exit' ? 7 : 0 })
    }, 60_000)
})

it('says in InternalError which kernel is missing', () => {
  if (unavailable !== null) return
  expect(() => (created as NativeDevice).run({ name: 'no_such_kernel', number: -1 }, {})).toThrow(InternalError)
})

/**
 * Calls every kernel of the addon with valid words, and with words of which some are wrong. Handles may have been
 * freed, belong to another thread's device, or never have existed. Sizes, strides, offsets and numbers are of any kind,
 * and arguments may overlap. Whatever the words are, a call must either throw ERR_INTERNAL or run, and touch no memory
 * but its written views.
 *
 * `tsx kernels.ts SEED SECONDS FILE [COUNT]`: writes each call into FILE beforehand, so that a crash can be traced. Each
 * of the two threads ends after SECONDS, or after COUNT calls.
 */
import { openSync, writeSync } from 'node:fs'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import type { Addon } from '../../lib/backend/native/addon.js'
import { loadNative } from '../../lib/backend/native/loader.js'
import { kernelNames, kernels, parseArguments } from '../../lib/backend/table/index.js'
import { dtypeCodes, dtypes } from '../../lib/core/dtype.js'
import { randomOf } from '../cases/case.js'
import { extentOf, recordCorpus, type SoundCall, type SoundTensor } from './corpus.js'
import { guardFlags, WordWriter } from './words.js'

interface Options {
  readonly seed: number
  readonly seconds: number
  /** Calls of a thread. */
  readonly count: number
  readonly file: string
}

/** A tensor of a call as words, with the storage made for it. */
interface Operand {
  readonly role: string
  readonly tensor: SoundTensor
  handle: number
  /** The second word: dtype, dimensions and guard. */
  word: number
  offset: number
  readonly shape: number[]
  readonly strides: number[]
  /** The contents of the storage, or null if the call makes it. */
  held: Uint8Array | null
  /** Whether the covered elements are known. */
  sound: boolean
}

/** Elements before and after a view, in whole blocks of every dtype. */
const margin = 64
const capacity = 256
const guardsFrom = 128
const numbers = [
  ...[0, 1, 2, 3, 4, 7, 8, 9, 16, 31, 33, 64, -1, -2, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY],
  ...[
    Number.NEGATIVE_INFINITY,
    1e300,
    -1e300,
    1e-300,
    65536,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 40,
    2 ** 53,
    -(2 ** 53),
  ],
]
const handles = [-1, -2, 0, 1, 5, 100, capacity - 1, capacity, capacity + 1, 1000, 2 ** 31 - 1, -(2 ** 31)]

class Fuzz {
  readonly #addon: Addon
  readonly #random: () => number
  readonly #words = new WordWriter()
  readonly #sizes = new Float64Array(new ArrayBuffer(8 * capacity))
  readonly #guards = new Map<number, Uint8Array>()
  readonly counts = { calls: 0, refused: 0, failed: 0, done: 0 }
  readonly ran = new Set<string>()

  constructor(addon: Addon, random: () => number) {
    this.#addon = addon
    this.#random = random
    addon.words(this.#words.ints, this.#words.doubles)
    addon.handles(this.#sizes, new Int32Array(new ArrayBuffer(4 * capacity)))
    for (let handle = guardsFrom; handle < guardsFrom + 40; handle++) this.#guard(handle)
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T
  }

  #chance(share: number): boolean {
    return this.#random() < share
  }

  /** A storage that no call names. A call that writes outside its own memory is likely to meet it. */
  #guard(handle: number): void {
    const bytes = new Uint8Array(this.#pick([64, 128, 256, 1024, 4096, 16384, 65536])).map(() => this.#below(256))
    this.#sizes[handle] = bytes.length
    this.#addon.upload(handle, 0, bytes, true)
    this.#guards.set(handle, bytes)
  }

  checkGuards(): void {
    for (const [handle, bytes] of this.#guards)
      this.#expectEqual(`guard ${handle}`, this.#read(handle, bytes.length), bytes)
    const handle = this.#pick([...this.#guards.keys()])
    this.#addon.release(handle)
    this.#guard(handle)
  }

  #read(handle: number, bytes: number): Uint8Array {
    const array = new Uint8Array(bytes)
    this.#addon.readNow(handle, 0, array, true)
    return array
  }

  #expectEqual(what: string, actual: Uint8Array, expected: Uint8Array, from = 0, to = expected.length): void {
    const [a, b] = [actual.subarray(from, to), expected.subarray(from, to)]
    if (Buffer.compare(a, b) === 0) return
    const at = a.findIndex((value, i) => value !== b[i])
    throw new Error(`${what}: byte ${from + at} of ${expected.length} was written`)
  }

  /** Elements for kernels: mostly small indices, and any bits. */
  #elements(tensor: SoundTensor, bytes: number, sound: boolean): Uint8Array {
    const data = new Uint8Array(bytes)
    if (tensor.indices !== null && (sound || this.#chance(0.5))) {
      new Int32Array(data.buffer).set(tensor.indices, margin)
      return data
    }
    if (this.#chance(0.1)) return data.map(() => this.#below(256))
    const wild = this.#chance(0.2)
    if (tensor.dtype === 'int32') {
      const view = new Int32Array(data.buffer)
      for (let i = 0; i < view.length; i++)
        view[i] = wild ? this.#pick([-1, -100, 5, 2 ** 31 - 1, -(2 ** 31)]) : this.#below(3)
      return data
    }
    if (tensor.dtype === 'float32') {
      const view = new Float32Array(data.buffer)
      for (let i = 0; i < view.length; i++) view[i] = wild ? this.#pick(numbers) : 4 * this.#random() - 2
      return data
    }
    return data.map(() => this.#below(2))
  }

  #operand(role: string, tensor: SoundTensor, handle: number, sound: boolean): Operand {
    const size = dtypes[tensor.dtype].bytes
    const fresh = (role === 'out' || role === 'place') && this.#chance(0.5)
    const bytes = extentOf(tensor) + (fresh ? 0 : 2 * margin * size)
    const held = fresh ? null : this.#elements(tensor, bytes, sound)
    this.#sizes[handle] = bytes
    if (held) this.#addon.upload(handle, 0, held, true)
    return {
      role,
      tensor,
      handle,
      word: dtypeCodes[tensor.dtype as keyof typeof dtypeCodes] | (tensor.shape.length << 8),
      offset: fresh ? 0 : margin,
      shape: [...tensor.shape],
      strides: [...tensor.strides],
      held,
      sound: true,
    }
  }

  /** Makes one word wrong. */
  #spoil(operands: readonly Operand[], values: number[]): void {
    if (operands.length === 0 || (values.length > 0 && this.#chance(0.3))) {
      if (values.length > 0) values[this.#below(values.length)] = this.#pick(numbers)
      return
    }
    const operand = this.#pick(operands)
    operand.sound = false
    const d = this.#below(operand.shape.length)
    // A tensor without dimensions has no size or stride: one more number would change the operands after it, too.
    const way = this.#below(8)
    switch (operand.shape.length === 0 && (way === 4 || way === 5) ? 6 : way) {
      case 0:
        operand.handle = this.#pick(handles)
        break
      case 1:
        operand.handle = this.#pick(operands).handle
        break
      case 2:
        operand.word = (operand.word & ~0xff) | this.#below(this.#chance(0.5) ? 8 : 256)
        break
      case 3: {
        const dims = this.#pick([0, 1, 2, 3, 4, 5, 8, 9, 200])
        operand.word = (operand.word & ~0xff00) | (dims << 8)
        while (operand.shape.length < Math.min(dims, 16)) {
          operand.shape.unshift(1)
          operand.strides.unshift(0)
        }
        operand.shape.length = operand.strides.length = Math.min(dims, 16)
        break
      }
      case 4:
        operand.shape[d] = this.#pick(numbers)
        break
      case 5:
        operand.strides[d] = this.#pick(numbers)
        break
      case 6:
        operand.offset = this.#pick(numbers)
        break
      default:
        if (this.#chance(0.5)) operand.word |= this.#pick(guardFlags)
        else if (operand.handle >= 0 && operand.handle < guardsFrom && operand.held === null)
          this.#sizes[operand.handle] = this.#pick([0, 1, 3, 2 ** 47, 2 ** 53, 1e300, -1, Number.NaN])
    }
  }

  /** A huge broadcast view asks for nearly endless work, which is no defect, but of no use either. */
  #endless(operands: readonly Operand[]): boolean {
    return operands.some(({ shape, strides }) => {
      let broadcast = 1
      shape.forEach((size, d) => {
        if (strides[d] === 0 && size > 1) broadcast *= size
      })
      return broadcast > 1 << 20
    })
  }

  #write(opcode: number, layout: readonly (Operand | null | number)[], values: readonly number[]): void {
    const words = this.#words
    words.start(opcode, this.#below(3))
    for (const item of layout) {
      if (item === null) words.int(-1)
      else if (typeof item === 'number') words.int(item)
      else words.tensor(item, this.#random())
    }
    for (const value of values) words.double(value)
  }

  /** Calls a kernel, with wrong words unless the call is to be `sound`. */
  run(call: SoundCall, sound: boolean): void {
    const layout: (Operand | null | number)[] = []
    const operands: Operand[] = []
    const values: number[] = []
    let handle = 0
    let shifted = false // a list's wrong length gives the operands after it other roles
    for (const { name, role, arity } of parseArguments(kernels[call.kernel])) {
      const value = call.args[name] ?? null
      if (role === 'philox') {
        const { seed, stream, offset } = value as { seed: number; stream: number; offset: number }
        values.push(seed, stream, offset)
      } else if (role === 'integers') {
        const integers = value as readonly number[]
        values.push(integers.length, ...integers)
      } else if (typeof value === 'number') values.push(value)
      else if (value === null) layout.push(null)
      else {
        const list = arity === 'list' ? (value as readonly SoundTensor[]) : [value as SoundTensor]
        if (arity === 'list') {
          const more = !sound && this.#chance(0.02) ? this.#pick([-1, 1, 2 ** 31 - 1]) : 0
          shifted ||= more !== 0
          layout.push(list.length + more)
        }
        for (const tensor of list) {
          const operand = this.#operand(role, tensor, handle++, sound)
          operands.push(operand)
          layout.push(operand)
        }
      }
    }
    const used = handle
    const wrong = sound ? 0 : this.#pick([0, 1, 1, 1, 2, 3])
    for (let k = 0; k < wrong; k++) this.#spoil(operands, values)
    const opcode =
      !sound && this.#chance(0.01)
        ? this.#pick([-1, kernelNames.length, 1e9, this.#below(kernelNames.length)])
        : call.opcode
    for (const operand of operands)
      operand.sound &&=
        !shifted && opcode === call.opcode && operands.every((o) => o === operand || o.handle !== operand.handle)
    if (!sound && this.#chance(0.05) && used > 0) this.#free(this.#below(used), operands)
    if (!this.#endless(operands)) this.#call(call, opcode, layout, values, operands, wrong === 0)
    const named = operands.map((operand) => operand.handle).filter((h) => !this.#guards.has(h))
    for (const h of new Set([...Array(used).keys(), ...named])) this.#free(h, operands)
  }

  #free(handle: number, operands: readonly Operand[]): void {
    try {
      this.#addon.release(handle)
    } catch (error) {
      expectInternal(error)
    }
    for (const operand of operands) if (operand.handle === handle) operand.held = null
  }

  #call(
    { kernel }: SoundCall,
    opcode: number,
    layout: readonly (Operand | null | number)[],
    values: readonly number[],
    operands: readonly Operand[],
    sound: boolean,
  ): void {
    this.#write(opcode, layout, values)
    this.counts.calls++
    try {
      this.#addon.call()
    } catch (error) {
      expectInternal(error)
      this.counts.refused++
      for (const operand of operands) this.#checkUntouched(operand, true)
      return
    }
    this.#addon.finish()
    const failure = this.#addon.takeError()
    if (failure === null) this.counts.done++
    else {
      this.counts.failed++
      if (failure[3] === '' || failure[0] === 0) throw new Error(`${kernel} failed without saying why`)
    }
    if (sound && opcode >= 0 && failure === null) this.ran.add(kernel)
    for (const operand of operands) this.#checkUntouched(operand, false)
  }

  /** Checks that memory which a call may not write is unchanged. */
  #checkUntouched({ role, tensor, handle, held, sound }: Operand, refused: boolean): void {
    if (held === null || handle < 0 || handle >= guardsFrom) return
    if (!sound) return
    const now = this.#read(handle, held.length)
    const inner = margin * dtypes[tensor.dtype].bytes
    const written = role === 'out' || role === 'place' || role === 'inout' || role === 'update'
    if (!written || refused) this.#expectEqual(`an argument that is only read (${role})`, now, held)
    else {
      this.#expectEqual('before a written view', now, held, 0, inner)
      this.#expectEqual('behind a written view', now, held, held.length - inner)
    }
  }
}

function expectInternal(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'ERR_INTERNAL') throw error
}

function openAddon(): Addon {
  const loaded = loadNative()
  if ('unavailable' in loaded) throw new Error(loaded.unavailable)
  return loaded.addon
}

function main(options: Options, corpus: readonly SoundCall[], offset: number): void {
  const random = randomOf(options.seed + offset)
  const fuzz = new Fuzz(openAddon(), random)
  const file = openSync(options.file, 'r+')
  let i = 0
  const run = (call: SoundCall, sound: boolean): void => {
    writeSync(file, `thread ${offset}, call ${i}, ${call.kernel}`.padEnd(80), 100 * offset)
    try {
      fuzz.run(call, sound)
      if (i++ % 256 === 0) fuzz.checkGuards()
    } catch (error) {
      throw new Error(
        `seed ${options.seed}, thread ${offset}, call ${i}, ${call.kernel}: ${(error as Error).message}`,
        { cause: error },
      )
    }
  }
  for (const call of corpus) run(call, true)
  const never = kernelNames.filter((name) => !fuzz.ran.has(name))
  if (never.length > 0) throw new Error(`thread ${offset}: sound calls of ${never.join(', ')} did not run`)
  const end = performance.now() + 1000 * options.seconds
  for (let k = 0; performance.now() < end && fuzz.counts.calls < options.count; k++)
    run(corpus[k < corpus.length ? k : Math.floor(random() * corpus.length)] as SoundCall, false)
  const { calls, refused, failed, done } = fuzz.counts
  if (done === 0 || refused === 0 || failed === 0) throw new Error(`one-sided: ${JSON.stringify(fuzz.counts)}`)
  process.stdout.write(
    `thread ${offset}: ${calls} calls, ${done} ran, ${failed} reported an error, ${refused} were refused\n`,
  )
}

if (isMainThread) {
  const [, , seed = '1', seconds = '5', file = '', count = 'Infinity'] = process.argv
  const options = { seed: Number(seed), seconds: Number(seconds), file, count: Number(count) }
  const corpus = recordCorpus()
  const worker = new Worker(new URL('kernels-worker.mjs', import.meta.url), { workerData: { options, corpus } })
  worker.on('error', (error) => {
    process.stderr.write(`${error.stack}\n`)
    process.exit(3)
  })
  main(options, corpus, 0)
} else {
  const { options, corpus } = workerData as { readonly options: Options; readonly corpus: readonly SoundCall[] }
  main(options, corpus, 1)
}

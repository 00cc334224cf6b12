/** The format itself: what a file may hold, what it may not, and the names of other kinds of files. */
import { type FileHandle, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { ValueError } from '../../lib/index.js'
import { writeAtomically } from '../../lib/io/atomic.js'
import { type ComingTensor, readSafetensors, SafetensorsFile, safetensorsChunks } from '../../lib/io/safetensors.js'

/** The number of bytes that the system returns at once, and the place where it reports the end of the file. */
const limits = { once: Number.POSITIVE_INFINITY, end: Number.POSITIVE_INFINITY }

vi.mock('../../lib/io/system.js', async (original) => {
  const real = await original<typeof import('../../lib/io/system.js')>()
  const limited = (handle: FileHandle): FileHandle => {
    const read = handle.read.bind(handle) as (...given: readonly unknown[]) => unknown
    handle.read = ((array: Uint8Array, offset: number, length: number, position: number) =>
      read(
        array,
        offset,
        Math.max(0, Math.min(length, limits.once, limits.end - position)),
        position,
      )) as typeof handle.read
    return handle
  }
  return { ...real, open: async (...given: [never, never, never]) => limited(await real.open(...given)) }
})

let folder = ''
const at = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterEach(() => {
  limits.once = limits.end = Number.POSITIVE_INFINITY
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function fileOf(header: string | Uint8Array, data: number | Uint8Array = 0): Uint8Array {
  const bytes = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true)
  return Buffer.concat([length, bytes, typeof data === 'number' ? new Uint8Array(data) : data])
}

/** The header of a file, or the text of the refusal after the path. */
async function opened(bytes: Uint8Array): Promise<SafetensorsFile | string> {
  await writeFile(at('x'), bytes)
  try {
    const file = await SafetensorsFile.open(at('x'))
    await file.close()
    return file
  } catch (error) {
    expect(error).toBeInstanceOf(ValueError)
    const { message } = error as Error
    expect(message).toContain(`[load] ${at('x')} is not a safetensors file: `)
    return message.slice(message.indexOf('file: ') + 6)
  }
}

const entry = (from: number, to: number, shape = `[${(to - from) / 4}]`) =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${from},${to}]}`
const weight = entry(0, 4)

describe('the header of a safetensors file', () => {
  it.each([
    ['nothing', '{}', 0, []],
    ['a tensor', `{"a":${weight}}`, 4, ['a']],
    ['white space', `{ "a"\t:\r\n${weight.replaceAll(',', ' , ')} } \n`, 4, ['a']],
    ['metadata', `{"__metadata__":{"a":"b","a\\n":"\\u00e9"},"a":${weight}}`, 4, ['a']],
    ['tensors in any order', `{"b":${entry(4, 12)},"a":${weight}}`, 12, ['b', 'a']],
    ['fields in any order', '{"a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}}', 4, ['a']],
    [
      'tensors without elements',
      `{"a":${entry(4, 4)},"b":${entry(0, 4)},"c":${entry(0, 0, '[9007199254740991,0]')}}`,
      4,
      ['a', 'b', 'c'],
    ],
    [
      'names of objects',
      `{"__proto__":${weight},"constructor":${entry(4, 8)},"":${entry(8, 8)}}`,
      8,
      ['__proto__', 'constructor', ''],
    ],
    ['escapes', `{"\\"\\\\\\/\\u0061\\ud83d\\ude00 é\ufeff":${weight}}`, 4, ['"\\/a😀 é\ufeff']],
    ['more dimensions than a tensor may have', `{"a":${entry(0, 4, '[1,1,1,1,1,1,1,1,1,1]')}}`, 4, ['a']],
    [
      'dtypes that cannot be loaded',
      '{"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F4","shape":[2],"data_offsets":[3,4]}}',
      4,
      ['a', 'b'],
    ],
  ])('may have %s', async (_, header, data, names) => {
    const file = await opened(fileOf(header, data))
    expect(file).toBeInstanceOf(SafetensorsFile)
    expect([...(file as SafetensorsFile).tensors.keys()]).toEqual(names)
  })

  it('gives its metadata', async () => {
    const file = (await opened(fileOf('{"__metadata__":{"__proto__":"x","a\\n":"\\u00e9"}}'))) as SafetensorsFile
    expect([...file.metadata]).toEqual([
      ['__proto__', 'x'],
      ['a\n', 'é'],
    ])
  })

  it.each([
    ['a list', '[]', 'does not begin with {'],
    ['white space before', ` {"a":${weight}}`, 'does not begin with {'],
    ['something behind', `{"a":${weight}}x`, 'goes on after its end'],
    ['a zero byte behind', `{"a":${weight}}\0`, 'goes on after its end'],
    ['no end', `{"a":${weight}`, 'expected }'],
    ['a comma too many', `{"a":${weight},}`, 'expected a name'],
    ['no colon', `{"a"${weight}}`, 'expected :'],
    ['a name twice', `{"a":${weight},"a":${entry(4, 8)}}`, 'the name "a" twice'],
    ['a name twice by an escape', `{"a":${weight},"\\u0061":${entry(4, 8)}}`, 'the name "a" twice'],
    ['a field twice', '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', '"dtype" of "a" twice'],
    ['a shape twice', '{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', '"shape" of "a" twice'],
    [
      'offsets twice',
      '{"a":{"dtype":"F32","data_offsets":[0,4],"shape":[1],"data_offsets":[0,4]}}',
      '"data_offsets" of "a" twice',
    ],
    ['another field', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', 'has "x" in "a"'],
    ['a field too few', '{"a":{"dtype":"F32","data_offsets":[0,4]}}', 'lacks dtype, shape or data_offsets of "a"'],
    ['a tensor that is none', '{"a":1}', 'expected {'],
    ['one offset', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', 'does not have two numbers'],
    ['three offsets', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 'more than 2 numbers'],
    [
      'offsets that go back',
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
      'does not fill its bytes [4, 0]',
    ],
    ['a negative size', `{"a":${entry(0, 4, '[-1]')}}`, 'something other than an integer'],
    ['minus zero', `{"a":${entry(0, 0, '[-0]')}}`, 'something other than an integer'],
    ['a fraction', `{"a":${entry(0, 4, '[1.0]')}}`, 'expected ]'],
    ['an exponent', `{"a":${entry(0, 4, '[1e0]')}}`, 'expected ]'],
    ['a zero before', `{"a":${entry(0, 4, '[01]')}}`, 'something other than an integer'],
    ['a size of 2^53', `{"a":${entry(0, 0, '[9007199254740992,0]')}}`, 'something other than an integer'],
    ['a size as text', `{"a":${entry(0, 4, '["1"]')}}`, 'something other than an integer'],
    ['sizes that overflow', `{"a":${entry(0, 4, '[9007199254740991,9007199254740991]')}}`, 'does not fill its bytes'],
    ['65 dimensions', `{"a":${entry(0, 4, `[${'1,'.repeat(64)}1]`)}}`, 'more than 64 numbers'],
    [
      'bytes that go back, of a dtype of nobody',
      '{"a":{"dtype":"F99","shape":[1],"data_offsets":[4,0]}}',
      'does not fill its bytes [4, 0]',
    ],
    [
      'a dtype of nobody over another tensor',
      `{"a":${weight},"b":{"dtype":"toString","shape":[1],"data_offsets":[2,4]}}`,
      'share bytes from 2 on',
    ],
    ['half a byte', '{"a":{"dtype":"F4","shape":[7],"data_offsets":[0,4]}}', 'does not fill its bytes'],
    ['too few bytes for the shape', `{"a":${entry(0, 4, '[2]')}}`, 'does not fill its bytes [0, 4]'],
    ['tensors over each other', `{"a":${entry(0, 4)},"b":${entry(0, 4)}}`, '"b" and "a" share bytes from 0 on'],
    [
      'tensors partly over each other',
      `{"a":${entry(0, 4)},"b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}`,
      'share bytes',
    ],
    [
      'a hole',
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}',
      'bytes from 1 to 3 belong to no tensor',
    ],
    [
      'a hole at first',
      '{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}',
      'bytes from 0 to 1 belong to no tensor',
    ],
    [
      'bytes of nobody at the end',
      '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}',
      'bytes from 3 to 4 belong to no tensor',
    ],
    ['only bytes of nobody', '{}', 'bytes from 0 to 4 belong to no tensor'],
    ['bytes that are not there', `{"a":${entry(0, 8)}}`, 'its tensors have 8 bytes, but only 4 are there'],
    ['metadata that is a text', '{"__metadata__":"x"}', 'expected {'],
    ['metadata that is null', '{"__metadata__":null}', 'expected {'],
    ['metadata of numbers', '{"__metadata__":{"a":1}}', '__metadata__ may hold only texts, but "a" is not one'],
    ['metadata twice', '{"__metadata__":{},"__metadata__":{}}', '__metadata__ twice'],
    ['a key of the metadata twice', '{"__metadata__":{"a":"1","a":"1"}}', 'the key "a" of __metadata__ twice'],
    ['half a surrogate pair', `{"\\ud800":${weight}}`, 'an invalid escape'],
    ['an unknown escape', `{"\\x61":${weight}}`, 'an invalid escape'],
    ['half an escape', '{"\\', 'ends within a text'],
    ['a line break in a name', `{"\n":${weight}}`, 'a control character'],
    ['a name without end', '{"a', 'ends within a text'],
  ])('must not have %s', async (_, header, words) => {
    expect(await opened(fileOf(header, 4))).toContain(words)
  })

  it('must be UTF-8', async () => {
    expect(await opened(fileOf(Buffer.from(`{"\xff":${weight}}`, 'latin1'), 4))).toContain('not UTF-8')
  })

  it('has no length that the file has not, nor more than the format allows', async () => {
    const whole = fileOf(`{"a":${weight}}`, 4)
    expect(await opened(whole.subarray(0, 20))).toMatch(/cut off: its header has \d+ bytes, but only 12 are there/)
    expect(await opened(whole.subarray(0, -1))).toContain('cut off: its tensors have 4 bytes, but only 3 are there')
    const long = Uint8Array.from(whole)
    new DataView(long.buffer).setBigUint64(0, 2n ** 63n)
    long[7] = 1
    expect(await opened(long)).toMatch(/its header would have \d+ bytes, but may have at most 100000000/)
    for (let size = 1; size < 9; size++) expect(await opened(new Uint8Array(size).fill(65))).toContain(`${size} bytes`)
  })

  it('is refused before it takes memory, whatever is nested or repeated in it', async () => {
    const many = (unit: (i: number) => string, count: number) => Array.from({ length: count }, (_, i) => unit(i)).join()
    const before = process.memoryUsage()
    for (const [header, words] of [
      ['{'.repeat(5e6), 'expected a name'],
      [`{"a":${'['.repeat(5e6)}`, 'expected {'],
      [`{"a":${'{},'.repeat(2e6)}`, 'lacks dtype'],
      [`{"a":{"dtype":"F32","shape":${'['.repeat(5e6)}`, 'an integer'],
      [`{"a":{"dtype":"F32","shape":[${'1,'.repeat(3e6)}`, 'more than 64 numbers'],
      [`{"a":{"dtype":"F32","shape":[${'9'.repeat(5e6)}`, 'an integer'],
      [`{${many((i) => `"${i}":${weight}`, 1000)}}`, 'share bytes'],
      [`{"__metadata__":{${many((i) => `"${i}":""`, 2 ** 20 + 1)}}}`, 'more than 1048576 entries'],
    ] as const) {
      expect(await opened(fileOf(header, 4))).toContain(words)
    }
    const { arrayBuffers } = process.memoryUsage()
    expect(arrayBuffers - before.arrayBuffers).toBeLessThan(1e8)
  })
})

describe('a tensor of a safetensors file', () => {
  const kinds = {
    F64: Float64Array.of(1.5, Number.NaN, -0),
    F32: Float32Array.of(1.5, Number.NaN, -0),
    F16: Uint16Array.of(0x7e01, 0xffff, 0x8000),
    BF16: Uint16Array.of(0x7fc1, 0xff81, 0x8000),
    I64: BigInt64Array.of(-1n, 2n ** 62n, 0n),
    I32: Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31)),
    U8: Uint8Array.of(0, 1, 255),
    BOOL: Uint8Array.of(0, 1, 1),
  } as const

  it.each([Number.POSITIVE_INFINITY, 1, 7])('comes back bit by bit, %s bytes at once', async (once) => {
    limits.once = once
    const tensors = new Map<string, ComingTensor>()
    for (const [dtype, data] of Object.entries(kinds)) {
      const of = (name: string, shape: number[], array: typeof data) =>
        tensors.set(`${dtype} ${name}`, { dtype: dtype as 'F32', shape, data: Promise.resolve(array) })
      of('list', [3, 1], data)
      of('number', [], data.slice(1, 2) as typeof data)
      of('nothing', [2, 0], data.slice(0, 0) as typeof data)
    }
    for (const name of ['__proto__', 'constructor', '', '"\\\n\u2028é😀\ufeff'])
      tensors.set(name, { dtype: 'U8', shape: [1], data: Uint8Array.of(7) })
    await writeAtomically(at('all'), safetensorsChunks(tensors, { ['__proto__']: 'x', y: 'é' }))
    const back = await readSafetensors(at('all'))
    expect(new Set(back.keys())).toEqual(new Set(tensors.keys()))
    for (const [name, { dtype, shape, data }] of tensors) {
      const found = back.get(name)
      expect([found?.dtype, found?.shape], name).toEqual([dtype, shape])
      const bytes = (array: ArrayBufferView) => [...new Uint8Array(array.buffer, array.byteOffset, array.byteLength)]
      expect(bytes(found?.data as ArrayBufferView), name).toEqual(bytes((await data) as ArrayBufferView))
    }
    const file = await SafetensorsFile.open(at('all'))
    // A program that maps the file can use the elements in place.
    for (const [name, { from }] of file.tensors) if (name.startsWith('F64')) expect(from % 8).toBe(0)
    expect(file.metadata.get('y')).toBe('é')
    await file.close()
  })

  it('that is cut off while it is read is an error that names it', async () => {
    await writeFile(at('cut'), fileOf(`{"a":${entry(0, 8)}}`, 8))
    const file = await SafetensorsFile.open(at('cut'))
    limits.end = (await readAll(at('cut'))) - 3
    const reading = file.read('a')
    await expect(reading).rejects.toThrow(ValueError)
    await expect(reading).rejects.toThrow(
      /cut was cut off while it was read: tensor "a" of shape \[2\] has 8 bytes from \d+ on, but only 5 are there/,
    )
    await file.close()
  })

  async function readAll(path: string): Promise<number> {
    const file = await open(path)
    const { size } = await file.stat()
    await file.close()
    return size
  }

  it('of a dtype that cannot be loaded is refused where it is read', async () => {
    // The last ones are not dtypes of the format, or not yet.
    const others = ['I8', 'I16', 'U16', 'U32', 'U64', 'C64', 'F8_E4M3', 'F8_E5M2', 'F99', 'toString']
    for (const dtype of others) {
      await writeFile(at('x'), fileOf(`{"a":{"dtype":"${dtype}","shape":[0],"data_offsets":[0,0]},"b":${weight}}`, 4))
      const file = await SafetensorsFile.open(at('x'))
      expect((await file.read('b')).data).toEqual(Float32Array.of(0))
      await expect(file.read('a')).rejects.toThrow(`tensor "a" of shape [0] has dtype ${dtype}, which cannot be loaded`)
      await file.close()
    }
  })

  it('of booleans holds nothing else', async () => {
    for (const value of [2, 7, 255]) {
      await writeFile(
        at('x'),
        fileOf('{"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}', Uint8Array.of(0, 1, value)),
      )
      await expect(readSafetensors(at('x'))).rejects.toThrow(
        `element 2 of tensor "a" is ${value}, but a BOOL is 0 or 1`,
      )
    }
  })

  it('cannot have a name or metadata that no file can hold', () => {
    const one = { dtype: 'U8', shape: [1], data: Uint8Array.of(1) } as const
    expect(() => safetensorsChunks(new Map([['__metadata__', one]]))).toThrow(
      'no tensor can have the name __metadata__',
    )
    expect(() => safetensorsChunks(new Map([['\ud800', one]]))).toThrow(ValueError)
    expect(() => safetensorsChunks(new Map(), { a: 1 as never })).toThrow(ValueError)
    expect(() => safetensorsChunks(new Map(), { '\ud800': 'a' })).toThrow(ValueError)
  })
})

describe('a file that is something else', () => {
  const zip = (name: string) => {
    const head = Buffer.alloc(30)
    head.write('PK\x03\x04\0\0\x08\x08', 'latin1')
    head.writeUInt16LE(name.length, 26)
    return Buffer.concat([head, Buffer.from(name), Buffer.alloc(64)])
  }
  const text = (value: string) => Buffer.from(value, 'latin1')
  const shards = JSON.stringify({
    metadata: { total_size: 1 },
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  })
  it.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'it is empty'],
    [
      'a pointer of Git LFS',
      text('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      'git lfs pull',
    ],
    ['a page', text('\n<!DOCTYPE html><html></html>'), 'a web page (HTML or XML)'],
    ['a page in capitals', text('<HTML><BODY>not found'), 'a web page (HTML or XML)'],
    ['a checkpoint', zip('archive/data.pkl'), 'a PyTorch checkpoint (zip); convert it in Python: safetensors.torch'],
    ['an archive of arrays', zip('arr_0.npy'), 'a NumPy archive (.npz)'],
    ['any archive', zip('readme.txt'), 'a zip archive'],
    [
      'an old checkpoint',
      text('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.'),
      'a PyTorch checkpoint (pickle',
    ],
    ['a pickle', text('\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94'), 'a Python pickle'],
    ['GGUF', text('GGUF\x03\0\0\0\0\0\0\0'), 'a GGUF model'],
    ['an array', text("\x93NUMPY\x01\0v\0{'descr': '<f4'"), 'a NumPy array (.npy)'],
    ['Keras', text('\x89HDF\r\n\x1a\n\0\0\0\0'), 'an HDF5 file'],
    ['gzip', gzipSync('x'), 'compressed with gzip'],
    ['zstd', text('\x28\xb5\x2f\xfd\x04\0\x59\0\0\0\0\0'), 'compressed (zstd'],
    ['digits', text('\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01x'), 'an IDX file'],
    ['ONNX', text('\x08\x07\x12\x07pytorch\x1a\x032.0'), 'perhaps an ONNX model'],
    ['settings', text('{\n  "architectures": ["Bert"]\n}'), 'a JSON file; give the path of the file with the weights'],
    ['settings without spaces', text('{"abcd":{"e":1}}'), 'a JSON file'],
    ['shards', text(shards), 'model-00001-of-00002.safetensors, model-00002-of-00002.safetensors); load the folder'],
    ['letters', text('these are only words of nobody'), 'its header does not begin with {'],
  ])('is told for %s', async (_, bytes, words) => {
    expect(await opened(bytes)).toContain(words)
  })

  it('is no broken safetensors file whose length begins like another kind', async () => {
    for (const length of [0x7b, 0x5b, 0x3c, 0x280, 0x8b1f, 0x4b50]) {
      const header = `{"a":${entry(0, 8)}}`.padEnd(length, ' ')
      expect(await opened(fileOf(header, 4))).toContain('its tensors have 8 bytes, but only 4 are there')
    }
  })

  it('is a folder, pipe or device by name, and is never waited for', async () => {
    await mkdir(at('folder'), { recursive: true })
    const { spawnSync } = await import('node:child_process')
    spawnSync('mkfifo', [at('pipe')])
    for (const [path, kind, advice] of [
      [at('folder'), 'a directory', 'give the path of a file'],
      [at('pipe'), 'a pipe', 'copy its content to a file'],
      ['/dev/zero', 'a device', 'copy its content to a file'],
    ] as const) {
      await expect(SafetensorsFile.open(path)).rejects.toThrow(ValueError)
      await expect(SafetensorsFile.open(path)).rejects.toThrow(`cannot read ${path}: it is ${kind}; ${advice}`)
    }
    await expect(SafetensorsFile.open(at('nowhere'))).rejects.toThrow(/cannot read .*nowhere: ENOENT/)
  })
})

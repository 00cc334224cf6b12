import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idx, mnist, readIdx } from '../../lib/data/datasets/index.js'
import { ValueError } from '../../lib/index.js'

let folder = ''
const at = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A file of these sizes with bytes 0, 1, 2, ... */
function idxOf(shape: readonly number[], count = shape.reduce((product, size) => product * size, 1)): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header[2] = 8
  header[3] = shape.length
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i)
  return Buffer.concat([header, Buffer.from(Array.from({ length: count }, (_, i) => i % 256))])
}

async function read(bytes: Uint8Array, name = 'x') {
  await writeFile(at(name), bytes)
  return readIdx(at(name))
}

async function refused(bytes: Uint8Array): Promise<string> {
  const reading = read(bytes)
  await expect(reading).rejects.toThrow(ValueError)
  return reading.then(String, (error: Error) => error.message)
}

describe('an IDX file', () => {
  it('is read, gzipped or not, whatever it is called', async () => {
    for (const shape of [
      [],
      [0],
      [5],
      [3, 2, 4],
      [2, 0, 3],
      [300, 20, 20],
      [0, 2 ** 32 - 1],
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 2],
    ]) {
      const file = idxOf(shape)
      for (const bytes of [file, gzipSync(file), gzipSync(file, { level: 0 })])
        for (const name of ['x', 'x.gz']) {
          const content = await read(bytes, name)
          expect(content.shape).toEqual(shape)
          expect(Buffer.from(content.data).equals(file.subarray(4 + 4 * shape.length))).toBe(true)
        }
    }
  })

  it('of other elements, sizes or kinds is refused, and says why', async () => {
    const file = idxOf([2, 3])
    const float = Buffer.from(file)
    float[2] = 13
    for (const [bytes, words] of [
      [Buffer.alloc(0), 'its header is cut off: it has 0 bytes'],
      [file.subarray(0, 3), 'its header is cut off: it has 3 bytes'],
      [file.subarray(0, 11), 'its header is cut off: it has 11 bytes'],
      [float, 'its elements have type 13, but must be unsigned bytes (8)'],
      [file.subarray(0, -1), 'it holds 5 bytes after its header, but [2, 3] needs 6'],
      [Buffer.concat([file, Buffer.of(1)]), 'it holds 7 bytes after its header, but [2, 3] needs 6'],
      [idxOf([2 ** 32 - 1, 2 ** 32 - 1], 4), 'it holds 4 bytes after its header, but [4294967295, 4294967295] needs'],
      [
        idxOf(
          Array.from({ length: 255 }, () => 2 ** 32 - 1),
          4,
        ),
        'it holds 4 bytes after its header',
      ],
      [Buffer.from('PK\x03\x04 and so on'), 'it is a zip archive'],
      [Buffer.from('<!doctype html>'), 'it is a web page'],
      [Buffer.from('letters'), 'it does not begin with two zero bytes'],
    ] as const) {
      expect(await refused(bytes)).toContain(`[readIdx] ${at('x')} is not an IDX file of bytes: ${words}`)
      if (bytes.length > 0) expect(await refused(gzipSync(bytes))).toContain(`[readIdx] ${at('x')} is not an IDX file`)
    }
    expect(await refused(gzipSync(file.subarray(0, -1)))).toContain('it holds 5 bytes after its header')
  })

  it('with broken gzip is refused', async () => {
    const packed = gzipSync(idxOf([100, 100]))
    expect(await refused(packed.subarray(0, -20))).toContain(`cannot read ${at('x')}: unexpected end of file`)
    const wrong = Buffer.from(packed)
    wrong[packed.length - 6] = (wrong[packed.length - 6] as number) ^ 1
    expect(await refused(wrong)).toContain(`cannot read ${at('x')}: incorrect data check`)
    wrong.fill(255, 10, 40)
    expect(await refused(wrong)).toContain(`cannot read ${at('x')}: `)
  })

  it('is unpacked no further than its header says', async () => {
    // Concatenated files unpack as one: 800 MB from one file.
    const bomb = Buffer.concat([gzipSync(idxOf([2, 3])), ...Array(200).fill(gzipSync(Buffer.alloc(4e6)))])
    const before = process.resourceUsage().maxRSS
    expect(await refused(bomb)).toContain('it decompresses to more than the 6 bytes that [2, 3] needs after its header')
    expect(await refused(gzipSync(Buffer.alloc(4e6)))).toContain('its elements have type 0')
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(1e5)
  })

  it('that cannot be read is refused by name', async () => {
    for (const path of [folder, at('nowhere'), '/dev/zero', '', 3 as never, undefined as never]) {
      await expect(readIdx(path)).rejects.toThrow(ValueError)
      await expect(readIdx(path)).rejects.toThrow('[readIdx] cannot read')
    }
  })
})

describe('a folder of IDX files', () => {
  it('is split by the names of its files', async () => {
    await mkdir(at('digits'))
    const put = (name: string, bytes: Buffer) => writeFile(at(`digits/${name}`), bytes)
    await put('train-images-idx3-ubyte', idxOf([4, 2, 3]))
    await put('train-labels-idx1-ubyte.gz', gzipSync(idxOf([4])))
    await put('t10k-images-idx3-ubyte', idxOf([2, 2, 3]))
    await expect(idx(at('digits'))).rejects.toThrow('has no test labels')
    await put('t10k-labels-idx1-ubyte', idxOf([3]))
    await expect(idx(at('digits'))).rejects.toThrow('[idx] t10k-labels-idx1-ubyte has shape [3]')
    await put('t10k-labels-idx1-ubyte', Buffer.from('<html>'))
    await expect(idx(at('digits'))).rejects.toThrow(/\[idx\] .*t10k-labels-idx1-ubyte is not an IDX file/)
    await put('t10k-labels-idx1-ubyte', idxOf([2]))
    const { train, test } = await idx(at('digits'))
    expect([train.length, test.length, train.shape]).toEqual([4, 2, [1, 2, 3]])
    expect([...test.labels]).toEqual([0, 1])
  })

  it('that is none is refused', async () => {
    for (const path of [at('nowhere'), join(folder, 'x'), null as never])
      await expect(idx(path)).rejects.toThrow('[idx] cannot read')
  })

  it('has the digits', async () => {
    const { train, test } = await mnist()
    expect([train.length, test.length, train.shape]).toEqual([60000, 10000, [1, 28, 28]])
    expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9])
  })
})

import { mkdtemp, open, rm } from 'node:fs/promises'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ValueError } from '../../lib/index.js'
import { SafetensorsFile } from '../../lib/io/safetensors.js'

const count = 2 ** 31 + 8

// This takes 2 GiB of addresses. The file takes no disk, because most of it was never written.
it.skipIf(freemem() < 4 * 2 ** 30)('a tensor of more than 2 GiB is read to its last byte, or refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    const path = join(folder, 'large')
    const header = `{"x":{"dtype":"U8","shape":[${count}],"data_offsets":[0,${count}]}}`
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    const writing = await open(path, 'w+')
    await writing.write(Buffer.concat([length, Buffer.from(header)]))
    await writing.write(Buffer.of(5), 0, 1, 8 + header.length + 2 ** 30)
    await writing.write(Buffer.of(6, 7, 8), 0, 3, 8 + header.length + count - 3)
    const file = await SafetensorsFile.open(path)
    const { data } = await file.read('x')
    expect([data.length, data[2 ** 30], [...data.subarray(-4)]]).toEqual([count, 5, [0, 6, 7, 8]])
    await writing.truncate(1000)
    await writing.close()
    const reading = file.read('x')
    await expect(reading).rejects.toThrow(ValueError)
    await expect(reading).rejects.toThrow(/tensor "x" .* has 2147483656 bytes from \d+ on, but only \d+ are there/)
    await file.close()
  } finally {
    await rm(folder, { recursive: true })
  }
})

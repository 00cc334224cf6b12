/** IDX files, the format of the MNIST digits (http://yann.lecun.com/exdb/mnist): unsigned bytes of any shape. */
import { formatShape, ValueError } from '../../core/errors.js'
import { nodeModule } from '../../core/host.js'
import { askRoom } from '../../core/room.js'
import { countOf } from '../../core/shape.js'
import { InputFile } from '../../io/input.js'
import { kindOf } from '../../io/kinds.js'
import { checkPath, refusal } from '../../io/refusal.js'
import { join, readdir } from '../../io/system.js'
import { ImageDataset, type ImageOptions } from '../images.js'

export interface IdxContent {
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

const unsignedBytes = 8

interface IdxHeader {
  readonly shape: readonly number[]
  /** Bytes of the header, and of the elements after it. */
  readonly start: number
  readonly count: number
}

/** The header of a file that begins with these bytes, or null if there are too few bytes to tell. */
function headerOf(bytes: Uint8Array, fail: (why: string) => never): IdxHeader | null {
  if (bytes.length < 4) return null
  if (bytes[0] !== 0 || bytes[1] !== 0) {
    const kind = kindOf(bytes)
    fail(kind === null ? 'it does not begin with two zero bytes' : `it is ${kind}`)
  }
  if (bytes[2] !== unsignedBytes)
    fail(`its elements have type ${bytes[2]}, but must be unsigned bytes (${unsignedBytes})`)
  const rank = bytes[3] as number
  const start = 4 + 4 * rank
  if (bytes.length < start) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  return { shape, start, count: shape.includes(0) ? 0 : countOf(shape) }
}

/** A byte of deflate unpacks to at most this many, because two bits can represent a copy of 258 bytes. */
const mostUnpacked = 1032

/** Unpacks gzip, up to one byte more than the header announces, because a small file can unpack to any size. */
async function unpack(op: string, packed: Uint8Array, fail: (why: string) => never): Promise<Uint8Array> {
  const gunzip = nodeModule('node:zlib').createGunzip({ chunkSize: 1 << 16 })
  gunzip.end(packed)
  let bytes: Uint8Array = new Uint8Array(0)
  let header: IdxHeader | null = null
  let total = 0
  for await (const part of gunzip as AsyncIterable<Uint8Array>) {
    if (header) bytes.set(part.subarray(0, bytes.length - total), total)
    else {
      const beginning = nodeModule('node:buffer').Buffer.concat([bytes, part])
      header = headerOf(beginning, fail)
      const most = header ? Math.min(header.start + header.count + 1, mostUnpacked * packed.length) : beginning.length
      askRoom(most, op)
      bytes = new Uint8Array(most)
      bytes.set(beginning.subarray(0, most))
    }
    total += part.length
    if (header && total >= bytes.length) break
  }
  return bytes.subarray(0, total)
}

/** Reads one file of unsigned bytes, gzipped or not. Throws a ValueError that tells its fault. */
export function readIdx(path: string): Promise<IdxContent> {
  return readFor('readIdx', path)
}

async function readFor(op: string, path: string): Promise<IdxContent> {
  const fail = (why: string): never => {
    throw new ValueError(op, `${path} is not an IDX file of bytes: ${why}`)
  }
  const file = await InputFile.open(op, path)
  try {
    const raw = await file.read('the file', 0, Uint8Array, file.size)
    // The content decides, because a browser unpacks a download and keeps the name.
    const packed = raw[0] === 0x1f && raw[1] === 0x8b
    const bytes = packed ? await unpack(op, raw, fail) : raw
    const header = headerOf(bytes, fail)
    if (!header) return fail(`its header is cut off: it has ${bytes.length} bytes`)
    const { shape, start, count } = header
    const held = bytes.length - start
    if (packed && held > count)
      fail(`it decompresses to more than the ${count} bytes that ${formatShape(shape)} needs after its header`)
    if (held !== count) fail(`it holds ${held} bytes after its header, but ${formatShape(shape)} needs ${count}`)
    return { shape, data: bytes.subarray(start) }
  } catch (error) {
    throw refusal(op, 'read', path, error)
  } finally {
    await file.close()
  }
}

export interface Split {
  readonly train: ImageDataset
  readonly test: ImageDataset
}

const parts = { train: /train/i, test: /t10k|test|valid/i } as const

async function readPart(
  op: string,
  folder: string,
  files: readonly string[],
  part: keyof typeof parts,
  options: ImageOptions,
): Promise<ImageDataset> {
  const find = (what: RegExp) => files.find((file) => parts[part].test(file) && what.test(file))
  const [imageFile, labelFile] = [find(/image|idx[34]/i), find(/label|idx1/i)]
  if (!imageFile || !labelFile)
    throw new ValueError(
      op,
      `${folder} has no ${part} ${imageFile ? 'labels' : 'images'}; expected names like train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (.gz too), found: ${files.join(', ') || 'nothing'}`,
    )
  const [images, labels] = await Promise.all([
    readFor(op, join(folder, imageFile)),
    readFor(op, join(folder, labelFile)),
  ])
  if (images.shape.length !== 3 && images.shape.length !== 4)
    throw new ValueError(
      op,
      `${imageFile} has shape [${images.shape.join(', ')}], but images are [N, H, W] or [N, C, H, W]`,
    )
  if (labels.shape.length !== 1 || labels.shape[0] !== images.shape[0])
    throw new ValueError(
      op,
      `${labelFile} has shape [${labels.shape.join(', ')}], but ${imageFile} has ${images.shape[0]} images`,
    )
  const [h = 0, w = 0] = images.shape.slice(-2)
  return new ImageDataset(
    images.data,
    labels.data,
    [images.shape.length === 4 ? (images.shape[1] as number) : 1, h, w],
    options,
  )
}

/** The training and test images of a folder of IDX files, recognised by their names. */
export function idx(folder: string, options: ImageOptions = {}): Promise<Split> {
  return readSplit('idx', folder, options)
}

/** Does the same as `idx`; errors name the function `op`. */
export async function readSplit(op: string, folder: string, options: ImageOptions): Promise<Split> {
  checkPath(op, 'read', folder)
  const files = await readdir(folder).catch((error: Error) => {
    throw refusal(op, 'read', folder, error)
  })
  const [train, test] = await Promise.all([
    readPart(op, folder, files, 'train', options),
    readPart(op, folder, files, 'test', options),
  ])
  return { train, test }
}

/** IDX files, the format of the MNIST digits (http://yann.lecun.com/exdb/mnist): unsigned bytes of any shape. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { ValueError } from '../../core/errors.js'
import { countOf } from '../../core/shape.js'
import { ImageDataset, type ImageOptions } from '../images.js'

export interface IdxContent {
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

const unsignedBytes = 8

/** Reads one file of unsigned bytes, gzipped or not. Throws ValueError that says what is wrong with it. */
export async function readIdx(path: string): Promise<IdxContent> {
  const raw = await readFile(path)
  const bytes = path.endsWith('.gz') ? await promisify(gunzip)(raw) : raw
  const fail = (why: string): never => {
    throw new ValueError('idx', `${path} is not an IDX file of bytes: ${why}`)
  }
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) fail('it does not begin with two zero bytes')
  if (bytes[2] !== unsignedBytes)
    fail(`its elements have type ${bytes[2]}, but must be unsigned bytes (${unsignedBytes})`)
  const rank = bytes[3] as number
  const start = 4 + 4 * rank
  if (bytes.length < start) fail('its header is cut off')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  if (bytes.length - start !== countOf(shape))
    fail(`it holds ${bytes.length - start} bytes after its header, but [${shape.join(', ')}] needs ${countOf(shape)}`)
  return { shape, data: new Uint8Array(bytes.buffer, bytes.byteOffset + start, countOf(shape)) }
}

export interface Split {
  readonly train: ImageDataset
  readonly test: ImageDataset
}

const parts = { train: /train/i, test: /t10k|test|valid/i } as const

async function readPart(
  folder: string,
  files: readonly string[],
  part: keyof typeof parts,
  options: ImageOptions,
): Promise<ImageDataset> {
  const find = (what: RegExp) => files.find((file) => parts[part].test(file) && what.test(file))
  const [imageFile, labelFile] = [find(/image|idx[34]/i), find(/label|idx1/i)]
  if (!imageFile || !labelFile)
    throw new ValueError(
      'idx',
      `${folder} has no ${part} ${imageFile ? 'labels' : 'images'}; expected names like train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (.gz too), found: ${files.join(', ') || 'nothing'}`,
    )
  const [images, labels] = await Promise.all([readIdx(join(folder, imageFile)), readIdx(join(folder, labelFile))])
  if (images.shape.length !== 3 && images.shape.length !== 4)
    throw new ValueError(
      'idx',
      `${imageFile} has shape [${images.shape.join(', ')}], but images are [N, H, W] or [N, C, H, W]`,
    )
  if (labels.shape.length !== 1 || labels.shape[0] !== images.shape[0])
    throw new ValueError(
      'idx',
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

/** The training and test images of a folder of IDX files, whose names tell which is which. */
export async function idx(folder: string, options: ImageOptions = {}): Promise<Split> {
  const files = await readdir(folder).catch((error: Error) => {
    throw new ValueError('idx', `cannot read the folder ${folder}: ${error.message}`)
  })
  const [train, test] = await Promise.all([
    readPart(folder, files, 'train', options),
    readPart(folder, files, 'test', options),
  ])
  return { train, test }
}

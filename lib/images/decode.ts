/**
 * Image files, decoded by the package sharp (Apache-2.0, with libvips). It is an optional peer, and is loaded when the
 * first file is read.
 */
import { isMainThread } from 'node:worker_threads'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Picture } from '../data/picture.js'
import { checkSize, type Size } from './step.js'

export interface DecodeOptions {
  /** Colours: 3 (red, green, blue; default), or 1 (grey). */
  readonly channels?: 1 | 3
  /**
   * The size to decode to: the shorter side, or [height, width]. The decoder resizes, which is much faster than
   * resizing later, because it need not decode large pictures in full. Default: the file's size.
   */
  readonly resize?: Size
}

type Sharp = typeof import('sharp').default

let loaded: Promise<Sharp> | null = null

/**
 * The package, without its cache. In a loader's thread it uses one thread for each picture, because many rows are read
 * at a time.
 */
export function decoder(op: string): Promise<Sharp> {
  loaded ??= load(op)
  // A failure is not kept, so that a later installation is found.
  loaded.catch(() => {
    loaded = null
  })
  return loaded
}

async function load(op: string): Promise<Sharp> {
  let sharp: Sharp
  try {
    sharp = (await import('sharp')).default
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    throw new ValueError(
      op,
      `needs the package sharp, which decodes pictures: ${missing ? 'run `npm install sharp`' : message.slice(0, 500)}`,
    )
  }
  if (!isMainThread) sharp.concurrency(1)
  // The cache gives a WebP file's old picture after the file has changed, and a pass decodes each picture only once.
  sharp.cache(false)
  return sharp
}

export function checkDecoding(op: string, { channels, resize }: DecodeOptions): void {
  if (channels !== undefined && channels !== 1 && channels !== 3)
    throw new ValueError(op, `channels is ${shown(channels)}, but must be 3 (colours) or 1 (grey)`)
  if (resize !== undefined) checkSize(op, 'resize', resize)
}

/** The picture in a file. Throws ValueError, with the path, if there is none that can be decoded in full. */
export async function decode(op: string, path: string, { channels = 3, resize }: DecodeOptions): Promise<Picture> {
  const sharp = await decoder(op)
  try {
    let reading = sharp(path, { failOn: 'truncated', pages: 1 })
    if (typeof resize === 'number')
      reading = reading.resize({ width: resize, height: resize, fit: 'outside', kernel: 'linear' })
    else if (resize !== undefined)
      reading = reading.resize({ height: resize[0], width: resize[1], fit: 'fill', kernel: 'linear' } as const)
    const { data, info } = await reading
      .flatten({ background: '#000' })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return new Picture(
      new Uint8Array(data.buffer, data.byteOffset, data.length),
      info.height,
      info.width,
      info.channels,
    )
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0]?.slice(0, 300) : kindOf(error)
    throw new ValueError(op, `${path} cannot be decoded as a picture: ${why}; repair it, or leave it out`)
  }
}

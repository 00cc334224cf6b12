/** Zip archives of stored entries, read by range: as `torch.save` writes them. Format: APPNOTE.TXT of PKWARE. */
import type { InputFile } from './input.js'

/** The place of an entry's bytes in the file. */
export interface ZipEntry {
  readonly from: number
  readonly size: number
}

/** The most bytes from the end record to the end of the file, which may have a comment of any length. */
const tailBytes = 22 + 0xffff

const most = 2 ** 20

/**
 * The entries of an archive by name. Calls `fail` for an archive that is cut off, compressed or encrypted, or that has
 * a name twice. Checksums are ignored, because entries are read in parts.
 */
export async function zipEntries(
  file: InputFile,
  fail: (why: string) => never,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const { from, size, count } = await directory(file, fail)
  const bytes = await file.read('its directory', from, Uint8Array, size)
  const view = new DataView(bytes.buffer)
  const entries = new Map<string, ZipEntry>()
  let at = 0
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== 0x02014b50) fail(`its directory is damaged at entry ${i}`)
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => view.getUint16(at + field, true)) as [
      number,
      number,
      number,
    ]
    const next = at + 46 + nameLength + extraLength + commentLength
    if (next > size) fail(`its directory is cut off at entry ${i}`)
    const name = new TextDecoder('utf-8').decode(bytes.subarray(at + 46, at + 46 + nameLength))
    if (entries.has(name)) fail(`it has the entry ${JSON.stringify(name)} twice`)
    if ((view.getUint16(at + 8, true) & 1) !== 0) fail(`its entry ${JSON.stringify(name)} is encrypted`)
    if (view.getUint16(at + 10, true) !== 0)
      fail(`its entry ${JSON.stringify(name)} is compressed, but torch stores entries uncompressed`)
    const long = zip64(view, at + 46 + nameLength, extraLength, at)
    entries.set(name, await located(file, name, long, from, fail))
    at = next
  }
  return entries
}

/** Sizes and places of more than 32 bits are in an extra field, in this order. */
function zip64(
  view: DataView,
  start: number,
  length: number,
  at: number,
): { readonly size: number; readonly header: number } {
  let [size, header] = [view.getUint32(at + 24, true), view.getUint32(at + 42, true)]
  const packed = view.getUint32(at + 20, true)
  for (let field = start; field + 4 <= start + length; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) !== 1) continue
    let place = field + 4
    const end = Math.min(start + length, place + view.getUint16(field + 2, true))
    const take = (value: number) => {
      if (value !== 0xffffffff || place + 8 > end) return value
      place += 8
      return Number(view.getBigUint64(place - 8, true))
    }
    size = take(size)
    take(packed)
    header = take(header)
  }
  return { size, header }
}

async function located(
  file: InputFile,
  name: string,
  { size, header }: { readonly size: number; readonly header: number },
  end: number,
  fail: (why: string) => never,
): Promise<ZipEntry> {
  const quoted = JSON.stringify(name.slice(0, 200))
  if (header + 30 > end) return fail(`its entry ${quoted} lies outside the file`)
  const local = new DataView((await file.read('an entry', header, Uint8Array, 30)).buffer)
  if (local.getUint32(0, true) !== 0x04034b50) return fail(`its entry ${quoted} is not where the directory says`)
  const from = header + 30 + local.getUint16(26, true) + local.getUint16(28, true)
  if (from + size > end) return fail(`its entry ${quoted} is cut off`)
  return { from, size }
}

async function directory(file: InputFile, fail: (why: string) => never) {
  const start = Math.max(0, file.size - tailBytes)
  const tail = await file.read('its end', start, Uint8Array, file.size - start)
  const view = new DataView(tail.buffer)
  let at = tail.length - 22
  while (at >= 0 && view.getUint32(at, true) !== 0x06054b50) at--
  if (at < 0) return fail('it is cut off: the end of its directory is missing')
  let [count, size, from] = [
    view.getUint16(at + 10, true),
    view.getUint32(at + 12, true),
    view.getUint32(at + 16, true),
  ]
  // A 64-bit record precedes it, and a locator tells its place.
  if (at >= 20 && view.getUint32(at - 20, true) === 0x07064b50) {
    const place = Number(view.getBigUint64(at - 12, true))
    if (place + 56 > file.size) return fail('its directory lies outside the file')
    const record = new DataView((await file.read('its end', place, Uint8Array, 56)).buffer)
    if (record.getUint32(0, true) !== 0x06064b50) return fail('the end of its directory is damaged')
    ;[count, size, from] = [32, 40, 48].map((field) => Number(record.getBigUint64(field, true))) as [
      number,
      number,
      number,
    ]
  }
  if (from + size > file.size) return fail('its directory lies outside the file')
  if (count > most || count * 46 > size) return fail(`its directory has ${size} bytes, too few for ${count} entries`)
  return { from, size, count }
}

/**
 * Runs of levels and of dictionary indices are checked before hyparquet reads them, because it follows the length of
 * any run, whatever the page holds. A broken run would fill memory for minutes.
 */
import type { DataReader, PageHeader, SchemaTree } from 'hyparquet/src/types.js'

/** The functions of hyparquet that the checks use, so that both read the same. */
export interface RunReaders {
  readonly readVarInt: (reader: DataReader) => number
  readonly readRleBitPackedHybrid: (reader: DataReader, width: number, output: number[], length?: number) => void
  readonly getMaxRepetitionLevel: (path: SchemaTree[]) => number
  readonly getMaxDefinitionLevel: (path: SchemaTree[]) => number
}

/** A packed run has whole groups of eight, and some writers pad a run to 63 groups. */
const padding = 8 * 63
const mostWidth = 32

/** Throws if runs of `count` values have more of them, or end before. The reader's position stays unchanged. */
function checkRuns(read: RunReaders, { view, offset }: DataReader, width: number, count: number): void {
  if (width > mostWidth) throw new Error(`its values have ${width} bits`)
  const reader = { view, offset }
  for (let seen = 0; seen < count; ) {
    const header = read.readVarInt(reader)
    // hyparquet takes a run of 2^31 or more as negative, and endless.
    const values = header & 1 ? (header >> 1) * 8 : header >>> 1
    if (values < 0 || values > count - seen + padding)
      throw new Error(`a run has ${values >>> 0} values, but ${count - seen} are left`)
    reader.offset += header & 1 ? (values / 8) * width : (width + 7) >> 3
    seen += values
  }
}

const bitsOf = (most: number) => 32 - Math.clz32(most)

interface Page {
  readonly header: PageHeader
  /** The unpacked bytes; for a page of version 2, only its values. */
  readonly values: () => Uint8Array
  /** The bytes of the file; for a page of version 2, they contain its levels. */
  readonly bytes: Uint8Array
  readonly path: SchemaTree[]
  readonly type: string
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array) => new DataView(buffer, byteOffset, byteLength)

/** Throws if runs of a data page go beyond its values. */
export function checkPageRuns(read: RunReaders, { header, values, bytes, path, type }: Page): void {
  const { data_page_header: v1, data_page_header_v2: v2 } = header
  const data = header.type === 'DATA_PAGE' ? v1 : v2
  if (header.type === 'DICTIONARY_PAGE' || data === undefined) return
  const [repetition, definition] = [read.getMaxRepetitionLevel(path), read.getMaxDefinitionLevel(path)]
  const isPlaces = data.encoding === 'PLAIN_DICTIONARY' || data.encoding === 'RLE_DICTIONARY'
  const isRuns = isPlaces || data.encoding === 'RLE'
  if (!isRuns && repetition === 0 && definition === 0) return
  const count = data.num_values
  const isFirst = data === v1
  const page = isFirst ? { view: viewOf(values()), offset: 0 } : null
  const levels = page ?? { view: viewOf(bytes), offset: 0 }
  let nulls = v2 !== undefined && !isFirst ? v2.num_nulls : 0
  if (!(nulls >= 0 && nulls <= count)) throw new Error(`${nulls} of its ${count} values are null`)
  for (const [most, length] of [
    [repetition, v2?.repetition_levels_byte_length],
    [definition, v2?.definition_levels_byte_length],
  ] as const) {
    if (!isFirst && !((length as number) >= 0 && levels.offset + (length as number) <= levels.view.byteLength))
      throw new Error(`its levels have ${length} bytes`)
    const end = levels.offset + (length ?? 0)
    if (most > 0) {
      checkRuns(read, { view: levels.view, offset: levels.offset + (isFirst ? 4 : 0) }, bitsOf(most), count)
      if (isFirst) {
        const own = new Array<number>(count)
        read.readRleBitPackedHybrid(levels, bitsOf(most), own)
        if (most === definition) nulls = own.reduce((sum, level) => sum + (level === most ? 0 : 1), 0)
      }
    }
    if (!isFirst) levels.offset = end
  }
  if (!isRuns) return
  const reader = page ?? { view: viewOf(values()), offset: 0 }
  if (isPlaces) {
    const width = reader.view.getUint8(reader.offset++)
    if (width > 0 || !isFirst) checkRuns(read, reader, width, count - nulls)
  } else if (type === 'BOOLEAN') checkRuns(read, { view: reader.view, offset: reader.offset + 4 }, 1, count - nulls)
  else throw new Error(`its values of ${type} are runs, which only booleans are`)
}

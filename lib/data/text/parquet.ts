/**
 * Parquet files, read by the package hyparquet (MIT, 0.3 MB, no dependencies). It is an optional peer, and is loaded
 * when the first file is read.
 */
import zlib from 'node:zlib'
import type { AsyncBuffer, ColumnMetaData, Compressors, FileMetaData } from 'hyparquet'
import { isFiresteelError, kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import { askHeap, checkEntries, mostEntries } from '../../core/room.js'
import { InputFile } from '../../io/input.js'
import type { IterableDataset } from '../iterable.js'
import { type Files, type Placed, rowsOfFiles } from './files.js'
import { checkPageRuns, type RunReaders } from './parquet-runs.js'

export interface ParquetOptions {
  /** The columns to read. Others are neither read nor in the rows. Default: all. */
  readonly columns?: readonly string[]
}

/** The position of a row in its file. */
interface RowPlace {
  readonly group: number
  /** The number of the group's rows that were given. */
  readonly given: number
}

/** The heap's bytes for each value in a list, and for each row, which is an object. */
const bytesOfValue = 32

/**
 * Rows of Parquet files as records, with one row group in memory at a time. Text is text, 64-bit integers are bigints,
 * dates are Dates. The type R is not checked. Needs the package hyparquet (`npm install hyparquet`). Reads pages that
 * are uncompressed, or compressed by Snappy, gzip, Brotli and, if Node supports it, Zstandard. Throws ValueError, with
 * the file and the row group, for another file or one that is cut off. Lengths within pages are checked before
 * hyparquet follows them.
 */
export function parquet<R = { readonly [column: string]: unknown }>(
  files: Files,
  options: ParquetOptions = {},
): IterableDataset<R> {
  const op = 'parquet'
  const { columns } = checkOptions(op, options, { columns: true })
  if (columns !== undefined && !(Array.isArray(columns) && columns.every((name) => typeof name === 'string')))
    throw new ValueError(op, `columns are ${shown(columns)}, but must be names, in an array`)
  const own = columns === undefined ? undefined : [...columns]
  return rowsOfFiles(op, files, (path, from: RowPlace | null) => rowsOf<R>(op, path, own, from))
}

async function library(op: string) {
  try {
    const [hyparquet, column, page, encoding, schema, thrift] = await Promise.all([
      import('hyparquet'),
      import('hyparquet/src/column.js'),
      import('hyparquet/src/datapage.js'),
      import('hyparquet/src/encoding.js'),
      import('hyparquet/src/schema.js'),
      import('hyparquet/src/thrift.js'),
    ])
    return { ...hyparquet, ...column, ...page, ...encoding, ...schema, ...thrift }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new ValueError(op, 'needs the package hyparquet, which reads Parquet: run `npm install hyparquet`')
  }
}

/** Node's own decompressors. Each stops at the length that the file announces. */
function decompressors(): Compressors {
  const { zstdDecompressSync: zstd } = zlib as { zstdDecompressSync?: typeof zlib.gunzipSync }
  return {
    GZIP: (packed, length) => zlib.unzipSync(packed, { maxOutputLength: Math.max(1, length) }),
    BROTLI: (packed, length) => zlib.brotliDecompressSync(packed, { maxOutputLength: Math.max(1, length) }),
    ...(zstd && {
      ZSTD: (packed: Uint8Array, length: number) => zstd(packed, { maxOutputLength: Math.max(1, length) }),
    }),
  }
}

async function* rowsOf<R>(
  op: string,
  path: string,
  columns: string[] | undefined,
  from: RowPlace | null,
): AsyncGenerator<Placed<R, RowPlace>, void, void> {
  const hyparquet = await library(op)
  const { parquetMetadataAsync, parquetReadObjects } = hyparquet
  const file = await InputFile.open(op, path)
  /** An error of hyparquet, which does not know the file, with the place that was read. */
  const named = async <T>(what: string, read: () => Promise<T>): Promise<T> => {
    try {
      return await read()
    } catch (error) {
      if (isFiresteelError(error)) throw error
      const why = error instanceof Error ? error.message.slice(0, 300) : kindOf(error)
      throw new ValueError(op, `${path}: ${what} cannot be read: ${why}`)
    }
  }
  try {
    const source: AsyncBuffer = {
      byteLength: file.size,
      slice(start, end = file.size) {
        const bytes = partOf(file, start, Math.min(end, file.size))
        // hyparquet requests several pieces at once, and awaits them one after the other.
        bytes.catch(() => undefined)
        return bytes
      },
    }
    if (file.size === 0) throw new ValueError(op, `${path}: the file is empty, but must be a Parquet file`)
    const metadata = await named('the end of the file, which says what is in it,', () => parquetMetadataAsync(source))
    checkColumns(op, path, metadata, columns)
    const groups = metadata.row_groups
    if (from !== null && !(from.given <= Number(groups[from.group]?.num_rows ?? -1)))
      throw new ValueError(
        op,
        `the state is after row ${from.given} of row group ${from.group} of ${path}, which now has ${groups.length} row groups, but ` +
          'not that row; continue with the same file',
      )
    let start = 0
    for (const [group, { num_rows: count, columns: chunks }] of groups.entries()) {
      const end = start + Number(count)
      const what = `row group ${group}`
      const given = from?.group === group ? from.given : 0
      if (group >= (from?.group ?? 0)) {
        await named(what, async () => {
          if (!(Number.isSafeInteger(end) && count >= 0)) throw new Error(`it says it has ${count} rows`)
          checkEntries(
            op,
            Number(count),
            mostEntries,
            `rows are in ${what} of ${path}`,
            'write it with smaller row groups',
          )
          const advice = `write ${path} with smaller row groups`
          askHeap(
            bytesOfValue * Number(count) * ((columns?.length ?? chunks.length) + 1),
            op,
            `the rows of ${what}`,
            advice,
          )
          for (const { meta_data: chunk } of chunks)
            if (chunk && (columns?.includes(chunk.path_in_schema[0] as string) ?? true))
              await checkPages(op, file, chunk, { ...hyparquet, schema: metadata.schema })
        })
        const options = { file: source, metadata, rowStart: start, rowEnd: end, compressors: decompressors() }
        const rows = await named(what, () =>
          parquetReadObjects(columns === undefined ? options : { ...options, columns }),
        )
        if (rows.length !== Number(count))
          throw new ValueError(op, `${path}: ${what} has ${rows.length} rows, but should have ${count}`)
        for (let i = given; i < rows.length; i++) yield { row: rows[i] as R, place: { group, given: i + 1 } }
      }
      start = end
    }
  } finally {
    await file.close()
  }
}

interface Library extends RunReaders {
  readonly parquetHeader: typeof import('hyparquet/src/column.js').parquetHeader
  readonly decompressPage: typeof import('hyparquet/src/datapage.js').decompressPage
  readonly getSchemaPath: typeof import('hyparquet/src/schema.js').getSchemaPath
  readonly schema: FileMetaData['schema']
}

/**
 * Throws unless the pages of a column lie within it and have as many values as it says, and unless the runs within a
 * page have no more values than the page. hyparquet trusts these numbers, and a broken page may make it fill lists for
 * minutes.
 */
async function checkPages(
  op: string,
  file: InputFile,
  { path_in_schema, num_values, dictionary_page_offset, data_page_offset, codec, type, ...sizes }: ColumnMetaData,
  library: Library,
): Promise<void> {
  const [most, packed, unpacked] = [num_values, sizes.total_compressed_size, sizes.total_uncompressed_size].map(Number)
  const column = `column ${path_in_schema.join('.').slice(0, 80)}`
  if (!((most as number) >= 0 && (most as number) <= mostEntries)) throw new Error(`${column} has ${most} values`)
  askHeap(
    bytesOfValue * (most as number),
    op,
    `the values of ${column} in ${file.path}`,
    'write it with smaller row groups',
  )
  const start = Number(dictionary_page_offset || data_page_offset)
  const view = new DataView(await partOf(file, start, start + (packed as number)))
  const reader = { view, offset: 0 }
  const schemaPath = library.getSchemaPath([...library.schema], [...path_in_schema])
  const compressors = decompressors()
  let values = 0
  while (reader.offset < view.byteLength && values < (most as number)) {
    const header = library.parquetHeader(reader)
    const { compressed_page_size: length, uncompressed_page_size: size } = header
    const data = header.data_page_header ?? header.data_page_header_v2
    // A dictionary index takes at least one bit.
    const count = data?.num_values ?? header.dictionary_page_header?.num_values ?? 0
    values += data === undefined ? 0 : count
    const within = length >= 0 && reader.offset + length <= view.byteLength && size >= 0 && size <= (unpacked as number)
    if (
      !within ||
      !(count >= 0 && count <= (data === undefined ? 8 * size : (most as number))) ||
      values > (most as number)
    )
      throw new Error(`a page of ${column} does not fit into it: it says it has ${length} bytes and ${count} values`)
    const bytes = new Uint8Array(view.buffer, view.byteOffset + reader.offset, length)
    reader.offset += length
    const unpack = () => {
      const v2 = header.data_page_header_v2
      const levels = v2 === undefined ? 0 : v2.definition_levels_byte_length + v2.repetition_levels_byte_length
      const packed = bytes.subarray(levels)
      if (size === levels || v2?.is_compressed === false) return packed
      return library.decompressPage(packed, size - levels, codec, compressors)
    }
    try {
      checkPageRuns(library, { header, values: unpack, bytes, path: schemaPath, type })
    } catch (error) {
      throw new Error(`a page of ${column} is broken: ${error instanceof Error ? error.message : kindOf(error)}`)
    }
  }
  if (values < (most as number)) throw new Error(`${column} has ${values} values, but should have ${most}`)
}

/** The bytes of a part. A broken file may have put its bounds anywhere. */
async function partOf(file: InputFile, start: number, end: number): Promise<ArrayBuffer> {
  const from = start < 0 ? file.size + start : start
  if (!(from >= 0 && end >= from)) throw new Error(`it points at bytes ${start} to ${end} of ${file.size}`)
  const bytes = await file.read('a part', from, Uint8Array, end - from)
  return bytes.buffer as ArrayBuffer
}

function checkColumns(op: string, path: string, metadata: FileMetaData, columns: readonly string[] | undefined): void {
  const [root] = metadata.schema
  // Columns of the rows. Others are nested in these.
  const names = new Set(
    metadata.row_groups.flatMap((group) => group.columns.map((chunk) => chunk.meta_data?.path_in_schema[0])),
  )
  const missing = columns?.find((name) => names.size > 0 && !names.has(name))
  if (root === undefined || missing !== undefined)
    throw new ValueError(
      op,
      `${path} has no column ${kindOf(missing)}; there are ${[...names].slice(0, 20).join(', ')}`,
    )
}

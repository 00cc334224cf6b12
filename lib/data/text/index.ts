/** Readers: rows of files, without a whole file in memory. */
export { type CsvOptions, type CsvRow, type CsvType, csv } from './csv.js'
export type { Files } from './files.js'
export { jsonl, type LineOptions, type TextOptions, textFiles } from './lines.js'
export { NpyDataset, npy } from './npy.js'
export { type ParquetOptions, parquet } from './parquet.js'

/** The functions of Node with which the library reads and writes files. In a browser, calls of them are refused. */
import { lateFunctions, nodeModule } from '../core/host.js'

export const { closeSync, constants, existsSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } =
  nodeModule('node:fs')
export const { lstat, mkdir, open, readdir, readFile, readlink, realpath, rm, stat } = lateFunctions(
  'node:fs/promises',
  'lstat',
  'mkdir',
  'open',
  'readdir',
  'readFile',
  'readlink',
  'realpath',
  'rm',
  'stat',
)
export const { basename, dirname, isAbsolute, join, resolve, sep } = nodeModule('node:path')
export const { crc32 } = lateFunctions('node:zlib', 'crc32')
export const { randomUUID } = lateFunctions('node:crypto', 'randomUUID')
export const { platform, tmpdir } = lateFunctions('node:os', 'platform', 'tmpdir')
export const { deserialize, serialize } = lateFunctions('node:v8', 'deserialize', 'serialize')
export const { pid } = nodeModule('node:process')

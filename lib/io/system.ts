/** What of Node's modules the library reads and writes files with; in a browser calls of these are refused. */
import { nodeModule } from '../core/host.js'

export const { constants, existsSync, readSync, renameSync } = nodeModule('node:fs')
export const { lstat, mkdir, open, readdir, readFile, readlink, realpath, rm, stat } = nodeModule('node:fs/promises')
export const { basename, dirname, isAbsolute, join, sep } = nodeModule('node:path')
export const { crc32 } = nodeModule('node:zlib')
export const { pid } = nodeModule('node:process')

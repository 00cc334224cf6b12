/** The functions of Node with which the library reads and writes files. In a browser, calls of them are refused. */
import { lateFunctions, nodeModule } from '../core/host.js'

export const { constants, existsSync, readSync, renameSync, statSync } = nodeModule('node:fs')
export const { lstat, mkdir, open, readdir, readFile, readlink, realpath, rm, stat } = nodeModule('node:fs/promises')
export const { basename, dirname, isAbsolute, join, sep } = nodeModule('node:path')
export const { crc32 } = lateFunctions('node:zlib', 'crc32')
export const { pid } = nodeModule('node:process')

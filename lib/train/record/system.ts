/** The functions of Node for the record of a run. In a browser, calls of these throw. */
import { lateFunctions, nodeModule } from '../../core/host.js'

export const { Buffer } = nodeModule('node:buffer')
export const { execFileSync } = lateFunctions('node:child_process', 'execFileSync')
export const { createHash, randomBytes } = lateFunctions('node:crypto', 'createHash', 'randomBytes')
export const { constants, createReadStream, ftruncateSync, readFileSync, renameSync, rmSync, writeSync } =
  nodeModule('node:fs')
export const { copyFile, link, open, readdir, readFile, rm, stat } = lateFunctions(
  'node:fs/promises',
  'copyFile',
  'link',
  'open',
  'readdir',
  'readFile',
  'rm',
  'stat',
)
export const { availableParallelism, cpus, hostname, totalmem } = lateFunctions(
  'node:os',
  'availableParallelism',
  'cpus',
  'hostname',
  'totalmem',
)
export const { dirname, join, resolve } = nodeModule('node:path')
export const process = nodeModule('node:process')

/** The functions of Node for the record of a run. In a browser, calls of these throw. */
import { lateFunctions, nodeModule } from '../../core/host.js'

export const { Buffer } = nodeModule('node:buffer')
export const { createHash, randomBytes } = lateFunctions('node:crypto', 'createHash', 'randomBytes')
export const { constants, createReadStream, ftruncateSync, readFileSync, rmSync, writeSync } = nodeModule('node:fs')
export const { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } = nodeModule('node:fs/promises')
export const { availableParallelism, cpus, hostname, totalmem } = nodeModule('node:os')
export const { dirname, join, resolve } = nodeModule('node:path')
export const process = nodeModule('node:process')

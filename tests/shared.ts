/**
 * Tools for test files that share a process. Each begins in the folder and on the device with which the process began.
 * All other global state that it changed must be restored.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { afterAll, expect } from 'vitest'
import * as f from '../lib/index.js'

const folder = process.cwd()
const device = f.defaultDevice()
/**
 * Open files, which the garbage collector would close with a warning during the next file's tests. Linux lists them.
 */
function openFiles(): readonly string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc/self/fd')
    .map((name) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`)
      } catch {
        return ''
      }
    })
    .filter((path) => path.startsWith(tmpdir()))
    .sort()
}

const settings = () => ({
  environment: Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('FIRESTEEL_'))),
  autocast: f.matmul(f.zeros([1, 1]), f.zeros([1, 1])).dtype,
  gradients: f.zeros([1], { requiresGrad: true }).mul(2).requiresGrad,
  files: openFiles(),
  listeners: process.listenerCount('SIGINT'),
})
const before = settings()

afterAll(async () => {
  // Module.load does not await the closing of its file.
  for (let i = 0; i < 200 && openFiles().length > before.files.length; i++) await setTimeout(10)
  process.chdir(folder)
  f.setDefaultDevice(device)
  expect(settings(), 'what the file leaves behind').toEqual(before)
})

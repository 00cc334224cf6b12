/**
 * For files that share a process: each begins in the folder and on the device that the process began with, and what else it
 * changed for all must be as before.
 */
import { afterAll, expect } from 'vitest'
import * as f from '../lib/index.js'

const folder = process.cwd()
const device = f.defaultDevice()
const settings = () => ({
  environment: Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('FIRESTEEL_'))),
  autocast: f.matmul(f.zeros([1, 1]), f.zeros([1, 1])).dtype,
  gradients: f.zeros([1], { requiresGrad: true }).mul(2).requiresGrad,
  listeners: process.listenerCount('SIGINT'),
})
const before = settings()

afterAll(() => {
  process.chdir(folder)
  f.setDefaultDevice(device)
  expect(settings(), 'what the file leaves behind').toEqual(before)
})

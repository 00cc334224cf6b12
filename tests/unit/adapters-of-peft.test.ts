/** Adapters that PEFT 0.21 wrote, beside the numbers that it computed with them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { checkAdapter } from '../models/adapters.js'

const root = fileURLToPath(new URL('../models/data', import.meta.url))

afterEach(() => setDefaultDevice('cpu'))

describe.each(['cpu', 'reference'])('on %s', (device) => {
  it.each([
    ['dora-gpt2', 40],
    ['ia3-gpt2', 40],
    ['prefix-gpt2', 5],
    ['prompt-gpt2', 5],
  ])('%s', async (name, comparisons) => {
    setDefaultDevice(device)
    const path = join(root, 'adapters', name)
    const json = JSON.parse(readFileSync(join(path, 'reference.json'), 'utf8'))
    const tensors = await readSafetensors(join(path, 'reference.safetensors'))
    const { passed, faults } = await checkAdapter({ path, root, json, tensors, sampling: null })
    expect(faults).toEqual([])
    expect(passed).toBeGreaterThanOrEqual(comparisons)
  })
})

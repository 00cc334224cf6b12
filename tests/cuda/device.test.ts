/** The CUDA device over the emulator's fake driver: training, reads, failures; and the emulator's own checks. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { expectClean, fakeDriver, root, start } from './process.js'

const noDriver = { FIRESTEEL_CUDA_DRIVER: '/nowhere/libcuda.so.1' }

describe('the emulator', () => {
  it.each(['none', 'none-warp'])('lets a right kernel pass: %s', (name) => {
    const { status, stderr } = spawnSync(`${root}build/cuda/faults`, [name], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  it.each([
    ['race', 'shared memory is written, then read, by threads'],
    ['race-warp', 'shared memory is written, then read, by threads'],
    ['beyond', 'a read of 4 bytes outside of every allocation'],
    ['blocks', 'global memory is touched by two blocks, one of them writing'],
    ['misaligned', 'a misaligned load of 16 bytes'],
    ['deadlock', 'deadlock: 63 threads at a block barrier, 1 in a warp operation (__syncwarp)'],
    ['shuffle', 'a shuffle reads lane 1, which takes no part'],
  ])('tells a fault: %s', (name, text) => {
    const { status, stderr } = spawnSync(`${root}build/cuda/faults`, [name], { encoding: 'utf8' })
    expect(stderr).toContain(text)
    expect(status).toBe(3)
  })
})

describe('without a GPU', () => {
  it('says why, and leaves the other devices alone', () => {
    const { stdout, status } = start('absent.js', noDriver)
    expect(stdout).toMatch(/\[device\] 'cuda' is not available: FIRESTEEL_CUDA_DRIVER: .*\/nowhere\/libcuda\.so\.1/)
    expect(stdout).toContain('cpu 3')
    expect(status).toBe(0)
  })

  it.each([
    [{ FIRESTEEL_EMULATOR_VERSION: '12040' }, 'the NVIDIA driver is too old: it supports CUDA 12.4'],
    [{ FIRESTEEL_EMULATOR_DEVICES: '0' }, 'the NVIDIA driver finds no GPU\n'],
    [
      { FIRESTEEL_EMULATOR_DEVICES: '0', CUDA_VISIBLE_DEVICES: '-1' },
      "the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES names ('-1')\n",
    ],
  ])('tells an old driver and an empty machine: %j', (variables, reason) => {
    const { stdout } = start('absent.js', { FIRESTEEL_CUDA_DRIVER: fakeDriver, ...variables })
    expect(stdout).toContain(reason)
  })
})

describe('over the fake driver', () => {
  it("trains a network on handwritten digits with the CPU's losses", () => {
    expectClean('digits.js')
  }, 300_000)

  it("does the bench's small workloads with the CPU's losses", () => {
    expect(expectClean('compare.js')).toBe('7 workloads\n')
  }, 300_000)

  it('moves tensors, computes, differentiates, and names the kernels that it lacks', () => {
    expectClean('tensors.js')
  }, 300_000)

  it('computes on several GPUs, and says which there are and who else holds their memory', () => {
    expectClean('several.js', {
      FIRESTEEL_EMULATOR_DEVICES: '2',
      FIRESTEEL_EMULATOR_MEMORY: '100000000',
      FIRESTEEL_EMULATOR_OTHERS: '60000000',
      CUDA_VISIBLE_DEVICES: '3,MIG-7',
    })
  }, 60_000)

  it('replays passes to the bits of those that are called, on memory that is theirs, and refuses what varies', () => {
    expectClean('graph.js')
    expectClean('graph.js', { FIRESTEEL_EMULATOR_CHECK: '1', FIRESTEEL_EMULATOR_ORDER: 'reverse' })
  }, 60_000)

  it('replays whole steps of every optimiser to the bits of those that are called, and refuses what cannot be', () => {
    expectClean('graph-steps.js')
  }, 240_000)

  it.each(['open', 'fail'])(
    'reads without holding up the event loop, behind a kernel of hours that comes to: %s',
    (end) => {
      const folder = mkdtempSync(join(tmpdir(), 'firesteel-'))
      const variables = { FIRESTEEL_CUDA_DRIVER: fakeDriver, FIRESTEEL_EMULATOR_GATE: join(folder, 'gate') }
      const { status, signal, stderr } = start('slow.js', variables, [end])
      rmSync(folder, { recursive: true })
      expect({ status, signal }, stderr).toEqual({ status: 0, signal: null })
    },
    300_000,
  )

  it.each(['allocate', 'launch', 'address'])(
    'gives a typed error where the GPU fails, and the process lives: %s',
    (what) => {
      const { status, stdout, stderr } = start('failures.js', { FIRESTEEL_CUDA_DRIVER: fakeDriver }, [what])
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      expect(stdout).toBe(`${what}: told\n`)
    },
    300_000,
  )

  it('frees what is garbage, without turns of the event loop', () => {
    expectClean('memory.js', { FIRESTEEL_EMULATOR_MEMORY: '900000000' })
  }, 300_000)
})

/** A folder of checkpoints that vanishes, or refuses files, in the middle of a fit. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { manualSeed, nn, optim, randn, Trainer, ValueError } from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const folders: string[] = []
const fresh = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-vanishing-'))
  folders.push(made)
  return join(made, 'run')
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

/** A run of steps with a checkpoint after each; `at` is called after a step and before its checkpoint. */
function made(folder: string, at: (step: number) => void = () => {}) {
  manualSeed(3)
  const model = new nn.Linear(4, 2)
  const rows = [[randn([8, 4]), randn([8, 2])] as const]
  const trainer = new Trainer(model, {
    optimizer: new optim.Adam(model.parameters(), { lr: 0.1 }),
    loss: nn.functional.mseLoss,
    checkpoints: { folder, every: 1 },
    callbacks: [{ onStep: (_step, { model: { training } }) => (training ? at(++steps) : undefined) }],
  })
  let steps = 0
  const train = async (epochs: number, resume?: 'auto') => {
    const history = await trainer.fit(rows, { epochs, progress: false, ...(resume && { resume }) })
    // Warnings are emitted in a later turn.
    await new Promise((resolve) => setImmediate(resolve))
    return history
  }
  return { train, weights: () => [...model.weight.dataSync()] }
}

const whole = async (epochs: number) => {
  const { train, weights } = made(fresh())
  await train(epochs)
  return weights()
}

const names = (folder: string) => readdirSync(join(folder, 'checkpoints')).map((name) => Number(/\d+/.exec(name)?.[0]))

/** Puts a file in the folder's place, so that it cannot be made anew. */
function block(folder: string): void {
  rmSync(folder, { recursive: true })
  writeFileSync(folder, '')
}

describe('a folder of checkpoints', () => {
  it('that is deleted during a fit is made anew', async () => {
    const folder = fresh()
    const { train } = made(folder, (step) => step === 4 && rmSync(folder, { recursive: true }))
    expect((await train(6)).stopped).toBeNull()
    expect(names(folder).sort()).toEqual([4, 5, 6])
    const again = made(folder)
    await again.train(8, 'auto')
    expect(again.weights()).toEqual(await whole(8))
    takeOutput()
  })

  it('that is made anew during a fit is held again, so that no other fit begins in it', async () => {
    const folder = fresh()
    const locks: (string | null)[] = []
    const lock = join(folder, 'run.lock')
    const { train } = made(folder, (step) => {
      locks.push(existsSync(lock) ? readFileSync(lock, 'utf8') : null)
      if (step === 3) rmSync(folder, { recursive: true })
    })
    await train(6)
    expect(locks[0]).not.toBeNull()
    expect(locks.slice(4)).toEqual([locks[0], locks[0]])
    expect(readdirSync(folder)).toEqual(['checkpoints'])
    takeOutput()
  })

  it('that another run has taken since it was made anew gets no more checkpoints, and this is told', async () => {
    const folder = fresh()
    const other = JSON.stringify({ pid: process.ppid, host: hostname(), began: null, taken: Date.now(), id: 'other' })
    const { train } = made(folder, (step) => {
      if (step !== 3) return
      rmSync(folder, { recursive: true })
      mkdirSync(folder)
      writeFileSync(join(folder, 'run.lock'), other)
    })
    expect((await train(5)).stopped).toBeNull()
    const [told, last] = takeOutput()
    expect(told).toContain(`another run has ${folder}: process ${process.ppid}, since `)
    expect(told).toContain('the training goes on without the checkpoint of step ')
    const [, elsewhere = ''] = /lacks the last checkpoint, of step 5, which is in (\S+) instead/.exec(last ?? '') ?? []
    folders.push(elsewhere)
    expect(names(elsewhere)).toEqual([5])
    expect(names(folder)).toEqual([])
    expect(readFileSync(join(folder, 'run.lock'), 'utf8')).toBe(other)
  })

  it('that refuses files for a while does not end the fit, and this is told once', async () => {
    const folder = fresh()
    const { train, weights } = made(folder, (step) => {
      if (step === 3) block(folder)
      if (step === 7) rmSync(folder)
    })
    expect((await train(8)).stopped).toBeNull()
    expect(takeOutput()).toEqual([
      // The checkpoint of the step before may still be on its way.
      expect.stringMatching(
        /\[Trainer\.fit\] cannot .*run.*; the training goes on without the checkpoint of step [23], and tries the next/,
      ),
      expect.stringMatching(/run\/checkpoints takes checkpoints again, from step [67]; it lacks [345]$/),
    ])
    expect(names(folder)).toEqual(expect.arrayContaining([7, 8]))
    expect(weights()).toEqual(await whole(8))
  })

  it('that is gone at the end leaves the last checkpoint elsewhere, from which the run goes on', async () => {
    const folder = fresh()
    const { train, weights } = made(folder, (step) => step === 3 && block(folder))
    expect((await train(5)).stopped).toBeNull()
    expect(weights()).toEqual(await whole(5))
    const [, last] = takeOutput()
    const [, elsewhere = ''] = /lacks the last checkpoint, of step 5, which is in (\S+) instead/.exec(last ?? '') ?? []
    expect(existsSync(elsewhere)).toBe(true)
    folders.push(elsewhere)
    const again = made(elsewhere)
    await again.train(7, 'auto')
    expect(again.weights()).toEqual(await whole(7))
  })

  it('that never took one is an error', async () => {
    const folder = fresh()
    const { train } = made(folder, (step) => step === 1 && block(folder))
    const training = train(5)
    await expect(training).rejects.toThrow(ValueError)
    await expect(training).rejects.toThrow(/cannot make the folder .*run\/checkpoints/)
  })
})

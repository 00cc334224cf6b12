/** Fits that go on from a checkpoint and would not do what the program asks for. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type Callback, type FitOptions, nn, ones, optim, Trainer, zeros } from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-misuse-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

const batches = Array.from({ length: 4 }, () => [ones([2, 1]), zeros([2, 1])] as const)

/** A fit of a small model, in epochs of four steps. */
function train(where: string, options: FitOptions<(typeof batches)[number]>, callbacks: readonly Callback[] = []) {
  const model = new nn.Linear(1, 1)
  const trainer = new Trainer(model, {
    optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
    loss: nn.functional.mseLoss,
    callbacks,
    checkpoints: { folder: where, every: 1 },
  })
  return trainer.fit(batches, { progress: false, ...options })
}

const warnings = async () => {
  await new Promise((resolve) => setImmediate(resolve))
  return takeOutput()
}

describe('a fit that is resumed', () => {
  it('with fewer steps or epochs than it has taken is refused, and one with as many ends at once', async () => {
    const where = folder()
    let taken = 0
    const count: Callback = {
      onStep: () => {
        taken++
      },
    }
    await train(where, { steps: 10 }, [count])
    const again = (end: object) => train(where, { ...end, resume: 'auto' }, [count])
    await expect(again({ steps: 8 })).rejects.toThrow(
      "[Trainer.fit] steps is 8, but the run's checkpoint is after 10 steps, and steps count from the beginning of the run; give at least 10",
    )
    await expect(again({ epochs: 2 })).rejects.toThrow(
      "epochs is 2, but the run's checkpoint is in epoch 3 or after it",
    )
    await again({ steps: 10 })
    expect(taken).toBe(10)
    await again({ epochs: 3 })
    expect(taken).toBe(12)
  })
})

describe('a callback without a state', () => {
  class Counter implements Callback {
    seen = 0
    readonly losses: number[] = []
    started = false
    readonly name = 'counter'

    onStart() {
      this.started = true
    }

    onStep() {
      this.seen++
      this.losses.push(this.seen)
    }
  }

  it('is told of once, by its fields that change', async () => {
    await train(folder(), { epochs: 2 }, [{ onStep() {} }, new Counter()])
    expect(await warnings()).toEqual([
      expect.stringMatching(
        /\[Trainer\.fit\] callback 1, a Counter, changes its seen, losses, but has no stateDict\(\) and loadStateDict\(\)/,
      ),
    ])
  })

  it('is not told of if no field changes, if it has a state, or without checkpoints', async () => {
    const stateful = Object.assign(new Counter(), { stateDict: () => null, loadStateDict: () => {} })
    class Still implements Callback {
      #seen = 0
      readonly name = 'still'

      onStep() {
        this.#seen++
      }

      get count() {
        return this.#seen
      }
    }
    await train(folder(), { epochs: 1 }, [stateful, new Still()])
    expect(await warnings()).toEqual([])
  })
})

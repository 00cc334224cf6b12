/** Trainings that a signal ends while they wait, and the limits of a loop that a program writes itself. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { manualSeed, nn, optim, randint, randn, type Tensor, Trainer, type TrainerOptions } from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-end-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

function made(options: Partial<TrainerOptions> = {}) {
  manualSeed(3)
  const model = new nn.Linear(4, 3)
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, ...(options as object) })
  const batches = Array.from({ length: 4 }, () => [randn([2, 4]), randint(0, 3, [2])] as const)
  return { model, trainer, batches }
}

const quiet = { progress: false } as const

/** The first few batches, and then an endless wait, which is aborted. */
function stuck<B>(batches: readonly B[], count: number, abort: AbortController) {
  return async function* () {
    yield* batches.slice(0, count)
    setTimeout(() => abort.abort('enough'), 5)
    await new Promise(() => {})
  }
}

describe('a signal ends a wait for a batch that never comes', () => {
  it.each([0, 2])('in training, behind %i steps', async (count) => {
    const { trainer, batches } = made()
    const abort = new AbortController()
    const history = await trainer.fit(stuck(batches, count, abort), { ...quiet, signal: abort.signal })
    expect(history.stopped).toBe('aborted: enough')
    // The Trainer can run another fit.
    expect((await trainer.fit(batches, quiet)).epochs).toHaveLength(1)
  })

  it('in an evaluation, a prediction, a validation and the steps of a loop', async () => {
    const { trainer, batches } = made()
    const waits: readonly ((
      signal: AbortSignal,
      data: () => AsyncIterable<readonly [Tensor, Tensor]>,
    ) => Promise<unknown>)[] = [
      (signal, data) => trainer.evaluate(data, { signal }),
      async (signal, data) => {
        for await (const output of trainer.predict(data, { signal })) output.dispose()
      },
      async (signal, data) => {
        for await (const _step of trainer.steps(data, { signal })) void _step
      },
    ]
    for (const wait of waits) {
      const abort = new AbortController()
      await expect(wait(abort.signal, stuck(batches, 1, abort))).rejects.toBe('enough')
    }
    const abort = new AbortController()
    const validation = stuck(batches, 1, abort)
    expect((await trainer.fit(batches, { ...quiet, validation, signal: abort.signal })).stopped).toBe('aborted: enough')
  })

  it('with a checkpoint, from which the run goes on as if it had never been cut', async () => {
    const weights = (model: nn.Linear) => [...model.weight.dataSync()]
    const whole = made()
    await whole.trainer.fit(whole.batches, quiet)
    const where = folder()
    const checkpoints = { folder: where, every: 100 }
    const first = made({ checkpoints })
    const abort = new AbortController()
    const history = await first.trainer.fit(stuck(first.batches, 2, abort), { ...quiet, signal: abort.signal })
    expect(history.stopped).toBe('aborted: enough')
    expect(readdirSync(join(where, 'checkpoints'))).toEqual(['step-0000000002.safetensors'])
    const second = made({ checkpoints })
    await second.trainer.fit(() => second.batches, { ...quiet, resume: 'auto' })
    expect(weights(second.model)).toEqual(weights(whole.model))
  })

  it('within the batches of one step there is nothing to save', async () => {
    const where = folder()
    const { trainer, batches } = made({ checkpoints: { folder: where, every: 100 }, accumulate: 2 })
    const abort = new AbortController()
    await trainer.fit(stuck(batches, 3, abort), { ...quiet, signal: abort.signal })
    expect(existsSync(join(where, 'checkpoints'))).toBe(false)
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput().join()).toContain('so no checkpoint was written')
  })
})

describe('losses that count nothing', () => {
  it('are told of once, with their number', async () => {
    const { model, batches } = made()
    const empty = (every: boolean) =>
      new Trainer(model, {
        optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
        step: ([x, y]: readonly [Tensor, Tensor]) => {
          const none = every || x === batches[0]?.[0]
          return { total: nn.functional.crossEntropy(model.forward(x), y, { reduction: 'sum' }), count: none ? 0 : 2 }
        },
      })
    // One of several parts may be empty.
    expect((await empty(false).fit(batches, quiet)).epochs[0]?.loss).toBeGreaterThan(0)
    const none = await empty(true).evaluate(batches)
    expect(none.loss).toBeNaN()
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput().join()).toContain(
      '[Trainer.evaluate] the loss counted nothing in all 4 batches, so its mean is NaN',
    )
  })
})

it.each([
  [{ callbacks: [{}] }, 'callbacks'],
  [{ run: 'a' }, 'run'],
  [{ checkpoints: { folder: 'a' }, callbacks: [{}] }, 'callbacks and checkpoints'],
  [{ loggers: [{ log() {} }] }, 'loggers'],
])('steps refuses what it would pass over: %o', async (options, names) => {
  const { trainer, batches } = made(options)
  await expect(trainer.steps(batches).next()).rejects.toThrow(`[Trainer.steps] ${names} would be ignored; call fit`)
})

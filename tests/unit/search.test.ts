/**
 * Searches: the draws, the trials that continue, and that an interrupted search finds the same as an uninterrupted one.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const made: string[] = []
function fresh(): string {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-search-'))
  made.push(folder)
  return join(folder, 'search')
}
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const space = {
  lr: f.logUniform(1e-5, 1e-2),
  width: f.choice(64, 128, 256),
  depth: f.integer(1, 3),
  p: f.uniform(0, 0.5),
}
const table = (study: f.Study<unknown>) => study.trials.map(({ seconds: _, ...rest }) => rest)
const warnings = async () => {
  await new Promise((resolve) => setImmediate(resolve))
  return takeOutput().join('\n')
}

describe('a space', () => {
  it('draws values of the types and ranges that it names', async () => {
    const seen: { lr: number; width: 64 | 128 | 256; depth: number; p: number }[] = []
    await f.search(fresh(), { space, trials: 200, minimise: 'loss', seed: 3 }, (settings) => {
      const { lr, width, depth, p } = settings
      seen.push({ lr, width, depth, p })
      return lr
    })
    expect(new Set(seen.map(({ width }) => width))).toEqual(new Set([64, 128, 256]))
    expect(new Set(seen.map(({ depth }) => depth))).toEqual(new Set([1, 2, 3]))
    for (const { lr, p } of seen) {
      expect(lr >= 1e-5 && lr <= 1e-2).toBe(true)
      expect(p >= 0 && p < 0.5).toBe(true)
    }
    // Half of the learning rates lie below the middle of the logarithms, whereas a uniform draw would put 3 of 100
    // there.
    const low = seen.filter(({ lr }) => lr < Math.sqrt(1e-5 * 1e-2)).length
    expect(low).toBeGreaterThan(75)
    expect(low).toBeLessThan(125)
  })

  it('as a grid gives every point once, in order', async () => {
    const points: string[] = []
    const study = await f.search(
      fresh(),
      { space: { a: f.choice('x', null), b: f.integer(1, 3) }, method: 'grid', maximise: 'score' },
      ({ a, b }) => {
        points.push(`${a}${b}`)
        return a === null ? b : -b
      },
    )
    expect(points).toEqual(['x1', 'x2', 'x3', 'null1', 'null2', 'null3'])
    expect(study.top(2)).toEqual([
      { trial: 5, value: 3, epochs: 1, a: null, b: 3 },
      { trial: 4, value: 2, epochs: 1, a: null, b: 2 },
    ])
  })

  it.each([
    [() => f.choice(), /^\[choice\] needs values to choose from/],
    [() => f.choice(1, 1), /has the number 1 twice|has 1 twice/],
    [() => f.choice(Number.NaN), /value 1 is NaN/],
    [() => f.uniform(1, 1), /^\[uniform\] needs finite numbers low < high, but low is 1 and high is 1/],
    [() => f.logUniform(0, 1), /^\[logUniform\] needs positive numbers low < high/],
    [() => f.integer(0.5, 3), /^\[integer\] needs whole numbers low < high/],
  ])('%s is refused', (make, message) => expect(make).toThrow(message))
})

describe('a search', () => {
  const halving = { epochs: [1, 3, 9] }

  it('lets the best third go on, and ranks later rungs first', async () => {
    const runs: string[] = []
    const study = await f.search(
      fresh(),
      { space: { x: f.uniform(0, 1) }, trials: 10, maximise: 'score', halving },
      ({ x }, trial) => {
        runs.push(`${trial.rung}:${trial.number}:${trial.epochs}`)
        return x
      },
    )
    const counts = [0, 1, 2].map((rung) => runs.filter((run) => run.startsWith(`${rung}:`)).length)
    // 10 / 3 and 4 / 3, rounded up.
    expect(counts).toEqual([10, 4, 2])
    const order = [...study.trials].sort((a, b) => (b.value as number) - (a.value as number)).map(({ trial }) => trial)
    expect(study.top(10).map(({ trial }) => trial)).toEqual(order)
    expect(study.top(3).map(({ epochs }) => epochs)).toEqual([9, 9, 3])
    expect(study.best?.trial).toBe(order[0])
  })

  it('finds the same after a cut at any line and within one', async () => {
    const whole = fresh()
    let fails = 0
    const run = async ({ lr, width }: { lr: number; width: number }, trial: f.Trial) => {
      if (trial.number === 1) {
        fails++
        throw new Error('out of luck')
      }
      // Draws of the default generator belong to the trial, wherever the search began.
      return Math.log(lr) + width / 256 + f.rand([1]).item()
    }
    const options = { space, trials: 6, minimise: 'validation.loss', halving, seed: 7 } as const
    const expected = await f.search(whole, options, run)
    expect(await warnings()).toMatch(/\[search\] 1 of 6 trials failed; the first, trial 1: Error: out of luck/)
    expect(fails).toBe(1)
    const text = readFileSync(join(whole, 'trials.jsonl'), 'utf8')
    const lines = text.split('\n')
    expect(lines.length).toBe(6 + 2 + 1 + 1)
    for (let line = 0; line < lines.length; line += 2)
      for (const rest of [0, 20]) {
        const cut = fresh()
        cpSync(whole, cut, { recursive: true })
        const at = lines.slice(0, line).join('\n').length + (line === 0 ? 0 : 1) + rest
        writeFileSync(join(cut, 'trials.jsonl'), text.slice(0, at))
        expect(table(await f.search(cut, options, run))).toEqual(table(expected))
      }
    takeOutput()
    await warnings()
    expect(table(await f.search(whole, { ...options, trials: 7 }, run)).length).toBe(7)
    await warnings()
  })

  it('goes on after SIGKILL', async () => {
    const folder = fresh()
    const mark = `${folder}.mark`
    const script = fileURLToPath(new URL('./search-until-killed.mjs', import.meta.url))
    const killed = spawnSync(process.execPath, ['--import', 'tsx', script, folder, mark])
    expect([killed.signal, existsSync(mark)]).toEqual(['SIGKILL', true])
    const options = { space: { x: f.uniform(0, 1) }, trials: 5, minimise: 'loss' } as const
    const ran: number[] = []
    const run = ({ x }: { x: number }, { number }: f.Trial) => {
      ran.push(number)
      return x + f.rand([1]).item()
    }
    const study = await f.search(folder, options, run)
    expect(ran).toEqual([2, 3, 4])
    expect(table(study)).toEqual(table(await f.search(fresh(), options, run)))
  })

  it('puts the default generator back', async () => {
    f.manualSeed(5)
    const next = f.rand([2]).toArray()
    f.manualSeed(5)
    await f.search(fresh(), { space, trials: 2, minimise: 'loss' }, () => f.rand([1]).item())
    expect(f.rand([2]).toArray()).toEqual(next)
  })

  it('records what throws, is not finite, or gives no number', async () => {
    const results = [1, Number.NaN, 'x', { epochs: [] }, { epochs: [{ loss: Number.NaN }] }, { epochs: [{ loss: 3 }] }]
    const study = await f.search(
      fresh(),
      { space: { i: f.integer(0, 5) }, method: 'grid', minimise: 'loss' },
      ({ i }) => results[i] as number,
    )
    expect(study.trials.map(({ state, value }) => [state, value])).toEqual([
      ['done', 1],
      ...Array(4).fill(['failed', null]),
      ['done', 3],
    ])
    expect(study.failed).toBe(4)
    expect(study.trials.map(({ reason }) => reason)).toEqual([
      null,
      'the trial gave NaN, but must give a finite number, or the history of a fit',
      "the trial gave 'x', but must give a finite number, or the history of a fit",
      'the history has no epochs',
      'loss of the last epoch is NaN',
      null,
    ])
    await warnings()
  })

  it('ends with its signal, and goes on later', async () => {
    const folder = fresh()
    const options = { space, trials: 4, minimise: 'loss' } as const
    const abort = new AbortController()
    const cut = await f.search(folder, { ...options, signal: abort.signal }, ({ lr }, { number, signal }) => {
      if (number === 2) abort.abort('enough')
      return signal.aborted ? -1 : lr
    })
    expect([cut.stopped, cut.trials.length]).toEqual(['aborted: enough', 2])
    const whole = await f.search(folder, options, ({ lr }) => lr)
    expect([whole.stopped, whole.trials.length, whole.failed]).toEqual([null, 4, 0])
    await expect(f.search(folder, { ...options, signal: abort.signal }, () => 1)).rejects.toBe('enough')
  })

  it.each([3, 4, 5])('prunes by the median once four trials came before (%i good ones)', async (good) => {
    const asked: number[] = []
    const study = await f.search(
      fresh(),
      { space: { i: f.integer(0, good) }, method: 'grid', minimise: 'loss', epochs: 3, prune: 'median' },
      ({ i }, trial) => {
        let value = 0
        for (let epoch = 1; epoch <= 3; epoch++) {
          value = i === good ? 9 : i / 10 + 1 / epoch
          asked.push(i)
          if (!trial.report(epoch, value)) break
        }
        return value
      },
    )
    const isPruned = good >= 4
    expect(study.trials.at(-1)?.state).toBe(isPruned ? 'pruned' : 'done')
    expect(asked.filter((i) => i === good).length).toBe(isPruned ? 1 : 3)
    if (isPruned) expect(study.trials.at(-1)?.reason).toMatch(/^loss was 9 at best after epoch 1, and the median of/)
  })

  it('drives a Trainer: epochs, pruning of NaN, checkpoints that later rungs go on from', async () => {
    f.manualSeed(1)
    const x = f.rand([8, 3])
    const batches = [[x, x.sum(1, { keepdim: true }).detach()] as const]
    const steps: number[] = []
    const study = await f.search(
      fresh(),
      {
        space: { lr: f.choice(0.01, 0.1, 1e30) },
        method: 'grid',
        minimise: 'validation.loss',
        halving: { epochs: [2, 4] },
      },
      async ({ lr }, trial) => {
        const model = new f.nn.Linear(3, 1)
        const trainer = new f.Trainer(model, {
          optimizer: new f.optim.SGD(model.parameters(), { lr }),
          loss: f.mseLoss,
          callbacks: [trial, { onStep: ({ step }) => void steps.push(step) }],
          checkpoints: { folder: trial.folder },
        })
        return trainer.fit(batches, {
          ...{ epochs: trial.epochs, validation: batches, signal: trial.signal, resume: 'auto', progress: false },
        })
      },
    )
    expect(study.trials.map(({ state, epochs }) => [state, epochs])).toEqual([
      ['done', 4],
      ['done', 4],
      ['pruned', 2],
    ])
    expect(study.trials[2]?.reason).toMatch(/^validation.loss was (NaN|Infinity) after epoch/)
    expect(study.best?.values).toEqual({ lr: 0.1 })
    // The second rung did not start from the beginning.
    expect(study.trials[1]?.curve.map(([epoch]) => epoch)).toEqual([1, 2, 3, 4])
    expect(steps.slice(-4)).toEqual([2, 3, 2, 3])
    expect(await warnings()).not.toContain('starts from the beginning')
  })

  it('names the numbers there are where the Trainer has another one', async () => {
    const study = await f.search(
      fresh(),
      { space: { lr: f.choice(0.1) }, method: 'grid', maximise: 'validation.f1' },
      ({ lr }, trial) => {
        const model = new f.nn.Linear(3, 1)
        const optimizer = new f.optim.SGD(model.parameters(), { lr })
        const trainer = new f.Trainer(model, { optimizer, loss: f.mseLoss, callbacks: [trial] })
        return trainer.fit([[f.rand([2, 3]), f.rand([2, 1])]], { progress: false })
      },
    )
    expect(study.trials[0]?.reason).toMatch(/there is no 'validation.f1' to search for, but only loss, lr/)
    expect(await warnings()).toContain('1 of 1 trials failed')
  })

  const plain = { space, trials: 2, minimise: 'loss' }
  it.each<[RegExp, object]>([
    [/needs exactly one goal/, { ...plain, maximise: 'loss' }],
    [/minimise is 3/, { ...plain, minimise: 3 }],
    [/trials is 0, but must be a whole number from 1 to 10000/, { ...plain, trials: 0 }],
    [/trials is 10001/, { ...plain, trials: 10_001 }],
    [/space.lr is logUniform, which has no list of values/, { ...plain, method: 'grid', trials: undefined }],
    [/space is an object, but must name settings/, { ...plain, space: {} }],
    [/space.lr is 0.1, but must be choice/, { ...plain, space: { lr: 0.1 } }],
    [/a setting value, which is already a column/, { ...plain, space: { value: f.choice(1) } }],
    [/halving.epochs is \[3, 3\], but must be increasing positive integers/, { ...plain, halving: { epochs: [3, 3] } }],
    [/leave epochs out/, { ...plain, halving, epochs: 3 }],
    [/there is no option trails/, { ...plain, trails: 2 }],
    [/seed is -1/, { ...plain, seed: -1 }],
    [/has 10100 points/, { minimise: 'loss', method: 'grid', space: { a: f.integer(1, 101), b: f.integer(1, 100) } }],
  ])('says %s', async (message, options) => {
    await expect(f.search(fresh(), options as never, () => 1)).rejects.toThrow(message)
  })

  it('refuses a folder of another search, a spoilt line, and a folder in use', async () => {
    const folder = fresh()
    const options = { space: { x: f.uniform(0, 1) }, trials: 2, minimise: 'loss' } as const
    await f.search(folder, options, async ({ x }) => {
      await expect(f.search(folder, options, () => 1)).rejects.toThrow(/another run has .*: this process/)
      return x
    })
    await expect(f.search(folder, { ...options, seed: 1 }, () => 1)).rejects.toThrow(
      /has a search whose seed is 0, but is now 1; name another folder, or remove this one/,
    )
    await expect(f.search(folder, { ...options, space: { x: f.uniform(0, 2) } }, () => 1)).rejects.toThrow(
      /whose space is/,
    )
    writeFileSync(join(folder, 'trials.jsonl'), '{"trial": 0}\n')
    await expect(f.search(folder, options, () => 1)).rejects.toThrow(/trials.jsonl, line 1, is not a record of a trial/)
  })
})

it('a study is saved as a page without scripts, escaped, and as JSON', async () => {
  const folder = fresh()
  const study = await f.search(
    folder,
    { space: { '<b>&': f.choice('<script>', 'b'), lr: f.logUniform(1e-5, 1e-2) }, trials: 4, maximise: 'score' },
    ({ lr }, { number }) => {
      if (number === 3) throw new Error('<i>no</i>')
      return lr
    },
  )
  await warnings()
  await study.save(join(folder, 'study.html'))
  const html = readFileSync(join(folder, 'study.html'), 'utf8')
  expect(html).not.toMatch(/<script|<b>|<i>|src=|href=/)
  expect(html).toContain('&lt;i&gt;no&lt;/i&gt;')
  expect(html.match(/<circle/g)?.length).toBe(6)
  expect(html).not.toMatch(/NaN|undefined/)
  await study.save(join(folder, 'study.json'))
  const json = JSON.parse(readFileSync(join(folder, 'study.json'), 'utf8')) as { trials: object[] }
  expect(json.trials.length).toBe(4)
  expect(String(study)).toMatch(/^Study \{ most score: 4 trials, 1 failed, 0 pruned\n {2}score .* trial \d, 1 epochs/)
  await expect(study.save('study.txt')).rejects.toThrow('must end in .html or .json')
  expect(() => study.top(0)).toThrow('n is 0, but must be a positive integer')
})

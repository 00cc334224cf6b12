/** Small work under noGrad beside work that waits in the queue: see native/core/overtaking.h. */
import { afterEach, describe, expect, it } from 'vitest'
import { nn, noGrad, optim, scope, type Tensor, tensor, zeros } from '../../lib/index.js'
import { devices } from '../suites/support.js'

for (const device of devices.filter((it) => it.kind === 'cpu' && it.name === 'cpu')) {
  describe(`beside a busy queue on ${device.name}`, () => {
    afterEach(() => device.synchronize())

    /** Keeps the queue busy for some tens of milliseconds; the result is 0 everywhere. */
    function busy(): { readonly result: Tensor; readonly state: { over: boolean } } {
      const big = zeros([900, 900], { device })
      let result: Tensor = big
      for (let i = 0; i < 6; i++) result = result.matmul(big)
      const state = { over: false }
      void result
        .sum()
        .data()
        .then(() => {
          state.over = true
        })
      return { result, state }
    }

    function model() {
      return new nn.Sequential(new nn.Linear(8, 16, { device }), new nn.Tanh(), new nn.Linear(16, 4, { device }))
    }

    const rows = Float32Array.from({ length: 8 }, (_, i) => Math.sin(i))

    it('answers a prediction first, with the same bits', async () => {
      const served = model()
      const predict = () => noGrad(() => served.forward(tensor(rows, { device }).reshape([1, 8]))).data()
      const alone = await predict()
      device.synchronize()
      const { state } = busy()
      const beside = await predict()
      expect(state.over).toBe(false)
      expect(beside).toEqual(alone)
    })

    it('lets a prediction wait for the steps before it, and steps for the predictions before them', async () => {
      const learned = new nn.Linear(8, 4, { device })
      noGrad(() => {
        for (const parameter of learned.parameters()) parameter.fill_(1)
      })
      const optimizer = new optim.SGD(learned.parameters(), { lr: 1 })
      const ones = zeros([1, 8], { device }).add(1)
      device.synchronize()
      const { result } = busy()
      const predict = () => noGrad(() => learned.forward(ones).sum()).data()
      const seen: number[] = []
      for (let step = 0; step < 3; step++) {
        const before = predict()
        // These are gradients of 1, which wait for the busy work.
        scope(() => {
          for (const parameter of learned.parameters()) parameter.add(result.sum()).sum().backward()
          optimizer.step()
          optimizer.zeroGrad()
        })
        seen.push((await before)[0] as number, (await predict())[0] as number)
      }
      expect(seen).toEqual([36, 0, 0, -36, -36, -72])
    })

    it('keeps what a late call reads although it is freed, and its handle serves again', async () => {
      const ready = tensor(rows, { device })
      device.synchronize()
      const { result, state } = busy()
      const early = noGrad(() => ready.add(1))
      const late = early.mul(result.sum().add(2))
      early.dispose()
      for (let i = 0; i < 50; i++) noGrad(() => ready.mul(i)).dispose()
      expect(state.over).toBe(false)
      expect(await late.data()).toEqual(rows.map((x) => Math.fround(Math.fround(x + 1) * 2)))
    })

    it('leaves to the queue what records a graph, and what is long', async () => {
      const weight = tensor(rows, { device, requiresGrad: true })
      const long = zeros([1 << 20], { device })
      device.synchronize()
      for (const call of [() => weight.mul(2), () => noGrad(() => long.add(1))]) {
        const { state } = busy()
        await call().data()
        expect(state.over).toBe(true)
      }
    })
  })
}

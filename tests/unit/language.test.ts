/** Tensors and JavaScript itself: its operators, JSON, copies to other threads, printing, and the results of scopes. */
import { inspect } from 'node:util'
import v8 from 'node:v8'
import vm from 'node:vm'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('a tensor on %s', (device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))
  const live = () => f.memory(device).tensors

  it('is not cloned, sent or written as JSON, alone or within something else', () => {
    const x = f.ones([2], { requiresGrad: true })
    const freed = f.ones([1])
    freed.dispose()
    const { port1 } = new MessageChannel()
    for (const value of [x, f.mul(x, 2), [x], { x }, new Map([[1, x]]), freed, f.device(device)]) {
      for (const copy of [() => structuredClone(value), () => port1.postMessage(value), () => v8.serialize(value)])
        expect(copy).toThrow(
          /\[structuredClone\] a tensor is in memory of a device, .* send its dataSync\(\) and shape/,
        )
      if (!(value instanceof Map) && value !== f.device(device))
        expect(() => JSON.stringify(value)).toThrow(/^\[JSON.stringify\] .*toArray\(\)/)
    }
    // A module's own refusal tells what to send instead.
    const layer = new f.nn.Linear(2, 2)
    expect(() => structuredClone(layer)).toThrow(/\[structuredClone\] a module .* save\(\)/)
    expect(() => structuredClone(f.device(device))).toThrow(DOMException)
    // Code that only looks through a module, as a scope does with its result, meets no error.
    expect(f.scope(() => ({ layer, inner: [f.device(device)] })).layer).toBe(layer)
    expect(() => JSON.stringify(layer)).toThrow(f.ValueError)
    port1.close()
    expect(() => JSON.stringify({ loss: f.ones([]) })).toThrow(f.ValueError)
    expect(JSON.stringify({ loss: f.ones([]).item(), shape: x.shape })).toBe('{"loss":1,"shape":[2]}')
  })

  it('has a device that is printed, compared and written as JSON all the same', () => {
    const own = f.device(device)
    expect(inspect(own)).toContain('uncloneable: Uncloneable')
    expect(JSON.parse(JSON.stringify(own))).toMatchObject({ name: device })
    expect(JSON.stringify(own)).not.toContain('uncloneable')
  })

  it('refuses the operators of numbers, and is text where text is wanted', () => {
    const x = f.tensor(3) as unknown as number
    const y = f.tensor(4) as unknown as number
    const numeric = [() => x * 2, () => x < 4, () => +x, () => Math.max(x, 1), () => -x]
    // These would join texts, or compare with one.
    const joining = [
      () => x + y,
      () => x + 1,
      () => [x, ' is the loss'].reduce((a, b) => (a as number) + (b as number)),
      // biome-ignore lint/suspicious/noDoubleEquals: it is what programs may write.
      () => x == 3,
    ]
    for (const use of [...numeric, ...joining]) {
      expect(use).toThrow(f.ValueError)
      expect(use).toThrow(/^\[Tensor\] JavaScript's operators .* use add\(\).* item\(\)/)
    }
    expect([x == null, [x].includes(y)]).toEqual([false, false])
    expect(() => expect(x).toBe(y)).toThrow(/Object\.is/)
    expect([x, y].join()).toContain('3.')
    expect(String(x)).toContain('3.')
    expect(`${x}`).toBe(`3.\nTensor [] float32 on ${device}`)
    expect(`is ${x}`).toContain('is 3.')
    expect(inspect([x])).toContain('Tensor []')
  })

  it('is printed and read without leaving copies behind, in a scope or not', () => {
    const all = [f.ones([2, 3]).transpose(0, 1), f.ones([4], { dtype: 'bfloat16' }), f.ones([1]).expand([5])]
    const count = live()
    for (const x of all) expect([x.toString(), inspect(x), x.toArray(), x.dataSync()]).toHaveLength(4)
    expect(live()).toBe(count)
    f.scope(() => {
      const x = f.mul(f.ones([2]), 3)
      expect(inspect(x)).toContain('[3., 3.]')
      expect(x.toArray()).toEqual([3, 3])
    })
    expect(live()).toBe(count)
  })

  it('arrives by data() though the copy that is read is freed', async () => {
    const x = f.arange(0, 300_000, 1, { dtype: 'float32' })
    const [half, turned] = [f.mul(x, 0).add(1.5).to('bfloat16'), x.view([2, 150_000]).transpose(0, 1)]
    const count = live()
    const reads = [half.data(), turned.data()] as const
    expect(live()).toBe(count)
    const [halves, numbers] = await Promise.all(reads)
    expect(halves.every((value) => value === 1.5)).toBe(true)
    expect(numbers.every((value, i) => value === (i >> 1) + (i & 1) * 150_000)).toBe(true)
  })

  it('that was freed says so by the name of what was called, and prints all the same', async () => {
    const x = f.ones([1])
    x.dispose()
    expect(inspect([x])).toContain('Tensor (freed)')
    expect(() => x.dataSync()).toThrow(/^\[dataSync\] .*freed/)
    expect(() => x.toArray()).toThrow(/^\[toArray\] .*freed/)
    expect(() => x.item()).toThrow(/^\[item\] .*freed/)
    await expect(x.data()).rejects.toThrow(/^\[data\] .*freed/)
    expect(() => f.ones([2]).item()).toThrow(/^\[item\] .*\[2\].*toArray\(\)/)
  })

  it('prints when it is empty, of one element, not finite, or of many dimensions', () => {
    const printed = (x: f.Tensor) => x.toString().split('\nTensor')[0]
    expect(printed(f.zeros([0]))).toBe('[]')
    expect(printed(f.zeros([2, 0]))).toBe('[[],\n []]')
    expect(printed(f.zeros([]))).toBe('0.')
    expect(printed(f.tensor([Number.NaN, Infinity, -1]))).toBe('[     NaN, Infinity,      -1.]')
    expect(printed(f.tensor([true, false]))).toBe('[ true, false]')
    expect(printed(f.zeros([2, 2, 2, 2, 2, 7, 7, 7]).add(0.25))?.match(/0\.2500/g)).toHaveLength(32 * 216)
    expect(printed(f.zeros([7, 7, 7, 7, 7, 7, 7]))?.match(/0\./g)).toHaveLength(6 ** 7)
  })

  it('is found by scope however deep it is, also in keys, and in arrays of another realm', () => {
    const deep = f.scope(() => {
      let list: unknown = [f.full([1], 7)]
      for (let i = 0; i < 20_000; i++) list = [list]
      return { list }
    })
    let at: unknown = deep.list
    while (Array.isArray(at)) at = at[0]
    expect((at as f.Tensor).item()).toBe(7)
    const [[key]] = f.scope(() => new Map([[f.full([1], 8), 1]])) as unknown as [[f.Tensor]]
    expect(key.item()).toBe(8)
    const make = vm.runInNewContext('(x, y) => ({ list: [x], map: new Map([[1, new Set([y])]]) })') as (
      ...x: f.Tensor[]
    ) => { list: f.Tensor[]; map: Map<number, Set<f.Tensor>> }
    const { list, map } = f.scope(() => make(f.full([1], 9), f.full([1], 10)))
    expect([list[0]?.item(), [...(map.get(1) ?? [])][0]?.item()]).toEqual([9, 10])
    const cyclic = f.scope(() => {
      const object: { x: f.Tensor; self?: object } = { x: f.full([1], 11) }
      object.self = object
      return object
    })
    expect(cyclic.x.item()).toBe(11)
  })

  it('scopes and modes refuse what runs after them: promises, thenables, generators', () => {
    const wrong: readonly (readonly [() => unknown, string])[] = [
      [() => Promise.resolve(1), 'promise'],
      [async () => 1, 'promise'],
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tried
      [() => ({ then: () => undefined }), 'promise'],
      [() => vm.runInNewContext('Promise.resolve(1)'), 'promise'],
      [
        function* () {
          yield 1
        },
        'generator',
      ],
      [
        async function* () {
          yield 1
        },
        'generator',
      ],
    ]
    const count = live()
    for (const [fn, kind] of wrong) {
      for (const [op, use] of [
        ['scope', f.scope],
        ['noGrad', f.noGrad],
        ['enableGrad', f.enableGrad],
        ['autocast', (run: () => unknown) => f.autocast('bfloat16', run)],
      ] as const) {
        expect(() => use(fn)).toThrow(f.ValueError)
        expect(() => use(fn)).toThrow(new RegExp(`^\\[${op}\\] the function returned a ${kind}`))
        expect(() => use(5 as never)).toThrow(`[${op}] needs a function to run, but got the number 5`)
      }
      expect(f.isGradEnabled()).toBe(true)
    }
    expect(() =>
      f.scope(() => {
        f.ones([3])
        return Promise.resolve(1)
      }),
    ).toThrow(f.ValueError)
    expect(live()).toBe(count)
    expect(() => f.keep(5 as never)).toThrow(/^\[keep\]/)
  })
})

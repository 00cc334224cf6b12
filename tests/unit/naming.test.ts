/** Names when a state is loaded: how they map to another model's names, and which are left out. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  full,
  loadTensors,
  nn,
  openTensors,
  StateDictError,
  saveTensors,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-naming-'))
const at = (name: string) => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true }))

class Net extends nn.Module {
  body = new nn.Linear(2, 3)
  head = new nn.Linear(3, 2)
  forward(x: Tensor): Tensor {
    return this.head.forward(this.body.forward(x))
  }
}

const state = (names: { readonly [name: string]: readonly number[] }, value = 7) =>
  new Map(Object.entries(names).map(([name, shape]) => [name, full(shape, value) as Tensor]))
const ones = (x: Tensor) => new Set(x.detach().dataSync())
const other = {
  'module.backbone.weight': [3, 2],
  'module.backbone.bias': [3],
  'module.fc.weight': [5, 3],
  'module.fc.bias': [5],
}

/** The names come from a file, and from a map in memory. */
const ways: readonly (readonly [
  string,
  (model: nn.Module, from: ReadonlyMap<string, Tensor>, options: nn.LoadOptions) => Promise<nn.LoadResult>,
])[] = [
  [
    'load',
    async (model, from, options) => {
      await saveTensors(at('state.safetensors'), from)
      return model.load(at('state.safetensors'), options)
    },
  ],
  ['loadStateDict', async (model, from, options) => model.loadStateDict(from, options)],
]

describe.each(ways)('%s', (op, load) => {
  const refused = async (from: ReadonlyMap<string, Tensor>, options: nn.LoadOptions): Promise<string> => {
    const model = new Net()
    const before = model.body.weight.toArray()
    const error = await load(model, from, options).then(
      () => null,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(StateDictError)
    expect(model.body.weight.toArray()).toEqual(before)
    return String(error)
  }

  it('takes names by a table, a Map or a function', async () => {
    const rename = { 'module.backbone': 'body', module: '' }
    const byFunction = (name: string) => name.replace(/^module\./, '').replace('backbone', 'body')
    for (const given of [rename, new Map(Object.entries(rename)), byFunction]) {
      const model = new Net()
      const before = model.head.weight.toArray()
      const result = await load(model, state(other), { rename: given, exclude: ['head', 'fc'] })
      expect(result.missing).toEqual([])
      expect(result.unexpected).toEqual([])
      expect([...result.excluded].sort()).toEqual(['fc.bias', 'fc.weight', 'head.bias', 'head.weight'])
      expect([ones(model.body.weight), ones(model.body.bias as Tensor)]).toEqual([new Set([7]), new Set([7])])
      expect(model.head.weight.toArray()).toEqual(before)
    }
  })

  it('puts all names into a module, or one name in the place of another', async () => {
    const inner = state({ weight: [3, 2], bias: [3] })
    const model = new Net()
    const result = await load(model, inner, { rename: { '': 'body' }, exclude: /^head\./ })
    expect(result).toEqual({ missing: [], unexpected: [], excluded: ['head.weight', 'head.bias'] })
    expect(ones(model.body.weight)).toEqual(new Set([7]))
    const both = new Map([...state({ 'body.weight': [3, 2], 'head.bias': [2], 'head.w': [2, 3] }), ['b', full([3], 2)]])
    await load(model, both as Map<string, Tensor>, { rename: { b: 'body.bias', 'head.w': 'head.weight' } })
    expect([ones(model.body.bias as Tensor), ones(model.head.weight)]).toEqual([new Set([2]), new Set([7])])
  })

  it('says what was missing, unexpected and excluded, by the spelling of model or state', async () => {
    const given = state({ 'enc.weight': [3, 2], 'extra.x': [1], 'skip.y': [1], 'skipped.z': [1] })
    const result = await load(new Net(), given, {
      strict: false,
      rename: { enc: 'body', extra: 'more' },
      exclude: ['skip', /bias$/g],
    })
    expect(result).toEqual({
      missing: ['head.weight'],
      unexpected: ['extra.x', 'skipped.z'],
      excluded: ['body.bias', 'head.bias', 'skip.y'],
    })
    expect(await refused(given, { rename: { enc: 'body', extra: 'more' }, exclude: 'head' })).toContain(`[${op}]`)
    expect(await refused(given, { rename: { enc: 'body', extra: 'more' }, exclude: 'head' })).toMatch(
      /4 mismatches:\n {2}missing: body\.bias\n {2}unexpected: more\.x \(extra\.x in the state\)\n {2}unexpected: skip\.y\n/,
    )
  })

  it('refuses shapes by name, loose or not, and names that become one or fit nothing', async () => {
    const given = state(other)
    const rename = { 'module.backbone': 'body', 'module.fc': 'head' }
    for (const strict of [true, false])
      expect(await refused(given, { strict, rename })).toMatch(
        /2 mismatches:\n {2}head\.weight \(module\.fc\.weight in the state\) is \[5, 3\], but must be \[2, 3\]\n {2}head\.bias \(/,
      )
    expect(await refused(given, { strict: false, rename: { 'module.backbone': 'a', 'module.fc': 'a' } })).toContain(
      'module.backbone.weight and module.fc.weight are both renamed a.weight',
    )
    expect(await refused(given, { strict: false, rename: { backbone: 'body' }, exclude: ['haed', /^x/] })).toMatch(
      /rename has 'backbone', but the state has no such name\n.*exclude has 'haed', but neither .*\n.*exclude has \/\^x\/, but/,
    )
  })

  it('refuses options that are none', async () => {
    const wrong: readonly (readonly [object, string])[] = [
      [{ rename: 3 }, `[${op}] rename is the number 3, but must be a function, or an object or a Map of names`],
      [{ rename: { a: 3 } }, `[${op}] rename maps 'a' to 3, but both must be names`],
      [{ rename: () => undefined }, `[${op}] rename gave undefined for module.backbone.weight, but must give a name`],
      [{ exclude: 3 }, `[${op}] exclude has 3, but must hold names and patterns`],
      [{ exclude: [''] }, `[${op}] exclude has '', but must hold names and patterns`],
    ]
    for (const [options, text] of wrong) {
      const loading = load(new Net(), state(other), options as nn.LoadOptions)
      await expect(loading, text).rejects.toThrow(ValueError)
      await expect(load(new Net(), state(other), options as nn.LoadOptions)).rejects.toThrow(text)
    }
  })
})

it("a class's own loadStateDict gets the model's names", async () => {
  const seen: (readonly [string[], nn.LoadOptions])[] = []
  class Own extends Net {
    override loadStateDict(given: ReadonlyMap<string, Tensor>, options: nn.LoadOptions): nn.LoadResult {
      seen.push([[...given.keys()], options])
      return super.loadStateDict(given, options)
    }
  }
  await saveTensors(at('own'), state({ 'enc.weight': [3, 2], 'enc.bias': [3] }))
  const model = new Own()
  await model.load(at('own'), { rename: { enc: 'body' }, exclude: 'head' })
  expect(seen).toEqual([[['body.weight', 'body.bias'], { exclude: 'head' }]])
  expect(ones(model.body.weight)).toEqual(new Set([7]))
  await expect(model.load(at('own'), { rename: () => 'body.weight' })).rejects.toThrow('are both renamed body.weight')
})

describe('files of tensors', () => {
  it('are written from maps and objects, with metadata, and read whole or in part', async () => {
    const [x, y] = [tensor([1, 2]), tensor([[3]], { dtype: 'int32' })]
    await saveTensors(at('two'), { x, y }, { metadata: { made: 'here' } })
    const all = await loadTensors(at('two'))
    expect([...all].map(([name, t]) => [name, t.dtype, t.toArray()]).sort()).toEqual([
      ['x', 'float32', [1, 2]],
      ['y', 'int32', [[3]]],
    ])
    const source = await openTensors(at('two'))
    expect(source.metadata?.get('made')).toBe('here')
    const part = await loadTensors(source, { names: ['y'], device: 'reference' })
    expect([[...part.keys()], part.get('y')?.device.name]).toEqual([['y'], 'reference'])
    // The file stays open for the program that opened it.
    expect((await source.read('x')).shape).toEqual([2])
    await source.close()
  })

  it('refuse what is no such thing', async () => {
    await saveTensors(at('one'), new Map([['x', zeros([1])]]))
    const fails = async (call: Promise<unknown>, text: string) => {
      await expect(call).rejects.toThrow(text)
    }
    await fails(loadTensors(at('one'), { names: ['y', 'x'] }), `[loadTensors] ${at('one')} has no tensor ['y']; it has`)
    await fails(loadTensors(at('one'), { names: 'x' as never }), "[loadTensors] names are 'x', but must be a list")
    await fails(saveTensors(at('no'), [zeros([1])] as never), '[saveTensors] the tensors are an array, but must be')
    await fails(saveTensors(at('no'), { x: 3 } as never), "[saveTensors] 'x' must be a tensor")
    await fails(saveTensors(at('no'), {}, { metadata: { a: 3 } as never }), '[saveTensors]')
    await fails(saveTensors(at('no'), {}, { metadata: 3 as never }), '[saveTensors] metadata are the number 3')
    await expect(loadTensors(at('no'))).rejects.toThrow('[loadTensors] cannot read')
  })
})

/** Configs of the command line: their values, and the places of their faults. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { loadConfig, loadFinetune } from '../../lib/cli/config/config.js'
import { jsonSchemas } from '../../lib/cli/config/json-schema.js'
import { pretrainSchema } from '../../lib/cli/config/schema.js'
import { Places } from '../../lib/cli/data/rows.js'
import { UsageError } from '../../lib/cli/exit.js'
import { distance, nearest } from '../../lib/core/nearest.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const good = `model: ./model
method: { lora: { rank: 16 } }
data: { file: chats.jsonl, validation: 0.05 }
train: { epochs: 2, lr: 2e-4, schedule: { cosine: { warmup: 0.03 } } }
output: runs/first
`

function written(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

async function refused(text: string, { name = 'c.yaml', set = [] as string[] } = {}): Promise<string> {
  const error = await loadFinetune(written(name, text), set).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(UsageError)
  return (error as Error).message.replaceAll(`${folder}/`, '')
}

describe('a config', () => {
  const expected = {
    model: './model',
    method: { lora: { rank: 16 } },
    data: { file: 'chats.jsonl', validation: 0.05 },
    train: { epochs: 2, lr: 2e-4, schedule: { cosine: { warmup: 0.03 } } },
    output: 'runs/first',
  }

  it('is read from YAML, JSON and modules alike', async () => {
    expect((await loadFinetune(written('good.yaml', good))).config).toEqual(expected)
    expect((await loadFinetune(written('good.json', JSON.stringify(expected)))).config).toEqual(expected)
    const module = written('good.mjs', `export default ${JSON.stringify(expected)}`)
    expect((await loadFinetune(module)).config).toEqual(expected)
  })

  it('resolves its paths from its own folder', async () => {
    const { resolve } = await loadFinetune(written('good.yaml', good))
    expect(resolve('./model')).toBe(join(folder, 'model'))
    expect(resolve('/model')).toBe('/model')
  })

  it('is changed by --set, whose values are YAML, through tables that are not there yet', async () => {
    const set = ['train.lr=1e-3', 'method.lora.rank=4', 'data.columns.text=review', 'train.checkpoints.every=5 minutes']
    const { config } = await loadFinetune(written('good.yaml', good), set)
    expect(config.train?.lr).toBe(1e-3)
    expect(config.train?.epochs).toBe(2)
    expect(config.method).toEqual({ lora: { rank: 4 } })
    expect(config.data.columns).toEqual({ text: 'review' })
    expect(config.train?.checkpoints).toEqual({ every: '5 minutes' })
    const { config: other } = await loadFinetune(written('full.yaml', good.replace(/method: .*/, 'method: full')), [
      'method.lora.rank=4',
    ])
    expect(other.method).toEqual({ lora: { rank: 4 } })
  })
})

describe('anchors of YAML', () => {
  const anchored = good.replace('train: { epochs', 'train: &all { epochs')

  it('repeat a value, and lend a table their entries', async () => {
    const text = `model: &place ./model
tokenizer: *place
data: { file: chats.jsonl }
train:
  <<: { epochs: 2, lr: 1e-3 }
  lr: 1e-4
output: runs/first
`
    const { config } = await loadFinetune(written('anchors.yaml', text))
    expect([config.tokenizer, config.train]).toEqual(['./model', { epochs: 2, lr: 1e-4 }])
  })

  it('keep their other entries where --set changes one, and change nowhere else', async () => {
    const text = `${anchored.replace(/method: .*/, 'method: { gradual: &rates { decay: 0.5, everyEpochs: 2 } }')}`
    const twice = text.replace('output:', 'replay: *rates\noutput:')
    const error = await refused(twice, { set: ['replay.decay=-1'] })
    expect(error).toContain("there is no 'everyEpochs' in replay")
    expect(error).not.toContain('method')
  })

  it("stand in keys of the user's own, which begin with x- or a full stop and are no part of the config", async () => {
    const text = `x-rates: &rates { lr: 1e-3, epochs: 2 }
.place: &place ./model
model: *place
data: { file: chats.jsonl }
train: { <<: *rates }
output: runs/first
`
    const { config } = await loadFinetune(written('own.yaml', text))
    expect(config).toEqual({
      model: './model',
      data: { file: 'chats.jsonl' },
      train: { lr: 1e-3, epochs: 2 },
      output: 'runs/first',
    })
    const { config: changed } = await loadFinetune(written('own.yaml', text), ['x-rates.lr=1e-4'])
    expect(changed.train?.lr).toBe(1e-4)
    expect(await refused(text.replace('x-rates:', 'xrates:'))).toMatch(/^c\.yaml:1:1: there is no 'xrates'/)
    expect(await refused(text.replace('<<:', 'x-lr: 1, <<:'))).toMatch(/^c\.yaml:5:10: there is no 'x-lr' in train/)
  })

  it('that no value before bears are refused with their place', async () => {
    expect(await refused(good.replace('./model', '*nobody'))).toBe(
      'c.yaml:1:8: *nobody repeats a value, but no value before it is named &nobody; name one, or write the value out',
    )
  })
})

describe('a wrong config', () => {
  it('names line, column, the nearest key and all keys there are', async () => {
    expect(await refused(good.replace('epochs', 'ephocs'))).toMatch(
      /^c\.yaml:4:10: there is no 'ephocs' in train; did you mean 'epochs'\? there are epochs, steps, /,
    )
    expect(await refused(good.replace('rank', 'r_ank'))).toMatch(
      /^c\.yaml:2:19: .* in method\.lora; did you mean 'rank'\?/,
    )
    expect(await refused(good.replace('cosine', 'cosin'))).toMatch(/^c\.yaml:4:43: .*did you mean 'cosine'\?/)
    expect(await refused(good.replace('warmup', 'warm'))).toContain(
      "c.yaml:4:53: there is no 'warm' in train.schedule.cosine",
    )
    expect(await refused(`${good}datta: 1\n`)).toMatch(/^c\.yaml:6:1: there is no 'datta'; did you mean 'data'\?/)
    expect(await refused(`${good}zzzzz: 1\n`)).toMatch(
      /^c\.yaml:6:1: there is no 'zzzzz'; there are model, tokenizer, /,
    )
  })

  it('names the value and what it must be, one below, at and above limits', async () => {
    expect(await refused(good.replace('2e-4', 'fast'))).toBe(
      "c.yaml:4:25: train.lr is 'fast', but must be a positive number: the learning rate (default 2e-5 where all weights learn, 3e-3 for ia3 and prompt, 6e-4 in pre-training, else 2e-4)",
    )
    for (const [text, line] of [
      ['epochs: 0', 'train.epochs is 0'],
      ['epochs: 1.5', 'train.epochs is 1.5'],
      ['epochs: "2"', "train.epochs is '2'"],
    ] as const)
      expect(await refused(good.replace('epochs: 2', text))).toContain(
        `c.yaml:4:18: ${line}, but must be a whole number of at least 1`,
      )
    await loadFinetune(written('c.yaml', good.replace('epochs: 2', 'epochs: 1')))
    expect(await refused(good.replace('rank: 16', 'dropout: 1'))).toContain(
      'method.lora.dropout is 1, but must be a number from 0 to below 1',
    )
    await loadFinetune(written('c.yaml', good.replace('rank: 16', 'dropout: 0.999')))
    expect(await refused(good.replace('file: chats.jsonl', 'file: chats.jsonl, maxLength: 1'))).toContain(
      'data.maxLength is 1',
    )
    await loadFinetune(written('c.yaml', good.replace('file: chats.jsonl', 'file: chats.jsonl, maxLength: 2')))
    expect(await refused(good.replace(/method: .*/, 'method: lora'))).toContain(
      "method is 'lora', but must be 'full' (default), 'head', 'bitfit', or a table of one: { full: { freezeNorms: true } }, ",
    )
    expect(await refused(good.replace('epochs: 2', 'memory: lots'))).toContain(
      "train.memory is 'lots', but must be a number of bytes, or a text such as '8 GB'",
    )
    for (const every of ['soon', '0 minutes', '0.0 hours', '0', '1.5'])
      expect(await refused(good.replace('epochs: 2', `checkpoints: { every: ${every} }`))).toMatch(
        /^c\.yaml:4:32: train\.checkpoints\.every is .*, but must be a number of steps of at least 1, or a time above 0/,
      )
    for (const every of ['1', '0.01 minutes'])
      await loadFinetune(written('c.yaml', good.replace('epochs: 2', `checkpoints: { every: ${every} }`)))
    expect(await refused(good.replace('epochs: 2', 'memory: 0 GB'))).toContain("train.memory is '0 GB', but must be")
    await loadFinetune(written('c.yaml', good.replace('epochs: 2', 'memory: 0.5 GB')))
  })

  it('names what is missing, and lists all faults at once', async () => {
    const message = await refused(good.replace('model: ./model\n', '').replace('2e-4', '-1'))
    expect(message.split('\n')).toHaveLength(2)
    expect(message).toContain('model is missing; it must be a path: a Hugging Face folder with config.json and weights')
    expect(await refused(good.replace('file: chats.jsonl, ', ''))).toContain(
      'c.yaml:3:1: data.file is missing in data; it must be a path or pattern',
    )
    expect(await refused('- 1\n')).toContain('the config is [1], but must be a table with model, data and output')
    expect(await refused('')).toContain('c.yaml is empty')
  })

  it('says where text is no YAML or JSON', async () => {
    expect(await refused(good.replace('output', '\toutput'))).toMatch(/^c\.yaml:5:1: this is not valid YAML/)
    expect(await refused(`${good}model: x\n`)).toContain(
      'c.yaml:6:1: this is not valid YAML: the same key stands in this table twice',
    )
    expect(await refused('{"model": 1,}', { name: 'c.json' })).toMatch(/^c\.json:1:13: this is not valid JSON/)
    expect(await refused(`a: &a [*a]\n${good}`)).toMatch(/c\.yaml/)
    expect(await refused(`a: *nobody\n${good}`)).toMatch(/^c\.yaml/)
  })

  it('says where it is nested too deep, before the parser ends at it', async () => {
    const tooDeep = 'tables and lists are nested more than 64 levels deep'
    for (const [open, close] of [
      ['[', ']'],
      ['{ a: ', '}'],
      ['- ', ''],
      ['? ', ''],
    ] as const) {
      const nested = (levels: number) => `b:\n  ${open.repeat(levels)}1${close.repeat(levels)}\n`
      expect(await refused(`a: 1\n${nested(3000)}`)).toMatch(new RegExp(`^c\\.yaml:3:\\d+: ${tooDeep}`))
      // One level is the config itself, and one its values.
      expect(await refused(nested(60))).not.toContain(tooDeep)
      expect(await refused(nested(66))).toContain(tooDeep)
    }
    const block = (levels: number) => Array.from({ length: levels }, (_, i) => `${' '.repeat(i)}a:\n`).join('')
    expect(await refused(block(70))).toMatch(new RegExp(`^c\\.yaml:6\\d:6\\d: ${tooDeep}`))
    expect(await refused(`${'["'.repeat(3)}${'[{'.repeat(99)}`)).not.toContain(tooDeep)
    const twice = `a: &a ${'['.repeat(40)}1${']'.repeat(40)}\nb: ${'['.repeat(40)}*a${']'.repeat(40)}\n`
    expect(await refused(twice)).toMatch(new RegExp(`^c\\.yaml:\\d+:\\d+: ${tooDeep}`))
    const chain = Array.from({ length: 100 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}]\n`)
    expect(await refused(`a0: &a0 [1]\n${chain.join('')}`)).toContain(
      'aliases are nested in aliases too often; write the values out',
    )
    expect(await refused('{"a": '.repeat(3000) + '}'.repeat(3000), { name: 'c.json' })).toContain(tooDeep)
    expect(
      await refused('export default ((a) => { for (let i = 0; i < 3000; i++) a = { a }; return a })(1)', {
        name: 'deep.mjs',
      }),
    ).toContain(tooDeep)
    for (const set of [`${'a.'.repeat(5000)}a=1`, `a=${'['.repeat(3000)}`])
      expect(await refused(good, { set: [set] })).toMatch(new RegExp(`^--set .{80}\\.\\.\\.: ${tooDeep}`))
  })

  it('of another command is told so, with the folder of its model', async () => {
    const pretrain = 'tokenizer: ./t\nmodel: ./m\ncorpus: { file: a.txt, folder: s }\noutput: runs/tiny\n'
    const ofPretrain =
      "c.yaml:3:1: corpus stands in a config of `firesteel pretrain`, but this command takes one of `firesteel finetune`, with data; name another config, or give generate or embed the folder of the run's model, runs/tiny/model"
    expect(await refused(pretrain)).toBe(ofPretrain)
    const table = pretrain.replace('corpus:', 'table:')
    expect(await refused(table)).toBe(
      ofPretrain
        .replace('corpus', 'table')
        .replace(/, or give .*/, "; loadTableAutoEncoder of firesteel/pretrain opens the run's model runs/tiny/model"),
    )
    const error = await loadConfig(written('c.yaml', good), [], pretrainSchema).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toContain(
      'c.yaml:3:1: data stands in a config of `firesteel finetune`, but this command takes one of `firesteel pretrain`, with corpus or table; name another config',
    )
    // Where both stand, neither is the one that is meant.
    expect(await refused(`${good}corpus: 1\n`)).toContain("there is no 'corpus'")
  })

  it('that is empty is told so, in YAML and in JSON', async () => {
    for (const [name, text] of [
      ['c.yaml', ''],
      ['c.yaml', '# nothing\n'],
      ['c.json', '\n'],
    ] as const)
      expect(await refused(text, { name })).toBe(`${name} is empty; \`firesteel init\` writes a first config`)
  })

  it('that is not there is told with its path, and what lies near', async () => {
    written('near.yaml', good)
    const missing = (name: string) => loadFinetune(join(folder, name)).then(String, (error: Error) => error)
    for (const [name, ...says] of [
      ['naer.yaml', "there is no such config; did you mean 'near.yaml'?", 'firesteel init'],
      ['qqqqqqqq.yaml', 'there is no such config; ', ' more; '],
      ['nowhere/near.yaml', 'nor the folder', 'give the path of a config'],
      ['near.yaml/near.yaml', 'there is no such config'],
    ] as const) {
      const error = (await missing(name)) as Error
      expect(error).toBeInstanceOf(UsageError)
      expect(error.message.startsWith(join(folder, name))).toBe(true)
      for (const each of says) expect(error.message).toContain(each)
    }
  })

  it('says that a fault comes from --set, and refuses assignments that are none', async () => {
    expect(await refused(good, { set: ['train.lr=fast'] })).toMatch(/^--set train\.lr: train\.lr is 'fast'/)
    expect(await refused(good, { set: ['train.rl=1'] })).toMatch(
      /^--set train\.rl: there is no 'rl' in train; did you mean 'lr'\?/,
    )
    for (const set of ['train.lr', '=1', 'a..b=1', 'train.lr=[1', 'model=!!x y'])
      expect(await refused(good, { set: [set] })).toContain(`--set ${set}`)
    expect(await refused(good, { set: ['__proto__.x=1'] })).toContain("there is no '__proto__'")
  })

  it('refuses modules that export none, and files that are no configs by their names', async () => {
    expect(await refused('export const a = 1', { name: 'a.mjs' })).toContain('has no default export')
    expect(await refused('throw new Error("no")', { name: 'b.mjs' })).toContain('cannot be loaded: no')
    expect(await refused('export default { model: 5 }', { name: 'd.mjs' })).toContain(
      'd.mjs: model is 5, but must be a path',
    )
    for (const [name, value, says] of [
      ['nan', '{ train: { steps: 0 / 0 } }', 'train.steps is NaN'],
      ['function', '{ method: () => 1 }', 'method is a function, but a config holds plain data'],
      ['called', '() => ({})', 'the default export is a function, but must be an object of options'],
      ['promise', 'Promise.resolve({})', 'the default export is a promise'],
      ['inner', '{ data: Promise.resolve({}) }', 'data is a promise, but a config holds plain data; write await'],
      [
        'map',
        '{ train: new Map() }',
        'train is an object of the class Map, but a config holds plain data; give a list or a table',
      ],
      ['big', '{ train: { seed: 1n } }', 'train.seed is the bigint 1n'],
      ['circle', '((a) => { a.data = a; return a })({})', 'data contains itself'],
    ] as const)
      expect(await refused(`export default ${value}`, { name: `${name}.mjs` })).toContain(`${name}.mjs: ${says}`)
    const shared =
      'const a = { lr: undefined }; export default { model: "./m", data: { file: "a.txt" }, train: a, output: "o" }'
    expect((await loadFinetune(written('left-out.mjs', shared))).config.train).toEqual({})
    expect(await refused(good, { name: 'c.toml' })).toContain('c.toml is not named like a config')
    await expect(loadFinetune(folder)).rejects.toThrow('is a folder')
    await expect(loadFinetune(join(folder, 'nobody.yaml'))).rejects.toThrow('nobody.yaml')
  })
})

it('names that are near are found, others are not', () => {
  expect(distance('epochs', 'ephocs')).toBe(2)
  expect(distance('lr', 'rl')).toBe(1)
  expect(distance('', 'abc')).toBe(3)
  expect(nearest('batch_size', ['batchSize', 'epochs'])).toBe('batchSize')
  expect(nearest('learningrate', ['lr', 'epochs'])).toBeNull()
})

it('the files of schema/ are those of the schemas; npx tsx scripts/schema.ts writes them', () => {
  for (const [name, text] of Object.entries(jsonSchemas()))
    expect(readFileSync(fileURLToPath(new URL(`../../schema/${name}`, import.meta.url)), 'utf8')).toBe(text)
})

it('places of rows are known by number, whatever files and however many', () => {
  const places = new Places()
  const wanted: string[] = []
  // The list grows at 1,024 rows.
  for (const [path, count, isLine] of [
    ['a.csv', 1023, true],
    ['b.parquet', 2, false],
    ['c.jsonl', 3, true],
  ] as const)
    for (let number = 2; number < count + 2; number++) {
      places.add({ path, number, isLine })
      wanted.push(isLine ? `${path}:${number}` : `${path}, row ${number}`)
    }
  expect(wanted.map((_, i) => places.at(i))).toEqual(wanted)
  expect([places.length, places.at(-1), places.at(1028), places.at(Number.NaN)]).toEqual([
    1028,
    undefined,
    undefined,
    undefined,
  ])
})

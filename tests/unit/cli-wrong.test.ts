/**
 * Wrong configs and wrong data. Each is refused with its place, its value and advice, before anything is trained or
 * written.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { chatRow, chatRows, configYaml, encoderModel, modelFolder, workplace } from './cli-finetune.js'

let folder: string

beforeAll(async () => {
  folder = await workplace()
  await modelFolder(join(folder, 'small'), { vocab_size: 300 })
  writeFileSync(join(folder, 'unknown.json'), '{}')
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  writeFileSync(join(folder, 'config.yaml'), configYaml)
  writeFileSync(join(folder, 'rows.jsonl'), chatRows(20).join('\n'))
})

async function refused(args: readonly string[] = []): Promise<string> {
  const error = await finetuneCommand([join(folder, 'config.yaml'), ...args]).then(
    (code) => new Error(`not refused: ${code}`),
    (thrown: unknown) => thrown as Error,
  )
  expect(exitCodeOf(error), error.message).toBe(2)
  expect(existsSync(join(folder, 'runs')), error.message).toBe(false)
  return error.message.replaceAll(`${folder}/`, '')
}

/** A change of the config, and the parts of the message: place, value and remedy. */
const configs: readonly (readonly [what: string, from: string | RegExp, to: string, ...says: string[]])[] = [
  ['a misspelt key', 'epochs', 'ephocs', 'config.yaml:7:3', "'ephocs'", "did you mean 'epochs'?"],
  ['a text for a number', '5e-3', 'fast', 'config.yaml:8:7', "'fast'", 'a positive number'],
  ['no data', /data:\n.*\n.*\n/, '', 'data is missing', 'such as { file: chats.jsonl'],
  ['a tab', '  epochs', '\tepochs', 'config.yaml:7:1', 'a tab', 'use spaces'],
  ['a key twice', 'train:', 'model: x\ntrain:', 'config.yaml:6:1', 'twice', 'leave one out'],
  ['a key without a colon', 'model: ./model', 'model ./model', 'config.yaml:1:1', 'no colon', 'as in model: ./model'],
  ['two documents', 'model: ./model', '---\nmodel: x\n---\nmodel: y', 'config.yaml:3:1', 'a second document', 'leave'],
  ['a tag', 'epochs: 2', 'epochs: !!float 2', 'config.yaml:7:11', 'a tag stands before', 'leave the tag out'],
  ['a number in quotes', '5e-3', "'5e-3'", "config.yaml:8:7: train.lr is '5e-3'", 'a positive number'],
  ['no end of numbers', '5e-3', '.inf', 'config.yaml:8:7: train.lr is Infinity', 'a positive number'],
  ['another way to write names', 'batchSize', 'batch_size', 'config.yaml:9:3', "did you mean 'batchSize'?"],
  ['a share in percent', '0.2', '20%', "config.yaml:5:15: data.validation is '20%'", 'such as 0.2'],
  ['the data themselves for validation', '0.2', 'rows.jsonl', 'config.yaml:5:15', 'learns from too', 'another file'],
  ['an address for data', 'rows.jsonl', 'https://x.y/z.jsonl', 'config.yaml:4:9', 'no such file', 'fetch it first'],
  [
    'a packed file',
    'rows.jsonl',
    'rows.jsonl.gz',
    'config.yaml:4:9: data.file',
    '.gz',
    'is not named like a file of rows',
  ],
  ['no such model', './model', './modle', 'config.yaml:1:8: model', 'modle', 'firesteel pull'],
  [
    'a file for a model',
    './model',
    './rows.jsonl',
    'config.yaml:1:8: model',
    'rows.jsonl is a file',
    'must be a folder',
  ],
  [
    'a folder without a tokenizer',
    './model',
    './empty',
    'config.yaml:1:8: model',
    'empty/tokenizer.json',
    'save_pretrained',
  ],
  ['no such data', 'rows.jsonl', 'row.jsonl', 'config.yaml:4:9: data.file', 'row.jsonl', 'there is no such file'],
  ['a pattern that names no file', 'rows.jsonl', '"*.csv"', 'config.yaml:4:9: data.file', '*.csv', 'no file matches'],
  [
    'data of an unknown kind',
    'rows.jsonl',
    'unknown.json',
    'config.yaml:4:9: data.file',
    'unknown.json',
    'name the file .jsonl',
  ],
  [
    'validation of more rows than there are',
    '0.2',
    '20',
    'config.yaml:5:15: data.validation',
    '20',
    'train would be empty',
  ],
  [
    'no such file for validation',
    '0.2',
    'held.jsonl',
    'config.yaml:5:15: data.validation',
    'held.jsonl',
    'no such file',
  ],
  [
    'more tokens than positions',
    'file: rows',
    'maxLength: 1\n  file: rows',
    'config.yaml:4:14',
    'data.maxLength is 1',
    'at least 2',
  ],
  [
    'rows shorter than their answers',
    'file: rows',
    'maxLength: 5\n  file: rows',
    'rows.jsonl:1',
    'after the first 5 of',
    'raise maxLength',
  ],
  [
    'early stopping without validation',
    / {2}validation: 0.2\ntrain:\n/,
    'train:\n  earlyStopping: 3\n',
    'config.yaml:6:3',
    'train.earlyStopping',
    'no rows are held out for measuring',
  ],
  [
    'an adapter of no layers',
    'rank: 4',
    'targetModules: [nobody]',
    'config.yaml:2:17: method.lora',
    "'nobody'",
    "'q_proj'",
  ],
  [
    'a warm-up longer than the training',
    'epochs: 2',
    'epochs: 2\n  schedule: { cosine: { warmup: 16 } }',
    'config.yaml:8:33',
    '16 steps',
    'make it shorter',
  ],
  [
    'a schedule without an end',
    'epochs: 2',
    'minutes: 2\n  schedule: linear',
    'config.yaml:8:13',
    'train.minutes',
    'give train.epochs or train.steps',
  ],
  [
    'a template that leaves answers out',
    'file: rows',
    "template: '{{ messages[0].content }}'\n  file: rows",
    'rows.jsonl:1',
    'the template leaves the answers out',
    'mend the template',
  ],
  [
    'a template that is not Jinja',
    'file: rows',
    "template: '{% for %}'\n  file: rows",
    'rows.jsonl:1',
    'the template is not valid Jinja',
    '',
  ],
  [
    'the tokenizer of another model',
    'model: ./model',
    'model: ./small\ntokenizer: ./model',
    'rows.jsonl:1',
    "not in the model's vocabulary, which has 300",
    'load the tokenizer of',
  ],
  [
    'a model that writes nothing',
    './model',
    './encoder',
    'config.yaml:1:8: model',
    "'bert'",
    'known ones are gpt2, llama',
  ],
  [
    'a validation behind the last step',
    'epochs: 2',
    'epochs: 2\n  validateEvery: 17',
    'config.yaml:8:18: train.validateEvery is 17, but the training has 16 steps',
    'give at most 16',
  ],
  [
    'a place for the run that takes no folders',
    'runs/first',
    '/proc/nothing',
    'config.yaml:10:9: output: cannot make the folder /proc/nothing: /proc does not accept folders',
  ],
  [
    'a folder of a run in the place of a file',
    'runs/first',
    'rows.jsonl/run',
    'config.yaml:10:9: output',
    'rows.jsonl is a file',
    '',
  ],
]

/** Rows, and the parts of the message. */
const data: readonly (readonly [what: string, rows: readonly string[], ...says: string[]])[] = [
  ['a torn line', [chatRow('a'), '{"messages": [{"role": "us'], 'rows.jsonl:2', 'not valid JSON', 'mend the line'],
  [
    'a column that is missing',
    [chatRow('a'), '{"mesages": []}'],
    'rows.jsonl:2',
    "did you mean 'mesages'?",
    'data.columns.messages',
  ],
  ['columns that tell no format', ['{"question": 1}'], 'rows.jsonl:1', "'question'", 'data.format'],
  ['a number for a text', ['{"text": "a b c"}', '{"text": 5}'], 'rows.jsonl:2', 'the number 5', 'must be a text'],
  [
    'a key twice',
    ['{"text": "a b c"}', '{"text": "a", "text": "b"}'],
    'rows.jsonl:2: the key "text" occurs twice in one object; leave one out',
  ],
  ['an empty text', ['{"text": "a b c"}', '', '{"text": " "}'], 'rows.jsonl:3', 'text is empty', 'leave the row out'],
  ['a list for a row', ['[1]'], 'rows.jsonl:1', 'an array', 'must be an object'],
  ['a text for messages', [chatRow('a'), '{"messages": "hi"}'], 'rows.jsonl:2', "'hi'", 'must be a list'],
  ['no messages', [chatRow('a'), '{"messages": []}'], 'rows.jsonl:2', 'an empty list', 'must be a list'],
  [
    'a message without a role',
    [chatRow('a'), '{"messages": [{"content": "a"}]}'],
    'rows.jsonl:2',
    'without a role',
    'give { role, content }',
  ],
  [
    'no answer',
    [chatRow('a'), '{"messages": [{"role": "user", "content": "a"}]}'],
    'rows.jsonl:2',
    "with roles ['user']",
    'leave the row out',
  ],
  [
    'one array',
    [`[${chatRow('a')},`, `${chatRow('b')}]`],
    'rows.jsonl:1',
    'not valid JSON',
    'the file is one array, so make lines of it',
  ],
  ['no rows', ['', ' '], 'rows.jsonl', 'there are no rows', 'give a file'],
  [
    'a completion without a prompt',
    ['{"prompt": "a", "completion": "b"}', '{"completion": "b"}'],
    'rows.jsonl:2',
    "no column 'prompt'",
    'data.columns.prompt',
  ],
]

/** A model of another kind, with the tokenizer of this one. */
async function encoderFolder(): Promise<void> {
  await modelFolder(join(folder, 'encoder'))
  writeFileSync(join(folder, 'encoder', 'config.json'), '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
}

/** Rows of texts with labels. A classifier learns from them. */
const labelled: readonly (readonly [what: string, rows: readonly string[], ...says: string[]])[] = [
  [
    'one class only',
    ['{"text": "a", "label": "x"}', '{"text": "b", "label": "x"}'],
    'rows.jsonl',
    "'x'",
    'add rows of other classes',
  ],
  [
    'a label of another type',
    ['{"text": "a", "label": "x"}', '{"text": "b", "label": 1}'],
    'rows.jsonl:2',
    'the number 1',
    'write all labels in one way',
  ],
  [
    'a label that is none',
    ['{"text": "a", "label": "x"}', '{"text": "b", "label": null}'],
    'rows.jsonl:2',
    'null',
    'must be the name or the index of a class',
  ],
  ['a number that is no class', ['{"text": "a", "label": 0.5}'], 'rows.jsonl:1', '0.5', 'give data.labelKind: number'],
]

/** A small encoder with the same tokenizer. */
async function classifierFolder(): Promise<void> {
  await encoderModel(join(folder, 'bert'))
}

describe('a config is refused that has', () => {
  it.each(configs.map((each) => [each[0], each] as const))('%s', async (_, [, from, to, ...says]) => {
    if (to.includes('./encoder')) await encoderFolder()
    const text = configYaml.replace(from, to)
    expect(text).not.toBe(configYaml)
    writeFileSync(join(folder, 'config.yaml'), text)
    const message = await refused()
    for (const each of says) expect(message).toContain(each)
    if (to === '/proc/nothing') expect(await refused(['--dry'])).toBe(message)
  })

  it('a key twice in JSON', async () => {
    writeFileSync(join(folder, 'config.json'), '{"model": "./model",\n "train": {"lr": 1, "lr": 2}}')
    const error = await finetuneCommand([join(folder, 'config.json')]).catch((thrown: unknown) => thrown as Error)
    expect((error as Error).message).toContain(
      'config.json:2:21: this is not valid JSON: the same key stands in this table twice',
    )
  })
})

it('--resume is refused where there is no run, and nothing is made', async () => {
  const says = `${folder}/runs/first has no run to resume; leave --resume out to begin one`.replaceAll(`${folder}/`, '')
  expect(await refused(['--resume'])).toContain(`config.yaml:10:9: ${says}`)
})

describe('data are refused that have', () => {
  it.each(data.map((each) => [each[0], each] as const))('%s', async (_, [, rows, ...says]) => {
    writeFileSync(join(folder, 'rows.jsonl'), rows.join('\n'))
    const message = await refused(['--set', 'data.validation=0.5'])
    for (const each of says) expect(message).toContain(each)
  })

  it.each(labelled.map((each) => [each[0], each] as const))('%s', async (_, [, rows, ...says]) => {
    await classifierFolder()
    writeFileSync(join(folder, 'rows.jsonl'), rows.join('\n'))
    const message = await refused(['--set', 'model=./bert'])
    for (const each of says) expect(message).toContain(each)
  })

  it('a label that is none of the classes', async () => {
    await classifierFolder()
    writeFileSync(join(folder, 'rows.jsonl'), '{"text": "a", "label": "x"}\n{"text": "b", "label": "z"}')
    const message = await refused(['--set', 'model=./bert', '--set', 'data.labels=[x, y]'])
    expect(message).toMatch(
      /^rows\.jsonl:2: .*'z', but the labels are 'x', 'y'; mend the row, or add it to data\.labels/,
    )
  })

  it('a wrong label, without a word on the classes of the rows that are left', async () => {
    await classifierFolder()
    writeFileSync(join(folder, 'rows.jsonl'), '{"text": "a", "label": {}}\n{"text": "b", "label": "x"}')
    expect(await refused(['--set', 'model=./bert'])).toBe(
      'rows.jsonl:1: label is an object, but must be the name or the index of a class',
    )
  })

  it('tables that are parted otherwise, without a header, or in another encoding', async () => {
    const files: readonly (readonly [name: string, text: string | Buffer, ...says: string[]])[] = [
      ['a.csv', 'text;label\na;x\n', 'a.csv:2', "separated by ';': write commas in a .csv"],
      ['a.csv', 'text\tlabel\na\tx\n', 'a.csv:2', 'separated by tabs'],
      ['a.tsv', 'text,label\na,x\n', 'a.tsv:2', "separated by ','", 'tabs in a .tsv'],
      ['a.csv', 'text,text\na,x\n', "a.csv:1: the header has 'text' twice"],
      ['a.csv', 'text,label\n"a,x\n', 'a.csv:2: a quote opens a field'],
      ['a.csv', Buffer.from('text,label\n\xe4,x\n', 'latin1'), 'a.csv:2: the line is not UTF-8; save the file'],
      ['a.jsonl', Buffer.from('\ufeff{"text": "a"}', 'utf16le'), 'a.jsonl:1: the line is not UTF-8'],
      ['a.parquet', 'PAR1xx', 'a.parquet: the end of the file'],
    ]
    for (const [name, text, ...says] of files) {
      writeFileSync(join(folder, name), text)
      const message = await refused(['--set', `data.file=${name}`])
      expect(message).not.toContain('[')
      for (const each of says) expect(message).toContain(each)
    }
  })

  it('a table that --set made, where --set is told', async () => {
    expect(await refused(['--set', 'träin.lr=1'])).toMatch(
      /^--set träin\.lr: there is no 'träin'; did you mean 'train'/,
    )
    expect(await refused(['--set', 'data.file.0=x'])).toMatch(
      /^--set data\.file\.0: data\.file is an object, but must be/,
    )
  })

  it('bytes that are no text', async () => {
    writeFileSync(join(folder, 'rows.jsonl'), Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))
    expect(await refused()).toContain('rows.jsonl:1: the line is not UTF-8; save the file as UTF-8')
  })

  it('a table with a row of too many fields', async () => {
    writeFileSync(join(folder, 'rows.csv'), 'text,stars\nping,1\nping,1,2\n')
    expect(await refused(['--set', 'data.file=rows.csv'])).toMatch(/rows\.csv:3: .*3 fields/)
  })

  it('several faults: each is told once, with all rows that have it', async () => {
    const rows = ['{"text": "a b"}', '{"text": 5}', '{"txt": ""}', '{"text": 5}', '{"text": 5}']
    writeFileSync(join(folder, 'rows.jsonl'), rows.join('\n'))
    const lines = (await refused()).split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toBe('rows.jsonl:2, rows.jsonl:4, rows.jsonl:5: text is the number 5, but must be a text')
    expect(lines[1]).toContain("did you mean 'txt'?")
  })
})

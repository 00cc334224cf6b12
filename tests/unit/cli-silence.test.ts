/**
 * Losses on the way from files to a result: parts of rows, meanings of fields, and files in the place of the result. The
 * commands count and report each loss, or refuse it.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { embedCommand } from '../../lib/cli/commands/embed.js'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { generateCommand } from '../../lib/cli/commands/generate.js'
import { pretrainCommand } from '../../lib/cli/commands/pretrain.js'
import { placedRows } from '../../lib/cli/data/rows.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { encoderModel, workplace, writerModel } from './cli-finetune.js'
import { parquetTable } from './written.js'

let folder: string
let printed = ''

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(console, 'log').mockImplementation((text) => {
    printed += `${text}\n`
  })
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  printed = ''
})

function write(name: string, lines: readonly string[] | Buffer): string {
  writeFileSync(join(folder, name), Buffer.isBuffer(lines) ? lines : lines.join('\n'))
  return name
}

const config = (file: string, more = '') => {
  writeFileSync(
    join(folder, 'c.yaml'),
    `model: ./bert\ndata: { file: ${file}${more} }\ntrain: { steps: 1, batchSize: 2 }\noutput: runs/c\n`,
  )
  return join(folder, 'c.yaml')
}

/** The output of `--dry`. */
async function dry(file: string, more = ''): Promise<string> {
  await finetuneCommand([config(file, more), '--dry'])
  return printed
}

async function refused(file: string, more = ''): Promise<string> {
  const error = await finetuneCommand([config(file, more), '--dry']).then(
    (code) => new Error(`not refused: ${code}`),
    (thrown: unknown) => thrown as Error,
  )
  expect(exitCodeOf(error), error.message).toBe(2)
  return error.message.replaceAll(`${folder}/`, '')
}

const labelled = (labels: readonly string[]) =>
  labels.map((label, i) => JSON.stringify({ text: `good cat ${i}`, label }))

describe('fields of a table, which are texts', () => {
  it('are numbers where numbers are to be predicted', async () => {
    write('r.csv', ['text,label', 'good,1.5', 'bad,-2e-1'])
    expect(await dry('r.csv', ', labelKind: number')).toContain('2 rows (classification); 5 tokens')
    write('r.csv', ['text,label', 'good,1.5', 'bad,high', 'fine,nan'])
    expect(await refused('r.csv', ', labelKind: number')).toBe(
      "r.csv:3: label is 'high', but must be a finite number, or a list of them\nr.csv:4: label is 'nan', but must be a finite number, or a list of them",
    )
  })

  it('are not taken for as many classes as there are numbers', async () => {
    write('r.csv', ['text,label', 'good,1', 'bad,2.5'])
    expect(await refused('r.csv')).toMatch(/^r\.csv:3: label is '2\.5'; give data\.labelKind: number/)
    expect(await dry('r.csv', ', labelKind: class')).toContain('labels 1, 2.5')
  })

  it('are scores of pairs', async () => {
    write('s.csv', ['anchor,positive,score', 'a,b,0.5', 'c,d,-1'])
    expect(await dry('s.csv')).toContain('2 rows (pairs)')
    write('s.csv', ['anchor,positive,score', 'a,b,4.5'])
    expect(await refused('s.csv')).toMatch(/^s\.csv:2: score is the number 4\.5, .* by 5 in the file$/)
  })

  it('are no lists, and the advice says so', async () => {
    write('m.csv', ['text,label', 'good,a', 'bad,b'])
    const advice = '; fields of a table are texts, so give such rows as .jsonl'
    expect(await refused('m.csv', ', labelKind: classes')).toContain(
      `must be a list of names, which may be empty, as in the rows before${advice}`,
    )
    write('t.csv', ['words,tags', 'good cat,O O'])
    expect(await refused('t.csv')).toBe(`t.csv:2: words is 'good cat', but must be a list${advice}`)
  })
})

it('64-bit integers of Parquet are numbers, so that they can be classes', async () => {
  write('p.parquet', parquetTable)
  const ids: unknown[] = []
  for await (const { row } of placedRows(join(folder, 'p.parquet'))) ids.push(row['id'])
  expect(ids).toEqual([1, 2, 3, 4, 5])
  expect(await refused('p.parquet', ', columns: { label: id }')).toBe(
    'p.parquet, row 3: text is empty; leave the row out, or mend it\np.parquet, row 5: text is null, but must be a text',
  )
  write('p.parquet', Buffer.alloc(0))
  expect(await refused('p.parquet')).toBe('p.parquet: the file is empty, but must be a Parquet file')
})

describe('it is told', () => {
  it('how many tokens the tokenizer does not know', async () => {
    const known = JSON.parse(
      JSON.stringify({ model: { type: 'WordLevel', vocab: { '[UNK]': 0, good: 1, cat: 2 }, unk_token: '[UNK]' } }),
    )
    mkdirSync(join(folder, 'few'), { recursive: true })
    writeFileSync(
      join(folder, 'few', 'tokenizer.json'),
      JSON.stringify({
        version: '1.0',
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: { type: 'Whitespace' },
        post_processor: null,
        decoder: null,
        ...known,
      }),
    )
    writeFileSync(join(folder, 'few', 'tokenizer_config.json'), '{"pad_token": "cat"}')
    write('u.jsonl', ['{"text": "good cat dog", "label": "a"}', '{"text": "dog", "label": "b"}'])
    config('u.jsonl')
    vi.mocked(console.error).mockClear()
    await finetuneCommand([join(folder, 'c.yaml'), '--dry'])
    expect(console.error).not.toHaveBeenCalled()
    printed = ''
    await finetuneCommand([join(folder, 'c.yaml'), '--dry', '--set', 'tokenizer=./few'])
    expect(vi.mocked(console.error).mock.calls.flat().join()).toMatch(
      /^--set tokenizer: warning: tokenizer is \.\/few, but .*bert has a different tokenizer\.json/,
    )
    expect(printed).toContain(
      '4 tokens, the longest row has 3; 2 tokens (50%) stand for text that the tokenizer does not know; none cut',
    )
  })

  it('which classes no row to learn from has, for all rows and not for a batch', async () => {
    write('l.jsonl', labelled(['a', 'b', 'c', 'a', 'b', 'c']))
    expect(await dry('l.jsonl')).not.toContain('no row to learn from')
    expect(printed).not.toContain('have no label')
    expect(await dry('l.jsonl', ', labels: [a, b, c, d]')).toContain("; no row to learn from has 'd'; ")
  })

  it('which classes are perhaps one', async () => {
    write('l.jsonl', labelled(['pos', 'Pos', 'pos ', 'neg']))
    expect(await dry('l.jsonl')).toContain("; 'Pos', 'pos', 'pos ' differ only in case or white space; ")
  })

  it('how many rows of a validation file were cut', async () => {
    write('l.jsonl', labelled(['a', 'b', 'a', 'b']))
    write('held.jsonl', [JSON.stringify({ text: 'good cat '.repeat(40), label: 'a' })])
    expect(await dry('l.jsonl', ', maxLength: 30, validation: held.jsonl')).toContain('; 1 row cut')
  })
})

it('a label that the model did not learn is not to be added to data.labels', async () => {
  write('l.jsonl', labelled(['a', 'b', 'a', 'b']))
  write('held.jsonl', labelled(['z']))
  const says =
    "held.jsonl:1: label is 'z', but the labels are 'a', 'b'; no row to learn from has it, so mend the row, or leave it out"
  expect(await refused('l.jsonl', ', validation: held.jsonl')).toBe(says)
  await finetuneCommand([config('l.jsonl')])
  expect(existsSync(join(folder, 'runs/c/model'))).toBe(true)
  const error = await evaluateCommand([config('l.jsonl'), '--data', join(folder, 'held.jsonl')]).catch(
    (thrown: Error) => thrown,
  )
  expect((error as Error).message.replaceAll(`${folder}/`, '')).toBe(says)
})

it('a pair without the negative of the first row is refused in words of the rows', async () => {
  write('n.jsonl', ['{"anchor": "a", "positive": "b", "negative": "c"}', '{"anchor": "a", "positive": "b"}'])
  expect(await refused('n.jsonl')).toBe(
    'n.jsonl:2: the row has no negative, but the first row has one; give all rows one, or none',
  )
})

it('a model of another kind is refused with the format that asks for it', async () => {
  write('l.jsonl', labelled(['a', 'b']))
  config('l.jsonl')
  const error = await finetuneCommand([join(folder, 'c.yaml'), '--dry', '--set', 'model=./model']).catch(
    (thrown: Error) => thrown,
  )
  expect((error as Error).message).toContain(
    "distilbert, because the rows are of the format 'classification'; name a model of these",
  )
})

/** The message with which a command refuses. */
async function fault(run: Promise<unknown>): Promise<string> {
  const error = await run.then(
    (code) => new Error(`not refused: ${code}`),
    (thrown: unknown) => thrown as Error,
  )
  expect(exitCodeOf(error), error.message).toBe(2)
  return error.message.replaceAll(`${folder}/`, '')
}

describe('embed', () => {
  const embed = (file: string, ...args: string[]) =>
    embedCommand([join(folder, 'bert'), join(folder, file), '--out', join(folder, 'v.jsonl'), ...args])

  it('cuts texts if it is told to, and counts them', async () => {
    write('long.txt', ['good cat', 'good cat '.repeat(99)])
    expect(await fault(embed('long.txt'))).toMatch(
      /^long\.txt:2: the text has \d+ tokens, but the model has 64 positions; give --max-length 64 to cut it, or shorter texts$/,
    )
    expect(existsSync(join(folder, 'v.jsonl'))).toBe(false)
    await embed('long.txt', '--max-length', '64')
    expect(printed).toContain('2 vectors are in ')
    expect(printed).toContain('; 1 text was cut after 64 tokens')
    expect(await fault(embed('long.txt', '--max-length', '65'))).toContain(
      'the model has 64 positions; give at most 64',
    )
    expect(await fault(embed('long.txt', '--max-length', '2'))).toContain("--max-length is '2', but must be a whole")
  })

  it('refuses files without rows, and says what stands in the place of a text', async () => {
    write('none.txt', [])
    expect(await fault(embed('none.txt'))).toBe('none.txt: there are no rows; give a file with a row on each line')
    write('five.jsonl', ['{"text": "a"}', '{"text": 5}'])
    expect(await fault(embed('five.jsonl'))).toContain("five.jsonl:2: 'text' is the number 5, but must be a text")
  })
})

it('generate writes with the folder of an encoder-decoder, and refuses an encoder by its type', async () => {
  await writerModel(join(folder, 't5'))
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    expect(await generateCommand([join(folder, 't5'), '--prompt', 'ping', '--max-new-tokens', '2', '--json'])).toBe(0)
    expect(String(write.mock.calls.at(-1)?.[0])).toContain('"prompt":"ping"')
  } finally {
    write.mockRestore()
  }
  expect(await fault(generateCommand([join(folder, 'bert'), '--prompt', 'ping']))).toBe(
    "bert: the model is of the type 'bert', which writes no text; name the folder of a language model or of a t5",
  )
})

it('a result overwrites nothing: neither the model, nor what stands in its place', async () => {
  write('l.jsonl', labelled(['a', 'b', 'a', 'b']))
  const run = (output: string) => finetuneCommand([config('l.jsonl'), '--set', `output=${output}`])
  expect(await fault(run('./bert'))).toBe(
    '--set output: output is ./bert, which is the folder of the model with which the run begins; name another output, such as runs/first',
  )
  expect(existsSync(join(folder, 'bert', 'checkpoints'))).toBe(false)
  mkdirSync(join(folder, 'mine', 'model'), { recursive: true })
  writeFileSync(join(folder, 'mine', 'model', 'config.json'), 'mine')
  expect(await fault(run('./mine'))).toBe(
    '--set output: output is ./mine, but mine/model already holds config.json, which the result would overwrite; name another output, or move it away',
  )
  mkdirSync(join(folder, 'other'))
  writeFileSync(join(folder, 'other', 'model'), 'a file')
  expect(await fault(run('./other'))).toContain('other/model is a file, which the result would overwrite')
  // Other files in the folder do no harm.
  rmSync(join(folder, 'mine', 'model'), { recursive: true })
  writeFileSync(join(folder, 'mine', 'notes.txt'), 'mine')
  expect(await run('./mine')).toBe(0)
})

it('a pre-training tells which tokens fill no row, and that nothing is measured', async () => {
  write(
    'texts.txt',
    Array.from({ length: 40 }, (_, i) => `ping ${i} go on and on`),
  )
  const path = join(folder, 'p.yaml')
  const sizes = 'hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16'
  const lines = (objective: string) => `tokenizer: ./bert
model: { model_type: llama, ${sizes}, num_key_value_heads: 2, max_position_embeddings: 64 }
corpus: { file: texts.txt, folder: shards, validation: 0.02 }
length: 50
${objective}train: { steps: 1 }
output: runs/p
`
  writeFileSync(path, lines(''))
  await pretrainCommand([path, '--dry'])
  const [, tokens = '0', held = '0', rows = '0', left = '0'] =
    /([\d,]+) tokens and (\d+) for validation; (\d+) rows of 50 tokens; the last (\d+) tokens fill none/.exec(
      printed,
    ) ?? []
  expect(Number(tokens) - 1 - 49 * Number(rows)).toBe(Number(left))
  expect(Number(left)).toBeGreaterThan(0)
  expect(printed).toContain(`nothing is measured, because the ${held} tokens for validation fill no row of 50; raise`)
})

it('folders that are no models are refused by what they are', async () => {
  const generate = (name: string) => fault(generateCommand([join(folder, name), '--prompt', 'x']))
  mkdirSync(join(folder, 'adapter'))
  writeFileSync(join(folder, 'adapter', 'adapter_config.json'), '{}')
  mkdirSync(join(folder, 'run', 'model'), { recursive: true })
  writeFileSync(join(folder, 'run', 'finetune.json'), '{}')
  expect(await generate('adapter')).toBe(
    'adapter is an adapter, which needs its model; give the config of the run that made it',
  )
  expect(await generate('run')).toBe('run is the folder of a run; give the folder of its model, run/model')
  expect(await generate('empty')).toMatch(/^empty has no config\.json; give a Hugging Face folder/)
  write('one.txt', ['x'])
  expect(await fault(embedCommand([join(folder, 'no'), join(folder, 'one.txt')]))).toMatch(
    /^no: there is no such folder; /,
  )
  expect(await fault(generateCommand([join(folder, 'model'), '--prompt', 'x', '--top-p', '2']))).toMatch(
    /^--top-p is 2, but/,
  )
})

/** Strange files: links, pipes, other encodings, arrays, paths of the shell, and modules that fail. Each is refused by its name. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { loadFinetune } from '../../lib/cli/config/config.js'
import { readRows } from '../../lib/cli/data/read.js'
import { dataFiles } from '../../lib/cli/data/rows.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { guessed } from '../../lib/cli/tuning/material.js'
import { refusal } from '../../lib/io/refusal.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-strange-'))
afterAll(() => rmSync(folder, { recursive: true }))

const at = (name: string) => join(folder, name)

function written(name: string, text: string | Buffer): string {
  writeFileSync(at(name), text)
  return at(name)
}

async function refused(run: () => Promise<unknown>): Promise<string> {
  const error = await run().then(
    () => new Error('not refused'),
    (thrown: unknown) => thrown as Error,
  )
  expect(exitCodeOf(error), error.message).toBe(2)
  return error.message.replaceAll(`${folder}/`, '')
}

it('paths that are no files of rows are refused by what they are', async () => {
  const of = (name: string) => refused(() => dataFiles(at(name)))
  mkdirSync(at('rows'))
  expect(await of('rows')).toBe('rows is a folder; give its files, as in rows/*.jsonl')
  symlinkSync('loop.csv', at('loop.csv'))
  expect(await of('loop.csv')).toBe('loop.csv is a link that leads back to itself; name the file itself')
  symlinkSync('nowhere.csv', at('lost.csv'))
  expect(await of('lost.csv')).toBe(
    'lost.csv is a link to nowhere.csv, which does not exist; mend the link, or name another file',
  )
  execFileSync('mkfifo', [at('pipe.csv')])
  expect(await of('pipe.csv')).toBe('pipe.csv is a pipe or a device; copy its content to a file, and name that')
  expect(await of('none.csv')).toBe('none.csv: there is no such file')
})

it('files of other forms are refused with what to do', async () => {
  const of = (name: string, text: string | Buffer) => refused(() => guessed([written(name, text)]))
  const array = "; the file is one array, so make lines of it: jq -c '.[]' 'a.jsonl' > 'a-lines.jsonl'"
  expect(await of('a.jsonl', '[\n  {"text": "a"}\n]\n')).toMatch(/^a\.jsonl:1: the line is not valid JSON: /)
  expect(await of('a.jsonl', '[\n  {"text": "a"}\n]\n')).toContain(array)
  expect(await of('a.jsonl', '[{"text": "a"}]\n')).toContain(array)
  expect(await of('a.jsonl', '{"text": \n')).toContain('mend the line, or remove it')
  expect(await of('a.jsonl', `{"text": "${'a'.repeat(2 ** 24)}"}`)).toBe(
    'a.jsonl:1: it has more than 16777216 bytes without an end; divide it into several rows, or mend the line ends',
  )
  const zero = 'holds a zero byte, which no text has; the file is damaged, or it is UTF-16: save it as UTF-8'
  expect(await of('a.csv', Buffer.from('text,label\ngood,a\n', 'utf16le'))).toMatch(`a.csv:2: 'text' ${zero}`)
  expect(await of('a.csv', 'text,label\ngo\0od,a\n')).toBe(`a.csv:2: 'text' ${zero}`)
  expect(await of('a.csv', 'text ,label\ngood,a\n')).toMatch(
    /; the column 'text ' has blanks around its name: remove them in the header$/,
  )
})

it('numbers with separators or signs are refused with how to write them', async () => {
  const { textRows } = await import('../../lib/tasks/rows/text.js')
  const { AutoTokenizer } = await import('../../lib/text/index.js')
  const tokenizer = await AutoTokenizer.load(
    fileURLToPath(new URL('../models/data/tokenizers/llama-bpe', import.meta.url)),
  )
  for (const number of ['"1,234.5"', '50%', "1'000"]) {
    const path = written('n.csv', `text,label\ngood,${number}\n`)
    const message = await refused(() =>
      readRows(
        [path],
        'classification',
        {},
        'number',
        (rows) =>
          textRows(rows, tokenizer, { text: 'text' as never, label: 'label' as never, kind: 'number' }) as never,
      ),
    )
    expect(message).toMatch(/^n\.csv:2: label is '.*; write digits and a decimal point alone, as in 1234\.5$/)
  }
})

it('paths that only a shell understands are refused, unless they exist', async () => {
  const config = (output: string) => written('c.yaml', `model: ./m\ndata: { file: rows.csv }\noutput: ${output}\n`)
  for (const output of ['$HOME/run', `'\${HOME}/run'`, '~/run']) {
    const { resolve, config: own } = await loadFinetune(config(output))
    expect(await refused(async () => resolve(own.output))).toMatch(
      /^c\.yaml:3:9: output is '.*run', but a config knows no variables of the shell and no ~; write the path out, .* --set output="\$HOME\/runs"$/,
    )
  }
  mkdirSync(at('$HOME'))
  const { resolve, config: own } = await loadFinetune(config('$HOME'))
  expect(resolve(own.output)).toBe(at('$HOME'))
  expect(resolve('a$')).toBe(at('a$'))
})

it('modules that throw anything are refused with the line', async () => {
  const of = (text: string) => {
    const name = `m${Math.random()}.mjs`
    return refused(() => loadFinetune(written(name, text))).then((message) => message.replace(name, 'm.mjs'))
  }
  expect(await of('throw null\n')).toBe('m.mjs cannot be loaded: null')
  expect(await of('throw "no data"\n')).toBe("m.mjs cannot be loaded: 'no data'")
  expect(await of('const a = undefined\nexport default a.b\n')).toMatch(/^m\.mjs:2:18 cannot be loaded: Cannot read/)
})

it('folders and pipes in place of a config are refused without the name of a function', async () => {
  mkdirSync(at('d.yaml'))
  expect(await refused(() => loadFinetune(at('d.yaml')))).toMatch(/^cannot read d\.yaml: it is a directory/)
  execFileSync('mkfifo', [at('p.yaml')])
  expect(await refused(() => loadFinetune(at('p.yaml')))).toMatch(/^cannot read p\.yaml: it is a pipe/)
})

it('a full disk is a failure of the machine, with what to do', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 })
  const error = refusal('save', 'write', 'x.safetensors', full) as Error
  expect(error.message).toBe(
    '[save] cannot write x.safetensors: ENOSPC: no space left on device, write; make room there, or give a path on another disk',
  )
  expect(exitCodeOf(error)).toBe(1)
  const locked = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES', errno: -13 })
  expect(exitCodeOf(refusal('save', 'write', 'x', locked))).toBe(2)
})

it('a module that waits for ever ends the command with 2 and its name', () => {
  const path = written('w.mjs', 'await new Promise(() => undefined)\nexport default {}\n')
  const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, 'finetune', path], {
    encoding: 'utf8',
  })
  expect(stderr).toBe(`${path} awaits something at its top level that never comes; export the values themselves\n`)
  expect(status).toBe(2)
  expect(existsSync(at('run'))).toBe(false)
})

/** `firesteel init`: writes a first config. */
import { stat, writeFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { parseArguments } from '../arguments.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import type { FormatName } from '../tasks/formats.js'

const usage = `Usage: firesteel init [FILE] [--model FOLDER] [--data FILE] [--format FORMAT] [--method lora|full]
  FILE      the config to write; default finetune.yaml. An existing file is never overwritten
  --model   a Hugging Face folder; \`firesteel pull owner/name\` fetches one
  --data    a .jsonl, .csv, .tsv, .parquet or .txt file of rows
  --format  chat, completion, text, classification, tokens, answers, translation or pairs, or table for a pre-training on
            numbers; default: the format that the first row's columns indicate, or chat without --data
  --method  the method of fine-tuning; default lora`

export async function initCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArguments(
    args,
    { model: text, data: text, format: text, method: text, help: { type: 'boolean' } },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const [path = 'finetune.yaml', ...others] = positionals
  if (others.length > 0) throw new UsageError(`init takes one file, but got ${positionals.length}\n${usage}`)
  if (!/\.ya?ml$/.test(path)) throw new UsageError(`init writes YAML, but ${path} does not end with .yaml`)
  const { method = 'lora', format } = values
  const isTable = format === 'table'
  if (isTable && (values.method ?? values.model) !== undefined)
    throw new UsageError('--format table is for a pre-training, which has no --method and no --model; leave them out')
  if (method !== 'lora' && method !== 'full') throw new UsageError(`--method is '${method}', but must be lora or full`)
  if (format !== undefined && !isTable && !Object.hasOwn(columnsOf, format))
    throw new UsageError(`--format is '${format}', but must be ${[...Object.keys(columnsOf), 'table'].join(', ')}`)
  const folder = dirname(resolve(path))
  const own = (each: string) => {
    const from = relative(folder, resolve(each)).split(sep).join('/')
    return from.startsWith('.') || resolve(each) === from ? from : `./${from}`
  }
  const file = values.data === undefined ? (isTable ? './rows.csv' : './data.jsonl') : own(values.data)
  const written = isTable
    ? tableText(file)
    : configText({
        model: values.model === undefined ? './model' : own(values.model),
        file,
        format:
          (format as FormatName | undefined) ?? (values.data === undefined ? 'chat' : await formatIn(values.data)),
        isLora: method === 'lora',
      })
  // The flag is 'wx', because an existing config must not be lost.
  await writeFile(path, written, { flag: 'wx' }).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw new UsageError(`${path} already exists; name another file, or remove it`)
    const isFolder = await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    )
    throw new UsageError(
      `cannot write ${path}: ${isFolder ? error.message : `there is no folder ${folder}; make it first`}`,
    )
  })
  const command = `firesteel ${isTable ? 'pretrain' : 'finetune'} ${path}`
  const isMissing =
    values.model !== undefined &&
    (await stat(values.model).then(
      (found) => !found.isDirectory(),
      () => true,
    ))
  if (isMissing)
    console.error(
      `warning: ${values.model} is no folder yet; \`firesteel pull owner/name --to ${values.model}\` fetches one`,
    )
  console.log(`wrote ${path}; next: firesteel peek ${path}, ${command} --dry, ${command}`)
  return exitCodes.done
}

/** The format that the first row indicates. */
async function formatIn(path: string): Promise<FormatName> {
  const { guessed } = await import('../tuning/material.js')
  return guessed([path])
}

interface Answers {
  readonly model: string
  readonly file: string
  readonly format: FormatName
  readonly isLora: boolean
}

const columnsOf: { readonly [format in FormatName]: string } = {
  chat: '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
  completion: '{"prompt": "...", "completion": "..."}',
  text: '{"text": "..."}',
  classification: '{"text": "...", "label": "..."}',
  tokens: '{"words": ["...", "..."], "tags": ["...", "..."]}',
  translation: '{"source": "...", "target": "..."}',
  pairs: '{"anchor": "...", "positive": "..."}',
  answers: '{"question": "...", "context": "...", "answers": {"text": "...", "start": 0}}',
}

/** The text of a config. Values are written as JSON, which is also valid YAML. */
export function configText({ model, file, format, isLora }: Answers): string {
  return `# yaml-language-server: $schema=node_modules/firesteel/schema/finetune.json
# firesteel peek CONFIG; firesteel finetune CONFIG --dry; firesteel finetune CONFIG. Paths are relative to this folder.
model: ${JSON.stringify(model)}
${isLora ? 'method: { lora: { rank: 16, alpha: 32, targetModules: all-linear } }' : 'method: full'}
data:
  file: ${JSON.stringify(file)} # ${columnsOf[format]} on each line
  format: ${format}
${format === 'chat' ? '  learn: assistant # only the answers are learned\n' : ''}  validation: 0.05
train:
  epochs: 2
  lr: ${isLora ? '2e-4' : '2e-5'}
  batchSize: 2
  accumulate: 8
  schedule: { cosine: { warmup: 0.03 } }
  checkpoints: { every: 10 minutes, keep: 2 }
output: ./runs/first
`
}

/** The text of a config for a table of numbers. */
const tableText = (file: string) => `# yaml-language-server: $schema=node_modules/firesteel/schema/pretrain.json
# firesteel peek CONFIG; firesteel pretrain CONFIG --dry; firesteel pretrain CONFIG. Paths start from this file's folder.
table:
  file: ${JSON.stringify(file)} # columns: those in which the first row has numbers, or columns: [age, income]
  validation: 0.1
model: { hiddenSizes: [64, 16] } # the last is the code of a row
objective: { denoising: { noise: masking, amount: 0.2 } }
train:
  epochs: 20
  lr: 1e-3
  batchSize: 64
  checkpoints: { every: 10 minutes, keep: 2 }
output: ./runs/table
`

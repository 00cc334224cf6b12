/** `firesteel embed`: turns texts into vectors. */
import { kindOf } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import { parseArguments } from '../arguments.js'
import { columnsOf } from '../data/read.js'
import { dataFiles, placedRows } from '../data/rows.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { checkModelFolder } from '../folder.js'
import { countText } from '../words.js'

const usage = `Usage: firesteel embed FOLDER FILE [--column NAME] [--out FILE] [--batch-size COUNT] [--max-length COUNT]
  FOLDER        a Hugging Face folder with an encoder
  FILE          the rows: a .jsonl, .csv, .tsv, .parquet or .txt file
  --column      the column of the texts; default text
  --out         the .jsonl file to write, as a whole or not at all; default: stdout
  --batch-size  texts per batch; default 32
  --max-length  the number of tokens after which a text is cut, at most the model's positions; default: a text that is
                too long is refused
Writes one JSON object per line: the row's number in FILE, from 0, and its vector, scaled to length 1.`

export async function embedCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArguments(
    args,
    { column: text, out: text, 'batch-size': text, 'max-length': text, help: { type: 'boolean' } },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const [folder, file, ...others] = positionals
  if (folder === undefined || file === undefined || others.length > 0)
    throw new UsageError(`embed takes a folder and a file, but got ${positionals.length}\n${usage}`)
  const { column = 'text', out, 'batch-size': given = '32' } = values
  const size = countOf('batch-size', given, 1)
  // The shortest text is one token between two of the tokenizer's own.
  const maxLength = values['max-length'] === undefined ? undefined : countOf('max-length', values['max-length'], 3)
  const files = await dataFiles(file)
  await checkModelFolder(folder)
  const [{ AutoModel }, { AutoTokenizer }] = await Promise.all([
    import('../../models/auto.js'),
    import('../../text/tokenizer/folder.js'),
  ])
  const [model, tokenizer] = await Promise.all([AutoModel.forEmbedding(folder), AutoTokenizer.load(folder)])
  model.eval()
  if (maxLength !== undefined && maxLength > model.config.context)
    throw new UsageError(
      `--max-length is ${maxLength}, but the model has ${model.config.context} positions; give at most ${model.config.context}`,
    )
  let [count, cut] = [0, 0]
  async function* lines(): AsyncGenerator<string> {
    let texts: PlacedText[] = []
    const embedded = async function* (): AsyncGenerator<string> {
      // Eight digits distinguish all float32 numbers except for the last bit.
      if (maxLength !== undefined)
        for (const { text } of texts) if (tokenizer.encode(text).ids.length > maxLength) cut++
      const vectors = model.embed(
        tokenizer,
        texts.map(({ text }) => text),
        { batchSize: size, ...(maxLength !== undefined && { maxLength }) },
      )
      for (const vector of await vectors.catch((error: unknown) => fail(error, texts)))
        yield `${JSON.stringify({ row: count++, embedding: Array.from(vector, (value) => Number(value.toPrecision(8))) })}\n`
      texts = []
    }
    for await (const each of textsOf(files, column)) {
      if (texts.push(each) === size) yield* embedded()
    }
    if (texts.length > 0) yield* embedded()
    if (count === 0) throw new UsageError(`${files.join(', ')}: there are no rows; give a file with a row on each line`)
  }
  if (out === undefined) {
    for await (const line of lines()) if (!process.stdout.write(line)) await drained()
    if (cut > 0) process.stderr.write(`${cutText(cut, maxLength)}\n`)
    return exitCodes.done
  }
  const { writeAtomically } = await import('../../io/atomic.js')
  await writeAtomically(out, encoded(lines()), 'embed')
  console.log(`${countText(count)} vectors are in ${out}${cut === 0 ? '' : `; ${cutText(cut, maxLength)}`}`)
  return exitCodes.done
}

function countOf(name: string, given: string, least: number): number {
  const count = Number(given)
  if (Number.isSafeInteger(count) && count >= least && given.trim() !== '') return count
  throw new UsageError(`--${name} is '${given}', but must be a whole number of at least ${least}`)
}

const cutText = (cut: number, length: number | undefined) =>
  `${countText(cut)} ${cut === 1 ? 'text was' : 'texts were'} cut after ${length} tokens`

interface PlacedText {
  readonly text: string
  readonly place: string
}

/** Throws the error of a text with its place and with the option of this command. */
function fail(error: unknown, texts: readonly PlacedText[]): never {
  const [, number, rest] = /^\[[^\]]*\] text (\d+) (.*)$/s.exec((error as Error).message ?? '') ?? []
  const place = texts[Number(number ?? Number.NaN)]?.place
  if (place === undefined) throw error
  throw new UsageError(
    `${place}: the text ${rest?.replace(/give \{ maxLength: (\d+) \} to cut it/, 'give --max-length $1 to cut it')}`,
  )
}

const drained = () => new Promise<void>((resolve) => process.stdout.once('drain', resolve))

async function* encoded(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const line of lines) yield Buffer.from(line)
}

/** The texts of a column. Throws UsageError with the place of a row that has none. */
async function* textsOf(files: readonly string[], column: string): AsyncGenerator<PlacedText> {
  for await (const { row, place } of placedRows(files)) {
    const value = row[column]
    if (typeof value === 'string' && value.trim() !== '') {
      yield { text: value, place }
      continue
    }
    const near = nearest(column, Object.keys(row))
    throw new UsageError(
      Object.hasOwn(row, column)
        ? `${place}: '${column}' is ${typeof value === 'string' ? 'empty' : kindOf(value)}, but must be a text; leave the row out, or fill it in`
        : `${place}: there is no column '${column}'${near === null ? '' : `; did you mean '${near}'?`}${near === null ? ';' : ''} the row has ${columnsOf(row)}; name one with --column`,
    )
  }
}

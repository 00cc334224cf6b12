/** `firesteel embed`: turns texts into vectors. */
import { parseArguments } from '../arguments.js'
import { columnsOf } from '../data/read.js'
import { dataFiles, placedRows } from '../data/rows.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { nearest } from '../nearest.js'
import { countText } from '../words.js'

const usage = `Usage: firesteel embed FOLDER FILE [--column NAME] [--out FILE] [--batch-size COUNT]
  FOLDER        a Hugging Face folder with an encoder
  FILE          the rows: a .jsonl, .csv, .tsv, .parquet or .txt file
  --column      the column of the texts; default text
  --out         the .jsonl file to write, as a whole or not at all; default: stdout
  --batch-size  texts per batch; default 32
Writes one JSON object per line: the row's number in FILE, from 0, and its vector, scaled to length 1.`

export async function embedCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArguments(
    args,
    { column: text, out: text, 'batch-size': text, help: { type: 'boolean' } },
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
  const size = Number(given)
  if (!(Number.isSafeInteger(size) && size >= 1))
    throw new UsageError(`--batch-size is '${given}', but must be a whole number of at least 1`)
  const files = await dataFiles(file)
  const [{ AutoModel }, { AutoTokenizer }] = await Promise.all([
    import('../../models/auto.js'),
    import('../../text/tokenizer/folder.js'),
  ])
  const [model, tokenizer] = await Promise.all([AutoModel.forEmbedding(folder), AutoTokenizer.load(folder)])
  model.eval()
  let count = 0
  async function* lines(): AsyncGenerator<string> {
    let texts: string[] = []
    const embedded = async function* (): AsyncGenerator<string> {
      // Eight digits distinguish all float32 numbers except for the last bit.
      for (const vector of await model.embed(tokenizer, texts))
        yield `${JSON.stringify({ row: count++, embedding: Array.from(vector, (value) => Number(value.toPrecision(8))) })}\n`
      texts = []
    }
    for await (const each of textsOf(files, column)) {
      if (texts.push(each) === size) yield* embedded()
    }
    if (texts.length > 0) yield* embedded()
  }
  if (out === undefined) {
    for await (const line of lines()) if (!process.stdout.write(line)) await drained()
    return exitCodes.done
  }
  const { writeAtomically } = await import('../../io/atomic.js')
  await writeAtomically(out, encoded(lines()), 'embed')
  console.log(`${countText(count)} vectors are in ${out}`)
  return exitCodes.done
}

const drained = () => new Promise<void>((resolve) => process.stdout.once('drain', resolve))

async function* encoded(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const line of lines) yield Buffer.from(line)
}

/** The texts of a column. Throws UsageError with the place of a row that has none. */
async function* textsOf(files: readonly string[], column: string): AsyncGenerator<string> {
  for await (const { row, place } of placedRows(files)) {
    const value = row[column]
    if (typeof value === 'string' && value.trim() !== '') {
      yield value
      continue
    }
    const near = nearest(column, Object.keys(row))
    throw new UsageError(
      Object.hasOwn(row, column)
        ? `${place}: '${column}' is not a text; leave the row out, or fill it in`
        : `${place}: there is no column '${column}'${near === null ? '' : `; did you mean '${near}'?`}${near === null ? ';' : ''} the row has ${columnsOf(row)}; name one with --column`,
    )
  }
}

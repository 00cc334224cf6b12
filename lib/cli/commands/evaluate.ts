/** `firesteel evaluate`: measures the result of a run. */
import { join, resolve } from 'node:path'
import { isFiresteelError } from '../../core/errors.js'
import { onlyArgument, parseArguments } from '../arguments.js'
import { type Loaded, loadFinetune } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { countText } from '../words.js'

const usage = `Usage: firesteel evaluate CONFIG [--data FILE] [--against BASE] [--set NAME=VALUE] [--json]
  CONFIG     the config of a finished run
  --data     a file of rows to measure on, relative to the working folder; default: the rows that data.validation held back
  --against  another model to measure on the same rows: its folder, such as that before the training, or the config of
             another finished run; writes evaluation.html and evaluation.json into the folder of CONFIG's run
  --set      changes a value of CONFIG, as in --set data.file=test.jsonl; may be repeated
  --json     prints the numbers as JSON`

export async function evaluateCommand(args: readonly string[]): Promise<ExitCode> {
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    {
      ...{ data: { type: 'string' }, against: { type: 'string' }, set: { type: 'string', multiple: true } },
      ...{ json: flag, help: flag },
    },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const path = onlyArgument('evaluate takes one config', positionals, usage)
  const loaded = await loadFinetune(path, values.set)
  const [{ loadTuned }, { readData }, { evaluationOf }] = await Promise.all([
    import('../tuning/result.js'),
    import('../tuning/material.js'),
    import('../tuning/evaluation.js'),
  ])
  const tuned = await loadTuned(loaded)
  const data =
    values.data === undefined
      ? await readData(loaded)
      : await readData(withData(loaded, await filesOf(values.data), tuned), { labelsAreFixed: true })
  const rows = values.data === undefined ? data.validation : data.train
  if (rows === null)
    throw new UsageError(
      `${loaded.source.place(['data'], 'key')}: no rows were held out by data.validation; name rows with --data FILE`,
    )
  if (values.against !== undefined) {
    const { comparisonOf, loadAgainst } = await import('../tuning/against.js')
    const base = await loadAgainst(loaded, tuned, values.against, rows)
    const report = await comparisonOf(loaded, tuned, base, rows, data)
    const files = ['html', 'json'].map((ending) => join(loaded.resolve(loaded.config.output), `evaluation.${ending}`))
    for (const file of files) await report.save(file)
    console.log(values.json ? JSON.stringify(report) : String(report))
    console.error(`wrote ${files.join(' and ')}`)
    return exitCodes.done
  }
  const numbers = await evaluationOf(loaded, tuned, rows)
  const lines = Object.entries(numbers).map(([name, value]) => `${name} ${Number(value.toPrecision(5))}`)
  console.log(
    values.json
      ? JSON.stringify({ rows: rows.length, ...numbers })
      : `${countText(rows.length)} rows: ${lines.join(', ')}`,
  )
  return exitCodes.done
}

/** The files of `--data`. Errors name this option, because the config's value is a different one. */
async function filesOf(given: string): Promise<readonly string[]> {
  const { dataFiles } = await import('../data/rows.js')
  try {
    return await dataFiles([given])
  } catch (error) {
    if (error instanceof Error) {
      const own = isFiresteelError(error) ? error.message.replace(`[${error.op}] `, '') : error.message
      error.message = `--data: ${own}`
    }
    throw error
  }
}

/** The config with other rows. All of them are measured, and their classes must be those of the run. */
function withData(
  loaded: Loaded,
  files: readonly string[],
  {
    format,
    labelling,
  }: { readonly format: string; readonly labelling: { readonly labels: readonly string[]; readonly kind: string } },
): Loaded {
  const { validation: _, ...data } = loaded.config.data
  const { replay: __, ...config } = loaded.config
  const isLabelled = labelling.labels.length > 0 && labelling.kind !== 'number'
  return {
    ...loaded,
    config: {
      ...config,
      data: {
        ...data,
        file: files.map((file) => resolve(file)),
        format: format as NonNullable<typeof data.format>,
        ...(isLabelled && { labels: [...labelling.labels] }),
      },
    },
  }
}

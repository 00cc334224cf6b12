/** `firesteel peek`: shows rows as the model sees them. */
import { styleText } from 'node:util'
import type { PairRow } from '../../tasks/rows/pairs.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { parseArguments } from '../arguments.js'
import { type Loaded, loadConfig } from '../config/config.js'
import type { FinetuneConfig, TableConfig } from '../config/schema.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'

const usage = `Usage: firesteel peek CONFIG [COUNT] [--set NAME=VALUE] [--json]
  COUNT   how many rows to show; default 3
  --set   changes a value of the config, as in --set data.learn=all; may be repeated
  --json  prints one JSON object per row: place, text, ids, and label or labels (-100 for tokens that are not learned);
          of a config with table: place, columns, numbers, standardised, damaged
Learned tokens are green, or stand in ⟦ ⟧ if the terminal has no colours.`

export async function peekCommand(args: readonly string[]): Promise<ExitCode> {
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    { set: { type: 'string', multiple: true }, json: flag, help: flag },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const [path, text = '3', ...others] = positionals
  const count = Number(text)
  if (path === undefined || others.length > 0 || !(Number.isSafeInteger(count) && count >= 1))
    throw new UsageError(`peek takes a config and a number of rows, but got '${positionals.join(' ')}'\n${usage}`)
  const { peekedSchema } = await import('../config/schema.js')
  const any = await loadConfig<FinetuneConfig | TableConfig>(path, values.set ?? [], peekedSchema)
  if ('table' in any.config) {
    const { peekTable } = await import('../tuning/peek-table.js')
    for await (const text of peekTable(any as Loaded<TableConfig>, count, values.json === true)) console.log(text)
    return exitCodes.done
  }
  const loaded = any as Loaded
  const [{ eachOf, readData }, { figuresText, rowFigures }, { textsOf }] = await Promise.all([
    import('../tuning/material.js'),
    import('../tuning/figures.js'),
    import('../tasks/formats.js'),
  ])
  const data = await readData(loaded)
  const { tokenizer, places, labelling } = data
  const colours = process.stdout.hasColors?.() === true
  let next = 0
  for (const row of eachOf(data.all)) {
    const i = next++
    if (i === count) break
    const { source = i, ...own } = row as PeekedRow
    const place = places.at(source) ?? ''
    if (values.json) {
      if (!('ids' in row)) {
        const texts = textsOf(row).map(({ ids }) => ({ text: decode(tokenizer, [...ids]), ids: [...ids] }))
        console.log(JSON.stringify({ place, texts, ...(row.score !== undefined && { score: row.score }) }))
        continue
      }
      const lists = Object.entries(own).map(([name, value]) => [name, ArrayBuffer.isView(value) ? [...value] : value])
      console.log(JSON.stringify({ place, text: decode(tokenizer, [...row.ids]), ...Object.fromEntries(lists) }))
    } else if (!('ids' in row)) console.log(comparedText(row, textsOf(row), place, tokenizer))
    else if (data.format === 'translation') console.log(pairText(own, { place, tokenizer, colours, labels: [] }))
    else console.log(rowText(own, { place, tokenizer, colours, labels: labelling.labels }))
  }
  if (!values.json) console.log(figuresText(rowFigures(data)))
  return exitCodes.done
}

/** A row of any format. */
interface PeekedRow {
  readonly ids: Int32Array
  /** Labels of tokens, with -100 for tokens that are not learned. */
  readonly labels?: Int32Array
  /** The label of the whole row: a class, several classes, or a number. */
  readonly label?: number | Float32Array
  /** The first and the last token of the answer. */
  readonly start?: number
  readonly end?: number
  /** The row of the file to which a window belongs. */
  readonly source?: number
}

interface Peek {
  readonly place: string
  readonly tokenizer: Tokenizer
  readonly colours: boolean
  /** Names of the classes. */
  readonly labels: readonly string[]
}

const decode = (tokenizer: Tokenizer, ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false })

/** The label of the whole row, in words. */
function labelText({ label }: PeekedRow, labels: readonly string[]): string {
  if (label === undefined) return ''
  if (typeof label === 'number') return `, label ${labels.length > 1 ? (labels[label] ?? label) : label}`
  return `, labels ${[...label].flatMap((value, i) => (value === 1 ? [labels[i] ?? i] : [])).join(', ') || 'none'}`
}

/** The text that the model reads, and the text that it learns to write for it. */
function pairText({ ids, labels: written = new Int32Array() }: PeekedRow, { place, tokenizer, colours }: Peek): string {
  const [source, target] = [decode(tokenizer, [...ids]), decode(tokenizer, [...written])]
  return `${place}: ${ids.length} tokens, ${written.length} learned\n${source}\n${colours ? styleText('green', target) : `⟦${target}⟧`}\n`
}

/** Texts that are compared with one another, each on a line. */
function comparedText(
  { score: cosine }: PairRow,
  texts: readonly { readonly ids: Int32Array }[],
  place: string,
  tokenizer: Tokenizer,
): string {
  const names = ['anchor', 'positive', 'negative']
  const lines = texts.map(({ ids }, i) => `${names[i]}: ${decode(tokenizer, [...ids])}`)
  const score = cosine === undefined ? '' : `, score ${cosine}`
  return `${place}: ${texts.map(({ ids }) => ids.length).join(' + ')} tokens${score}\n${lines.join('\n')}\n`
}

/** The text of a row, in alternating runs of tokens that are learned and tokens that are not. */
export function rowText(row: PeekedRow, { place, tokenizer, colours, labels }: Peek): string {
  const { ids, start = -1, end = -1 } = row
  const isLearned = (i: number) =>
    row.labels === undefined ? start > 0 && i >= start && i <= end : (row.labels[i] ?? -1) >= 0
  const parts: string[] = []
  let learned = 0
  for (let from = 0; from < ids.length; ) {
    const own = isLearned(from)
    let to = from
    while (to < ids.length && isLearned(to) === own) to++
    if (own) learned += to - from
    // Tokens are decoded together with those before them, because a tokenizer may drop the space at the beginning of a
    // text.
    const before = decode(tokenizer, [...ids.subarray(0, from)])
    const upTo = decode(tokenizer, [...ids.subarray(0, to)])
    const text = upTo.startsWith(before) ? upTo.slice(before.length) : decode(tokenizer, [...ids.subarray(from, to)])
    parts.push(!own ? text : colours ? styleText('green', text) : `⟦${text}⟧`)
    from = to
  }
  const count = row.labels === undefined ? '' : `, ${learned} learned`
  return `${place}: ${ids.length} tokens${count}${labelText(row, labels)}\n${parts.join('')}\n`
}

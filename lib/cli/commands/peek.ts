/** `firesteel peek`: rows as the model sees them. */
import { styleText } from 'node:util'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { parseArguments } from '../arguments.js'
import { loadConfig } from '../config/config.js'
import type { TokenRow } from '../data/causal.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'

const usage = `Usage: firesteel peek CONFIG [COUNT] [--set NAME=VALUE] [--json]
  COUNT   how many rows; default 3
  --json  a row on each line: place, text, ids, labels (-100 where nothing is learned), cut
Learned tokens are green; where there are no colours, they stand in ⟦ ⟧.`

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
  const loaded = await loadConfig(path, values.set)
  const { readData } = await import('../tuning/material.js')
  const data = await readData(loaded)
  const colours = process.stdout.hasColors?.() === true
  for (const row of data.train.slice(0, count))
    if (values.json) {
      const { place, ids, labels, cut } = row
      console.log(
        JSON.stringify({ place, text: decode(data.tokenizer, [...ids]), ids: [...ids], labels: [...labels], cut }),
      )
    } else console.log(rowText(row, data.tokenizer, colours))
  if (!values.json) {
    const { figuresText, rowFigures } = await import('../tuning/dry.js')
    console.log(figuresText(rowFigures(data)))
  }
  return exitCodes.done
}

const decode = (tokenizer: Tokenizer, ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false })

/** The text of a row in runs of tokens that are learned and that are not. */
export function rowText({ ids, labels, cut, place }: TokenRow, tokenizer: Tokenizer, colours: boolean): string {
  const parts: string[] = []
  let learned = 0
  for (let from = 0; from < ids.length; ) {
    const isLearned = (labels[from] as number) >= 0
    let to = from
    while (to < ids.length && (labels[to] as number) >= 0 === isLearned) to++
    if (isLearned) learned += to - from
    // Tokens are decoded together with those before them, because a tokenizer may drop the blank at the beginning of a text.
    const before = decode(tokenizer, [...ids.subarray(0, from)])
    const upTo = decode(tokenizer, [...ids.subarray(0, to)])
    const text = upTo.startsWith(before) ? upTo.slice(before.length) : decode(tokenizer, [...ids.subarray(from, to)])
    parts.push(!isLearned ? text : colours ? styleText('green', text) : `⟦${text}⟧`)
    from = to
  }
  const lost = cut === 0 ? '' : `, ${cut} more cut off`
  return `${place}: ${ids.length} tokens, ${learned} learned${lost}\n${parts.join('')}\n`
}

/** `firesteel prepare`: turns a corpus into shards of tokens. */
import { onlyArgument, parseArguments } from '../arguments.js'
import { loadConfig } from '../config/config.js'
import { type ExitCode, exitCodes } from '../exit.js'

const usage = `Usage: firesteel prepare CONFIG [--set NAME=VALUE] [--json]
  CONFIG  a config of \`firesteel pretrain\`; only its tokenizer and corpus are used
  --set   changes a value of the config, as in --set corpus.validation=0.01; may be repeated
  --json  prints the counts of texts and tokens as JSON
An interrupted call continues where it stopped; complete shards are not written again.`

export async function prepareCommand(args: readonly string[]): Promise<ExitCode> {
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
  const path = onlyArgument('prepare takes one config', positionals, usage)
  const { pretrainSchema } = await import('../config/schema.js')
  const loaded = await loadConfig(path, values.set ?? [], pretrainSchema)
  const { openCorpus, shardsText } = await import('../tuning/corpus.js')
  const { shards } = await openCorpus(loaded)
  const { train, validation, counts } = shards
  const folder = loaded.resolve(loaded.config.corpus.folder)
  if (values.json)
    console.log(JSON.stringify({ folder, ...counts, tokens: train.tokens, validationTokens: validation.tokens }))
  else console.log(`${shardsText(shards)}; they are in ${folder}`)
  await shards.close()
  return exitCodes.done
}

/** `firesteel search`: tries the settings of a config, and tells which are best. */
import { onlyArgument, parseArguments } from '../arguments.js'
import { loadSearched } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'

const usage = `Usage: firesteel search CONFIG [--set NAME=VALUE] [--resume] [--json] [--page FILE]
  CONFIG    a config of \`firesteel finetune\` or \`firesteel pretrain\` with a table search, as in
              search: { space: { train.lr: { logUniform: [1e-5, 1e-3] }, method: [head, bitfit] }, trials: 20 }
            search.space names values of the config, each with a list to choose from, or with uniform, logUniform or
            integer and the ends of a range
  --set     changes a value of the config, as in --set search.trials=40; may be repeated
  --resume  continues the search in the config's output; gives the same trials as an uninterrupted search, and takes
            more search.trials
  --json    prints all trials as JSON, and progress to stderr
  --page    writes an HTML page with a table and a picture of each setting
Every trial is a training with its own values. They are measured on the rows that are held back (data.validation,
corpus.validation or table.validation), by search.minimise or search.maximise (default: the least validation.loss). The table is in output/search/trials.jsonl. Ctrl-C writes a
checkpoint of the running trial and stops the search.`

export async function searchCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    { set: { type: 'string', multiple: true }, resume: flag, json: flag, page: text, help: flag },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const path = onlyArgument('search takes one config', positionals, usage)
  const { set = [], resume = false, json = false, page } = values
  if (page !== undefined && !page.endsWith('.html'))
    throw new UsageError(`--page is '${page}', but must end in .html\n${usage}`)
  const loaded = await loadSearched(path, set)
  const { searchSettings } = await import('../tuning/search.js')
  return searchSettings(loaded, { path, set, resume, json, page })
}

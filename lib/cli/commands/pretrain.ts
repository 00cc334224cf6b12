/** `firesteel pretrain`: trains a language model on a corpus, or an auto-encoder on a table of numbers. */
import type { ExitCode } from '../exit.js'
import { train } from './training.js'

const usage = `Usage: firesteel pretrain CONFIG [--set NAME=VALUE] [--dry] [--resume] [--json]
  CONFIG    a .yaml, .json, .ts or .mjs file with tokenizer, model, corpus and output, or with table, model and output;
            paths in it are relative to its folder
  --set     changes a value of the config, as in --set train.lr=1e-4; may be repeated
  --dry     prepares the corpus, but trains nothing; prints tokens, memory, time, and whether the training can work
  --resume  continues the run in the config's output; gives the same weights as an uninterrupted run
  --json    prints the result as JSON, and progress to stderr
Prepares the corpus first, unless that is done already. Ctrl-C writes a checkpoint and stops the training.`

export function pretrainCommand(args: readonly string[]): Promise<ExitCode> {
  return train(
    {
      command: 'pretrain',
      usage,
      schema: async () => (await import('../config/schema.js')).pretrainingSchema,
      begin: async (loaded) => (await import('../tuning/begin.js')).beginJob(loaded),
    },
    args,
  )
}

/** `firesteel pretrain`: trains a language model on a corpus. */
import type { ExitCode } from '../exit.js'
import { train } from './training.js'

const usage = `Usage: firesteel pretrain CONFIG [--set NAME=VALUE] [--dry] [--resume] [--json]
  CONFIG    a .yaml, .json, .ts or .mjs file with tokenizer, model, corpus and output; its paths start from its folder
  --set     changes a value of the config, as in --set train.lr=1e-4; may be given several times
  --dry     trains nothing, but prepares the corpus: tokens, memory, time, and whether the training can work
  --resume  goes on with the run in the config's output, to the same weights as one that was never cut
  --json    prints the result as JSON; progress goes to stderr
Prepares the corpus where that is not done yet. Ctrl-C ends the training with a checkpoint.`

export function pretrainCommand(args: readonly string[]): Promise<ExitCode> {
  return train(
    {
      command: 'pretrain',
      usage,
      schema: async () => (await import('../config/schema.js')).pretrainSchema,
      begin: async (loaded) => (await import('../tuning/corpus.js')).pretraining(loaded),
    },
    args,
  )
}

/** `firesteel finetune`: trains from a config, without a program. */
import type { ExitCode } from '../exit.js'
import { train } from './training.js'

const usage = `Usage: firesteel finetune CONFIG [--set NAME=VALUE] [--dry] [--resume] [--json]
  CONFIG    a .yaml, .json, .ts or .mjs file; \`firesteel init\` writes one. Its paths start from its folder
  --set     changes a value of the config, as in --set train.lr=1e-4; may be given several times
  --dry     trains nothing: rows, tokens that are learned, memory, time, and whether the training can work
  --resume  goes on with the run in the config's output, to the same weights as one that was never cut
  --json    prints the result as JSON; progress goes to stderr
Ctrl-C ends the training with a checkpoint.`

export function finetuneCommand(args: readonly string[]): Promise<ExitCode> {
  return train(
    {
      command: 'finetune',
      usage,
      schema: async () => (await import('../config/schema.js')).finetuneSchema,
      begin: async (loaded) => (await import('../tuning/finetuning.js')).finetuning(loaded),
    },
    args,
  )
}

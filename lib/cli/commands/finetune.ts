/** `firesteel finetune`: trains from a config, without a program. */
import type { ExitCode } from '../exit.js'
import { train } from './training.js'

const usage = `Usage: firesteel finetune CONFIG [--set NAME=VALUE] [--dry] [--resume] [--json]
  CONFIG    a .yaml, .json, .ts or .mjs file; \`firesteel init\` writes one. Paths in it are relative to its folder
  --set     changes a value of the config, as in --set train.lr=1e-4; may be repeated
  --dry     trains nothing; prints rows, learned tokens, memory, time, and whether the training can work
  --resume  continues the run in the config's output; gives the same weights as an uninterrupted run
  --json    prints the result as JSON, and progress to stderr
Ctrl-C writes a checkpoint and stops the training.`

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

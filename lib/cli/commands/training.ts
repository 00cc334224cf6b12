/** Commands that train from a config. */
import type * as z from 'zod'
import { onlyArgument, parseArguments } from '../arguments.js'
import { type Loaded, loadConfig } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import type { Job } from '../tuning/job.js'
import type { OutputConfig } from '../tuning/output.js'
import type { TrainingConfig } from '../tuning/plan.js'

interface Training<C extends TrainingConfig & OutputConfig> {
  readonly command: string
  readonly usage: string
  /** The schema, or a function that chooses it by what the config holds. */
  schema(): Promise<z.ZodType<C> | ((value: unknown) => z.ZodType<C>)>
  begin(loaded: Loaded<C>): Promise<Job>
}

/** A command with the options that all trainings share. */
export async function train<C extends TrainingConfig & OutputConfig>(
  { command, usage, schema, begin }: Training<C>,
  args: readonly string[],
): Promise<ExitCode> {
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    { set: { type: 'string', multiple: true }, dry: flag, resume: flag, json: flag, help: flag },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const path = onlyArgument(`${command} takes one config`, positionals, usage)
  const { set = [], dry = false, resume = false, json = false } = values
  if (dry && resume)
    throw new UsageError('--dry describes a run from its beginning, so --resume has no meaning; leave one of them out')
  const loaded = await loadConfig(path, set, await schema())
  const [{ dryJob, runJob }, { checkOutput }] = await Promise.all([
    import('../tuning/job.js'),
    import('../tuning/output.js'),
  ])
  await checkOutput(loaded)
  return dry
    ? dryJob(loaded, await begin(loaded), json)
    : runJob(loaded, () => begin(loaded), { command, resume, json })
}

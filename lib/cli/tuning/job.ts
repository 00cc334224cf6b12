/** A training from its config to its result, whatever it trains. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { makeFolder } from '../../io/folders.js'
import type { History } from '../../train/history.js'
import type { ModelCardOptions } from '../../train/report/card.js'
import { type Loaded, placed } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { type CardFacts, cardOf } from './card.js'
import { dryRun, dryText } from './dry.js'
import { checkSame, type Manifest, readManifest, writeManifest } from './manifest.js'
import { checkPlaceOfResult, type OutputConfig } from './output.js'
import { planOf, type TrainingConfig, type Work } from './plan.js'
import { progressLogger } from './progress.js'

export interface Job {
  readonly work: Work
  readonly manifest: Manifest
  /** Figures of the data, as an object and as text. */
  readonly figures: object
  readonly figuresText: string
  /** The model card's words besides the figures of the run. */
  readonly facts: CardFacts
  /** Saves the result with its model card, and returns its folder. */
  save(card: ModelCardOptions): Promise<string>
  /** Closes files. */
  close(): Promise<void>
}

export interface JobOptions {
  /** The command that resumes the run. */
  readonly command: string
  readonly resume: boolean
  readonly json: boolean
}

/** Trains nothing: prints what the training would take. */
export async function dryJob(loaded: Loaded<TrainingConfig>, job: Job, json: boolean): Promise<ExitCode> {
  const planned = async () =>
    dryRun(planOf(loaded, job.work, { resume: false, loggers: [], onStart: async () => undefined }))
  const run = await planned().finally(() => job.close())
  console.log(json ? JSON.stringify({ ...job.figures, ...run }) : `${job.figuresText}\n${dryText(run)}`)
  return run.findings.some(({ level }) => level === 'fault') ? exitCodes.wrong : exitCodes.done
}

/** Trains, from the beginning or from the newest checkpoint, and saves the result. */
export async function runJob(
  loaded: Loaded<TrainingConfig & OutputConfig>,
  begin: () => Promise<Job>,
  { command, resume, json }: JobOptions,
): Promise<ExitCode> {
  const { config, resolve } = loaded
  const output = resolve(config.output)
  const before = await readManifest(output)
  const hasCheckpoints = (await readdir(join(output, 'checkpoints')).catch(() => [])).length > 0
  if (!resume && (before !== null || hasCheckpoints)) throw new UsageError(hasRun(loaded, output))
  if (!resume) await checkPlaceOfResult(loaded)
  if (resume && before === null && !hasCheckpoints)
    throw new UsageError(
      `${loaded.source.place(['output'])}: ${output} has no run to resume; leave --resume out to begin one, or name the folder of an existing run`,
    )
  if (resume && !hasCheckpoints)
    process.stderr.write(`${output} has no checkpoint yet, so the run begins again from its first step\n`)
  const job = await begin()
  try {
    return await runBegun(loaded, job, before, { command, resume, json })
  } finally {
    await job.close()
  }
}

const hasRun = ({ source }: Pick<Loaded, 'source'>, output: string): string =>
  `${source.place(['output'])}: ${output} already has a run; continue it with --resume, or name another output`

async function runBegun(
  loaded: Loaded<TrainingConfig>,
  { work, manifest, figures, figuresText, facts, save }: Job,
  before: Manifest | null,
  { command, resume, json }: JobOptions,
): Promise<ExitCode> {
  const { config, resolve, source } = loaded
  const output = resolve(config.output)
  if (before !== null) checkSame(loaded, before, manifest)
  process.stderr.write(`${figuresText}\n`)
  let totalSteps: number | null = null
  const minutes = config.train?.minutes
  const progress = progressLogger({
    totalSteps: () => totalSteps,
    minutes,
    stream: process.stderr,
    ...(work.counted && { counted: work.counted }),
  })
  // The manifest is written once the training holds the folder, because two runs that begin there at once have both
  // found it empty.
  const onStart = async () => {
    const now = await readManifest(output)
    if (before === null && now !== null) throw new UsageError(hasRun(loaded, output))
    await placed(loaded, ['output'], () => writeManifest(output, manifest))
  }
  const plan = planOf(loaded, work, { resume, loggers: [progress], onStart })
  totalSteps = plan.totalSteps
  await placed(loaded, ['output'], () => makeFolder('run', output))
  const history = await plan.trainer.fit(plan.loader, plan.fit)
  if (isInterrupted(history)) {
    console.error(`stopped with a checkpoint in ${output}; \`firesteel ${command} ${source.path} --resume\` goes on`)
    return exitCodes.interrupted
  }
  const result = await save(await cardOf(output, facts, plan, history))
  const { epochs, stopped } = history
  if (json) console.log(JSON.stringify({ ...figures, result, output, epochs, stopped }))
  else console.log(`${epochs.length === 0 ? '' : `${history}\n`}the ${basename(result)} is in ${result}`)
  return exitCodes.done
}

const isInterrupted = ({ stopped }: History): boolean => stopped === 'interrupted (SIGINT)'

/** `firesteel finetune`: a training from a config, without a program. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { History } from '../../train/history.js'
import { parseArguments } from '../arguments.js'
import { type Loaded, loadConfig, placed } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'

const usage = `Usage: firesteel finetune CONFIG [--set NAME=VALUE] [--dry] [--resume] [--json]
  CONFIG    a .yaml, .json, .ts or .mjs file; \`firesteel init\` writes one. Its paths start from its folder
  --set     changes a value of the config, as in --set train.lr=1e-4; may be given several times
  --dry     trains nothing: rows, tokens that are learned, memory, time, and whether the training can work
  --resume  goes on with the run in the config's output, to the same weights as one that was never cut
  --json    prints the result as JSON; progress goes to stderr
Ctrl-C ends the training with a checkpoint.`

export async function finetuneCommand(args: readonly string[]): Promise<ExitCode> {
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
  const [path, ...others] = positionals
  if (path === undefined || others.length > 0)
    throw new UsageError(`finetune takes one config, but got ${positionals.length}\n${usage}`)
  const loaded = await loadConfig(path, values.set)
  return values.dry ? dry(loaded, values.json === true) : train(loaded, values.resume === true, values.json === true)
}

async function dry(loaded: Loaded, json: boolean): Promise<ExitCode> {
  const { data, model, planOf } = await begin(loaded)
  const { dryRun, dryText } = await import('../tuning/dry.js')
  const run = await dryRun(await planOf(loaded, model, data, { resume: false, loggers: [] }), data)
  console.log(json ? JSON.stringify(run) : dryText(run))
  return run.findings.some(({ level }) => level === 'fault') ? exitCodes.wrong : exitCodes.done
}

/** Reads the data before the model is loaded, because faults are there more often. */
async function begin(loaded: Loaded) {
  const [{ makeModel, readData }, { planOf }] = await Promise.all([
    import('../tuning/material.js'),
    import('../tuning/plan.js'),
  ])
  const data = await readData(loaded)
  return { data, model: await makeModel(loaded, data), planOf }
}

async function train(loaded: Loaded, resume: boolean, json: boolean): Promise<ExitCode> {
  const { config, resolve, source } = loaded
  const output = resolve(config.output)
  const { checkSame, manifestOf, readManifest, writeManifest } = await import('../tuning/manifest.js')
  const before = await readManifest(output)
  const hasCheckpoints = (await readdir(join(output, 'checkpoints')).catch(() => [])).length > 0
  if (!resume && (before !== null || hasCheckpoints))
    throw new UsageError(
      `${source.place(['output'])}: ${output} has a run already; go on with it by --resume, or name another output`,
    )
  const { data, model, planOf } = await begin(loaded)
  const manifest = manifestOf(loaded, data)
  if (before !== null) checkSame(loaded, before, manifest)
  const { figuresText, rowFigures } = await import('../tuning/dry.js')
  process.stderr.write(`${figuresText(rowFigures(data))}\n`)
  const { progressLogger } = await import('../tuning/progress.js')
  const totals: { totalSteps: number | null } = { totalSteps: null }
  const progress = progressLogger({
    totalSteps: () => totals.totalSteps,
    minutes: config.train?.minutes,
    stream: process.stderr,
  })
  const plan = await planOf(loaded, model, data, { resume, loggers: [progress] })
  totals.totalSteps = plan.totalSteps
  await placed(loaded, ['output'], () => writeManifest(output, manifest))
  const history = await plan.trainer.fit(plan.loader, plan.fit)
  if (isInterrupted(history)) {
    console.error(`stopped with a checkpoint in ${output}; \`firesteel finetune ${source.path} --resume\` goes on`)
    return exitCodes.interrupted
  }
  const { saveResult } = await import('../tuning/result.js')
  const result = await saveResult(loaded, model, data.tokenizer)
  const { epochs, stopped } = history
  if (json) console.log(JSON.stringify({ result, output, epochs, stopped }))
  else console.log(`${epochs.length === 0 ? '' : `${history}\n`}the ${basename(result)} is in ${result}`)
  return exitCodes.done
}

const isInterrupted = ({ stopped }: History): boolean => stopped === 'interrupted (SIGINT)'

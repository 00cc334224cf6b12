/** A search over the values of a config. Each trial is a training of the config with its own values. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { shown } from '../../core/errors.js'
import { onInterrupt } from '../../core/host.js'
import { monitorsOf } from '../../train/history.js'
import {
  choice,
  integer,
  logUniform,
  type Setting,
  type Space,
  search,
  type Trial,
  uniform,
} from '../../train/search/index.js'
import type { SearchOptions, TrialResult } from '../../train/search/search.js'
import { type Loaded, loadSearched, placed } from '../config/config.js'
import type { SearchConfig } from '../config/search.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { countText, durationText } from '../words.js'
import { type AnyConfig, beginJob, commandOf, type Kind, kindOfConfig } from './begin.js'
import { checkSame, followsLength, type Manifest, readManifest, writeManifest } from './manifest.js'
import { checkOutput } from './output.js'
import { planOf } from './plan.js'

interface SearchCall {
  readonly path: string
  readonly set: readonly string[]
  readonly resume: boolean
  readonly json: boolean
  readonly page: string | undefined
}

const otherRows = 'trials on different rows cannot be compared'

/** Values that a trial must not have: each trial has its own output, and all are measured in one way on the same rows. */
const refused: { readonly [kind in Kind]: { readonly [name: string]: string | undefined } } = {
  data: {
    __proto__: null as never,
    data: `${otherRows}; name one of its values, such as data.maxLength`,
    'data.validation': otherRows,
    'train.seed': `it draws the held-out rows too, and ${otherRows}`,
  },
  corpus: {
    __proto__: null as never,
    corpus: otherRows,
    tokenizer: 'losses of other tokens cannot be compared',
    length: `it cuts the rows, and ${otherRows}`,
    objective: 'trials that predict other things cannot be compared',
  },
  table: {
    __proto__: null as never,
    table: otherRows,
    objective: 'trials that predict other things cannot be compared',
    'train.seed': `it draws the held-out rows too, and ${otherRows}`,
  },
}

/** The reason why trials must not differ in a value, or undefined if they may. */
function whyNot(kind: Kind, name: string): string | undefined {
  const [part] = name.split('.') as [string]
  if (part === 'output') return 'each trial writes into a folder of its own'
  if (part === 'search') return 'a search cannot search itself'
  return refused[kind][name] ?? (['corpus', 'table', 'objective'].includes(part) ? refused[kind][part] : undefined)
}

const assigned = (name: string, text: string): string => `${name}=${text}`

/** The space of a config. Tables in it are JSON, because a setting is a number, a text or a flag. */
function spaceOf(loaded: Loaded<AnyConfig>, table: SearchConfig): Space {
  const { source } = loaded
  const space: { [name: string]: Space[string] } = {}
  for (const [name, given] of Object.entries(table.space)) {
    const path = ['search', 'space', name]
    const why = whyNot(kindOfConfig(loaded.config), name)
    if (why !== undefined)
      throw new UsageError(`${source.place(path, 'key')}: search.space has ${name}, but ${why}; leave it out`)
    try {
      space[name] = distributionOf(given)
    } catch (error) {
      throw new UsageError(
        `${source.place(path)}: search.space.${name}: ${(error as Error).message.replace(/^\[\w+\] /, '')}`,
      )
    }
  }
  return space
}

function distributionOf(given: SearchConfig['space'][string]): Space[string] {
  if (Array.isArray(given)) return choice(...given.map(settingOf))
  const [[kind, [low, high]]] = Object.entries(given) as [[string, [number, number]]]
  return kind === 'uniform' ? uniform(low, high) : kind === 'integer' ? integer(low, high) : logUniform(low, high)
}

/** A value of a list as `--set` takes it: texts that YAML would read as something else are quoted. */
function settingOf(value: unknown): Setting {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value
  const isPlain =
    typeof value === 'string' && /^(\.\/|[A-Za-z_])[\w./-]*$/.test(value) && !/^(true|false|null)$/i.test(value)
  return isPlain ? value : JSON.stringify(value)
}

/** The changes of a config that give it a trial's values. */
const changesOf = (settings: { readonly [name: string]: Setting }): string[] =>
  Object.entries(settings).map(([name, value]) => assigned(name, String(value)))

/** Throws UsageError if the config may not have a value of the space. */
async function checkValues(loaded: Loaded<AnyConfig>, { path, set }: SearchCall, space: Space): Promise<void> {
  for (const [name, { given }] of Object.entries(space))
    for (const value of given)
      await loadSearched(path, [...set, ...changesOf({ [name]: value })]).catch((error: unknown) => {
        if (!(error instanceof UsageError)) throw error
        const place = loaded.source.place(['search', 'space', name])
        throw new UsageError(
          `${place}: search.space.${name} has ${value}: ${error.message.replace(/^--set \S+: /, '')}`,
        )
      })
}

/** Throws UsageError for options of the search that the config's training cannot serve. */
function checkLength({ source, config }: Loaded<AnyConfig>, { halving, prune, space }: SearchConfig): void {
  const { epochs, steps, minutes } = config.train ?? {}
  const fail = (name: string, why: string) => {
    throw new UsageError(`${source.place(['search', name], 'key')}: search.${name} ${why}`)
  }
  const lengths = ['train.epochs', 'train.steps', 'train.minutes']
  const searched = [...lengths, 'train'].find((name) => Object.hasOwn(space, name))
  if (halving !== undefined && (epochs ?? steps ?? minutes) !== undefined)
    fail('halving', 'sets how many epochs trials train; leave train.epochs, train.steps and train.minutes out')
  if (halving !== undefined && searched !== undefined)
    fail('halving', `sets how many epochs trials train, and search.space has ${searched} too; leave one of them out`)
  if (prune !== undefined && halving === undefined && (epochs === undefined || searched !== undefined))
    fail('prune', 'compares trials after each epoch, so all need the same number of them; give train.epochs')
}

/** The training of a trial. It goes on from the checkpoint that an interrupted one left. */
async function run(
  loaded: Loaded<AnyConfig>,
  settings: { readonly [name: string]: Setting },
  trial: Trial,
  call: SearchCall,
) {
  const halving = loaded.config.search?.halving !== undefined
  const changes = [...changesOf(settings), ...(halving ? [assigned('train.epochs', String(trial.epochs))] : [])]
  const told = await loadSearched(call.path, [...call.set, ...changes])
  // A training whose rates follow its length, or which went back to its best weights, is not the beginning of a longer one.
  const isBeginning = !followsLength(told.config) && told.config.train?.earlyStopping === undefined
  const folder = isBeginning ? trial.folder : join(trial.folder, String(trial.rung))
  const own: Loaded<AnyConfig> = {
    ...told,
    config: { ...told.config, output: folder },
    resolve: resolveIn(told, folder),
  }
  const job = await beginJob(own)
  try {
    const work = { ...job.work, callbacks: [...job.work.callbacks, trial] }
    const { trainer, loader, fit } = planOf(own, work, { resume: true, loggers: [], onStart: async () => undefined })
    return await trainer.fit(loader, fit)
  } finally {
    await job.close()
  }
}

/** The folder of a trial is relative to the working folder, and other paths to the config's. */
const resolveIn =
  ({ resolve }: Loaded<AnyConfig>, folder: string) =>
  (path: string): string =>
    path === folder ? folder : resolve(path)

/** Throws UsageError unless the folder is new, or has this search and is to be resumed. */
async function checkFolder(loaded: Loaded<AnyConfig>, folder: string, now: Manifest, resume: boolean): Promise<void> {
  const place = loaded.source.place(['output'])
  const has = (await stat(join(folder, 'search.json')).catch(() => null)) !== null
  if (!resume && has)
    throw new UsageError(`${place}: ${folder} already has a search; continue it with --resume, or name another output`)
  if (resume && !has)
    throw new UsageError(`${place}: ${folder} has no search to resume; leave --resume out to begin one`)
  const before = has ? await readManifest(folder) : null
  if (before !== null) checkSame(loaded, before, now, { fixedLength: true })
}

/** Runs the trials of a config that are not in its table yet, and prints the best. */
export async function searchSettings(loaded: Loaded<AnyConfig>, call: SearchCall): Promise<ExitCode> {
  const { config, source, resolve } = loaded
  const table = config.search
  if (table === undefined)
    throw new UsageError(
      `${source.place([])}: search is missing; it must be a table such as { space: { train.lr: { logUniform: [1e-5, 1e-3] } }, trials: 20 }`,
    )
  const { maximise, method, trials, halving, prune, seed } = table
  const minimise = table.minimise ?? (maximise === undefined ? 'validation.loss' : undefined)
  const space = spaceOf(loaded, table)
  checkLength(loaded, table)
  await checkValues(loaded, call, space)
  await checkOutput(loaded)
  const folder = join(resolve(config.output), 'search')
  // The config itself is tried first, because its faults would be those of every trial.
  const base = await beginJob(loaded)
  const { validation } = planOf(loaded, base.work, { resume: false, loggers: [], onStart: async () => undefined })
  await base.close()
  const known = monitorsOf(Object.keys(base.work.objective.metrics ?? {}), validation !== null)
  const monitor = maximise ?? (minimise as string)
  if (!known.includes(monitor))
    throw new UsageError(
      `${source.place(['search', maximise === undefined ? 'minimise' : 'maximise'])}: there is no ${shown(monitor)} to search for, but only ${known.join(', ')}${validation === null ? `; hold rows out with ${kindOfConfig(config)}.validation for others` : ''}`,
    )
  await checkFolder(loaded, folder, base.manifest, call.resume)
  const controller = new AbortController()
  const stop = () => controller.abort('interrupted (SIGINT)')
  const unwatch = onInterrupt(stop)
  const options = {
    space,
    signal: controller.signal,
    ...(maximise === undefined ? { minimise } : minimise === undefined ? { maximise } : { maximise, minimise }),
    ...(method && { method }),
    ...(trials !== undefined && { trials }),
    ...(halving ? { halving } : { epochs: config.train?.epochs ?? 1 }),
    ...(prune && { prune }),
    ...(seed !== undefined && { seed }),
  } as SearchOptions<Space>
  const began = performance.now()
  const oneTrial = async (settings: { readonly [name: string]: Setting }, trial: Trial): Promise<TrialResult> => {
    // The manifest is written once the search holds the folder.
    if (trial.number === 0) await writeManifest(folder, base.manifest)
    process.stderr.write(`trial ${trial.number}: ${changesOf(settings).join(', ')}\n`)
    const history = await run(loaded, settings, trial, call)
    if (history.stopped === 'interrupted (SIGINT)') stop()
    return history
  }
  const study = await placed(loaded, ['search'], () => search(folder, options, oneTrial)).finally(unwatch)
  if (call.page !== undefined) await study.save(call.page)
  if (study.stopped !== null) {
    console.error(`stopped; \`firesteel search ${source.path} --resume\` goes on after ${study.trials.length} trials`)
    return exitCodes.interrupted
  }
  const { best } = study
  if (call.json) console.log(JSON.stringify(study))
  else {
    console.log(`${study}`)
    console.log(`${countText(study.trials.length)} trials took ${durationText((performance.now() - began) / 1000)}`)
    if (best !== null)
      console.log(
        `the best is \`firesteel ${commandOf[kindOfConfig(config)]} ${source.path}${changesOf(best.values)
          .map((change) => ` --set '${change}'`)
          .join('')}\``,
      )
  }
  return best === null ? exitCodes.failed : exitCodes.done
}

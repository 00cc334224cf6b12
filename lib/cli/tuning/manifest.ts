/**
 * The file in a run's folder that records the config with which it began, so that it resumes only with the same config.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeAtomically } from '../../io/atomic.js'
import type { Loaded } from '../config/config.js'
import { UsageError } from '../exit.js'
import type { FormatName } from '../tasks/formats.js'
import type { Labelling } from '../tasks/tasks.js'
import { version } from '../version.js'
import { type Data, eachOf, type Rows, tokenizerFolder } from './material.js'
import { resultFolder } from './output.js'

const fileName = 'finetune.json'

export interface Manifest {
  readonly format: 1
  readonly firesteel: string
  readonly config: object
  /** The format of the rows, which may come from the rows instead of the config. */
  readonly rows: { readonly format: FormatName | 'table'; readonly count: number; readonly digest: string } & Labelling
  /** The paths in the config, as they were given. Tables have no tokenizer. */
  readonly model: string
  readonly tokenizer?: string
}

/** The config of a run. A search may change while the runs of its config go on. */
export function withoutSearch<C extends { readonly search?: unknown }>({ search: _, ...config }: C): Omit<C, 'search'> {
  return config
}

export function manifestOf(loaded: Loaded, data: Data): Manifest {
  const { config, resolve } = loaded
  const { format, labelling, train, validation, replay } = data
  return {
    format: 1,
    firesteel: version(),
    config: withoutSearch(config),
    rows: {
      format,
      count: train.length + (validation?.length ?? 0),
      digest: digestOf([train, validation, ...(replay === null ? [] : [replay])]),
      ...labelling,
    },
    model: typeof config.model === 'string' ? resolve(config.model) : resultFolder(loaded),
    tokenizer: tokenizerFolder(loaded),
  }
}

/** The digest of rows in tokens, by which a resumed run recognises its data. */
function digestOf(parts: readonly (Rows | null)[]): string {
  const hash = createHash('sha256')
  for (const part of parts)
    for (const row of part === null ? [] : eachOf(part))
      for (const [name, value] of Object.entries(row)) {
        const own = ArrayBuffer.isView(value)
          ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
          : JSON.stringify(value)
        hash.update(`${name} ${own.length} `).update(own)
      }
  return hash.digest('hex')
}

/** The manifest of a run, or null if the folder has none. Throws UsageError for a file that is not a manifest. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  const path = join(folder, fileName)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw error
  })
  if (text === null) return null
  try {
    const value = JSON.parse(text) as Partial<Manifest> | null
    if (value?.format === 1 && value.config && value.rows && typeof value.model === 'string') return value as Manifest
  } catch {
    // The error is thrown below.
  }
  throw new UsageError(`${path} was changed since firesteel wrote it; restore it, or name another output`)
}

/** Options that may change when a run resumes, because they decide when it ends, but not what a step does. */
const free = ['train.epochs', 'train.steps', 'train.minutes', '$schema', 'output', 'model', 'tokenizer']

/** The parts of a config that determine learning rates, for every command. */
interface TrainingParts {
  readonly train?:
    | {
        readonly schedule?:
          | string
          | { readonly [kind: string]: { readonly warmup?: number | undefined } | undefined }
          | undefined
      }
    | undefined
}

function flat(value: unknown, path = ''): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, path === '' ? key : `${path}.${key}`))
}

/** Whether the learning rates of a run depend on its length. */
export function followsLength({ train }: TrainingParts): boolean {
  const { schedule = 'constant' } = train ?? {}
  if (typeof schedule === 'string') return schedule !== 'constant'
  const { warmup = 0 } = schedule['constant'] ?? {}
  return !Object.hasOwn(schedule, 'constant') || (warmup > 0 && warmup < 1)
}

/**
 * Throws UsageError, which names the differences, if the config has changed since the run began. The length may change
 * unless it is fixed, or learning rates follow it.
 */
export function checkSame(
  { source }: Pick<Loaded, 'source'>,
  before: Manifest,
  now: Manifest,
  { fixedLength = false }: { readonly fixedLength?: boolean } = {},
): void {
  const [old, own] = [new Map(flat(before.config)), new Map(flat(now.config))]
  const lengths = ['train.epochs', 'train.steps', ...(fixedLength ? ['train.minutes'] : [])]
  const isFree = (name: string) => free.includes(name) || name.startsWith('train.checkpoints.')
  const scheduled = fixedLength || [before, now].some(({ config }) => followsLength(config))
  const changes = [...new Set([...old.keys(), ...own.keys()])].filter(
    (name) => (!isFree(name) || (scheduled && lengths.includes(name))) && old.get(name) !== own.get(name),
  )
  const faults = changes.map(
    (name) =>
      `${source.place(name.split('.'))}: ${name} is ${own.get(name) ?? 'left out'}, but the run began with ${old.get(name) ?? 'none'}`,
  )
  if (faults.length === 0 && before.rows.digest !== now.rows.digest) {
    const part = (['corpus', 'table'] as const).find((name) => Object.hasOwn(now.config, name)) ?? 'data'
    const [inTokens, what] = part === 'table' ? ['', 'the data'] : [' in tokens', 'the data or the tokenizer']
    faults.push(
      `${source.place([part], 'key')}: the rows${inTokens} are not those that the run began with (${before.rows.count} then, ${now.rows.count} now): ${what} changed`,
    )
  }
  if (faults.length > 0)
    throw new UsageError(`${faults.join('\n')}\nchange it back to continue, or name another output for a new run`)
}

/** Writes into an existing folder. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await writeAtomically(join(folder, fileName), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)], 'run')
}

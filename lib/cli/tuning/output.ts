/** The folders into which a run writes. */
import { mkdtemp, readdir, realpath, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ValueError } from '../../core/errors.js'
import { missingFolders } from '../../io/folders.js'
import { refusal } from '../../io/refusal.js'
import { type Loaded, placed } from '../config/config.js'
import { UsageError } from '../exit.js'

/** The parts of a config that determine what is written, and from what a run begins. */
export interface OutputConfig {
  readonly output: string
  readonly model: unknown
  readonly tokenizer?: string | undefined
  readonly method?: unknown
}

/** Methods that leave the model unchanged and learn beside it. */
const adapters = ['lora', 'ia3', 'prompt']

/** Whether the result is an adapter beside the model. */
export const isAdapter = ({ config: { method } }: Loaded<OutputConfig>): boolean =>
  typeof method === 'object' && method !== null && adapters.some((name) => name in method)

/** The folder of the result. */
export const resultFolder = (loaded: Loaded<OutputConfig>): string =>
  join(loaded.resolve(loaded.config.output), isAdapter(loaded) ? 'adapter' : 'model')

/**
 * Makes a folder inside another one and removes it again. Permissions alone are not reliable, because /proc claims that
 * its owner may write.
 */
async function probe(folder: string, output: string): Promise<void> {
  try {
    await rmdir(await mkdtemp(join(folder, '.firesteel-')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new ValueError(
        'run',
        `cannot make the folder ${output}: ${folder} does not accept folders; name another place`,
      )
    throw refusal('run', 'write', output, error)
  }
}

/**
 * Checks, before anything is read, that the result can be written. Throws ValueError if the folder cannot be made or
 * accepts no files. Throws UsageError if the result would stand in or overwrite the model or tokenizer with which the
 * run begins.
 */
export async function checkOutput(loaded: Loaded<OutputConfig>): Promise<void> {
  const { config, resolve, source } = loaded
  const output = resolve(config.output)
  await placed(loaded, ['output'], async () => {
    const { last } = await missingFolders('run', output)
    await probe(last, output)
  })
  const real = (path: string) => realpath(path).catch(() => path)
  const result = resultFolder(loaded)
  for (const name of ['model', 'tokenizer'] as const) {
    const given = config[name]
    if (typeof given === 'string' && (await real(resolve(given))) === (await real(output)))
      throw new UsageError(
        `${source.place(['output'])}: output is ${config.output}, which is the folder of the ${name} with which the run begins; name another output, such as runs/first`,
      )
    if (typeof given === 'string' && (await real(resolve(given))) === (await real(result)))
      throw new UsageError(
        `${source.place(['output'])}: output is ${config.output}, whose result would overwrite the ${name} with which the run begins, ${result}; name another output, such as runs/first`,
      )
  }
}

/**
 * Throws UsageError if the place of the result holds files that no run of this folder wrote, because the result would
 * overwrite them.
 */
export async function checkPlaceOfResult(loaded: Loaded<OutputConfig>): Promise<void> {
  const result = resultFolder(loaded)
  const names = await readdir(result).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOTDIR' ? null : []))
  if (names?.length === 0) return
  const what = names === null ? 'is a file' : `already holds ${names.slice(0, 3).join(', ')}`
  throw new UsageError(
    `${loaded.source.place(['output'])}: output is ${loaded.config.output}, but ${result} ${what}, which the result would overwrite; name another output, or move it away`,
  )
}

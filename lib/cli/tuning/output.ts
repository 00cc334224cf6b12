/** The folders that a run writes to. */
import { mkdtemp, realpath, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ValueError } from '../../core/errors.js'
import { refusal } from '../../io/refusal.js'
import { missingFolders } from '../../train/record/place.js'
import { type Loaded, placed } from '../config/config.js'
import { UsageError } from '../exit.js'

/** The parts of a config that say what is written, and from what a run begins. */
export interface OutputConfig {
  readonly output: string
  readonly model: unknown
  readonly tokenizer?: string | undefined
  readonly method?: unknown
}

/** Methods that leave the model as it is, and learn beside it. */
const adapters = ['lora', 'ia3', 'prompt']

/** Whether the result is an adapter beside the model. */
export const isAdapter = ({ config: { method } }: Loaded<OutputConfig>): boolean =>
  typeof method === 'object' && method !== null && adapters.some((name) => name in method)

/** The folder of what was learned. */
export const resultFolder = (loaded: Loaded<OutputConfig>): string =>
  join(loaded.resolve(loaded.config.output), isAdapter(loaded) ? 'adapter' : 'model')

/** Makes a folder in another one, and takes it away again: rights alone do not tell, because /proc says that its owner may write. */
async function probe(folder: string, output: string): Promise<void> {
  try {
    await rmdir(await mkdtemp(join(folder, '.firesteel-')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new ValueError('run', `cannot make the folder ${output}: ${folder} takes no folders; name another place`)
    throw refusal('run', 'write', output, error)
  }
}

/**
 * Looks, before anything is read, whether the result has a place. Throws ValueError for a folder that cannot be made or takes no
 * files, and UsageError where the result would be written over the model or tokenizer that the run begins with.
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
    if (typeof given === 'string' && (await real(resolve(given))) === (await real(result)))
      throw new UsageError(
        `${source.place(['output'])}: output is ${config.output}, whose result would be written over the ${name} that the run begins with, ${result}; name another output, such as runs/first`,
      )
  }
}

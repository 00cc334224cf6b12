/** The folder of a model, as an argument of a command. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from './exit.js'

const has = (folder: string, name: string): Promise<boolean> =>
  stat(join(folder, name)).then(
    () => true,
    () => false,
  )

/** Throws UsageError for a folder without a config.json, which says what the folder is instead. */
export async function checkModelFolder(folder: string): Promise<void> {
  if (await has(folder, 'config.json')) return
  if (await has(folder, 'adapter_config.json'))
    throw new UsageError(`${folder} is an adapter, which needs its model; give the config of the run that made it`)
  if (await has(folder, 'finetune.json'))
    throw new UsageError(
      `${folder} is the folder of a run; give ${(await has(folder, 'model')) ? `the folder of its model, ${join(folder, 'model')}` : 'the config of the run'}`,
    )
  const isThere = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  )
  throw new UsageError(
    isThere
      ? `${folder} has no config.json; give a Hugging Face folder, which \`firesteel pull owner/name\` fetches`
      : `${folder}: there is no such folder; \`firesteel pull owner/name\` fetches one`,
  )
}

/** The result of a run: an adapter, or a whole model, each with its tokenizer. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AutoModel } from '../../models/auto.js'
import type { CausalModel } from '../../models/causal.js'
import { AutoTokenizer, saveTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Loaded, placed } from '../config/config.js'
import type { Format } from '../data/causal.js'
import { UsageError } from '../exit.js'
import { readManifest } from './manifest.js'

/** Saves what was learned, and gives the folder. */
export async function saveResult(
  { config, resolve }: Loaded,
  model: CausalModel,
  tokenizer: Tokenizer,
): Promise<string> {
  if (typeof config.method === 'object') {
    const { saveAdapter } = await import('../../finetune/peft.js')
    const folder = join(resolve(config.output), 'adapter')
    await saveAdapter(model, folder)
    await saveTokenizer(tokenizer, folder)
    return folder
  }
  const folder = join(resolve(config.output), 'model')
  await model.save(folder, { log: () => undefined })
  await saveTokenizer(tokenizer, folder)
  return folder
}

export interface Tuned {
  readonly model: CausalModel
  readonly tokenizer: Tokenizer
  /** The format of the rows that it learned; null for a folder that no run made. */
  readonly format: Format | null
}

/** The model that a config's run has made. Throws UsageError where it has not come to its end. */
export async function loadTuned(loaded: Loaded): Promise<Tuned> {
  const { config, resolve, source } = loaded
  const output = resolve(config.output)
  const manifest = await readManifest(output)
  const isLora = typeof config.method === 'object'
  const folder = join(output, isLora ? 'adapter' : 'model')
  if (manifest === null || (await stat(folder).catch(() => null)) === null)
    throw new UsageError(
      `${source.place(['output'])}: ${output} has no ${isLora ? 'adapter' : 'model'} yet; run \`firesteel finetune ${source.path}${manifest === null ? '' : ' --resume'}\` first`,
    )
  const tokenizer = await AutoTokenizer.load(folder)
  const { format } = manifest.rows
  if (!isLora) return { model: await AutoModel.forCausalLM(folder), tokenizer, format }
  const model = await placed(loaded, ['model'], () => AutoModel.forCausalLM(resolve(config.model)))
  const { loadAdapter } = await import('../../finetune/peft.js')
  await loadAdapter(model, folder)
  return { model, tokenizer, format }
}

/** The result of a run: an adapter, or a whole model, each with its tokenizer. */
import { stat } from 'node:fs/promises'
import { AutoTokenizer, saveTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { ModelCardOptions } from '../../train/report/card.js'
import { type Loaded, placed } from '../config/config.js'
import { UsageError } from '../exit.js'
import type { FormatName } from '../tasks/formats.js'
import { headOf, type Labelling, type TaskModel, taskOf } from '../tasks/tasks.js'
import { readManifest } from './manifest.js'
import { isAdapter, resultFolder } from './output.js'

/** Saves the result and returns its folder. */
export async function saveResult(
  loaded: Loaded,
  model: TaskModel,
  tokenizer: Tokenizer,
  card: ModelCardOptions,
): Promise<string> {
  const folder = resultFolder(loaded)
  if (isAdapter(loaded)) {
    const { saveAdapter } = await import('../../finetune/peft.js')
    await saveAdapter(model, folder, { log: console.error, card })
    await saveTokenizer(tokenizer, folder)
    return folder
  }
  await model.save(folder, { log: console.error, card })
  await saveTokenizer(tokenizer, folder)
  return folder
}

/** Stores the weights in the run's blocks, because its adapter learned beside those. */
async function quantizeAs(method: Loaded['config']['method'], model: TaskModel, format: FormatName): Promise<void> {
  if (typeof method !== 'object' || !('lora' in method) || method.lora.quantize === undefined) return
  const { quantizeBase } = await import('./quantized.js')
  quantizeBase(model, method.lora.quantize, method.lora.modulesToSave ?? headOf(model, format).head)
}

export interface Tuned {
  readonly model: TaskModel
  readonly tokenizer: Tokenizer
  /** The format and labels of the rows from which it learned. */
  readonly format: FormatName
  readonly labelling: Labelling
}

/** The model made by a config's run. Throws UsageError if the run is not complete. */
export async function loadTuned(loaded: Loaded): Promise<Tuned> {
  const { config, resolve, source } = loaded
  const output = resolve(config.output)
  const manifest = await readManifest(output)
  const isLora = isAdapter(loaded)
  const folder = resultFolder(loaded)
  if (manifest === null || (await stat(folder).catch(() => null)) === null)
    throw new UsageError(
      `${source.place(['output'])}: ${output} has no ${isLora ? 'adapter' : 'model'} yet; run \`firesteel finetune ${source.path}${manifest === null ? '' : ' --resume'}\` first`,
    )
  const { format, labels, kind, weights } = manifest.rows
  if (format === 'table')
    throw new UsageError(
      `${source.place(['output'])}: ${output} has a run over a table of numbers, which has no texts; name the output of a fine-tuning`,
    )
  const tokenizer = await AutoTokenizer.load(folder)
  const labelling = { labels, kind, ...(weights && { weights }) }
  const task = taskOf(format)
  const classes = labels.length === 0 ? null : labelling
  if (!isLora) return { model: await task.load(folder, classes), tokenizer, format, labelling }
  const from = typeof config.model === 'string' ? resolve(config.model) : config.model
  // The adapter holds the head, so one of another size in the base is not used.
  const model = await placed(loaded, ['model'], () => task.load(from, classes, {}, () => undefined))
  await placed(loaded, ['method'], () => quantizeAs(config.method, model, format))
  const { loadAdapter } = await import('../../finetune/peft.js')
  await loadAdapter(model, folder)
  return { model, tokenizer, format, labelling }
}

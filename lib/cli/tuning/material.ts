/** All that a fine-tuning begins with: the tokenizer, the rows and the model, each error with its place in the config. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { manualSeed } from '../../core/generator.js'
import { splitRows } from '../../data/split.js'
import { AutoModel } from '../../models/auto.js'
import type { CausalModel } from '../../models/causal.js'
import { readConfig } from '../../models/config.js'
import { AutoTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Loaded, placed } from '../config/config.js'
import { type Format, readTokens, type TokenRow } from '../data/causal.js'
import { dataFiles } from '../data/rows.js'
import { UsageError } from '../exit.js'

export interface Data {
  readonly tokenizer: Tokenizer
  readonly format: Format
  readonly train: readonly TokenRow[]
  /** Null where nothing is held back. */
  readonly validation: readonly TokenRow[] | null
}

export const seedOf = ({ config }: Loaded): number => config.train?.seed ?? 0

async function checkFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found === null)
    throw new UsageError(`${path}: there is no such folder; \`firesteel pull owner/name\` fetches one`)
  if (!found.isDirectory()) throw new UsageError(`${path} is a file, but must be a folder with config.json and weights`)
}

/** The tokenizer and the rows. The model is not loaded for that. */
export async function readData(loaded: Loaded): Promise<Data> {
  const { config, resolve } = loaded
  const folder = resolve(config.model)
  await placed(loaded, ['model'], () => checkFolder(folder))
  const tokenizer = await placed(loaded, [config.tokenizer === undefined ? 'model' : 'tokenizer'], () =>
    AutoTokenizer.load(config.tokenizer === undefined ? folder : resolve(config.tokenizer)),
  )
  // Its sizes without its weights.
  const sizes = await placed(loaded, ['model'], async () =>
    AutoModel.forCausalLM(await readConfig('AutoModel.forCausalLM', join(folder, 'config.json')), { device: 'meta' }),
  )
  const { data } = config
  const limit = sizes.positionLimit
  if (data.maxLength !== undefined && data.maxLength > limit)
    throw new UsageError(
      `${loaded.source.place(['data', 'maxLength'])}: data.maxLength is ${data.maxLength}, but the model has ${limit} positions; give at most ${limit}`,
    )
  const options = {
    format: data.format,
    columns: data.columns ?? {},
    learn: data.learn,
    template: data.template,
    most: data.maxLength ?? Math.min(tokenizer.maxLength ?? Number.POSITIVE_INFINITY, sizes.config.context, limit),
    vocabSize: sizes.config.vocabSize,
  }
  const filesOf = (path: readonly string[], given: string | readonly string[]) =>
    placed(loaded, path, () => dataFiles([given].flat().map(resolve)))
  const { format, rows } = await readTokens(await filesOf(['data', 'file'], data.file), tokenizer, options)
  if (format !== 'chat')
    for (const name of ['learn', 'template'] as const)
      if (data[name] !== undefined)
        throw new UsageError(
          `${loaded.source.place(['data', name], 'key')}: data.${name} is for chats, but the rows are of the format '${format}'; leave it out`,
        )
  const { validation } = data
  if (validation === undefined) return { tokenizer, format, train: rows, validation: null }
  if (typeof validation === 'string') {
    const held = await readTokens(await filesOf(['data', 'validation'], validation), tokenizer, { ...options, format })
    return { tokenizer, format, train: rows, validation: held.rows }
  }
  const parts = await placed(loaded, ['data', 'validation'], () =>
    splitRows(rows, { validation, seed: seedOf(loaded) }),
  )
  return { tokenizer, format, ...parts }
}

/** The model with what learns, made after the seed is set, so that the same config makes the same adapters. */
export async function makeModel(loaded: Loaded): Promise<CausalModel> {
  const { config, resolve } = loaded
  manualSeed(seedOf(loaded))
  const model = await placed(loaded, ['model'], () => AutoModel.forCausalLM(resolve(config.model)))
  const { method = 'full' } = config
  if (method === 'full') return model
  const { applyLora } = await import('../../finetune/lora.js')
  const { targetModules = 'all-linear', ...rest } = method.lora
  const options = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  return placed(loaded, ['method', 'lora'], () => applyLora(model, { ...options, targetModules }))
}

/** The job of a config, whatever it trains. */
import type { Loaded } from '../config/config.js'
import type { FinetuneConfig, PretrainConfig, TableConfig } from '../config/schema.js'
import type { Job } from './job.js'

/** The config of any training. */
export type AnyConfig = FinetuneConfig | PretrainConfig | TableConfig

/** The parts of a config that name the data, one for each kind of training. */
export type Kind = 'data' | 'corpus' | 'table'

export function kindOfConfig(config: AnyConfig): Kind {
  return 'table' in config ? 'table' : 'corpus' in config ? 'corpus' : 'data'
}

/** The command that trains each kind. */
export const commandOf: { readonly [kind in Kind]: string } = {
  data: 'finetune',
  corpus: 'pretrain',
  table: 'pretrain',
}

const has = <K extends Kind>(
  loaded: Loaded<AnyConfig>,
  kind: K,
): loaded is Loaded<Extract<AnyConfig, { readonly [name in K]: unknown }>> => kindOfConfig(loaded.config) === kind

/** Reads the data and makes the model. The files of a kind are loaded only when needed. */
export async function beginJob(loaded: Loaded<AnyConfig>): Promise<Job> {
  if (has(loaded, 'table')) return (await import('./table.js')).tablePretraining(loaded)
  if (has(loaded, 'corpus')) return (await import('./corpus.js')).pretraining(loaded)
  return (await import('./finetuning.js')).finetuning(loaded as Loaded<FinetuneConfig>)
}

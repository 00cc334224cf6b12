/** The kinds of workloads that the library's operators can express, and their builders. */
import { readFileSync } from 'node:fs'
import { attentionWork } from './attention.js'
import { breadth } from './breadth.js'
import { conv1dWork, convTranspose2dWork, convWork } from './conv.js'
import { addTinyWork, geluWork } from './elementwise.js'
import { interpolateWork } from './interpolate.js'
import { crossEntropyWork, linearCrossEntropyWork } from './loss.js'
import { einsumWork, matmulWork } from './matmul.js'
import { groupNormWork, layerNormWork, rmsNormWork } from './norm.js'
import { optimizerWork } from './optimizer.js'
import { recurrentWork } from './recurrent.js'
import { cnnWork, gptLoraTraining, gptTraining, mlpWork, taggerWork } from './train.js'
import type { Builder, Workload } from './work.js'

const builders = new Map<string, Builder>([
  ['matmul', matmulWork],
  ['einsum', einsumWork],
  ['conv2d', convWork],
  ['conv1d', conv1dWork],
  ['conv_transpose2d', convTranspose2dWork],
  ['interpolate', interpolateWork],
  ['lstm', recurrentWork('lstm')],
  ['gru', recurrentWork('gru')],
  ['rnn', recurrentWork('rnn')],
  ['attention', attentionWork],
  ['layernorm', layerNormWork],
  ['rmsnorm', rmsNormWork],
  ['groupnorm', groupNormWork],
  ['gelu', geluWork],
  ['cross_entropy', crossEntropyWork],
  ['linear_cross_entropy', linearCrossEntropyWork],
  ['add_tiny', addTinyWork],
  ['optimizer', optimizerWork],
  ['train_mlp', mlpWork],
  ['train_cnn', cnnWork],
  ['train_lstm', taggerWork],
  ['train_gpt', gptTraining],
  ['train_gpt_lora', gptLoraTraining],
  ...Object.entries(breadth),
])

/** The builder of a workload, or the reason why there is none. */
export function builderOf({ kind, dtype = 'f32' }: Workload): Builder | string {
  if (dtype !== 'f32' && !(dtype === 'bf16' && (kind === 'matmul' || kind === 'conv2d')))
    return `the bench has no ${kind} in ${dtype}`
  return builders.get(kind) ?? `no operator for kind '${kind}'`
}

export function readWorkloads(path: string): readonly Workload[] {
  const list: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (!Array.isArray(list)) throw new Error(`${path} must hold a list of workloads`)
  for (const entry of list as readonly Partial<Workload>[])
    if (typeof entry?.name !== 'string' || typeof entry.kind !== 'string')
      throw new Error(`${path}: every workload needs a name and a kind, but one is ${JSON.stringify(entry)}`)
  return list as readonly Workload[]
}

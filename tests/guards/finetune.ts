/** Sound calls of fine-tuning. */
import * as finetune from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'
import type { PublicCall } from '../cases/sound.js'
import { collector } from './collect.js'
import { model } from './modules.js'
import { batches } from './training.js'

const { nn } = f
const { entries, add, make } = collector()

export const lora = () => finetune.applyLora(model(), { rank: 1, targetModules: ['0'] })
add('applyLora', finetune.applyLora, () => [
  model(),
  { name: 'a', rank: 2, alpha: 4, dropout: 0.1, targetModules: ['0'], rankPattern: { 0: 1 }, modulesToSave: ['2'] },
])
add('applyIa3', finetune.applyIa3, () => [
  model(),
  { targetModules: ['0'], excludeModules: ['2'], feedforwardModules: ['0'] },
])
add('addWeightedAdapter', finetune.addWeightedAdapter, () => [
  lora(),
  { adapters: ['default'], weights: [2], name: 'twice', combinationType: 'svd', svdRank: 1 },
])
add('applyPrompt', finetune.applyPrompt, () => [
  gpt2({ vocabSize: 5, layers: 1, width: 4, heads: 2, context: 8 }),
  { kind: 'prompt', tokens: 2, name: 'default' },
])
add('mergeLora', finetune.mergeLora, () => [lora(), { name: 'default' }])
add(
  'unmergeLora',
  (m, options) => {
    finetune.mergeLora(m)
    finetune.unmergeLora(m, options)
  },
  () => [lora(), { name: 'default' }],
  'mergeLora',
)
add('removeLora', finetune.removeLora, () => [lora(), { name: 'default' }])
add('quantize', finetune.quantize, () => [new nn.Linear(32, 2), 'q8_0', { modules: /$/ }])
add('setAdapter', finetune.setAdapter, () => [lora(), ['default']])
add('withAdapter', finetune.withAdapter, () => [lora(), ['default'], () => 1])
add('withoutAdapters', finetune.withoutAdapters, () => [lora(), () => 1])
add('freeze', finetune.freeze, () => [model(), '0'])
add('unfreeze', finetune.unfreeze, () => [model(), '0'])
add('countParameters', finetune.countParameters, () => [model()])
add('unfreezeGradually', finetune.unfreezeGradually, () => [model(), { everyEpochs: 2 }])
add('freezeNorms', finetune.freezeNorms, () => [model()])
add('bitfit', finetune.bitfit, () => [model(), { head: '2', norms: true }])
add('parameterGroups', finetune.parameterGroups, () => [model(), { weightDecay: 0.1 }])
add('layerwiseGroups', finetune.layerwiseGroups, () => [
  model(),
  { lr: 1e-3, decay: 0.9, head: { lr: 1e-2, modules: '2' }, weightDecay: 0.1 },
])
add('probe', finetune.probe as never, () => [model(), batches(), { head: '2' }])
add('replay', finetune.replay as never, () => [batches(), batches(), { share: 0.5 }])
make('LoraLinear', finetune.LoraLinear as never, () => [
  new nn.Linear(3, 4),
  { rank: 1, scale: 1, dropout: 0, generator: new f.Generator(1) },
])
make('Ia3Adapter', finetune.Ia3Adapter as never, () => [new nn.Linear(2, 3), { feedforward: true }])
make('LoraConv2d', finetune.LoraConv2d as never, () => [new nn.Conv2d(2, 3, 2), { rank: 1, scale: 2 }])
make('LoraConv1d', finetune.LoraConv1d as never, () => [new nn.Conv1d(2, 3, 2), { rank: 1, scale: 2 }])
make('LoraConv3d', finetune.LoraConv3d as never, () => [new nn.Conv3d(2, 3, 2), { rank: 1, scale: 2 }])
make('LoraEmbedding', finetune.LoraEmbedding as never, () => [new nn.Embedding(5, 3), { rank: 1, scale: 2 }])
add('isAdaptable', nn.isAdaptable as never, () => [new nn.Linear(3, 4)])

export const finetuneCalls: readonly PublicCall[] = entries

/**
 * Valid calls of every public function, constructor and method of the package and of the subpaths that need no model.
 * The guards repeat them with hostile arguments.
 */
import * as datasets from '../../lib/data/datasets/index.js'
import * as text from '../../lib/data/text/index.js'
import * as finetune from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import * as pretrain from '../../lib/pretrain/index.js'
import type { PublicCall } from '../cases/sound.js'
import { publicCalls } from '../fuzz/calls.js'
import { dataCalls } from './data.js'
import { fileCalls } from './files.js'
import { finetuneCalls } from './finetune.js'
import { layerCalls } from './layers.js'
import { metricCalls } from './metrics.js'
import { modeCalls } from './modes.js'
import { moduleCalls } from './modules.js'
import { others as optimizerCalls, withOptions as optimizerOptions } from './optimizers.js'
import { pretrainCalls } from './pretrain.js'
import { taskCalls } from './tasks.js'
import { trainingCalls } from './training.js'

/** Methods of tensors that are also functions, with the tensor last. Called as methods they must report the same. */
const methodCalls: PublicCall[] = []
// `x.unfold` is a different function, as in PyTorch.
const methods = publicCalls.filter(
  ({ names: [name = ''] }) => name in f.Tensor.prototype && name !== 'to' && name !== 'unfold',
)
for (const { names, args } of methods)
  methodCalls.push({
    names,
    self: args().length - 1,
    args: () => {
      const [self, ...rest] = args()
      return [...rest, self]
    },
    call: (...given: never[]) => {
      const self = (given as unknown[]).at(-1) as { readonly [method: string]: (...rest: unknown[]) => unknown }
      return self[names[0] as string]?.(...given.slice(0, -1))
    },
  })

export const allCalls: readonly PublicCall[] = [
  ...publicCalls,
  ...layerCalls,
  ...moduleCalls,
  ...modeCalls,
  ...optimizerOptions,
  ...optimizerCalls,
  ...dataCalls,
  ...metricCalls,
  ...trainingCalls,
  ...finetuneCalls,
  ...taskCalls,
  ...pretrainCalls,
  ...fileCalls,
  ...methodCalls,
]

/** All exported functions and classes of the faces, by their names in their modules. */
export function functionsOf(faces: readonly object[]): readonly string[] {
  const all = faces.flatMap((face) => Object.entries(face))
  return [...new Set(all.flatMap(([name, value]) => (typeof value === 'function' ? [name] : [])))]
}

export const exported = (): readonly string[] =>
  functionsOf([f, f.nn, f.nn.functional, f.nn.init, f.optim, f.metrics, finetune, pretrain, datasets, text])

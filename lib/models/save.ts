/** Saves a model into a folder that transformers can load, and verifies that the folder holds the model. */
import { join } from 'node:path'
import { noGrad } from '../autograd/mode.js'
import { kindOf, namedAs, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { writeTogether } from '../io/atomic.js'
import { makeFolder } from '../io/folders.js'
import { checkPath } from '../io/refusal.js'
import { weightFiles } from '../io/save-shards.js'
import { captureModes } from '../nn/module.js'
import { readState, withoutAliases } from '../nn/state.js'
import type { ModelCardOptions } from '../train/report/card.js'
import { type ConfigJson, configText } from './config.js'
import { loadModel } from './load.js'
import type { PretrainedModel } from './pretrained.js'

export interface SaveOptions {
  /** Also writes a model card, the folder's README.md, with these contents (see `modelCard`). */
  readonly card?: ModelCardOptions
  /** Receives the line about what was written and verified. Default: `console.log`. */
  readonly log?: (line: string) => void
  /**
   * The most bytes of a file of weights: a number, or a text such as '5GB' (10^9 bytes each). Larger models become
   * several files, model-00001-of-00002.safetensors and so on, and model.safetensors.index.json. A tensor is never
   * divided, so one that is larger has its own file. Shards take no names of an earlier save's (model-2-00001-of-00002
   * and so on), so a save that is killed leaves the earlier weights or the new ones. Default '50GB', as in transformers.
   */
  readonly maxShardSize?: number | string
}

/** The bits of the outputs in evaluation mode. */
function outputsOf(model: PretrainedModel): Uint8Array[] {
  const restore = captureModes(model)
  model.eval()
  try {
    return scope(() =>
      noGrad(() =>
        model.probe().map((output: Tensor) => {
          const values = output.dataSync()
          return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
        }),
      ),
    )
  } finally {
    restore()
  }
}

/** Implements `PretrainedModel.save`. */
export async function saveModel(model: PretrainedModel, folder: string, options: SaveOptions): Promise<void> {
  const op = 'save'
  const {
    log = console.log,
    card,
    maxShardSize = '50GB',
  } = checkOptions(op, options, { log: true, card: true, maxShardSize: true })
  if (typeof log !== 'function') throw new ValueError(op, `log is ${kindOf(log)}, but must be a function of a line`)
  checkPath(op, 'write', folder)
  const cards = card === undefined ? [] : [(await import('../train/report/card-file.js')).cardFile(op, folder, card)]
  model.checkPlain(op)
  const state = new Map(withoutAliases(readState(op, model)))
  const dtype = state.values().next().value?.dtype ?? 'float32'
  const config = { ...model.toConfig() } as { [name: string]: unknown }
  // transformers 5 uses `dtype`. Earlier versions use `torch_dtype`, which version 5 also reads.
  delete config['dtype']
  config['torch_dtype'] = dtype
  const parameters = [...model.parameters()].reduce((count, { numel }) => count + numel, 0)
  const { count, placed } = weightFiles(folder, state, parameters, maxShardSize, op)
  const expected = outputsOf(model)
  await makeFolder(op, folder)
  const settings = (name: string, json: ConfigJson) => {
    return { path: join(folder, name), chunks: [Buffer.from(configText(json))] }
  }
  const beside = [
    ['generation_config.json', model.generationConfig],
    ['preprocessor_config.json', model.preprocessorConfig],
  ] as const
  const others = beside.flatMap(([name, json]) => (json === null ? [] : [settings(name, json)]))
  const { weights, index, outdated } = await placed()
  await writeTogether([...weights, settings('config.json', config), ...others, ...cards, ...index], op, outdated)
  const device = [...state.values()][0]?.device
  const twin = await loadModel(op, folder, model.architecture, null, { dtype: 'auto', ...(device ? { device } : {}) })
  try {
    const found = namedAs(op, () => outputsOf(twin))
    const same =
      found.length === expected.length &&
      found.every((bits, i) => Buffer.compare(bits, expected[i] as Uint8Array) === 0)
    if (!same)
      throw new ValueError(
        op,
        `${folder} was written, but a model loaded from it gives other outputs than this one, so do not use the folder. A layer ` +
          'or a forward that the program changed is not part of config.json',
      )
  } finally {
    for (const tensor of twin.stateDict().values()) tensor.dispose()
  }
  const values = expected.reduce((count, bits) => count + bits.byteLength / 4, 0)
  const spread = count > 1 ? ` in ${count} shards` : ''
  log(`saved ${folder}: ${state.size} tensors${spread}, read again and proved: ${values} outputs are equal bit for bit`)
}

/** The base of QLoRA: weights beside adapters, stored in blocks. */
import type { BlockDType } from '../../core/dtype.js'
import { byPath, planned } from '../../finetune/names.js'
import { savedModules } from '../../finetune/plan.js'
import { quantize } from '../../finetune/quantize.js'
import { targetLayers } from '../../finetune/targets.js'
import type { TaskModel } from '../tasks/tasks.js'

/**
 * Stores the weights of linear layers in blocks, except those that learn whole and the head that computes scores of
 * tokens.
 */
export function quantizeBase(model: TaskModel, dtype: BlockDType, modulesToSave: readonly string[]): void {
  const op = 'quantize'
  const saved = planned(model, (naming) => savedModules(op, model, modulesToSave, naming))
  const layers = targetLayers(op, model, saved, { targetModules: 'all-linear' }, byPath)
  quantize(model, dtype, { modules: layers.map(([path]) => path) })
}

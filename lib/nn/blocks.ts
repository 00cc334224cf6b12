/** The blocks of a model, from its input to its output. */
import { kindOf, ValueError } from '../core/errors.js'
import { Module } from './module.js'

/**
 * A model that lists the blocks it is made of, from its input to its output. Everything that works by depth reads this
 * list: freezing, rates by layer, unfreezing, checkpointing, stages of a pipeline. A block is a module that the model's
 * forward calls. An embedding before the first block and a head after the last are not blocks.
 *
 * `Module` has no such member, because models often keep their blocks in a property of that name. Such a list serves as
 * well as a method.
 */
export interface WithBlocks {
  readonly blocks: (() => readonly Module[]) | Iterable<Module>
}

/**
 * The blocks that a model declares by `blocks`; null if it declares none. Throws ValueError if the method gives
 * anything but modules within the model.
 */
export function blocksOf(model: Module): readonly Module[] | null {
  if (!(model instanceof Module)) throw new ValueError('blocksOf', `needs a module, but got ${kindOf(model)}`)
  const declared = (model as Module & Partial<WithBlocks>).blocks
  const isMethod = typeof declared === 'function'
  if (!isMethod && (typeof declared !== 'object' || declared === null || !(Symbol.iterator in declared))) return null
  const given: unknown = isMethod ? declared.call(model) : declared
  const op = `${model.constructor.name}.blocks`
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
    throw new ValueError(op, `gave ${kindOf(given)}, but must give the model's blocks in an array`)
  const blocks = [...new Set(given as Iterable<unknown>)]
  const inside = new Set<unknown>(model.modules())
  for (const [i, block] of blocks.entries()) {
    if (inside.has(block) && block !== model) continue
    // Anything but a list of blocks is ignored, because a property of this name may hold anything.
    if (!isMethod) return null
    throw new ValueError(
      op,
      `block ${i} is ${block === model ? 'the model itself' : block instanceof Module ? `a ${block.constructor.name} that is not in the model` : kindOf(block)}, ` +
        'but must be a module within the model',
    )
  }
  return blocks as readonly Module[]
}

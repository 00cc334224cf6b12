/** Depth: how far from a model's input a parameter stands. */
import { blocksOf } from '../nn/blocks.js'
import type { Module, Parameter } from '../nn/module.js'
import type { Named } from './select.js'

export interface Depth {
  /** Blocks with parameters, from the input to the output. */
  readonly blocks: readonly Named[]
  /**
   * Where each parameter stands: the number of its block; -1 in front of the first one, as an embedding; the number of blocks
   * behind the last one, as a head. A tied weight stands where its first name is.
   */
  readonly places: ReadonlyMap<Parameter, number>
}

/**
 * The depth of each parameter by the blocks that the model declares (see `nn.WithBlocks`), else by its children. What is in no block
 * counts by the order in which the model defines it: what is defined between two blocks belongs to the one before.
 */
export function depthOf(model: Module): Depth {
  const learns = (module: Module) => !module.parameters()[Symbol.iterator]().next().done
  const paths = new Map(model.namedModules().map(([path, module]) => [module, path]))
  const blocks = (blocksOf(model) ?? model.children()).filter(learns)
  const inBlock = new Map<Parameter, number>()
  for (const [i, block] of blocks.entries())
    for (const parameter of block.parameters()) if (!inBlock.has(parameter)) inBlock.set(parameter, i)
  const places = new Map<Parameter, number>()
  let last = -1
  for (const [, parameter] of model.namedParameters()) {
    const own = inBlock.get(parameter)
    if (own !== undefined) last = own
    places.set(parameter, own ?? (last === blocks.length - 1 ? blocks.length : last))
  }
  return { blocks: blocks.map((block) => [paths.get(block) as string, block]), places }
}

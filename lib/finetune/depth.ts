/** Depth: the distance of a parameter from a model's input. */
import { blocksOf } from '../nn/blocks.js'
import type { Module, Parameter } from '../nn/module.js'
import type { Named } from './select.js'

export interface Depth {
  /** Blocks with parameters, from the input to the output. */
  readonly blocks: readonly Named[]
  /**
   * The depth of each parameter: the number of its block. It is -1 before the first block, as for an embedding, and the
   * number of blocks after the last one, as for a head. A tied weight has the depth of its first name.
   */
  readonly places: ReadonlyMap<Parameter, number>
}

/**
 * The depth of each parameter by the blocks that the model declares (see `nn.WithBlocks`), else by its children.
 * Parameters outside the blocks count by the order in which the model defines them: those defined between two blocks
 * belong to the first one.
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

/** A model card as a file of a model's folder. */
import { checkOptions } from '../../core/options.js'
import type { NewFile } from '../../io/atomic.js'
import { join } from '../record/system.js'
import { cardNames, type ModelCardOptions, modelCard } from './card.js'

/** The README.md of a folder. Throws ValueError for options that a card cannot express. */
export function cardFile(op: string, folder: string, card: ModelCardOptions): NewFile {
  checkOptions(op, card, cardNames, 'card')
  return { path: join(folder, 'README.md'), chunks: [new TextEncoder().encode(modelCard(card))] }
}

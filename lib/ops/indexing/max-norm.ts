/** The check of the limit of an embedding's row norms. */
import { shown, ValueError } from '../../core/errors.js'

/** Throws unless `maxNorm` is a valid limit. */
export function checkMaxNorm(op: string, maxNorm: number | null, normType: number): void {
  if (maxNorm !== null && !(typeof maxNorm === 'number' && maxNorm > 0))
    throw new ValueError(op, `maxNorm is ${shown(maxNorm)}, but must be a positive number, or null`)
  if (typeof normType !== 'number' || !(normType > 0))
    throw new ValueError(op, `normType is ${shown(normType)}, but must be a positive number, or Infinity`)
}

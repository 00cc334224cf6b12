/** The limit of the norms of an embedding's rows. */
import { shown, ValueError } from '../../core/errors.js'

/** Throws unless a limit of norms can be one. */
export function checkMaxNorm(op: string, maxNorm: number | null, normType: number): void {
  if (maxNorm !== null && !(typeof maxNorm === 'number' && maxNorm > 0))
    throw new ValueError(op, `maxNorm is ${shown(maxNorm)}, but must be a positive number, or null`)
  if (typeof normType !== 'number' || !(normType > 0))
    throw new ValueError(op, `normType is ${shown(normType)}, but must be a positive number, or Infinity`)
}

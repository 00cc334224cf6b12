/** The report on which kernels serve and why others do not: one paragraph, written for people. */
import type { Attempt, Loaded } from './loader.js'

const passedOver = ({ source, path, failure }: Attempt) => `${source}${path === null ? '' : ` (${path})`}: ${failure}`

/**
 * Null where there is nothing to tell: the package of this platform serves, or a build where no package is; or it is a
 * browser.
 */
export function paragraph(loaded: Loaded): string | null {
  if (loaded.attempts.length === 0) return null
  const failed = loaded.attempts.filter(({ failure }) => failure !== null)
  const reasons = failed.map(passedOver).join('; ')
  const more = '`npx firesteel doctor` tells more.'
  if ('unavailable' in loaded)
    return `Native kernels are not available, so the slow reference backend serves. ${reasons}. ${more}`
  const broken = failed.some(({ path }) => path !== null)
  return broken ? `Native kernels of ${loaded.path} serve. Passed over: ${reasons}. ${more}` : null
}

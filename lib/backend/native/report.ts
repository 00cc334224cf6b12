/** What serves in place of what, in one paragraph for a person. */
import type { Attempt, Loaded } from './loader.js'

const passedOver = ({ source, path, failure }: Attempt) => `${source}${path === null ? '' : ` (${path})`}: ${failure}`

/** Null where there is nothing to tell: the package of this platform serves, or a build where no package is. */
export function paragraph(loaded: Loaded): string | null {
  const failed = loaded.attempts.filter(({ failure }) => failure !== null)
  const reasons = failed.map(passedOver).join('; ')
  const more = '`npx firesteel doctor` tells more.'
  if ('unavailable' in loaded)
    return `Native kernels are not available, so the slow reference backend serves. ${reasons}. ${more}`
  const broken = failed.some(({ path }) => path !== null)
  return broken ? `Native kernels of ${loaded.path} serve. Passed over: ${reasons}. ${more}` : null
}

/** The report on the kernels in use, and why others are not: one paragraph for people. */
import type { Attempt, Loaded } from './loader.js'
import { neverRun, packageOf, platformName } from './platforms.js'

const passedOver = ({ source, path, failure }: Attempt) => `${source}${path === null ? '' : ` (${path})`}: ${failure}`

/**
 * The paragraph, or null if there is nothing to tell. That is so if the package of this platform works, or a build in a
 * checkout without packages, or if this is a browser. A package that its makers could not run is told of. `named` gives
 * the name of this platform, and is asked only in Node, because a browser has none; tests give another one.
 */
export function paragraph(loaded: Loaded, named = platformName): string | null {
  if (loaded.attempts.length === 0) return null
  const platform = named()
  const failed = loaded.attempts.filter(({ failure }) => failure !== null)
  const reasons = failed.map(passedOver).join('; ')
  const more = '`npx firesteel doctor` tells more.'
  if ('unavailable' in loaded)
    return `Native kernels are not available, so the slow reference backend is used. ${reasons}. ${more}`
  const broken = failed.some(({ path }) => path !== null)
  const isUntried = loaded.attempts.some(
    ({ source, failure }) => failure === null && source.endsWith(packageOf(platform)) && neverRun.includes(platform),
  )
  if (isUntried)
    return (
      `Native kernels of ${loaded.path} are used, which were compiled for ${platform} but never run. Compare your results ` +
      `with FIRESTEEL_DEVICE=reference, and please report them. ${more}`
    )
  return broken ? `Native kernels of ${loaded.path} are used. Skipped: ${reasons}. ${more}` : null
}

/**
 * npm's `prepare`: builds dist and the addon after `npm ci` in a checkout, and for a git dependency. Without a C++
 * compiler it says so in one line and succeeds, because the reference backend is then used. FIRESTEEL_REQUIRE=native
 * makes that an error.
 */
import { buildDist } from './build-dist.mjs'
import { buildNative } from './build-native.mjs'

const built = await buildNative({ quiet: true })
if (built === null) {
  console.error('firesteel: no C++ compiler found, so no native kernels: the slow reference backend will serve')
  if (process.env.FIRESTEEL_REQUIRE === 'native') process.exitCode = 1
} else if (!built) process.exitCode = 1
if ((await buildDist()) === false) process.exitCode = 1

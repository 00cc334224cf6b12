/** `firesteel doctor`: the places searched for native kernels, the backend that serves, and the advice. */
import { describeDevice } from '../backend/describe.js'
import { defaultDevice } from '../backend/devices.js'
import { loadedNative } from '../backend/native/device.js'
import { neverRun, packagedPlatforms, platformName } from '../backend/native/platforms.js'
import { runtimeName } from '../backend/native/refusal.js'
import { readSettings, settingNames } from '../backend/settings.js'
import { packageRoot } from '../core/package-root.js'
import { version } from './version.js'

export interface Diagnosis {
  readonly text: string
  /** Whether the expected backend serves. */
  readonly healthy: boolean
}

/** `platform` is another one than this in tests only. */
export function doctor(platform = platformName()): Diagnosis {
  const { nativeRequired } = readSettings()
  const loaded = loadedNative()
  const expected = nativeRequired || packagedPlatforms.some((name) => name === platform)
  const available = !('unavailable' in loaded)
  const set = settingNames.flatMap((name) => (process.env[name] ? [`${name}=${process.env[name]}`] : []))
  const root = packageRoot()
  const rows: readonly (readonly [string, string])[] = [
    ['firesteel', `${version()}, in ${root ?? 'a file of a bundler'}`],
    ['runtime', `${runtimeName()}, ${platform}`],
    ['environment', set.length > 0 ? set.join(' ') : 'nothing set'],
    ...loaded.attempts.map(
      ({ source, path, failure }) =>
        [source, failure === null ? `serves: ${path}` : `passed over${path ? `: ${path}` : ''}: ${failure}`] as const,
    ),
    ['the reference backend', available ? 'not needed' : 'serves in their place, slowly'],
    ...(available ? ([['default device', describeDevice(defaultDevice())]] as const) : []),
  ]
  const healthy = available || !expected
  const untried = neverRun.includes(platform)
    ? ` The binary for ${platform} was compiled and checked by its tables, but never run: please report what it does.`
    : ''
  const verdict = available
    ? `Native kernels serve.${untried}`
    : expected
      ? `Native kernels were expected here, but none serve; what to do is said above.${untried}`
      : `There are no native kernels for ${platform}; the reference backend serves, slowly.`
  return { text: [...rows.map(([label, value]) => `${label.padEnd(36)}${value}`), '', verdict].join('\n'), healthy }
}

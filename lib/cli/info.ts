/** `firesteel info`: the backends that exist, the one that serves, and the reason why the others do not. */
import { availableParallelism, cpus } from 'node:os'
import { defaultDevice, unavailable } from '../backend/devices.js'
import { formatBytes } from '../backend/native/bytes.js'
import { createNativeDevice, NativeDevice } from '../backend/native/device.js'
import { availableMemory } from '../backend/native/machine.js'
import { settingNames } from '../backend/settings.js'
import { version } from './version.js'

/** The machine's peaks, measured in a few hundredths of a second. */
function peaks(device: NativeDevice): string {
  const counts = device.threads === 1 ? [1] : [1, device.threads]
  const rates = counts.map((threads) => (device.multiplyAddPeak('float32', { threads }) / 1e9).toFixed(0))
  const bytes = (device.bandwidth('read', memoryWorkingSet, { seconds: 0.05 }) / 1e9).toFixed(0)
  const half = device.multiplyAddPeak('bfloat16') / 1e9
  const pairs = half > 0 ? `, ${half.toFixed(0)} of bfloat16` : ''
  return `${rates.join(' and ')} GFLOP/s on ${counts.join(' and ')} threads${pairs}, ${bytes} GB/s read`
}

/** Larger than the caches of most machines. */
const memoryWorkingSet = 256 * 2 ** 20

/** Lines of label and value. */
export function info(): string {
  const device = createNativeDevice()
  const cuda = unavailable('cuda')
  const processor = cpus()[0]?.model.trim() || process.arch
  const set = settingNames.flatMap((name) => (process.env[name] ? [`${name}=${process.env[name]}`] : []))
  const rows: readonly (readonly [string, string])[] = [
    ['firesteel', version()],
    ['node', `${process.version}, ${process.platform}-${process.arch}`],
    ['processor', `${processor}, ${availableParallelism()} cores for this process`],
    ['memory', `${formatBytes(availableMemory())} available`],
    ...(device instanceof NativeDevice
      ? ([
          ['native kernels', 'yes'],
          ['  binary', device.path],
          ['  instruction set', device.isa],
          ['  threads', String(device.threads)],
          ['  at most', peaks(device)],
        ] as const)
      : ([['native kernels', `no: ${device.unavailable}`]] as const)),
    ['cuda', cuda === null ? 'yes' : `no: ${cuda}`],
    ['reference', 'yes: plain TypeScript, slow, always there'],
    ['default device', defaultDevice().name],
    ['environment', set.length > 0 ? set.join(' ') : 'nothing set'],
  ]
  return rows.map(([label, value]) => `${label.padEnd(18)}${value}`).join('\n')
}

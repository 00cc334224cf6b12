/** `firesteel bench`: runs the same work on every available device, side by side. */
import { unavailable } from '../../backend/devices.js'
import { type Comparison, compare } from '../../compare/index.js'
import { parseArguments } from '../arguments.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { version } from '../version.js'
import { type Size, sizes, type Workload, workloads } from '../workloads.js'

const usage = `Usage: firesteel bench [--devices NAMES] [--size SIZE] [--only WORDS] [--seconds COUNT] [--json]
  --devices  names separated by commas; default reference,cpu,cuda
  --size     small, medium or large; default medium
  --only     workloads whose name contains this text
  --seconds  how long each workload is timed on each device; default 0.5
  --json     prints one JSON object instead of text
A step of the reference backend that takes longer than --seconds is timed only once; the column of steps says how many
were timed.
The losses of training steps are compared over three steps.`

const comparedLosses = 3

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const options = { devices: text, size: text, only: text, seconds: text, json: flag, help: flag }

interface Choice {
  readonly devices: readonly string[]
  readonly size: Size
  readonly seconds: number
  readonly chosen: readonly Workload[]
}

function readChoice(values: { readonly [N in 'devices' | 'size' | 'only' | 'seconds']?: string | undefined }): Choice {
  const { devices = 'reference,cpu,cuda', size: givenSize = 'medium', only = '', seconds: given = '0.5' } = values
  const size = sizes.find((name) => name === givenSize)
  if (size === undefined)
    throw new UsageError(`--size is '${givenSize}', but must be one of ${sizes.join(', ')}\n${usage}`)
  const seconds = given.trim() === '' ? Number.NaN : Number(given)
  if (!(Number.isFinite(seconds) && seconds >= 0))
    throw new UsageError(`--seconds is '${given}', but must be a number of at least 0\n${usage}`)
  const all = workloads(size)
  const chosen = all.filter(({ name }) => name.includes(only))
  if (chosen.length === 0)
    throw new UsageError(
      `no workload has '${only}' in its name; there are\n${all.map(({ name }) => `  ${name}`).join('\n')}`,
    )
  const names = devices.split(',').map((name) => name.trim())
  if (names.includes('')) throw new UsageError(`--devices is '${devices}', but must be names separated by commas`)
  return { devices: names, size, seconds, chosen }
}

const measure = ({ make, trains }: Workload, devices: readonly string[], seconds: number): Promise<Comparison> =>
  compare(devices, make, { losses: trains ? comparedLosses : 0, seconds })

export async function benchCommand(args: readonly string[]): Promise<ExitCode> {
  const { values, positionals } = parseArguments(args, options, usage)
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  if (positionals.length > 0)
    throw new UsageError(`bench takes only options, but got '${positionals.join(' ')}'\n${usage}`)
  const { devices, size, seconds, chosen } = readChoice(values)
  const missing = devices.flatMap((device) => {
    const reason = unavailable(device)
    return reason === null ? [] : [{ device, missing: reason.replaceAll('\n', ' ') }]
  })
  const present = devices.filter((device) => missing.every((each) => each.device !== device))
  if (present.length === 0)
    throw new UsageError(
      `none of the devices is available\n${missing.map((each) => `${each.device}: ${each.missing}`).join('\n')}`,
    )
  if (values.json) {
    const found: object[] = []
    for (const workload of chosen)
      found.push({ workload: workload.name, ...(await measure(workload, present, seconds)).toJSON() })
    console.log(JSON.stringify({ version: version(), size, missing, workloads: found }, null, 2))
    return exitCodes.done
  }
  for (const each of missing) console.log(`${each.device}: not there (${each.missing})`)
  for (const workload of chosen) console.log(`\n${workload.name}\n${await measure(workload, present, seconds)}`)
  return exitCodes.done
}

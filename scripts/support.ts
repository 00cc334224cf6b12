/**
 * Writes what works on which device: a table of families in the README, and docs/support.md with a line for each
 * operator. Both follow from the records, the table of kernels, the kernels of the reference device and the entries of
 * CUDA's sources. Usage: npm run support [-- --check]
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AnyOperator, operators } from '../lib/autograd/operator.js'
import { referenceKernels } from '../lib/backend/reference/kernels.js'
import { families, familyOf, type KernelName } from '../lib/backend/table/index.js'
import '../lib/index.js'
import '../lib/linalg/index.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const cudaFolder = join(root, 'native/cuda')

const cudaSources = readdirSync(cudaFolder)
  .filter((file) => file.endsWith('.cu') || file.endsWith('.cpp'))
  .map((file) => readFileSync(join(cudaFolder, file), 'utf8'))
  .join('\n')
/**
 * The names in CUDA's sources that belong to a kernel, for any dtype. Its launcher is written there, or follows from
 * its entries, which are named <kernel>_<dtype>; comparisons have a macro.
 */
const isOnCuda = (kernel: string) =>
  new RegExp(`\\{"${kernel}", \\w+, "|^[A-Z]+\\(${kernel}(_(float32|int32|word))?,`, 'm').test(cudaSources)

type Device = 'reference' | 'cpu' | 'cuda'
const hasKernel: { readonly [K in Device]: (kernel: string) => boolean } = {
  reference: (kernel) => kernel in referenceKernels(),
  cpu: () => true,
  cuda: isOnCuda,
}
const devices = Object.keys(hasKernel) as readonly Device[]

type Way = 'view' | 'kernel' | 'composite' | 'no'
function wayOn(operator: AnyOperator, device: Device): Way {
  const { forward } = operator.kernels
  if (forward.length === 0) return 'view'
  if (forward.every(hasKernel[device])) return 'kernel'
  return operator.composite === null ? 'no' : 'composite'
}

/** The family whose kernels an operator calls. Views and pure combinations of other operators belong to the shapes. */
const familyNameOf = ({ kernels }: AnyOperator): string =>
  familyOf([...kernels.forward, ...kernels.backward][0] as KernelName) ?? 'shape'

const all = operators().filter(({ name }) => !/_backward$|Backward$|^fill$/.test(name))
const dtypesOf = ({ inputs }: AnyOperator): readonly string[] | null => inputs[0]?.dtypes ?? null

function gradientOf(operator: AnyOperator): string {
  if (operator.gradient === null) return `no: ${operator.reason}`
  return operator.kernels.backward.length > 0 ? 'one kernel' : 'yes'
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')

const ofFamily = (family: string) => all.filter((operator) => familyNameOf(operator) === family)

/** The number of a family's operators that run on a device, and how. */
function counted(family: string, device: Device): string {
  const ways = ofFamily(family).map((operator) => wayOn(operator, device))
  const count = (way: Way) => ways.filter((each) => each === way).length
  const parts = [
    count('kernel') + count('view') > 0 && `${count('kernel') + count('view')}`,
    count('composite') > 0 && `${count('composite')} by parts`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

const shown = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'] as const
function dtypesOfFamily(family: string): string {
  const lists = ofFamily(family).map(dtypesOf)
  return shown
    .map((dtype) => [dtype, lists.filter((list) => list === null || list.includes(dtype)).length] as const)
    .filter(([, count]) => count > 0)
    .map(([dtype, count]) => (count === lists.length ? dtype : `${dtype} (${count})`))
    .join(', ')
}

const present = Object.keys(families).filter((family) => ofFamily(family).length > 0)
const summary = table(
  ['family', 'operators', ...devices, 'dtypes on cpu'],
  present.map((family) => [
    family,
    String(ofFamily(family).length),
    ...devices.map((device) => counted(family, device)),
    dtypesOfFamily(family),
  ]),
)

const page = `# What works where

This page lists every operator, and how each device runs it. *kernel*: the device has one of its own; *composite*: it runs by
other operators, where the device has theirs; *view*: costs nothing. Functions that are not listed are made of these. The
reference device takes float64 wherever float32 is taken. \`npm run support\` writes the page from the records of operators and
the table of kernels.

${present
  .map(
    (family) =>
      `## ${family}\n\n${table(
        ['operator', ...devices, 'gradient', 'dtypes on cpu'],
        ofFamily(family).map((operator) => [
          `\`${operator.name}\``,
          ...devices.map((device) => wayOn(operator, device)),
          gradientOf(operator),
          dtypesOf(operator)
            ?.filter((dtype) => dtype !== 'float64')
            .join(', ') ?? 'any',
        ]),
      )}`,
  )
  .join('\n\n')}
`

const [start, end] = ['<!-- support: npm run support -->', '<!-- /support -->']
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const [from, to] = [readme.indexOf(start), readme.indexOf(end)]
if (from < 0 || to < from) throw new Error(`README.md has no ${start} before ${end}`)
const files = [
  ['README.md', `${readme.slice(0, from + start.length)}\n\n${summary}\n\n${readme.slice(to)}`],
  ['docs/support.md', page],
] as const

mkdirSync(join(root, 'docs'), { recursive: true })
for (const [file, text] of files) {
  const path = join(root, file)
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${file} is not what the records say; run npm run support`)
    process.exitCode = 1
  }
}

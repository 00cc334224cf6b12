/**
 * The environment variables with which a user chooses devices. All are checked before any device is made, because a
 * misspelt value must not silently select other kernels or another number of threads.
 */
import { Faults } from '../core/errors.js'
import { environment } from '../core/host.js'

export const maxThreads = 256
const instructionSets = ['base', 'avx2', 'avx512', 'neon']

interface Variable {
  readonly allowed: (value: string) => boolean
  readonly must: string
}

const oneOf = (...values: readonly string[]): Variable => ({
  allowed: (value) => values.includes(value),
  must: values.length === 1 ? `be '${values[0]}'` : `be one of ${values.map((value) => `'${value}'`).join(', ')}`,
})

const variables = {
  FIRESTEEL_DEVICE: {
    allowed: (value) => /^(reference|cpu|meta|cuda(:\d+)?)$/.test(value),
    must: "be 'cpu', 'reference', 'meta', 'cuda', or a numbered GPU such as 'cuda:0'",
  },
  FIRESTEEL_ISA: oneOf(...instructionSets),
  FIRESTEEL_THREADS: {
    allowed: (value) => /^[1-9]\d*$/.test(value) && Number(value) <= maxThreads,
    must: `be an integer from 1 to ${maxThreads}`,
  },
  FIRESTEEL_REQUIRE: oneOf('native'),
  FIRESTEEL_SYNC: oneOf('0', '1'),
  FIRESTEEL_CUDA_DRIVER: { allowed: (value) => value !== '', must: "be the path of the driver's library" },
} as const satisfies { readonly [name: string]: Variable }

export const settingNames = Object.keys(variables) as readonly (keyof typeof variables)[]

export interface Settings {
  /** FIRESTEEL_DEVICE: the default device's name. */
  readonly device: string | null
  /** FIRESTEEL_ISA: the instruction set to use. */
  readonly isa: string | null
  /** FIRESTEEL_THREADS: the number of threads of the native device; null for one per core. */
  readonly threads: number | null
  /** FIRESTEEL_REQUIRE=native: whether the absence of native kernels is an error. */
  readonly nativeRequired: boolean
  /** FIRESTEEL_SYNC=1: whether kernels run, and throw, at their call. */
  readonly synchronous: boolean
}

/** The current settings of the environment. Throws a ValueError that names every variable with an invalid value. */
export function readSettings(): Settings {
  const env = environment()
  const faults = new Faults()
  for (const name of settingNames) {
    const value = env[name]
    if (value === undefined) continue
    const { allowed, must } = variables[name]
    faults.check(allowed(value), () => `${name} is '${value}', but must ${must}; correct it, or unset it`)
  }
  faults.throwValue('environment')
  const threads = env['FIRESTEEL_THREADS']
  return {
    device: env['FIRESTEEL_DEVICE'] ?? null,
    isa: env['FIRESTEEL_ISA'] ?? null,
    threads: threads === undefined ? null : Number(threads),
    nativeRequired: env['FIRESTEEL_REQUIRE'] !== undefined,
    synchronous: env['FIRESTEEL_SYNC'] === '1',
  }
}

/** How the binary of each platform is made. Which platforms there are says lib/backend/native/platforms.ts. */
import { oldestGlibc, type PackagedPlatform } from '../../lib/backend/native/platforms.js'

export interface Target {
  /** npm's words, which its installer chooses by. */
  readonly os: 'linux'
  readonly cpu: 'x64' | 'arm64'
  readonly libc: 'glibc' | 'musl'
  /** The cross compiler's name for it, with the oldest C library that the binary is to run on. */
  readonly triple: string
  readonly isas: readonly string[]
  /**
   * Who compiles the kernels; all else is the cross compiler's. On x64 it is g++, because clang's were measured at up to half its
   * speed in single rows, and so the package has the very code of the local build.
   */
  readonly kernels: 'g++' | 'zig'
}

const x64 = ['base', 'avx2', 'avx512'] as const

export const targets: { readonly [platform in PackagedPlatform]: Target } = {
  'linux-x64': {
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
    triple: `x86_64-linux-gnu.${oldestGlibc}`,
    isas: x64,
    kernels: 'g++',
  },
  'linux-x64-musl': { os: 'linux', cpu: 'x64', libc: 'musl', triple: 'x86_64-linux-musl', isas: x64, kernels: 'g++' },
  'linux-arm64': {
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
    triple: `aarch64-linux-gnu.${oldestGlibc}`,
    isas: ['neon'],
    kernels: 'zig',
  },
}

/** The way to build the binary of each platform. lib/backend/native/platforms.ts lists the platforms. */
import { oldestGlibc, oldestMacos, type PackagedPlatform } from '../../lib/backend/native/platforms.js'

export interface Target {
  /** The words by which npm's installer chooses. */
  readonly os: 'linux' | 'darwin' | 'win32'
  readonly cpu: 'x64' | 'arm64'
  /** The C library where a system may have one of several, and null where it has one. */
  readonly libc: 'glibc' | 'musl' | null
  /** The cross compiler's name for the platform, with the oldest C library or system on which the binary must run. */
  readonly triple: string
  readonly isas: readonly string[]
  /**
   * The compiler for the kernels; the cross compiler builds everything else. On x64 Linux it is g++, because clang's kernels
   * reached only half its speed in single rows. So the package has exactly the code of the local build.
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
  'darwin-arm64': {
    os: 'darwin',
    cpu: 'arm64',
    libc: null,
    triple: `aarch64-macos.${oldestMacos}`,
    isas: ['neon'],
    kernels: 'zig',
  },
  // The objects of g++ call functions as Linux does, and g++ for Windows aligns registers of 32 bytes wrongly.
  'win32-x64': { os: 'win32', cpu: 'x64', libc: null, triple: 'x86_64-windows-gnu', isas: x64, kernels: 'zig' },
}

/** Reasons why an existing binary does not load: turns the system loader's message into a fault and a remedy. */
import { oldestGlibc, oldestMacos, oldestWindows } from './platforms.js'

/** The name of the program that runs this, if it is not plain Node. */
export function runtimeName(versions: { readonly [name: string]: string | undefined } = process.versions): string {
  if (versions['electron']) return `Electron ${versions['electron']}`
  if (versions['bun']) return `Bun ${versions['bun']}`
  if (versions['deno']) return `Deno ${versions['deno']}`
  return `Node ${versions['node']}`
}

interface Rule {
  readonly told: RegExp
  readonly advice: (path: string, runtime: string) => string
}

const rules: readonly Rule[] = [
  {
    told: /version `(GLIBC_[\d.]+)' not found/,
    advice: () =>
      `this system's C library is too old: the binary runs on glibc ${oldestGlibc} (2018) and later; use a newer system or ` +
      'image, or build from a clone on this one',
  },
  {
    // glibc's loader lacks musl's library, and musl's loader lacks glibc's symbols.
    told: /libc\.musl|ld-musl|(?:Error loading shared library|Error relocating).*|libc\.so: (?:invalid ELF header|cannot open)/,
    advice: () =>
      'it is linked with another C library than this program (glibc against musl): node_modules came from another image; ' +
      'install in this one',
  },
  {
    told: /invalid ELF header|file too short|wrong ELF class|not a mach-o file|incompatible architecture|not a valid Win32|cannot open shared object file: Exec format/,
    advice: () =>
      'it is for another system or processor, or was cut off when it was copied: install it again on this machine',
  },
  {
    told: /built for macOS \S+ which is newer/,
    advice: () => `this macOS is too old: the binary runs on macOS ${oldestMacos} and later`,
  },
  {
    told: /specified module could not be found/,
    advice: () =>
      `this Windows lacks its C library (the Universal CRT): the binary runs on Windows ${oldestWindows} and later`,
  },
  {
    told: /code signature/,
    advice: () => 'its signature does not fit its bytes, so they were changed or cut off: install it again',
  },
  {
    told: /noexec|failed to map segment/,
    advice: () => 'its folder is on a file system that executes nothing (noexec): install it elsewhere',
  },
  {
    told: /did not self-register|NODE_MODULE_VERSION|napi_|node_api_|undefined symbol|initialization routine failed/,
    advice: (_, runtime) =>
      `${runtime} lacks functions of Node-API 8 that it uses: use Node 20.19 or later, or a release of ${runtime} that has them`,
  },
]

/** The reason why the system refused the file at `path` with `message`. */
export function whyRefused(path: string, message: string, runtime = runtimeName()): string {
  // No loader can open a file within an archive.
  if (/\.zip[\\/]/.test(path))
    return 'it is in a Yarn archive, from which no system can load it: run `yarn unplug @firesteel/*`, or set nodeLinker: node-modules'
  if (/\.asar[\\/]/.test(path))
    return "it is in Electron's archive, from which no system can load it: list **/@firesteel/** in asarUnpack"
  const rule = rules.find(({ told }) => told.test(message))
  return rule === undefined ? message : `${rule.advice(path, runtime)} (${message})`
}

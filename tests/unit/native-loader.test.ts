/** The report if native kernels are not used: each case by the files of an installation, or by the system's message. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Surroundings, surroundings, whyAbsent } from '../../lib/backend/native/absence.js'
import type { AddonModule, CpuAddon } from '../../lib/backend/native/addon.js'
import type { Loaded } from '../../lib/backend/native/loader.js'
import { interpreterOf, platformName } from '../../lib/backend/native/platforms.js'
import { runtimeName, whyRefused } from '../../lib/backend/native/refusal.js'
import { paragraph } from '../../lib/backend/native/report.js'
import { packageRoot } from '../../lib/core/package-root.js'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firesteel-loader-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string | Buffer): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

/** An installation in `folder`. `installed` names platforms. */
function around(platform: string, installed: readonly string[] = []): Surroundings {
  const root = join(folder, 'node_modules/firesteel')
  return surroundings(platform, root, (name) => {
    if (installed.some((each) => name === `@firesteel/${each}`)) return '/there'
    throw new Error('MODULE_NOT_FOUND')
  })
}

describe('a package that is not installed', () => {
  const npmLock = (...platforms: readonly string[]) =>
    JSON.stringify(
      {
        packages: {
          // firesteel names these packages, whatever is installed.
          'node_modules/firesteel': { optionalDependencies: { '@firesteel/linux-x64': '0.1.0' } },
          ...Object.fromEntries(platforms.map((name) => [`node_modules/@firesteel/${name}`, { version: '0.1.0' }])),
        },
      },
      null,
      2,
    )

  it('was left out of a lock that npm wrote on another platform', () => {
    write('package-lock.json', npmLock('linux-arm64'))
    const told = whyAbsent(around('linux-x64'))
    expect(told).toContain(`${join(folder, 'package-lock.json')} names packages of linux-arm64 only`)
    expect(told).toMatch(/npm\/cli issue 4828\); remove node_modules and package-lock\.json, then run `npm install`/)
  })

  it('was left out by --omit=optional', () => {
    write('package-lock.json', npmLock('linux-arm64', 'linux-x64'))
    expect(whyAbsent(around('linux-x64'))).toMatch(
      /optional dependencies were left out; run npm install --include=optional/,
    )
    rmSync(join(folder, 'package-lock.json'))
    expect(whyAbsent(around('linux-x64'))).toMatch(/optional dependencies were left out \(npm: --omit=optional;/)
  })

  it.each([
    ['pnpm-lock.yaml', "  '@firesteel/linux-arm64@0.1.0':\n", "      '@firesteel/linux-x64': 0.1.0\n", 'pnpm install'],
    ['yarn.lock', '"@firesteel/linux-arm64@npm:0.1.0":\n', '    "@firesteel/linux-x64": "npm:0.1.0"\n', 'yarn install'],
  ])('was left out by %s, which names others, or by an option', (file, other, mention, command) => {
    write(file, mention + other)
    const told = whyAbsent(around('linux-x64'))
    expect(told).toContain('names packages of linux-arm64 only')
    expect(told).toContain(command)
    write(file, mention + other.replace('arm64', 'x64'))
    expect(whyAbsent(around('linux-x64'))).toMatch(new RegExp(`though .*${file} names it: .*${command} without`))
  })

  it('gave way to one of another C library or platform', () => {
    expect(whyAbsent(around('linux-x64', ['linux-x64-musl']))).toMatch(
      /@firesteel\/linux-x64-musl is, for another C library \(glibc against musl\): .* install in this one/,
    )
    expect(whyAbsent(around('linux-x64-musl', ['linux-x64']))).toMatch(/another C library/)
    expect(whyAbsent(around('linux-x64', ['linux-arm64']))).toMatch(/for another platform: .* another machine or image/)
  })

  it('is not there for this platform', () => {
    expect(whyAbsent(around('sunos-x64'))).toMatch(/none for this platform, only for linux-x64, linux-x64-musl/)
  })

  it("is one of Yarn's Plug'n'Play", () => {
    expect(whyAbsent({ ...around('linux-x64'), pnp: true })).toMatch(
      /supportedArchitectures \(\.yarnrc\.yml\).*Plug'n'Play/,
    )
  })

  it('is that of a bundle', () => {
    const told = whyAbsent({ ...around('linux-x64'), root: null })
    expect(told).toMatch(/bundler .* serverExternalPackages: \['firesteel'\]; esbuild: --external:firesteel; webpack:/)
  })

  it('is that of a checkout', () => {
    write('package-lock.json', npmLock('linux-arm64'))
    const told = whyAbsent(
      surroundings('linux-x64', folder, () => {
        throw new Error()
      }),
    )
    expect(told).toMatch(/a checkout and not an installation/)
  })
})

describe('a binary that does not load', () => {
  const path = '/app/node_modules/@firesteel/linux-x64/firesteel.node'
  it.each([
    ["/lib/libc.so.6: version `GLIBC_2.28' not found (required by x)", /C library is too old: .* glibc 2\.28/],
    ['Error loading shared library ld-linux-x86-64.so.2: No such file or directory', /glibc against musl/],
    ['Error relocating x: __memcpy_chk: symbol not found', /glibc against musl/],
    ['libc.musl-x86_64.so.1: cannot open shared object file: No such file', /glibc against musl/],
    ['/usr/lib/libc.so: invalid ELF header', /glibc against musl/],
    ['x.node: invalid ELF header', /for another system or processor, or was cut off/],
    ['x.node: file too short', /was cut off/],
    ['x.node: wrong ELF class: ELFCLASS32', /for another system or processor/],
    [
      "x.node' (mach-o file, but is an incompatible architecture (have 'arm64', need 'x86_64'))",
      /another system or pro/,
    ],
    [
      "x.node' (built for macOS 11.0 which is newer than running OS)",
      /this macOS is too old: .* macOS 11\.0 and later/,
    ],
    ["x.node' (code signature in <1> not valid for use in process)", /signature does not fit .* install it again/],
    ["symbol not found in flat namespace '_napi_throw'", /^Node 20\.1 lacks/],
    ['failed to map segment from shared object', /noexec/],
    ["Module did not self-register: 'x'", /^Node 20\.1 lacks functions of Node-API 8/],
    ['undefined symbol: napi_add_async_cleanup_hook', /^Node 20\.1 lacks/],
    ['A dynamic link library (DLL) initialization routine failed. x.node', /^Node 20\.1 lacks/],
    ['The specified module could not be found. x.node', /^this Windows lacks its C library .* Windows 10 and later/],
    ['x.node is not a valid Win32 application.', /for another system or processor/],
  ])('%s', (message, told) => {
    const text = whyRefused(path, message, 'Node 20.1')
    expect(text).toMatch(told)
    expect(text).toContain(message)
  })

  it('of which nothing is known is told in the words of the system', () => {
    expect(whyRefused(path, 'the moon is full')).toBe('the moon is full')
  })

  it('stands in an archive', () => {
    const inYarn = '/app/.yarn/cache/@firesteel-linux-x64-npm-0.1.0.zip/node_modules/firesteel.node'
    expect(whyRefused(inYarn, 'x')).toMatch(/yarn unplug/)
    expect(whyRefused('/app/resources/app.asar/node_modules/firesteel.node', 'x')).toMatch(/asarUnpack/)
  })

  it('is opened by another program than Node', () => {
    expect(runtimeName({ node: '22.0.0', electron: '39.1' })).toBe('Electron 39.1')
    expect(runtimeName({ node: '22.0.0', bun: '1.3' })).toBe('Bun 1.3')
    expect(runtimeName({ node: '22.0.0', deno: '2.5' })).toBe('Deno 2.5')
    expect(runtimeName()).toBe(`Node ${process.versions.node}`)
    expect(whyRefused(path, 'undefined symbol: napi_x', 'Bun 1.3')).toMatch(/^Bun 1\.3 .* or a release of Bun 1\.3/)
  })
})

describe('the name of a platform', () => {
  /** The headers of a 64-bit program whose interpreter is its third one. */
  function program(interpreter: string, at = 600): Buffer {
    const file = Buffer.alloc(at + 424)
    file.write('\x7fELF\x02\x01', 0, 'latin1')
    file.writeBigUInt64LE(64n, 32)
    file.writeUInt16LE(56, 54)
    file.writeUInt16LE(3, 56)
    for (const [i, type] of [6, 1, 3].entries()) file.writeUInt32LE(type, 64 + 56 * i)
    file.writeBigUInt64LE(BigInt(at), 64 + 56 * 2 + 8)
    file.writeBigUInt64LE(BigInt(interpreter.length + 1), 64 + 56 * 2 + 32)
    file.write(`${interpreter}\0`, at, 'latin1')
    return file
  }

  const interpreter = (file: Buffer) => interpreterOf((from, count) => file.subarray(from, from + count))

  it('comes from the loader that a program asks for', () => {
    expect(interpreter(program('/lib64/ld-linux-x86-64.so.2'))).toBe('/lib64/ld-linux-x86-64.so.2')
    expect(interpreter(program('/lib/ld-musl-x86_64.so.1'))).toBe('/lib/ld-musl-x86_64.so.1')
    // The file ends within the entries, or just before the one that tells.
    expect(interpreter(program('/lib/ld-musl-x86_64.so.1').subarray(0, 64 + 3 * 56 - 1))).toBeNull()
    expect(interpreter(program('/lib/ld-musl-x86_64.so.1').subarray(0, 63))).toBeNull()
    expect(interpreter(Buffer.from('#!/bin/sh'))).toBeNull()
  })

  it('is found wherever the file has it, as patchelf puts it behind all else', () => {
    expect(interpreter(program('/lib/ld-musl-x86_64.so.1', 50_000_000))).toBe('/lib/ld-musl-x86_64.so.1')
  })

  it.runIf(process.platform === 'linux')('tells musl from glibc, and is glibc where nothing is known', () => {
    const glibc = `linux-${process.arch}`
    expect(platformName(write('musl', program('/lib/ld-musl-x86_64.so.1')))).toBe(`${glibc}-musl`)
    expect(platformName(write('glibc', program('/lib64/ld-linux-x86-64.so.2')))).toBe(glibc)
    expect(platformName(write('script', '#!/bin/sh'))).toBe(glibc)
    expect(platformName(join(folder, 'nowhere'))).toBe(glibc)
  })
})

describe('the paragraph', () => {
  const opened = { module: {} as AddonModule, addon: {} as CpuAddon, path: '/b.node' }
  const absent = { source: 'the package @firesteel/linux-x64', path: null, failure: 'it is not installed' }
  const broken = { source: 'the package @firesteel/linux-x64', path: '/a.node', failure: 'it is cut off' }
  const serves = { source: 'the local build', path: '/b.node', failure: null }
  const said = (loaded: Loaded) => paragraph(loaded)

  it('is silent where what was meant to serve does', () => {
    expect(said({ ...opened, attempts: [serves] })).toBeNull()
    expect(said({ ...opened, attempts: [absent, serves] })).toBeNull()
  })

  it('tells of a package that its makers could not run, and of no build of this machine', () => {
    const source = 'the package @firesteel/darwin-arm64'
    const told = (name: string) =>
      paragraph({ ...opened, attempts: [{ ...serves, source: name }] }, () => 'darwin-arm64')
    expect(told(source)).toMatch(
      /^Native kernels of \/b\.node are used, which were compiled for darwin-arm64 but never run/,
    )
    expect(told('the local build')).toBeNull()
  })

  it('names what was passed over, and what serves', () => {
    expect(said({ ...opened, attempts: [broken, serves] })).toBe(
      'Native kernels of /b.node are used. Skipped: the package @firesteel/linux-x64 (/a.node): it is cut off. ' +
        '`npx firesteel doctor` tells more.',
    )
    expect(said({ unavailable: '', attempts: [absent, { ...serves, failure: 'none' }] })).toBe(
      'Native kernels are not available, so the slow reference backend is used. the package @firesteel/linux-x64: it is ' +
        'not installed; the local build (/b.node): none. `npx firesteel doctor` tells more.',
    )
  })
})

describe('the folder of this package', () => {
  it('is none in a bundle, and none where nothing is known', () => {
    const inside = write('app/dist/bundle.js', '')
    expect(packageRoot(undefined)).not.toBeNull()
    expect(packageRoot('https://example.org/bundle.js')).toBeNull()
    expect(packageRoot(pathToFileURL(inside).href)).toBeNull()
    write('app/package.json', JSON.stringify({ name: 'app' }))
    expect(packageRoot(pathToFileURL(inside).href)).toBeNull()
    write('app/package.json', JSON.stringify({ name: 'firesteel' }))
    expect(packageRoot(pathToFileURL(inside).href)).toBe(join(folder, 'app'))
    // A file of another package's inside it, such as one with only { "type": "commonjs" }.
    write('app/dist/package.json', '{}')
    expect(packageRoot(pathToFileURL(inside).href)).toBeNull()
  })
})

describe('a copy of the library without its binary', () => {
  const run = (env: { readonly [name: string]: string }, ...args: readonly string[]) => {
    const { FIRESTEEL_REQUIRE: _, ...inherited } = process.env
    return spawnSync(process.execPath, [...args], {
      encoding: 'utf8',
      cwd: process.cwd(),
      env: { ...inherited, ...env },
    })
  }
  const lib = () => join(folder, 'node_modules/firesteel/lib')
  const install = () => {
    cpSync('build/compiled/lib', lib(), { recursive: true })
    write('node_modules/firesteel/package.json', readFileSync('package.json'))
  }

  it('says it once, computes by the reference, and the doctor exits 1', () => {
    install()
    const program = `
      const f = await import(${JSON.stringify(pathToFileURL(join(lib(), 'index.js')).href)})
      console.log(f.zeros([1]).device.name, f.ones([2]).device.name)`
    const { stdout, stderr } = run({}, '--input-type=module', '-e', program)
    expect(stdout).toBe('reference reference\n')
    expect(stderr.match(/FiresteelWarning/g)).toHaveLength(1)
    expect(stderr).toMatch(/so the slow reference backend is used\. the package @firesteel\/.*; the local build: /)
    const { status, stdout: told } = run({}, join(lib(), 'cli/main.js'), 'doctor')
    expect(told).toMatch(/passed over: /)
    expect(told).toMatch(/Native kernels were expected here, but none serve/)
    expect(status).toBe(1)
    const required = run({ FIRESTEEL_REQUIRE: 'native' }, '--input-type=module', '-e', program)
    expect(required.stderr).toMatch(/DeviceError: .*FIRESTEEL_REQUIRE=native: the package @firesteel/)
  }, 60_000)

  it('takes the package of this platform before a build, if it is of the same version', () => {
    install()
    const binary = write(
      `node_modules/@firesteel/${platformName()}/firesteel.node`,
      readFileSync('build/Release/firesteel.node'),
    )
    const manifest = (version: string) => JSON.stringify({ name: 'x', version, main: 'firesteel.node' })
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    write(`node_modules/@firesteel/${platformName()}/package.json`, manifest(version))
    write('node_modules/firesteel/build/Release/firesteel.node', 'not a binary')
    const doctor = () => run({}, join(lib(), 'cli/main.js'), 'doctor')
    const good = doctor()
    expect(good.stdout).toContain(`serves: ${binary}`)
    expect(good.status).toBe(0)
    write(`node_modules/@firesteel/${platformName()}/package.json`, manifest('0.0.1'))
    const { stdout, status } = doctor()
    expect(stdout).toContain(`it has version 0.0.1, but firesteel has ${version}`)
    expect(stdout).toMatch(/the local build +passed over: .*another system or processor, or was cut off/)
    expect(status).toBe(1)
  }, 60_000)
})

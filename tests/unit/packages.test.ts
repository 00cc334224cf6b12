/** The published packages: their manifests, and the reasons to refuse a binary. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { packagedPlatforms } from '../../lib/backend/native/platforms.js'
import { faultsOf } from '../../scripts/package/check-binary.js'
import { firstErrorOf } from '../../scripts/package/compare.js'
import { installedWith, type Lock, licences } from '../../scripts/package/licences.js'
import { cudaManifest, mainManifest, platformManifest } from '../../scripts/package/manifests.js'
import { checksOf, type Facts, notesOf } from '../../scripts/package/release.js'

const { version, engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string; engines: object }

describe('a manifest', () => {
  it.each(packagedPlatforms)('of %s is chosen by npm, brings the binary alone and runs nothing', (platform) => {
    const manifest = platformManifest(platform)
    const [os, cpu, musl] = platform.split('-')
    expect(manifest).toMatchObject({
      name: `@firesteel/${platform}`,
      version,
      engines,
      license: 'Apache-2.0',
      os: [os],
      cpu: [cpu],
      ...(os === 'linux' ? { libc: [musl ?? 'glibc'] } : {}),
      files: ['firesteel.node', 'THIRD-PARTY.md'],
      main: 'firesteel.node',
    })
    // Other systems have one C library, and npm would pass over a package that names another.
    if (os !== 'linux') expect(manifest).not.toHaveProperty('libc')
    for (const field of ['scripts', 'dependencies', 'gypfile', 'private']) expect(manifest).not.toHaveProperty(field)
  })

  it('names the system as its users do', () => {
    expect(platformManifest('darwin-arm64')['description']).toBe('The native kernels of firesteel for macOS on arm64')
    expect(platformManifest('win32-x64')['description']).toBe('The native kernels of firesteel for Windows on x64')
    expect(platformManifest('linux-arm64')['description']).toMatch(/ for linux on arm64 with glibc$/)
  })

  it('of the CUDA library is found by the name that the library looks for', () => {
    const manifest = cudaManifest()
    expect(manifest).toMatchObject({
      name: '@firesteel/cuda-linux-x64',
      version,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['glibc'],
      files: ['firesteel_cuda.so', 'THIRD-PARTY.md'],
      exports: { '.': './firesteel_cuda.so' },
    })
    for (const field of ['scripts', 'dependencies', 'gypfile', 'private']) expect(manifest).not.toHaveProperty(field)
  })

  it('of the main package names them all by this version, and has nothing of a checkout', () => {
    const manifest = mainManifest()
    expect(manifest['optionalDependencies']).toEqual(
      Object.fromEntries([...packagedPlatforms, 'cuda-linux-x64'].map((name) => [`@firesteel/${name}`, version])),
    )
    expect(mainManifest(['linux-x64'], false)['optionalDependencies']).toEqual({ '@firesteel/linux-x64': version })
    for (const field of ['scripts', 'devDependencies', 'private', 'gypfile']) expect(manifest).not.toHaveProperty(field)
    expect(manifest['files']).toEqual([...['dist', 'schema', 'README.md', 'LICENSE', 'THIRD-PARTY.md']])
    // An installation in a checkout must not look for them in a registry.
    expect(readFileSync('package.json', 'utf8')).not.toContain('@firesteel/')
  })
})

describe('a binary', () => {
  const exported = ['napi_register_module_v1']
  const row = (name: string, index = 'UND', binding = 'GLOBAL') =>
    `   147: 0000000000033a10    66 FUNC    ${binding} DEFAULT ${index.padStart(4)} ${name}`
  const good = {
    header: '  Machine:                           Advanced Micro Devices X86-64',
    dynamic: ' 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]',
    sections: '  [12] .text             PROGBITS        0000000000001000 001000 001000 00  AX  0   0 16',
    symbols: [
      row('napi_create_promise'),
      row('memcpy@GLIBC_2.14 (4)'),
      row('__gmon_start__', 'UND', 'WEAK'),
      row('napi_register_module_v1', '12'),
    ].join('\n'),
  }
  const faults = (change: Partial<typeof good>, platform: (typeof packagedPlatforms)[number] = 'linux-x64') =>
    faultsOf({ ...good, ...change }, platform, exported).faults
  const with_ = (...rows: readonly string[]) => ({ symbols: [good.symbols, ...rows].join('\n') })

  it('as it should be is taken, and its newest symbols are told', () => {
    expect(faultsOf(good, 'linux-x64', exported)).toEqual({ faults: [], newest: '2.14' })
    expect(
      faultsOf({ ...good, ...with_(row('a@GLIBC_2.28 (2)'), row('b@GLIBC_2.3.4 (3)')) }, 'linux-x64', exported),
    ).toEqual({ faults: [], newest: '2.28' })
    const musl = {
      dynamic: good.dynamic.replace('libc.so.6', 'libc.so'),
      symbols: good.symbols.replace(/@\S+ \(4\)/, ''),
    }
    expect(faults(musl, 'linux-x64-musl')).toEqual([])
  })

  it.each([
    ['of another processor', { header: '  Machine:   AArch64' }, /not for x64/],
    [
      'with a C++ library',
      { dynamic: '(NEEDED) Shared library: [libc.so.6]\n(NEEDED) Shared library: [libstdc++.so.6]' },
      /needs libstdc\+\+\.so\.6/,
    ],
    ['without a C library', { dynamic: '' }, /names no library/],
    ['for a newer glibc', with_(row('fmod@GLIBC_2.38 (5)')), /needs glibc 2\.38, but is to run on 2\.28/],
    ['for a glibc of one more than the oldest', with_(row('pow@GLIBC_2.29 (5)')), /needs glibc 2\.29/],
    ['that gives more than Node asks for', with_(row('_ZNSt6threadD1Ev', '12', 'WEAK')), /exports _ZNSt6threadD1Ev/],
    [
      'that Node cannot open',
      { symbols: good.symbols.replace('napi_register_module_v1', 'other') },
      /does not export napi_reg/,
    ],
    ['that wants what nobody gives', with_(row('_ZN9firesteel4avx25tableE')), /nobody gives it _ZN9firesteel/],
    ['with debug symbols', { sections: '  [27] .symtab           SYMTAB  0' }, /not stripped/],
    ['without symbols of glibc', { symbols: good.symbols.replace(/@\S+/, '') }, /no symbol of glibc/],
  ])('%s is refused', (_, change, told) => {
    expect(faults(change).join('; ')).toMatch(told)
  })

  it('for musl that asks for glibc is refused', () => {
    expect(faults({}, 'linux-x64-musl').join('; ')).toMatch(/needs libc\.so\.6.*symbols of glibc/)
  })
})

describe('notes of a release', () => {
  it('are those below its version', () => {
    const changelog =
      '# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.0 (2027-01-02)\n\n- this\n\n### Fixed\n\n- that\n\n## [1.1.0]\n\n'
    expect(notesOf(changelog, '1.2.0')).toBe('- this\n\n### Fixed\n\n- that')
    expect(notesOf(changelog, '1.1.0')).toBeNull()
    expect(notesOf(changelog, '1.2')).toBeNull()
    expect(notesOf(changelog, '2.0.0')).toBeNull()
  })
})

describe('a release', () => {
  const ready: Facts = {
    version: '1.2.0',
    changed: '',
    tags: ['v1.2.0'],
    changelog: '## 1.2.0\n\n- this\n',
    repository: { type: 'git', url: 'git+https://example.org/a/firesteel.git' },
    packages: {
      'linux-x64': null,
      'linux-x64-musl': null,
      'linux-arm64': null,
      'darwin-arm64': null,
      'win32-x64': null,
    },
    cuda: null,
    hasDist: true,
    signs: true,
  }
  const missing = (change: Partial<Facts>, publishing = false) =>
    checksOf({ ...ready, ...change }, publishing).flatMap((check) =>
      check.missing === null ? [] : [`${check.what}: ${check.missing}`],
    )

  it('is ready where all is there', () => {
    expect(missing({})).toEqual([])
    expect(missing({}, true)).toEqual([])
    expect(checksOf(ready, true).map(({ what }) => what)).toEqual(
      ['version', 'tree', 'tag', 'changelog', 'repository', 'dist']
        .concat([...packagedPlatforms, 'cuda-linux-x64'].map((name) => `@firesteel/${name}`))
        .concat('provenance'),
    )
  })

  it.each<[string, Partial<Facts>, RegExp]>([
    [
      'another version',
      { version: '1.2', tags: ['v1.2'], changelog: '## 1.2\n\nx' },
      /^version: 1\.2 is none of semver$/,
    ],
    ['a file that changed', { changed: ' M a.ts' }, /^tree: 1 file has changes: commit them$/],
    ['files that changed', { changed: ' M a.ts\n?? b.ts' }, /^tree: 2 files have changes/],
    ['the tag of another version', { tags: ['', 'v1.1.0'] }, /^tag: .*git tag -s v1\.2\.0$/],
    ['no notes', { changelog: '## 1.2.0\n\n## 1.1.0\n\n- x' }, /^changelog: .*below "## 1\.2\.0"$/],
    ['no repository', { repository: undefined }, /^repository: .*npm pkg set repository\.type=git/],
    ['a short repository', { repository: 'github:a/b' }, /^repository: /],
    ['no dist', { hasDist: false }, /^dist: there is none: npm run build:dist$/],
    [
      'no package',
      { packages: { ...ready.packages, 'linux-arm64': 'it is not built: npm run prebuild -- linux-arm64' } },
      /^@firesteel\/linux-arm64: it is not built/,
    ],
    ['no CUDA', { cuda: 'it is not built: npm run prebuild -- cuda' }, /^@firesteel\/cuda-linux-x64: it is not built/],
  ])('says of %s what to do', (_, change, told) => {
    expect(missing(change)).toEqual([expect.stringMatching(told)])
  })

  it('is signed by the workflow, or by nobody', () => {
    expect(missing({ signs: false })).toEqual([])
    expect(missing({ signs: false }, true)).toEqual([expect.stringMatching(/^provenance: .*push the tag instead$/)])
  })
})

describe('the works of others', () => {
  const lock = (change: Partial<Lock['packages']> = {}): Lock => ({
    packages: {
      '': { dependencies: { a: '1' } },
      'node_modules/a': { version: '1.0.0', license: 'MIT', dependencies: { b: '2' } },
      'node_modules/b': { version: '1.0.0', license: 'MIT' },
      'node_modules/a/node_modules/b': { version: '2.0.0', license: 'ISC', dependencies: { a: '1' } },
      'node_modules/tool': { version: '1.0.0', license: 'GPL-3.0' },
      ...(change as Lock['packages']),
    },
  })

  it('are listed as the lock has them', () => {
    expect(readFileSync('THIRD-PARTY.md', 'utf8') === licences(), 'run `npm run licences`').toBe(true)
    expect(licences()).toContain('| cli-progress | ')
  })

  it('are those that a package finds, and no tools', () => {
    expect(installedWith(lock()).map(({ name, version }) => `${name} ${version}`)).toEqual(['a 1.0.0', 'b 2.0.0'])
  })

  it('are refused with another licence, a script or a gap', () => {
    const b = 'node_modules/a/node_modules/b'
    expect(() => installedWith(lock({ [b]: { version: '2.0.0', license: 'GPL-3.0' } }))).toThrow(
      /^b 2\.0\.0 has the licence GPL-3\.0; allowed are MIT/,
    )
    expect(() => installedWith(lock({ [b]: { version: '2.0.0' } }))).toThrow(/has the licence none/)
    expect(() => installedWith(lock({ [b]: { version: '2', license: 'MIT', hasInstallScript: true } }))).toThrow(
      /b 2 has an install script/,
    )
    expect(() => installedWith(lock({ '': { dependencies: { c: '1' } } }))).toThrow(
      /package-lock\.json has no c, which the/,
    )
  })
})

describe('the line that says why an installation failed', () => {
  it.each([
    [
      'npm error code 1\nnpm error path /a/b\nnpm error command failed\nnpm error command sh -c node x.js\nnpm error Error: connect ECONNREFUSED\nnpm error A complete log of this run',
      'Error: connect ECONNREFUSED',
    ],
    ['npm ERR! code E404\nnpm ERR! 404 Not Found - GET x', '404 Not Found - GET x'],
    ['\n> tool@1 install\nSomething else\n', 'Something else'],
    ['', 'it says nothing'],
  ])('is found in %j', (output, line) => {
    expect(firstErrorOf(output)).toBe(line)
  })
})

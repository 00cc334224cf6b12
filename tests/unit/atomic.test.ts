import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import {
  chmod,
  type FileHandle,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ValueError } from '../../lib/index.js'
import { writeAtomically, writeTogether } from '../../lib/io/atomic.js'

/** The methods in which the opened handles differ from the system's. */
const faults: {
  /** The part of the bytes to write. */
  write: ((bytes: Uint8Array) => Uint8Array) | null
  /** Writes nothing, but says it did, and keeps where the bytes lie in their buffer. */
  pretended: (readonly [from: number, length: number])[] | null
  /** Before a file takes its place. */
  rename: ((to: string) => void) | null
  remove: ((path: string) => void) | null
  platform: NodeJS.Platform | null
  calls: string[]
} = { write: null, pretended: null, rename: null, remove: null, platform: null, calls: [] }

vi.mock('../../lib/io/system.js', async (original) => {
  const real = await original<typeof import('../../lib/io/system.js')>()
  const watched = (path: string, handle: FileHandle): FileHandle => {
    const { write, sync } = handle
    handle.write = ((bytes: Uint8Array) => {
      if (!faults.pretended) return write.call(handle, (faults.write?.(bytes) ?? bytes) as never)
      faults.pretended.push([bytes.byteOffset, bytes.length])
      return Promise.resolve({ bytesWritten: bytes.length })
    }) as typeof write
    handle.sync = async () => {
      faults.calls.push(`sync ${path}`)
      await sync.call(handle)
    }
    return handle
  }
  return {
    ...real,
    open: async (path: string, ...rest: [never, never]) => watched(path, await real.open(path, ...rest)),
    renameSync: (from: string, to: string) => {
      faults.calls.push(`rename ${to}`)
      faults.rename?.(to)
      real.renameSync(from, to)
    },
    rmSync: (path: string, options: object) => {
      faults.remove?.(path)
      real.rmSync(path, options)
    },
    platform: () => faults.platform ?? real.platform(),
  }
})

const bytes = (text: string) => [new TextEncoder().encode(text)]
const full = () => {
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 })
}

const permissionFlag = ['--permission', '--experimental-permission'].find((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
)

describe('a file that is written atomically', () => {
  let folder = ''
  const at = (name: string) => join(folder, name)
  const text = (name: string) => readFile(at(name), 'utf8')
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
  })
  afterEach(async () => {
    faults.write = faults.pretended = faults.rename = faults.remove = faults.platform = null
    faults.calls = []
    await rm(folder, { recursive: true, force: true })
  })

  it('holds all chunks, of any element type, however few bytes the system takes at once', async () => {
    faults.write = (given) => given.subarray(0, 3)
    const doubles = Float64Array.of(1, 2, 3)
    async function* chunks() {
      yield new Uint8Array(0)
      yield doubles.subarray(1)
      yield new Uint8Array([7, 8, 9, 10]).subarray(1)
    }
    await writeAtomically(at('x'), chunks())
    const expected = Buffer.concat([Buffer.from(doubles.buffer, 8), Buffer.of(8, 9, 10)])
    expect(await readFile(at('x'))).toEqual(expected)
    expect(await readdir(folder)).toEqual(['x'])
  })

  it('of more than 2 GiB is written in parts that the system takes', async () => {
    const count = 2 ** 31 + 8
    faults.pretended = []
    await writeAtomically(at('x'), [new Uint8Array(count)])
    let next = 0
    for (const [from, length] of faults.pretended) {
      expect(from).toBe(next)
      expect(length).toBeLessThanOrEqual(2_147_479_552)
      next = from + length
    }
    expect(next).toBe(count)
  })

  it('is on the disk before it takes the place, and the folder afterwards', async () => {
    await writeAtomically(at('x'), bytes('new'))
    expect(faults.calls.map((call) => call.replace(/x\..*\.partial/, 'PARTIAL'))).toEqual([
      `sync ${at('PARTIAL')}`,
      `rename ${at('x')}`,
      `sync ${folder}`,
    ])
  })

  it('keeps the mode of the one before, and has no more rights while it is written', async () => {
    const modeOf = async (name: string) => (await stat(at(name))).mode & 0o777
    for (const mode of [0o600, 0o640, 0o666, 0o444]) {
      await writeFile(at('x'), 'old')
      await chmod(at('x'), mode)
      let during = 0o777
      async function* chunks() {
        yield* bytes('new')
        const [partial] = (await readdir(folder)).filter((name) => name.endsWith('.partial'))
        during = await modeOf(partial as string)
      }
      await writeAtomically(at('x'), chunks())
      expect([await text('x'), await modeOf('x')]).toEqual(['new', mode])
      expect(during & ~mode).toBe(0)
      await rm(at('x'))
    }
    await writeAtomically(at('y'), bytes('new'))
    expect(await modeOf('y')).toBe(0o666 & ~process.umask())
  })

  it.runIf(permissionFlag)('is written under the permission model of Node, where that allows it', async () => {
    await mkdir(at('allowed'))
    // The permission model denies tsx its worker, so the program gets JavaScript.
    await writeFile(at('package.json'), '{"type":"module"}')
    for (const name of ['io/atomic', 'io/refusal', 'io/system', 'core/errors', 'core/host']) {
      const source = await readFile(new URL(`../../lib/${name}.ts`, import.meta.url), 'utf8')
      await mkdir(dirname(at(name)), { recursive: true })
      await writeFile(
        at(`${name}.js`),
        transpileModule(source, { compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 } })
          .outputText,
      )
    }
    const save = (path: string) => {
      const program = `import { writeAtomically } from ${JSON.stringify(at('io/atomic.js'))}
        await writeAtomically(${JSON.stringify(path)}, [new Uint8Array([52])]).then(() => console.log('written'), (e) => console.log(e.name, e.message))`
      const { stdout } = spawnSync(
        process.execPath,
        [
          permissionFlag as string,
          `--allow-fs-read=${folder}/*`,
          `--allow-fs-write=${at('allowed')}/*`,
          '--input-type=module',
          '-e',
          program,
        ],
        { encoding: 'utf8' },
      )
      return stdout.trim()
    }
    // A file that was not there, and over one of the same mode.
    for (const _ of [1, 2]) expect(save(at('allowed/x'))).toBe('written')
    expect(await text('allowed/x')).toBe('4')
    expect(save(at('x'))).toMatch(
      new RegExp(
        `^ValueError \\[save\\] cannot write ${at('x')}: Node's permission model is on, and .*; start Node with --allow-fs-write=`,
      ),
    )
    // Rights that the call cannot keep are not lost without a word.
    await chmod(at('allowed/x'), 0o666)
    expect(save(at('allowed/x'))).toMatch(
      /^ValueError \[save\] cannot write .*x: Node's permission model is on, and fchmod/,
    )
    expect(await readdir(at('allowed'))).toEqual(['x'])
  })

  it('takes the place that links lead to, also where nothing is there yet', async () => {
    await mkdir(at('inner'))
    await mkdir(at('elsewhere/deep'), { recursive: true })
    await symlink(join('elsewhere', 'deep'), at('folder'))
    await symlink(join('inner', 'second'), at('first'))
    // Behind the link to the folder, '..' is not where it stands in the text.
    await symlink('../folder/../file', at('inner/second'))
    for (const value of ['one', 'two']) {
      await writeAtomically(at('first'), bytes(value))
      expect(await text('elsewhere/file')).toBe(value)
      expect(await readlink(at('first'))).toBe(join('inner', 'second'))
      expect(await readdir(at('elsewhere'))).toEqual(['deep', 'file'])
    }
    await symlink('loop', at('loop'))
    await expect(writeAtomically(at('loop'), bytes('x'))).rejects.toThrow('links lead on')
  })

  it('never goes where something else is', async () => {
    spawnSync('mkfifo', [at('pipe')])
    await symlink('/dev/null', at('link'))
    for (const [path, kind] of [
      [folder, 'a directory'],
      [at('pipe'), 'a pipe'],
      ['/dev/full', 'a device'],
      [at('link'), 'a device'],
    ] as const) {
      const writing = writeAtomically(path, bytes('x'))
      await expect(writing).rejects.toThrow(ValueError)
      await expect(writing).rejects.toThrow(`[save] cannot write ${path}: it is ${kind}`)
    }
    await expect(writeAtomically(at('no/x'), bytes('x'))).rejects.toThrow('make its folder first')
    await expect(writeAtomically(at('x/y\0'), bytes('x'))).rejects.toThrow(ValueError)
    await expect(writeAtomically('', bytes('x'))).rejects.toThrow(ValueError)
    for (const path of [at('new/'), `${folder}/`])
      await expect(writeAtomically(path, bytes('x'))).rejects.toThrow(
        `[save] cannot write ${path}: it ends in a slash, as paths of folders do; add the name of a file`,
      )
    // It calls itself a file, and its folder is there, but takes no others.
    if (existsSync('/proc/self/mem')) {
      const writing = writeAtomically('/proc/self/mem', bytes('x'))
      await expect(writing).rejects.toThrow(ValueError)
      await expect(writing).rejects.toThrow(/cannot write \/proc\/self\/mem: .*; its folder takes no new files/)
    }
    expect((await readdir(folder)).sort()).toEqual(['link', 'pipe'])
  })

  it('leaves the old one whole and nothing else where writing fails', async () => {
    await writeFile(at('x'), 'old')
    faults.write = full
    const writing = writeAtomically(at('x'), bytes('new'))
    await expect(writing).rejects.toThrow(ValueError)
    await expect(writing).rejects.toThrow(`cannot write ${at('x')}: ENOSPC`)
    faults.write = null
    const broken = new ValueError('somewhere', 'else')
    async function* chunks() {
      yield* bytes('half')
      throw broken
    }
    await expect(writeAtomically(at('x'), chunks())).rejects.toBe(broken)
    faults.write = (given) => given.subarray(0, 0)
    await expect(writeAtomically(at('x'), bytes('new'))).rejects.toThrow('wrote none of the bytes')
    for (const [code, advice] of [
      ['EROFS', 'give a path on a writable file system'],
      ['EACCES', 'its folder must take new files'],
    ] as const) {
      faults.write = () => {
        throw Object.assign(new Error(`${code}: refused, open 'x'`), { code, errno: -1 })
      }
      await expect(writeAtomically(at('x'), bytes('new'))).rejects.toThrow(
        `cannot write ${at('x')}: ${code}: refused, open 'x'; ${advice}`,
      )
    }
    expect(await text('x')).toBe('old')
    expect(await readdir(folder)).toEqual(['x'])
  })

  it.each(['EPERM', 'EACCES', 'EBUSY'])('waits on Windows for who has the old one open (%s)', async (code) => {
    const waits = vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out')
    const held = (times: number) => () => {
      if (times-- > 0) throw Object.assign(new Error(`${code}: refused, rename`), { code, errno: -1 })
    }
    const tried = () => waits.mock.calls.splice(0).map(([, , , milliseconds]) => milliseconds)
    try {
      await writeFile(at('x'), 'old')
      faults.rename = held(1)
      await expect(writeAtomically(at('x'), bytes('new'))).rejects.toThrow(`cannot write ${at('x')}: ${code}: refused`)
      expect(tried()).toEqual([])
      faults.platform = 'win32'
      faults.rename = held(4)
      faults.remove = held(2)
      await writeFile(at('stale'), '')
      await writeTogether([{ path: at('x'), chunks: bytes('new') }], 'save', [at('stale')])
      expect([await text('x'), await readdir(folder)]).toEqual(['new', ['x']])
      expect(tried()).toEqual([5, 10, 20, 40, 5, 10])
      // The wait has an end, and the old one is whole behind it.
      faults.rename = held(Number.POSITIVE_INFINITY)
      await expect(writeAtomically(at('x'), bytes('newer'))).rejects.toThrow(
        `cannot write ${at('x')}: ${code}: refused`,
      )
      expect(tried().reduce((sum, each) => (sum ?? 0) + (each ?? 0), 0)).toBe(4000)
      expect([await text('x'), await readdir(folder)]).toEqual(['new', ['x']])
      faults.rename = () => {
        throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', errno: -5 })
      }
      await expect(writeAtomically(at('x'), bytes('newer'))).rejects.toThrow('EIO')
      expect(tried()).toEqual([])
    } finally {
      waits.mockRestore()
    }
  })

  it('is one of those that were written to the path at the same time', async () => {
    for (let round = 0; round < 40; round++) {
      const values = Array.from({ length: 6 }, (_, i) => `${round}.${i}`)
      async function* chunks(value: string) {
        for (let i = 0; i < 5; i++) yield* bytes(`${value};`)
      }
      await Promise.all(values.map((value) => writeAtomically(at('x'), chunks(value))))
      const found = (await text('x')).split(';').slice(0, -1)
      expect(found).toHaveLength(5)
      expect(new Set(found).size).toBe(1)
      expect(values).toContain(found[0])
    }
    expect(await readdir(folder)).toEqual(['x'])
  })

  it('may have as long a name as the system lets it have', async () => {
    for (const name of ['n'.repeat(255), 'ä'.repeat(127)]) {
      await writeAtomically(at(name), bytes('x'))
      expect(await text(name)).toBe('x')
    }
  })

  it('is the old or the new one wherever the process is killed', async () => {
    const script = fileURLToPath(new URL('./atomic-writer.mjs', import.meta.url))
    const complete = 'x'.repeat(1 << 20)
    await writeFile(at('x'), complete)
    for (const milliseconds of [0, 3, 10, 30]) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, at('x')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, milliseconds))
      child.kill('SIGKILL')
      await ended
      expect((await text('x')) === complete).toBe(true)
    }
  })

  it('removes what killed processes left of it, when that is older than a day', async () => {
    const day = 24 * 60 * 60
    const long = 'n'.repeat(250)
    const old = ['x.12.0123456789ab.partial', `${long.slice(0, 50)}.12.0123456789ab.partial`]
    const kept = [
      'x.12.0123456789ab.partial.safetensors',
      'x.12.partial',
      'xy.12.0123456789ab.partial',
      'y',
      'x.12.0.partial',
    ]
    for (const name of [...old, ...kept]) {
      await writeFile(at(name), '')
      const before = Date.now() / 1000 - day - 60
      await utimes(at(name), before, before)
    }
    const young = 'x.13.0123456789ab.partial'
    await writeFile(at(young), '')
    const lately = Date.now() / 1000 - day + 60
    await utimes(at(young), lately, lately)
    await mkdir(at('x.14.0123456789ab.partial'))
    await writeAtomically(at('x'), bytes('new'))
    await writeAtomically(at(long), bytes('new'))
    expect((await readdir(folder)).sort()).toEqual([...kept, young, 'x.14.0123456789ab.partial', 'x', long].sort())
  })

  it('comes with those that belong to it, or none of them is changed', async () => {
    const files = (value: string) =>
      ['weights', 'config'].map((name) => ({ path: at(name), chunks: bytes(`${name} ${value}`) }))
    await writeTogether(files('one'))
    expect([await text('weights'), await text('config')]).toEqual(['weights one', 'config one'])
    faults.calls = []
    await writeTogether(files('two'))
    expect([await text('weights'), await text('config')]).toEqual(['weights two', 'config two'])
    // Nothing goes aside, and nothing happens between the renames.
    const from = faults.calls.findIndex((call) => call.startsWith('rename'))
    expect(faults.calls.slice(from)).toEqual([`rename ${at('weights')}`, `rename ${at('config')}`, `sync ${folder}`])
    let writes = 0
    faults.write = (given) => (++writes === 2 ? full() : given)
    await expect(writeTogether(files('three'))).rejects.toThrow(`cannot write ${at('config')}: ENOSPC`)
    faults.write = null
    expect([await text('weights'), await text('config')]).toEqual(['weights two', 'config two'])
    faults.rename = (to) => {
      if (to === at('weights')) throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', errno: -5 })
    }
    await expect(writeTogether(files('three'))).rejects.toThrow(`cannot write ${at('weights')}: EIO`)
    expect([await text('weights'), await text('config')]).toEqual(['weights two', 'config two'])
    faults.rename = null
    await Promise.all(['a', 'b', 'c', 'd'].map((value) => writeTogether(files(value))))
    expect((await text('weights')).at(-1)).toBe((await text('config')).at(-1))
    expect((await readdir(folder)).sort()).toEqual(['config', 'weights'])
  })
})

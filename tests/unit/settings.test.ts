/** Names of devices, and the environment variables that choose among them. None is ignored, whatever its value. */
import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readSettings, settingNames } from '../../lib/backend/settings.js'
import * as f from '../../lib/index.js'

describe('the environment', () => {
  const before = new Map(settingNames.map((name) => [name, process.env[name]]))
  beforeEach(() => {
    for (const name of settingNames) delete process.env[name]
  })
  afterEach(() => {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  })

  it('is read', () => {
    expect(readSettings()).toEqual({
      device: null,
      isa: null,
      threads: null,
      nativeRequired: false,
      synchronous: false,
    })
    process.env['FIRESTEEL_DEVICE'] = 'cuda:1'
    process.env['FIRESTEEL_ISA'] = 'avx2'
    process.env['FIRESTEEL_THREADS'] = '12'
    process.env['FIRESTEEL_REQUIRE'] = 'native'
    process.env['FIRESTEEL_SYNC'] = '1'
    expect(readSettings()).toEqual({
      device: 'cuda:1',
      isa: 'avx2',
      threads: 12,
      nativeRequired: true,
      synchronous: true,
    })
    process.env['FIRESTEEL_SYNC'] = '0'
    expect(readSettings().synchronous).toBe(false)
    for (const [threads, count] of [
      ['1', 1],
      ['256', 256],
    ] as const) {
      process.env['FIRESTEEL_THREADS'] = threads
      expect(readSettings().threads).toBe(count)
    }
  })

  for (const [name, values, must] of [
    [
      'FIRESTEEL_THREADS',
      ['abc', '0', '1e2', '-1', '', ' 2', '2.5', '257', '0x4', 'Infinity'],
      'an integer from 1 to 256',
    ],
    ['FIRESTEEL_ISA', ['garbage', 'AVX2', 'sse', ''], "one of 'base', 'avx2', 'avx512', 'neon'"],
    ['FIRESTEEL_DEVICE', ['garbage', 'gpu', 'CPU', 'cuda:', 'cuda:x', ''], "'cpu', 'reference', 'meta', 'cuda', or"],
    ['FIRESTEEL_REQUIRE', ['garbage', '1', ''], "be 'native'"],
    ['FIRESTEEL_SYNC', ['maybe', 'true', '2', ''], "one of '0', '1'"],
    ['FIRESTEEL_CUDA_DRIVER', [''], 'the path'],
  ] as const)
    it.each(values)(`is refused: ${name}='%s'`, (value) => {
      process.env[name] = value
      expect(readSettings).toThrow(f.ValueError)
      expect(readSettings).toThrow(`[environment] ${name} is '${value}', but must `)
      expect(readSettings).toThrow(must)
    })

  it('is refused whole', () => {
    process.env['FIRESTEEL_THREADS'] = 'many'
    process.env['FIRESTEEL_SYNC'] = 'yes'
    expect(readSettings).toThrow(/FIRESTEEL_THREADS is 'many'.*; FIRESTEEL_SYNC is 'yes'/)
  })
})

describe('a process whose environment makes no sense', () => {
  const program = `
    import * as f from './build/compiled/lib/index.js'
    const say = (make) => { try { console.log(make()) } catch (e) { console.log(e.name + ': ' + e.message) } }
    say(() => f.zeros([1]).device.name)
    say(() => f.zeros([1], { device: 'reference' }).device.name)
    say(() => f.unavailable('cpu'))`
  function run(env: Readonly<Record<string, string>>): readonly string[] {
    const inherited = Object.entries(process.env).filter(
      ([name]) => !(settingNames as readonly string[]).includes(name),
    )
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...Object.fromEntries(inherited), ...env },
    })
    expect(stderr).toBe('')
    return stdout.trim().split('\n')
  }

  it('gets no tensor on any device', () => {
    for (const env of [{ FIRESTEEL_ISA: 'garbage' }, { FIRESTEEL_THREADS: '1e2' }, { FIRESTEEL_SYNC: 'maybe' }]) {
      const [[name, value] = []] = Object.entries(env)
      const lines = run(env)
      expect(lines).toHaveLength(3)
      for (const line of lines) expect(line).toContain(`ValueError: [environment] ${name} is '${value}', but must`)
    }
  }, 60_000)

  it('does not fall back where an instruction set is asked for by name', () => {
    const absent = process.arch === 'x64' ? 'neon' : 'avx2'
    const [first, second, third] = run({ FIRESTEEL_ISA: absent })
    expect(first).toMatch(/^DeviceError: \[device\] 'cpu' is not available: .*(FIRESTEEL_ISA=|the package @firesteel)/)
    expect(second).toBe('reference')
    expect(third).toMatch(/FIRESTEEL_ISA=|the package @firesteel/)
  }, 60_000)
})

describe('a device', () => {
  it.each([[5], [null], [true], [{}], [['cpu']], [Symbol('cpu')], [() => 'cpu']] as readonly unknown[][])(
    'is refused: %s',
    (value) => {
      for (const ask of [
        () => f.device(value as never),
        () => f.zeros([1], { device: value as never }),
        () => f.zeros([1]).to({ device: value } as never),
        () => f.setDefaultDevice(value as never),
        () => f.memory(value as never),
      ]) {
        expect(ask).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_(DEVICE|DTYPE|VALUE)$/) }))
      }
      expect(() => f.device(value as never)).toThrow(
        /^\[device\] there is no device .*; name one: 'cpu', 'reference', 'cuda:0' or 'meta'$/,
      )
    },
  )

  it.each(['', 'gpu', 'CPU', 'cuda:', '__proto__', 'constructor'])("has no name '%s'", (name) => {
    expect(() => f.device(name)).toThrow(f.DeviceError)
    expect(() => f.device(name)).toThrow(/there is no device of that name; known are reference, cpu, cuda:0/)
    expect(f.unavailable(name)).toMatch(/no device of that name/)
  })

  it('is itself', () => {
    const reference = f.device('reference')
    expect(f.device(reference)).toBe(reference)
    expect(f.zeros([1], { device: reference }).device).toBe(reference)
  })
})

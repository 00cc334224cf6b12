import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nn, randn, StateDictError, ValueError } from '../../lib/index.js'

describe('safetensors files', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('give back what was written', async () => {
    const [a, b] = [new nn.Linear(3, 2), new nn.Linear(3, 2)]
    const path = join(folder, 'linear.safetensors')
    await a.save(path)
    await b.load(path)
    const x = randn([4, 3])
    expect([...b.forward(x).dataSync()]).toEqual([...a.forward(x).dataSync()])
    await expect(new nn.Linear(2, 2).load(path)).rejects.toThrow(StateDictError)
  })

  it('are written whole or not at all', async () => {
    const path = join(folder, 'missing', 'linear.safetensors')
    const saving = new nn.Linear(3, 2).save(path)
    await expect(saving).rejects.toThrow(ValueError)
    await expect(saving).rejects.toThrow(`cannot write ${path}`)
    await expect(saving).rejects.toThrow('make its folder first')
    // A folder stands where the file should: what was written beside it is gone again.
    await expect(new nn.Linear(3, 2).save(folder)).rejects.toThrow(`cannot write ${folder}`)
    expect((await readdir(tmpdir())).filter((name) => join(tmpdir(), name) === `${folder}.partial`)).toEqual([])
  })

  it('that are none are refused, and say why', async () => {
    const path = join(folder, 'whole.safetensors')
    await new nn.Linear(3, 2).save(path)
    const whole = await readFile(path)
    const load = async (bytes: Uint8Array) => {
      const broken = join(folder, 'broken.safetensors')
      await writeFile(broken, bytes)
      return new nn.Linear(3, 2).load(broken)
    }
    await expect(load(whole.subarray(0, 4))).rejects.toThrow('it has 4 bytes')
    await expect(load(whole.subarray(0, 40))).rejects.toThrow('its header says it is')
    await expect(load(whole.subarray(0, whole.length - 4))).rejects.toThrow('does not fill its bytes')
    await expect(load(Buffer.concat([whole.subarray(0, 8), Buffer.alloc(whole.length)]))).rejects.toThrow('is no JSON')
    await expect(load(Buffer.from(whole.toString('latin1').replace('F32', 'F99'), 'latin1'))).rejects.toThrow(
      'dtype F99',
    )
    await expect(new nn.Linear(3, 2).load(join(folder, 'nowhere'))).rejects.toThrow('cannot read')
    await expect(new nn.Linear(3, 2).load(folder)).rejects.toThrow(`cannot read ${folder}`)
    for (const path of [undefined, null, 3])
      for (const use of [new nn.Linear(3, 2).load(path as never), new nn.Linear(3, 2).save(path as never)])
        await expect(use).rejects.toThrow('a path must be a string')
  })
})

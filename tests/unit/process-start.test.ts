/** The start of processes, as programs of the system tell it. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { startOf } from '../../lib/train/record/process-start.js'

/** Asks a system that answers with a text, and returns the questions too. */
function asked(platform: string, answer: string) {
  const questions: string[] = []
  const start = startOf(41, platform, (program, args) => {
    questions.push([program, ...args].join(' '))
    return answer
  })
  return { start, questions }
}

describe('the start of a process', () => {
  it('is asked of PowerShell on Windows', () => {
    const { start, questions } = asked('win32', '1796085572123\r\n')
    expect(start).toBe(1_796_085_572_123)
    expect(questions).toEqual([expect.stringMatching(/^powershell\.exe .*Get-Process -Id 41 .*ToUnixTimeMilliseconds/)])
  })

  it('is asked of ps elsewhere, which tells it in local time', () => {
    const { start, questions } = asked('darwin', 'Tue Dec  1 00:39:32 2026    \n')
    expect(start).toBe(new Date(2026, 11, 1, 0, 39, 32).getTime())
    expect(questions).toEqual(['ps -o lstart= -p 41'])
  })

  it.each([
    ['win32', ''],
    ['win32', 'Get-Process : Access is denied'],
    ['darwin', ''],
    ['darwin', 'ps: illegal option'],
  ])('is unknown if %s answers %j', (platform, answer) => {
    expect(asked(platform, answer).start).toBeNull()
  })

  it('is unknown if the program is missing, or the process', () => {
    const missing = () => {
      throw new Error('spawnSync powershell.exe ENOENT')
    }
    expect(startOf(41, 'win32', missing)).toBeNull()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    expect(startOf(pid)).toBeNull()
  })

  it.runIf(existsSync('/bin/ps'))('is that of this process, to some seconds', () => {
    expect(Math.abs((startOf(process.pid) as number) - (Date.now() - 1000 * process.uptime()))).toBeLessThan(5000)
  })
})

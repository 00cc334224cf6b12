/** The time at which a process began, where there is no /proc: a process number that is used again is told by it. */
import { execFileSync, process } from './system.js'

/** Milliseconds. Windows may take some seconds to start the program that tells. */
const longest = 20_000

/** Runs a program, and returns what it writes. Throws if it fails. */
type Ask = (program: string, args: readonly string[]) => string

const ask: Ask = (program, args) =>
  execFileSync(program, args, {
    encoding: 'utf8',
    timeout: longest,
    windowsHide: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    // The names of months are English then.
    env: { ...process.env, LC_ALL: 'C' },
  })

/**
 * The start of a process in milliseconds since 1970, exact to a second, or null if the system does not tell. It takes
 * some milliseconds, and on Windows up to a second.
 */
export function startOf(pid: number, platform: string = process.platform, run: Ask = ask): number | null {
  try {
    const time =
      platform === 'win32'
        ? Number(
            run('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', windowsQuestion(pid)]).trim() || NaN,
          )
        : Date.parse(run('ps', ['-o', 'lstart=', '-p', String(pid)]).trim())
    return Number.isFinite(time) ? time : null
  } catch {
    return null
  }
}

const windowsQuestion = (pid: number) =>
  `([DateTimeOffset](Get-Process -Id ${pid} -ErrorAction Stop).StartTime).ToUnixTimeMilliseconds()`

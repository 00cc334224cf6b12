/** `firesteel pull`: fetches a repository of Hugging Face into a folder. */
import { onInterrupt } from '../../core/host.js'
import { onlyArgument, parseArguments } from '../arguments.js'
import { type ExitCode, exitCodes, Interruption } from '../exit.js'
import type { Pulled, PullProgress } from '../pull/pull.js'
import { bytesText, durationText } from '../words.js'

const usage = `Usage: firesteel pull REPOSITORY [--to FOLDER] [--include PATTERN] [--exclude PATTERN] [--json]
  REPOSITORY   owner/name, owner/name@revision, or datasets/owner/name; a revision is a branch, a tag or a commit
  --to         the folder to write to; default: the repository's name, in the working folder
  --include    files to fetch, such as '*.json' or 'model*.safetensors'; may be repeated
  --exclude    files to leave out; may be repeated
  --json       prints the fetched files as JSON
Every file is verified by its hash. An interrupted pull continues where it stopped.
HF_ENDPOINT names another server; HF_TOKEN holds the token for private or gated repositories.`

export async function pullCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const list = { type: 'string', multiple: true } as const
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    { to: text, include: list, exclude: list, json: flag, help: flag },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const repository = onlyArgument('pull takes one repository', positionals, usage)
  const { pull } = await import('../pull/pull.js')
  const controller = new AbortController()
  const unwatch = onInterrupt(() => controller.abort(new Interruption('stopped; the same command continues from here')))
  const line = new ProgressLine()
  try {
    const { to, include, exclude } = values
    const pulled = await pull(repository, {
      ...(to !== undefined && { to }),
      ...(include && { include }),
      ...(exclude && { exclude }),
      signal: controller.signal,
      onProgress: (progress) => line.show(progress),
    })
    line.end()
    console.log(values.json ? JSON.stringify(pulled) : summary(pulled))
    return exitCodes.done
  } finally {
    line.end()
    unwatch()
  }
}

function summary({ repository, revision, commit, folder, fetched, kept, left, bytes }: Pulled): string {
  const rest = [
    ...(kept.length > 0 ? [`${kept.length} were there`] : []),
    ...(left.length > 0 ? [`${left.length} left out`] : []),
  ]
  return `${repository}@${revision} (${commit.slice(0, 8)}) is in ${folder}: ${fetched.length} files fetched, ${bytesText(bytes)}, all verified${rest.map((each) => `; ${each}`).join('')}`
}

/** The progress: one line that is overwritten in a terminal, and elsewhere one line for each file. */
class ProgressLine {
  readonly #began = performance.now()
  readonly #stream = process.stderr
  #first: number | null = null
  #last = 0
  #written = false

  show({ bytes, total, file }: PullProgress): void {
    if (!this.#stream.isTTY) {
      if (file !== null) this.#stream.write(`${file}\n`)
      return
    }
    const now = performance.now()
    this.#first ??= bytes
    if (now - this.#last < 100 && bytes < total) return
    this.#last = now
    const rate = (bytes - this.#first) / ((now - this.#began) / 1000)
    const left = rate > 0 ? `, ${durationText((total - bytes) / rate)} left` : ''
    const share = total === 0 ? 100 : Math.floor((100 * bytes) / total)
    this.#stream.write(`\r\u001b[2K${share}% of ${bytesText(total)}, ${bytesText(rate)}/s${left}`)
    this.#written = true
  }

  end(): void {
    if (this.#written) this.#stream.write('\n')
    this.#written = false
  }
}

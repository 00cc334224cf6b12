/** A process that answers each line with a line of JSON. By this, the bench asks peers that are separate programs. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'

export class ServedPeer {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: Interface
  readonly #called: string
  #errors = ''
  #ended = false
  #waiting: { resolve(line: string): void; reject(error: Error): void } | null = null

  constructor(program: string, args: readonly string[], environment: { readonly [name: string]: string } = {}) {
    this.#called = [program, ...args].join(' ')
    this.#child = spawn(program, args, { env: { ...process.env, ...environment } })
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-2000)
    })
    this.#child.stdin.on('error', () => undefined)
    this.#child.on('error', (error) => this.#fail(error.message))
    this.#child.on('close', (code) => this.#fail(`ended with code ${code}`))
    this.#lines = createInterface({ input: this.#child.stdout })
    this.#lines.on('line', (line) => {
      // Libraries print their own lines.
      if (!line.startsWith('{') && line !== 'null') return
      this.#waiting?.resolve(line)
      this.#waiting = null
    })
  }

  #fail(reason: string): void {
    this.#ended = true
    this.#waiting?.reject(new Error(`${this.#called} ${reason}: ${this.#errors.trim()}`))
    this.#waiting = null
  }

  /** Returns the answer, or null if the process has none to this question. */
  async ask<A>(question: object | string): Promise<A> {
    if (this.#ended) throw new Error(`${this.#called} has ended: ${this.#errors.trim()}`)
    const line = await new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.stdin.write(`${typeof question === 'string' ? question : JSON.stringify(question)}\n`)
    })
    return JSON.parse(line) as A
  }

  close(): void {
    this.#lines.close()
    this.#child.stdin.end()
    this.#child.kill()
  }
}

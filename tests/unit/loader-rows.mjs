/** Rows that the threads of a loader make: by the name of what goes wrong with them. */
import { threadId } from 'node:worker_threads'

export const dataset = (length, fault = {}) => ({
  length: fault.shorter && threadId !== 0 ? length - 1 : length,
  async get(index, { generator, epoch }) {
    if (index === fault.throws) throw new TypeError(`row ${index} is broken`)
    if (index === fault.exits) process.exit(3)
    if (index === fault.hangs) await new Promise(() => {})
    // Later rows are ready sooner.
    if (fault.slow) await new Promise((done) => setTimeout(done, (length - index) % 3))
    return { index, epoch, drawn: generator.random(), image: Float32Array.of(index, -index), name: `row ${index}` }
  },
})

export const numbers = [1, 2, 3]
export const few = () => numbers
export const nothing = () => 3

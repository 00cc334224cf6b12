/** A random order of any number of rows, which takes no memory. */
import type { Generator, RandomPosition } from '../core/generator.js'
import { philox4 } from '../core/philox.js'
import { countBatches, type Sampler, type SamplerPass } from '../data/sampler.js'

const rounds = 6

/**
 * The place of each row in a random order of `count` rows. It is computed by a Feistel network (Luby and Rackoff, 1988)
 * whose rounds are Philox, over the least even number of bits that holds the rows. It is applied again while it leads
 * outside.
 */
export function randomOrder(count: number, { seed, stream, offset }: RandomPosition): (index: number) => number {
  const half = 2 ** Math.max(1, Math.ceil(Math.log2(Math.max(2, count)) / 2))
  const words = new Uint32Array(4)
  const once = (index: number): number => {
    let [left, right] = [Math.floor(index / half), index % half]
    for (let round = 0; round < rounds; round++) {
      // The halves have at most 27 bits, and so leave room for the round in the block's number.
      philox4(seed, stream, offset + right * rounds + round, words)
      ;[left, right] = [right, (left + ((words[0] as number) % half)) % half]
    }
    return left * half + right
  }
  return (index) => {
    let place = once(index)
    while (place >= count) place = once(place)
    return place
  }
}

/**
 * Every row once, in an order that is computed batch by batch, because a list of a large corpus' windows would fill the
 * memory.
 */
export const shuffledRows: Sampler = {
  count: (pass) => countBatches(pass.length, pass),
  batches: (pass, generator) => cut(pass, generator),
}

function cut(pass: SamplerPass, generator: Generator): Iterable<readonly number[]> {
  // Each pass takes one position in its own stream. The blocks after it belong to the network.
  const order = randomOrder(pass.length, generator.split().take(1))
  return {
    *[Symbol.iterator]() {
      for (let batch = 0; batch < countBatches(pass.length, pass); batch++) {
        const from = batch * pass.batchSize
        const rows = Math.min(pass.batchSize, pass.length - from)
        yield Array.from({ length: rows }, (_, i) => order(from + i))
      }
    },
  }
}

import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  indexSelect: op((given) => ops.indexSelect(given.in('x'), given.arg('dim'), given.in('index')), largest),
  gather: op((given) => ops.gather(given.in('x'), given.arg('dim'), given.in('index')), largest),
  embedding: {
    run(given) {
      const weight = given.tensor('param.weight')
      return {
        outputs: [ops.embedding(given.in('ids'), weight, { paddingIdx: given.option('paddingIdx', null) })],
        parameters: new Map([['weight', weight]]),
      }
    },
    reduces: largest,
  },
}

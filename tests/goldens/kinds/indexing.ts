import * as ops from '../../../lib/ops/index.js'
import { bool, type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  indexSelect: op((given) => ops.indexSelect(given.in('x'), given.arg('dim'), given.in('index')), largest),
  gather: op((given) => ops.gather(given.in('x'), given.arg('dim'), given.in('index')), largest),
  maskedFill: op((given) => ops.maskedFill(given.in('x'), bool(given.in('mask')), given.arg('value'))),
  scatter: op((given) => ops.scatter(given.in('x'), given.arg('dim'), given.in('index'), given.in('src'))),
  scatterAdd: op(
    (given) => ops.scatterAdd(given.in('x'), given.arg('dim'), given.in('index'), given.in('src')),
    largest,
  ),
  indexAdd: op((given) => ops.indexAdd(given.in('x'), given.arg('dim'), given.in('index'), given.in('src')), largest),
  oneHot: op((given) => {
    const scale = given.in('scale')
    return ops.mul(ops.oneHot(given.in('x'), given.arg('numClasses')).to(scale.dtype), scale)
  }, largest),
  embeddingBag: {
    run(given) {
      const weight = given.tensor('param.weight')
      return {
        outputs: [ops.embeddingBag(given.in('ids'), weight, { mode: given.arg('mode') })],
        parameters: new Map([['weight', weight]]),
      }
    },
    reduces: largest,
  },
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

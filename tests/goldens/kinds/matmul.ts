import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  matmul: op((given) => ops.matmul(given.in('a'), given.in('b')), largest),
  einsum: op(
    (given) => ops.einsum(given.arg('equation'), ...given.roles('in.').map((name) => given.in(name))),
    largest,
  ),
  linear: {
    run(given) {
      const [weight, bias] = [given.tensor('param.weight'), given.tensor('param.bias')]
      return {
        outputs: [ops.linear(given.in('x'), weight, bias)],
        parameters: new Map([
          ['weight', weight],
          ['bias', bias],
        ]),
      }
    },
    reduces: largest,
  },
}

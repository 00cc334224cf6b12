import * as nn from '../../../lib/nn/index.js'
import type * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kinds, module } from './kind.js'

function conv(given: Given): nn.Module {
  const option = <T>(name: string) => given.arg<T>(name)
  return new nn.Conv2d(option<number>('inChannels'), option<number>('outChannels'), option<ops.Pair>('kernelSize'), {
    stride: option<ops.Pair>('stride'),
    padding: option<ops.Pair>('padding'),
    dilation: option<ops.Pair>('dilation'),
    groups: option<number>('groups'),
    bias: option<boolean>('bias'),
  })
}

export const kinds: Kinds = {
  conv2d: module(conv, (m: nn.Conv2d, given) => m.forward(given.in('x'))),
}

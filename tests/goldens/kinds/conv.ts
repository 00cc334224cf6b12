import * as nn from '../../../lib/nn/index.js'
import type { Given } from '../cases.js'
import { type Kinds, module } from './kind.js'

type Layer =
  | typeof nn.Conv1d
  | typeof nn.Conv2d
  | typeof nn.Conv3d
  | typeof nn.ConvTranspose1d
  | typeof nn.ConvTranspose2d
  | typeof nn.ConvTranspose3d

/** A layer with the given options, as far as the case has them. */
function made(Layer: Layer, given: Given, names: readonly string[]): nn.Module {
  const options = Object.fromEntries(
    names.flatMap((name) => (name in given.golden.args ? [[name, given.arg(name)]] : [])),
  )
  const Untyped = Layer as unknown as new (...args: readonly unknown[]) => nn.Module
  return new Untyped(given.arg('inChannels'), given.arg('outChannels'), given.arg('kernelSize'), options)
}

const shared = ['stride', 'padding', 'dilation', 'groups', 'bias']
const conv = (Layer: Layer) => (given: Given) => made(Layer, given, [...shared, 'paddingMode'])
const transposed = (Layer: Layer) => (given: Given) => made(Layer, given, [...shared, 'outputPadding'])
const call = (m: nn.Model, given: Given) => m.forward(given.in('x'))

export const kinds: Kinds = {
  conv1d: module(conv(nn.Conv1d), call),
  conv2d: module(conv(nn.Conv2d), call),
  conv3d: module(conv(nn.Conv3d), call),
  convTranspose1d: module(transposed(nn.ConvTranspose1d), call),
  convTranspose2d: module(transposed(nn.ConvTranspose2d), call),
  convTranspose3d: module(transposed(nn.ConvTranspose3d), call),
}

import * as nn from '../../../lib/nn/index.js'
import type { Given } from '../cases.js'
import { type Kinds, module } from './kind.js'

/** The given options, as far as the case has them. */
const options = (given: Given, names: readonly string[]) =>
  Object.fromEntries(names.flatMap((name) => (name in given.golden.args ? [[name, given.arg(name)]] : [])))

type Channels = new (numFeatures: number, options: nn.BatchNormLayerOptions & nn.InstanceNormLayerOptions) => nn.Module

function channels(Layer: Channels): (given: Given) => nn.Module {
  return (given) => {
    const names = ['momentum', 'eps', 'affine', 'bias', 'trackRunningStats']
    const layer = new Layer(given.arg<number>('numFeatures'), options(given, names))
    const training = given.option<boolean>('training', true)
    // An evaluation leaves the running statistics unchanged, so those that are expected after the call are set before
    // it.
    if (!training)
      nn.loadStateDict(layer, new Map(given.roles('buffer.').map((name) => [name, given.tensor(`buffer.${name}`)])), {
        strict: false,
      })
    return layer.train(training)
  }
}

const call = (m: nn.Model, given: Given) => m.forward(given.in('x'))

export const kinds: Kinds = {
  batchNorm1d: module(channels(nn.BatchNorm1d), call),
  batchNorm2d: module(channels(nn.BatchNorm2d), call),
  batchNorm3d: module(channels(nn.BatchNorm3d), call),
  groupNorm: module(
    (given) =>
      new nn.GroupNorm(
        given.arg<number>('numGroups'),
        given.arg<number>('numChannels'),
        options(given, ['eps', 'affine', 'bias']),
      ),
    call,
  ),
  instanceNorm1d: module(channels(nn.InstanceNorm1d), call),
  instanceNorm2d: module(channels(nn.InstanceNorm2d), call),
  instanceNorm3d: module(channels(nn.InstanceNorm3d), call),
  layerNorm: module(
    (given) =>
      new nn.LayerNorm(given.arg<number[]>('normalizedShape'), options(given, ['eps', 'elementwiseAffine', 'bias'])),
    call,
  ),
  rmsNorm: module(
    (given) => new nn.RMSNorm(given.arg<number[]>('normalizedShape'), options(given, ['eps', 'elementwiseAffine'])),
    call,
  ),
}

/** Whole training steps. */
import { autocast, nn } from 'firesteel'
import { applyLora } from 'firesteel/finetune'
import { cnn, Gpt, mlp, Tagger } from './models.js'
import { type Builder, size, slowRecurrence, training } from './work.js'

const { crossEntropy } = nn.functional

/**
 * Operations of an item: for each parameter that it meets a multiplication and an addition, once forward and twice
 * backward.
 */
function stepOperations(model: nn.Module, items: number): number {
  let parameters = 0
  for (const { numel } of model.parameters()) parameters += numel
  return 6 * items * parameters
}

export const mlpWork: Builder = (w, make) => {
  const batch = size(w, 'batch')
  const x = make.floats([batch, 784])
  const y = make.ints(10, [batch])
  const model = make.parameters(mlp({ device: make.device }))
  return training(model, () => crossEntropy(model.forward(x), y), {
    reduces: 3 * 784,
    operations: stepOperations(model, batch),
  })
}

export const cnnWork: Builder = (w, make) => {
  const batch = size(w, 'batch')
  const x = make.floats([batch, 1, 28, 28])
  const y = make.ints(10, [batch])
  const model = make.parameters(cnn({ device: make.device }))
  const convolutions = 28 * 28 * 32 * 9 + 14 * 14 * 64 * 32 * 9
  return training(model, () => crossEntropy(model.forward(x), y), {
    reduces: 4 * batch * 28 * 28,
    operations: stepOperations(model, batch) + 6 * batch * convolutions,
  })
}

export const taggerWork: Builder = (w, make) => {
  const [batch, t, hidden] = [size(w, 'batch'), size(w, 't'), size(w, 'hidden')]
  const ids = make.ints(5000, [t, batch])
  const y = make.ints(2, [batch])
  const model = make.parameters(new Tagger(5000, 128, hidden, 2, { device: make.device }))
  return training(model, () => crossEntropy(model.forward(ids), y), {
    reduces: t * batch,
    operations: slowRecurrence * 6 * t * batch * 4 * hidden * (128 + hidden),
  })
}

function gptWork(rank: (w: Parameters<Builder>[0]) => number): Builder {
  return (w, make) => {
    const [batch, t, vocab] = [size(w, 'batch'), size(w, 't'), size(w, 'vocab')]
    const ids = make.ints(vocab, [batch, t])
    const target = make.ints(vocab, [batch, t]).view([batch * t])
    const sizes = { vocab, t, d: size(w, 'd'), heads: size(w, 'heads'), layers: size(w, 'layers') }
    const model = make.parameters(new Gpt(sizes, { device: make.device }))
    const operations = stepOperations(model, batch * t)
    const r = rank(w)
    if (r > 0) {
      applyLora(model, { rank: r, alpha: r, targetModules: ['qkv', 'proj'] })
      // Both factors are set, block by block, those of qkv before those of proj.
      for (const parameter of model.parameters()) if (parameter.requiresGrad) make.uniform(parameter, 0.02)
    }
    const low = w['autocast'] === 'bfloat16'
    const loss = () => crossEntropy(model.forward(ids).view([batch * t, vocab]), target)
    return training(model, low ? () => autocast('bfloat16', loss) : loss, {
      reduces: sizes.layers * Math.max(batch * t, 4 * sizes.d),
      operations,
      ...(low ? { precision: 'mixed' } : {}),
    })
  }
}

export const gptTraining: Builder = gptWork(() => 0)
export const gptLoraTraining: Builder = gptWork((w) => size(w, 'rank'))

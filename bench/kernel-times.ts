/** The kernels of one token, by the least time of each. It shows a model's speed on a machine that others use too. */
import { type Device, type nn, noGrad, scope, type Tensor, tensor, trace } from 'firesteel'
import { KvCache } from 'firesteel/models'
import { leastTimes } from './bound.js'

interface Writer extends nn.Module {
  hidden(ids: Tensor, inputs: { readonly cache: KvCache }): Tensor
  logits(hidden: Tensor): Tensor
}

/**
 * Seconds of the kernels of a token behind a prompt, summed. Each kernel runs on its own, and the least of `repeats`
 * tokens counts.
 */
export function kernelSum(
  device: Device,
  model: Writer,
  { prompt, repeats }: { readonly prompt: number; readonly repeats: number },
): number {
  const cache = new KvCache(prompt + repeats)
  const call = (count: number) =>
    scope(() =>
      noGrad(() => {
        const ids = tensor([new Array<number>(count).fill(300)], { dtype: 'int32', device })
        model.logits(model.hidden(ids, { cache }))
      }),
    )
  try {
    call(prompt)
    const traces = Array.from({ length: repeats }, () => trace(() => call(1), device).kernels)
    return leastTimes(traces).reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000
  } finally {
    cache.dispose()
  }
}

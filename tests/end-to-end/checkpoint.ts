/**
 * Measures the cost of checkpointing every block of a GPT of 12 layers. The peak of activations must fall below a
 * third, and a step must take at most 1.4 times as long. Plain and checkpointed steps take turns, and medians are
 * compared, because the machine also does other work.
 *
 * Usage: npx tsx tests/end-to-end/checkpoint.ts [STEPS]. Ends with `N passed, N failed`.
 */
import { Gpt } from '../../bench/models.js'
import * as f from '../../lib/index.js'

const steps = Number(process.argv[2] ?? 11)
const sizes = { vocab: 96, t: 128, d: 256, heads: 4, layers: 12 }
const batch = 4

class Checkpointed extends Gpt {
  override forward(ids: f.Tensor): f.Tensor {
    let x: f.Tensor = this.wte.forward(ids).add(this.wpe.forward(f.arange(ids.size(1))))
    for (const block of this.blocks) x = f.checkpoint((y: f.Tensor) => block.forward(y), x)
    return this.head.forward(this.ln.forward(x))
  }
}

function makeStep(Model: typeof Gpt): () => void {
  f.manualSeed(0)
  const model = new Model(sizes, {})
  const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
  const ids = f.randint(0, sizes.vocab, [batch, sizes.t])
  // The targets are not the ids, because the head has the embedding's weights and would predict the ids without
  // learning. Gradients would then be denormal numbers, which slow a processor down a hundredfold.
  const targets = f.randint(0, sizes.vocab, [batch * sizes.t])
  return () => {
    f.scope(() => {
      const logits = model.forward(ids).reshape([-1, sizes.vocab])
      f.crossEntropy(logits, targets).backward()
    })
    optimizer.step()
    optimizer.zeroGrad()
  }
}

const ways = [makeStep(Gpt), makeStep(Checkpointed)]
const device = f.defaultDevice()
const [wall, cpu, peak] = [0, 1, 2].map(() => ways.map((): number[] => [])) as [number[][], number[][], number[][]]
// The first round allocates what stays.
for (let round = -1; round < steps; round++)
  ways.forEach((step, way) => {
    device.synchronize()
    device.resetPeak()
    const [before, start, used] = [device.memory().bytes, performance.now(), process.cpuUsage()]
    step()
    device.synchronize()
    if (round < 0) return
    const { user, system } = process.cpuUsage(used)
    wall[way]?.push(performance.now() - start)
    cpu[way]?.push((user + system) / 1000)
    peak[way]?.push(device.memory().peakBytes - before)
  })

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number
const [plain, checkpointed] = [0, 1] as const
const ratio = (of: number[][]) => median(of[checkpointed] as number[]) / median(of[plain] as number[])

// Gradients are part of the peak, and equal in both.
let gradients = 0
for (const { numel } of new Gpt(sizes, {}).parameters()) gradients += 4 * numel
const activations = ratio(peak.map((values) => values.map((bytes) => bytes - gradients)))
const checks = [
  ['activations at their peak', activations, 1 / 3],
  ['processor time of a step', ratio(cpu), 1.4],
] as const
console.log(`time of a step ${ratio(wall).toFixed(3)} (of ${median(wall[plain] as number[]).toFixed(0)} ms)`)
let failed = 0
for (const [what, value, most] of checks) {
  const ok = value <= most
  if (!ok) failed++
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${what} ${value.toFixed(3)}, at most ${most.toFixed(3)}`)
}
console.log(`${checks.length - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

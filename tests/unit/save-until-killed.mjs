// Saves a model again and again, each time with another number in all of its weights, until it is killed.
import { nn, noGrad } from '../../lib/index.ts'

const model = new nn.Sequential(new nn.Linear(500, 500), new nn.Linear(500, 500))
for (let value = 0; ; value++) {
  noGrad(() => [...model.parameters()].map((weight) => weight.fill_(value)))
  await model.save(process.argv[2])
  if (value === 1) process.stdout.write('saving\n')
}

const { describeDevice, tensor } = require('firesteel')
const { freeze } = require('firesteel/finetune')

const sums = tensor([
  [1, 2],
  [3, 4],
])
  .matmul(tensor([[1], [1]]))
  .toArray()
if (String(sums) !== '3,7' || typeof freeze !== 'function') throw new Error(`wrong sums: ${sums}`)
console.log(describeDevice())

// Two copies of the package, and of its binary, in one process.
import { pathToFileURL } from 'node:url'

const [one, other] = await Promise.all(
  process.argv.slice(2).map((folder) => import(pathToFileURL(`${folder}/node_modules/firesteel/dist/index.js`).href)),
)
if (one.Tensor === other.Tensor) throw new Error('it is one copy')
const sums = [one, other].map(({ manualSeed, randn }) => {
  manualSeed(5)
  return randn([100]).sum().item()
})
if (sums[0] !== sums[1]) throw new Error(`the copies differ: ${sums}`)
console.log(one.describeDevice())

/** Prints why there is no GPU, and what the CPU still computes. */
import { device } from '../../lib/backend/devices.js'
import { tensor } from '../../lib/index.js'

try {
  device('cuda')
  console.log('there is a GPU')
} catch (error) {
  console.log((error as Error).message)
}
console.log('cpu', tensor([1]).to('cpu').add(2).item())

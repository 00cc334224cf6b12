/** The folder of this package. */
import { inNode, nodeModule } from './host.js'

const { existsSync, readFileSync } = nodeModule('node:fs')
const { dirname, join } = nodeModule('node:path')
const { fileURLToPath } = nodeModule('node:url')

/**
 * The folder of package.json, which is above these sources and above the built files, at different depths. Null if a
 * bundler moved this code out of the package.
 */
export function packageRoot(from: string | undefined = import.meta.url): string | null {
  // Bundlers to CommonJS leave no URL. Some bundlers for browsers leave the URL of the file on the machine where they
  // ran.
  if (!inNode || !from?.startsWith('file:')) return null
  for (let folder = dirname(fileURLToPath(from)); ; folder = dirname(folder)) {
    const name = nameIn(join(folder, 'package.json'))
    if (name === 'firesteel') return folder
    if (name !== null || folder === dirname(folder)) return null
  }
}

/** The name of a package; '' if it has none, null if there is no manifest. */
function nameIn(path: string): string | null {
  // Asking takes less time than the error for a missing file.
  if (!existsSync(path)) return null
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

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../core/package-root.js'

/** The package's own version. */
export function version(): string {
  const root = packageRoot()
  if (root === null) return 'unknown, because a bundler put it into another file'
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
}

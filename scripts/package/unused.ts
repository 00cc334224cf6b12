/** npm run unused: fails if an export, a file or a dependency is not used, by knip (knip.json). */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { tool } from './tools.js'

const cwd = fileURLToPath(new URL('../../', import.meta.url))
const { status } = spawnSync(process.execPath, [tool('knip'), '--no-progress'], { cwd, stdio: 'inherit' })
process.exitCode = status ?? 1

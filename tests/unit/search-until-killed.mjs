// A search that is killed in the midst of its third trial, the first time that it gets there.
import { existsSync, writeFileSync } from 'node:fs'
import { rand, search, uniform } from '../../lib/index.ts'

const [folder, mark] = process.argv.slice(2)
await search(folder, { space: { x: uniform(0, 1) }, trials: 5, minimise: 'loss' }, ({ x }, trial) => {
  if (trial.number === 2 && !existsSync(mark)) {
    writeFileSync(mark, '')
    process.kill(process.pid, 'SIGKILL')
  }
  return x + rand([1]).item()
})

/**
 * `load-peak.js write|meta|cpu PATH` saves or loads a tensor of 256 MB, and prints the resident bytes before, and at
 * most.
 */
import { readFileSync } from 'node:fs'
import { nn, zeros } from '../../lib/index.js'

class Large extends nn.Module {
  readonly weight: nn.Parameter
  constructor(device: string) {
    super()
    this.weight = new nn.Parameter(zeros([64_000, 1000], { device }))
  }
  forward() {}
}

const [, , how = 'meta', path = ''] = process.argv
const model = new Large(how === 'meta' ? 'meta' : 'cpu')
// Its pages exist only once the kernel that fills them has run.
if (how !== 'meta') model.weight.device.synchronize()
// This is the system's own figure, because resourceUsage() begins with the parent's.
const peak = () => 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
const before = process.memoryUsage.rss()
if (how === 'write') await model.save(path)
else await model.load(path, { device: 'cpu' })
process.stdout.write(JSON.stringify({ before, peak: peak() }))

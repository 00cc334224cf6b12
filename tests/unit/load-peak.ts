/** `load-peak.js write|meta|cpu PATH`: saves or loads one tensor of 256 MB; prints resident bytes before, and at most. */
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
// Its pages are there only once the kernel that fills them ran.
if (how !== 'meta') model.weight.device.synchronize()
// The system's own figure; resourceUsage() begins with what the parent had.
const peak = () => 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
const before = process.memoryUsage.rss()
if (how === 'write') await model.save(path)
else await model.load(path, { device: 'cpu' })
process.stdout.write(JSON.stringify({ before, peak: peak() }))

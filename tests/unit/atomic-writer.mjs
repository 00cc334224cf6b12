// Writes a file again and again until it is killed.
import { writeAtomically } from '../../lib/io/atomic.ts'

const part = new TextEncoder().encode('x'.repeat(1 << 14))
const chunks = Array.from({ length: 64 }, () => part)
await writeAtomically(process.argv[2], chunks)
process.stdout.write('writing\n')
for (;;) await writeAtomically(process.argv[2], chunks)

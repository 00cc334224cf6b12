/** Prints the instruction sets that this machine runs and the built addon has, best first. The suites run on these. */
import { loadNative } from '../lib/backend/native/loader.js'

const available = ['avx512', 'avx2', 'neon', 'base'].filter((isa) => {
  process.env['FIRESTEEL_ISA'] = isa
  return !('unavailable' in loadNative())
})
if (available.length === 0) throw new Error('the native addon is not available: run `npm run build:native`')
console.log(available.join(' '))

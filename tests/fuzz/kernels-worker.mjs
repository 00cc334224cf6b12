import { tsImport } from 'tsx/esm/api' // in workers, Node 20 does not apply `--import tsx`

await tsImport('./kernels.ts', import.meta.url)

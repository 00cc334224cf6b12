// Times llama.cpp for bench/generation.ts, as torch_generation.py times PyTorch. Usage: node llama_generation.mjs
// FOLDER. The folder's node_modules must have node-llama-cpp, and the folder a file SHAPE-DTYPE.gguf for each requested
// dtype.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const folder = resolve(process.argv[2] ?? '.')
const entry = createRequire(join(folder, 'package.json')).resolve('node-llama-cpp')
const { getLlama } = await import(pathToFileURL(entry).href)
let [path, llama, model, context, sequence] = []

async function measure(ids, fresh) {
  await sequence.clearHistory()
  const started = performance.now()
  await sequence.evaluateWithoutGeneratingNewTokens(ids)
  const first = performance.now()
  for (let i = 0; i < fresh; i++) await sequence.evaluateWithoutGeneratingNewTokens([400 + i])
  return { prefill: (first - started) / 1000, decode: (performance.now() - first) / 1000 / fresh }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { shape, dtype, threads, prompt, fresh } = JSON.parse(line)
  const wanted = join(folder, `${shape}-${dtype}.gguf`)
  if (!existsSync(wanted)) {
    console.log('null')
    continue
  }
  const ids = Array.from({ length: prompt }, (_, i) => 300 + ((i * 7919) % 3000))
  if (path !== wanted) {
    llama ??= await getLlama({ build: 'never', gpu: false, maxThreads: threads, logLevel: 'error' })
    await context?.dispose()
    await model?.dispose()
    model = await llama.loadModel({ modelPath: wanted, gpuLayers: 0 })
    const contextSize = prompt + fresh + 8
    context = await model.createContext({ contextSize, batchSize: 512, threads, flashAttention: true })
    sequence = context.getSequence()
    path = wanted
    await measure(ids, 2)
  }
  console.log(JSON.stringify(await measure(ids, fresh)))
}
process.exit(0)

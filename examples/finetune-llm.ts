/**
 * Teaches a chat model from a Hugging Face folder by LoRA. It reads a file of chats, saves an adapter, and prints an
 * answer.
 *
 *     npx tsx examples/finetune-llm.ts --model ./SmolLM2-135M-Instruct --chats chats.jsonl --adapter ./adapter
 *
 * A line of the file is {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}.
 */
import { parseArgs } from 'node:util'
import { optim, type Tensor, Trainer } from 'firesteel'
import { applyLora, saveAdapter } from 'firesteel/finetune'
import { AutoModel } from 'firesteel/models'
import { AutoTokenizer, type ChatRow, chatRows, jsonl } from 'firesteel/text'

const text = { type: 'string' } as const
const { values } = parseArgs({ options: { model: text, chats: text, adapter: text, epochs: text, ask: text } })
const { model: folder = './model', chats = 'chats.jsonl', adapter = './adapter', epochs = '3', ask = 'Hello!' } = values

const tokenizer = await AutoTokenizer.load(folder)
const model = applyLora(await AutoModel.forCausalLM(folder), { rank: 16, alpha: 32, targetModules: 'all-linear' })
const rows = chatRows(jsonl<ChatRow>(chats), tokenizer, { learn: 'assistant', maxLength: 1024 })
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 2e-3 }),
  step: ({ ids, labels }: { ids: Tensor; labels: Tensor }) => model.loss(ids, { labels }),
  clipGradNorm: 1,
})
const history = await trainer.fit(rows.batches(1), { epochs: Number(epochs), progress: false })
await saveAdapter(model, adapter)
console.log(`loss ${history.epochs.map(({ loss }) => loss.toFixed(3)).join(' ')}; the adapter is in ${adapter}`)
for await (const piece of model.chat(tokenizer, [{ role: 'user', content: ask }], { maxNewTokens: 32 }))
  process.stdout.write(piece)
process.stdout.write('\n')

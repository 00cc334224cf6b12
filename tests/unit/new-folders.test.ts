/** Saves into a place that takes no folders are refused. Node's recursive mkdir never returns there. */
import { existsSync } from 'node:fs'
import { nn } from 'firesteel'
import { applyLora, saveAdapter } from 'firesteel/finetune'
import { gpt2 } from 'firesteel/models'
import { prepare } from 'firesteel/pretrain'
import { saveTokenizer, trainTokenizer } from 'firesteel/text'
import { expect, it } from 'vitest'

// Other systems have no such place.
it.skipIf(!existsSync('/proc/self'))('refuses a place that takes no folders, in every save', async () => {
  const folder = '/proc/firesteel/new'
  const refusal = /\/proc\/firesteel\/new: \/proc does not accept folders/
  const tokenizer = await trainTokenizer('bpe', ['one two', 'two three'], { vocabSize: 270 })
  const model = gpt2({ vocabSize: 20, layers: 1, width: 8, heads: 2, context: 8 })
  await expect(model.save(folder)).rejects.toThrow(refusal)
  await expect(saveTokenizer(tokenizer, folder)).rejects.toThrow(refusal)
  await expect(prepare([{ text: 'one two' }], tokenizer, folder)).rejects.toThrow(refusal)
  const tuned = applyLora(new nn.Sequential(new nn.Linear(4, 4)), { rank: 2, targetModules: 'all-linear' })
  await expect(saveAdapter(tuned, folder)).rejects.toThrow(refusal)
})

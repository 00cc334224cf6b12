/** A folder with a small chat model and data, for tests of the command line. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manualSeed } from '../../lib/index.js'
import { AutoModel } from '../../lib/models/index.js'

const tokenizers = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))

/** A row in which the assistant answers pong. */
export const chatRow = (text: string): string =>
  JSON.stringify({
    messages: [
      { role: 'user', content: text },
      { role: 'assistant', content: 'pong' },
    ],
  })

/** Rows of different lengths. */
export const chatRows = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => chatRow(`ping ${i}${' go on'.repeat(i % 5)}`))

/** The config that `firesteel init` would write for the folder, smaller. */
export const configYaml = `model: ./model
method: { lora: { rank: 4, alpha: 8 } }
data:
  file: rows.jsonl
  validation: 0.2
train:
  epochs: 2
  lr: 5e-3
  batchSize: 2
output: runs/first
`

export async function modelFolder(folder: string, changes: { readonly [name: string]: unknown } = {}): Promise<void> {
  manualSeed(0)
  const model = await AutoModel.forCausalLM({
    model_type: 'llama',
    vocab_size: 1403,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    // The head is frozen. Weights of this size let it tell tokens apart.
    initializer_range: 0.3,
    ...changes,
  })
  await model.save(folder, { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
    cpSync(join(tokenizers, 'llama-bpe', name), join(folder, name))
}

/** A small BERT, whose tokens are those of the chat model. */
export async function encoderModel(folder: string, width = 16): Promise<void> {
  if (existsSync(folder)) return
  manualSeed(0)
  const model = await AutoModel.forMaskedLM({
    model_type: 'bert',
    vocab_size: 1403,
    hidden_size: width,
    intermediate_size: 2 * width,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  })
  await model.save(folder, { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(tokenizers, 'llama-bpe', name), join(folder, name))
}

/** A small T5, with the same tokens. */
export async function writerModel(folder: string): Promise<void> {
  manualSeed(0)
  const model = await AutoModel.forSeq2Seq({
    model_type: 't5',
    vocab_size: 1403,
    d_model: 16,
    d_kv: 8,
    d_ff: 24,
    num_layers: 1,
    num_heads: 2,
    dropout_rate: 0,
    pad_token_id: 0,
    eos_token_id: 2,
    decoder_start_token_id: 0,
  })
  await model.save(folder, { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(tokenizers, 'llama-bpe', name), join(folder, name))
}

/** A folder with `model`, `rows.jsonl` and `config.yaml`. */
export async function workplace(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-cli-'))
  await modelFolder(join(folder, 'model'))
  mkdirSync(join(folder, 'empty'))
  writeFileSync(join(folder, 'rows.jsonl'), chatRows(20).join('\n'))
  writeFileSync(join(folder, 'config.yaml'), configYaml)
  return folder
}

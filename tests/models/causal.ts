/**
 * Decoder-only models: logits, hidden states, loss, gradients, texts by greedy search and beams, and the filters of
 * sampling.
 */
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import * as scores from '../../lib/models/generation/scores.js'
import { AutoModel, type CausalModel, type GenerateOptions } from '../../lib/models/index.js'
import { type Folder, given, notImplemented, type Result, type Run, Tally } from './folder.js'

const options: { readonly [setting: string]: keyof GenerateOptions | null } = {
  max_new_tokens: 'maxNewTokens',
  num_beams: 'beams',
  num_return_sequences: 'returnSequences',
  length_penalty: 'lengthPenalty',
  early_stopping: 'earlyStopping',
  eos_token_id: 'stopTokens',
  repetition_penalty: 'repetitionPenalty',
  no_repeat_ngram_size: 'noRepeatNgramSize',
  suppress_tokens: 'suppressTokens',
  bad_words_ids: 'badWords',
  min_new_tokens: 'minNewTokens',
  pad_token_id: null,
  ids: null,
  sequences_scores: null,
  least_margin: null,
}

export function optionsOf(run: Run): GenerateOptions {
  const found: { [name: string]: unknown } = { stopTokens: [] }
  for (const [setting, value] of Object.entries(run)) {
    const name = options[setting]
    if (name === undefined) throw new Error(`there is no option for ${setting}`)
    if (name !== null && value !== null) found[name] = value
  }
  return found
}

async function checkTexts(model: CausalModel, folder: Folder, tally: Tally): Promise<void> {
  const { generation } = folder.json
  if (!generation) return
  const ids = [...given(folder, 'in.input_ids').unbind(0)].map((row) => Array.from(row.dataSync() as Int32Array))
  const mask = [...given(folder, 'in.attention_mask').unbind(0)].map((row) => row.dataSync() as Int32Array)
  const columns = generation.prompt_columns
  const prompts = ids.map((row, i) => row.slice(0, columns).filter((_, column) => mask[i]?.[column] === 1))
  await checkRuns(model, prompts, columns, generation, tally)
}

/** Compares with the texts that transformers wrote. `columns` tokens precede the new ones. */
export async function checkRuns(
  model: Pick<CausalModel, 'generate'>,
  prompts: readonly (readonly number[])[],
  columns: number,
  runs: NonNullable<Folder['json']['generation']>,
  tally: Tally,
): Promise<void> {
  for (const [name, run] of Object.entries(runs)) {
    if (typeof run === 'number') continue
    const texts = await model.generate(prompts, optionsOf(run))
    const each = texts.length / prompts.length
    texts.forEach(({ tokens, score }, i) => {
      const expected = run.ids[i]?.slice(columns) as number[]
      // transformers pads a row that has ended, and those of beams with the first end.
      const [end] = [run['eos_token_id']].flat()
      const got = expected.map((_, column) => tokens[column] ?? (run['num_beams'] ? end : 0))
      const row = Math.floor(i / each)
      tally.is(
        `${name} of row ${row}`,
        got.join() === expected.join(),
        `${got.join(' ')} instead of ${expected.join(' ')}`,
      )
      const wanted = run.sequences_scores?.[i]
      if (wanted !== undefined) tally.close('beam score', `${name} score ${i}`, [score as number], [wanted], 1e-4)
    })
    tally.is(`${name} gave ${texts.length} texts`, texts.length === run.ids.length)
  }
}

/** Compares the probabilities of the next token after each filter. */
function checkFilters({ sampling }: Folder, tally: Tally): void {
  if (sampling === null) return
  const logits = sampling.get('in.logits')?.data as Float32Array
  const ids = sampling.get('in.input_ids')?.data as Int32Array
  const filters: { readonly [name: string]: (scores: scores.Scores, value: number) => void } = {
    temperature: scores.temperature,
    top_k: scores.topK,
    top_p: scores.topP,
    min_p: scores.minP,
    typical_p: scores.typicalP,
    repetition_penalty: (own, value) => scores.repetitionPenalty(own, ids, value),
  }
  const probabilities = (of: ArrayLike<number>) => scores.logProbabilities(of).map(Math.exp)
  for (const [key, { data }] of sampling) {
    const [, name, value] = /^out\.(\w+)_([\d.]+)$/.exec(key) ?? []
    if (name === undefined) continue
    const filter = filters[name]
    if (filter === undefined) throw new Error(`there is no filter ${name}`)
    const own = Float64Array.from(logits)
    filter(own, Number(value))
    const expected = probabilities(data as Float32Array)
    const got = probabilities(own)
    const worst = Math.max(...got.map((p, i) => Math.abs(p - (expected[i] as number))))
    tally.is(`probabilities after ${key} are off by ${worst}`, worst <= 1e-5)
  }
}

function checkNumbers(model: CausalModel, folder: Folder, tally: Tally): void {
  const ids = given(folder, 'in.input_ids')
  const has = (name: string) => folder.tensors.has(`in.${name}`)
  const inputs = {
    ...(has('attention_mask') ? { attentionMask: given(folder, 'in.attention_mask') } : {}),
    ...(has('position_ids') ? { positions: given(folder, 'in.position_ids') } : {}),
  }
  const masked = folder.tensors.get('in.attention_mask')?.data as Int32Array | undefined
  const values = (name: string) => folder.tensors.get(name)?.data as Float32Array
  // Outputs at padding have no meaning.
  const seen = (width: number) => (i: number) => masked === undefined || masked[Math.floor(i / width)] === 1
  const hidden: Float32Array[] = []
  const hooks = model
    .blocks()
    .map((block) =>
      block.registerForwardPreHook((_, [x]) => void hidden.push((x as typeof ids).dataSync() as Float32Array)),
    )
  const { total, count } = model.loss(ids, { ...inputs, labels: given(folder, 'in.labels') })
  for (const hook of hooks) hook.remove()
  const width = (values('out.hidden_0')?.length ?? 0) / ids.numel
  hidden.forEach((got, i) => {
    if (values(`out.hidden_${i}`))
      tally.close('hidden', `hidden state ${i}`, got, values(`out.hidden_${i}`), 1e-4, seen(width))
  })
  const last = `out.hidden_${hidden.length}`
  if (values(last))
    noGrad(() =>
      tally.close(
        'hidden',
        last,
        model.hidden(ids, inputs).dataSync() as Float32Array,
        values(last),
        1e-4,
        seen(width),
      ),
    )
  const logits = noGrad(() => model.forward(ids, inputs)).dataSync() as Float32Array
  tally.close('logits', 'logits', logits, values('out.logits'), 1e-4, seen(model.config.vocabSize))
  const loss = total.div(count as typeof total)
  const wanted = folder.json.loss ?? folder.json.loss_value
  if (typeof wanted === 'number') tally.close('loss', 'the loss', [loss.item() as number], [wanted], 1e-5)
  const named = new Map(model.namedParameters())
  for (const [key, { data }] of folder.tensors) {
    const name = /^out\.dequantised\.(.*)$/.exec(key)?.[1]
    if (name === undefined) continue
    const got = named.get(name)?.to('float32').dataSync() as Float32Array
    tally.close('dequantised', name, got, data as Float32Array, 1e-6)
  }
  const gradients = [...folder.tensors].filter(([name]) => name.startsWith('grad.'))
  if (gradients.length === 0) return
  loss.backward()
  for (const [key, { data }] of gradients) {
    const name = key.slice('grad.'.length)
    // Weights in blocks are frozen. The reference has gradients of their decoded numbers.
    if (named.get(name)?.requiresGrad === false) continue
    const grad = named.get(name)?.grad
    if (grad)
      tally.close('gradients', `the gradient of ${name}`, grad.dataSync() as Float32Array, data as Float32Array, 1e-3)
    else tally.is(`${name} has a gradient`, false)
  }
  tally.is(
    'every parameter has a reference gradient',
    [...named].every(([name, { requiresGrad }]) => folder.tensors.has(`grad.${name}`) || !requiresGrad),
  )
}

/** Checks the model in the dtype in which its weights are stored. */
async function checkStored(folder: Folder, tally: Tally): Promise<void> {
  const model = (await AutoModel.forCausalLM(folder.path, { dtype: 'auto' })).eval()
  const [ids, attentionMask] = [given(folder, 'in.input_ids'), given(folder, 'in.attention_mask')]
  const positions = given(folder, 'in.position_ids')
  const [weight] = model.parameters()
  tally.is(
    `weights are ${weight?.dtype}`,
    weight?.dtype === (folder.path.includes('bfloat16') ? 'bfloat16' : 'float32'),
  )
  const logits = noGrad(() => model.forward(ids, { attentionMask, positions }).to('float32'))
  const masked = attentionMask.dataSync()
  const got = logits.dataSync() as Float32Array
  const values = (name: string) => folder.tensors.get(name)?.data as Float32Array
  const tokens = model.config.vocabSize
  const seen = (i: number) => masked[Math.floor(i / tokens)] === 1
  const farthest = (of: Float32Array) =>
    Math.max(...of.map((value, i) => (seen(i) ? Math.abs(value - (values('out.logits')[i] as number)) : 0)))
  // The two round in different places. Ours must not be farther from the numbers of float32.
  const [ours, theirs] = [farthest(got), farthest(values('out.logits_low_precision'))]
  tally.is(`logits in 16 bits are off by ${ours}, those of transformers by ${theirs}`, ours <= 1.25 * theirs)
}

export async function checkCausal(folder: Folder): Promise<Result> {
  let model: CausalModel
  try {
    model = await AutoModel.forCausalLM(folder.path)
  } catch (error) {
    const { message } = error as Error
    if (/model_type is .* but the known ones are/.test(message)) throw notImplemented(folder.json.class)
    if (/holds neither model\.safetensors/.test(message)) throw notImplemented('pytorch_model.bin')
    throw error
  }
  const tally = new Tally()
  if (folder.tensors.has('out.logits_low_precision')) await checkStored(folder, tally)
  model.eval()
  scope(() => checkNumbers(model, folder, tally))
  await checkTexts(model, folder, tally)
  checkFilters(folder, tally)
  return tally.result()
}

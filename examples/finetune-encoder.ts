/**
 * Teaches an encoder from a Hugging Face folder to classify texts. It reads a CSV file of texts with labels, and writes
 * a folder with a classifier and the classes of the texts.
 *
 * Shows: rows in tokens, whose faults are found before the training; parts with each class in proportion; batches of
 * similar lengths; training of the upper blocks alone; early stopping by F1; a model that knows its task.
 *     npx tsx examples/finetune-encoder.ts --model ./bert-base --data reviews.csv --text review --label mood --save
 * ./reviews-bert
 */
import { parseArgs } from 'node:util'
import { DataLoader, earlyStopping, manualSeed, optim, splitRows, Trainer } from 'firesteel'
import { byLength, checkRows, classification, countParameters, freeze, textRows } from 'firesteel/finetune'
import { AutoModel } from 'firesteel/models'
import { AutoTokenizer, csv, saveTokenizer } from 'firesteel/text'

const named = (usual: string) => ({ type: 'string', default: usual }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: named('./bert-base'),
    data: named('reviews.csv'),
    text: named('text'),
    label: named('label'),
    save: named('./classifier'),
    epochs: named('5'),
    lr: named('5e-5'),
    /** The number of blocks that learn, counted from the last. By default all of them learn. */
    blocks: { type: 'string' },
  },
})

const tokenizer = await AutoTokenizer.load(values.model)
const rows = await textRows(csv(values.data), tokenizer, { text: values.text, label: values.label, maxLength: 256 })
const { train, validation } = splitRows(rows, { validation: 0.2, stratify: ({ label }) => Number(label), seed: 0 })
console.log(
  `${train.length} rows to train, ${validation.length} held back; classes ${rows.labels.join(', ')}; ${rows.cut} rows were cut`,
)

manualSeed(0)
const model = await AutoModel.forSequenceClassification(values.model, { labels: rows.labels })
checkRows(rows, model)
if (values.blocks !== undefined) {
  freeze(model.body)
  for (const block of model.blocks().slice(-Number(values.blocks)))
    for (const weight of block.parameters()) weight.requiresGrad = true
}
const { trainable, total } = countParameters(model)
console.log(`${trainable} of ${total} parameters learn`)

const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: Number(values.lr) }),
  objective: classification(),
  callbacks: [earlyStopping({ monitor: 'validation.f1', mode: 'max', patience: 3, restoreBest: true })],
  clipGradNorm: 1,
})
const history = await trainer.fit(byLength(train, { batchSize: 16, seed: 0 }), {
  epochs: Number(values.epochs),
  validation: new DataLoader(validation, { batchSize: 32 }),
})
for (const { epoch, loss, validation: held } of history.epochs)
  console.log(
    `epoch ${epoch + 1}: loss ${loss.toFixed(3)}, held back: accuracy ${held?.accuracy.toFixed(3)}, f1 ${held?.f1.toFixed(3)}`,
  )

await model.save(values.save)
await saveTokenizer(tokenizer, values.save)
for (const text of positionals) {
  const { label, score } = await model.classify(tokenizer, text)
  console.log(`${text}  ->  ${label} ${score.toFixed(3)}`)
}

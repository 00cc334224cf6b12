/**
 * Calls every function, constructor and method of `firesteel/models`, `/text`, `/images`, `/distributions` and `/linalg` with hostile
 * arguments, and checks that no subpath is left out.
 */
import './memory.js'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import * as distributions from '../../lib/distributions/index.js'
import * as images from '../../lib/images/index.js'
import * as linalg from '../../lib/linalg/index.js'
import * as models from '../../lib/models/index.js'
import * as text from '../../lib/text/index.js'
import { calls as linalgCalls } from '../cases/linalg.js'
import { exported, functionsOf } from './calls.js'
import { distributionCalls } from './distributions.js'
import { guardCalls } from './guard.js'
import { imageCalls } from './images.js'
import { modelCalls } from './models.js'
import { textCalls } from './text.js'

const calls = [...modelCalls, ...textCalls, ...imageCalls, ...distributionCalls]

const madeByAuto = 'made by a function of its name or by AutoModel, which check the settings; its methods are called'
const abstract = 'abstract; methods of its kinds are called'

const excused: { readonly [name: string]: string } = {
  ...Object.fromEntries(
    [
      ...['Bert', 'BertNextSentence', 'BertPreTraining', 'DistilBert', 'Gemma', 'Gpt2', 'Llama', 'ResNet', 'Roberta'],
      ...['T5', 'TokenClassifier', 'QuestionAnswerer', 'Vit', 'VitClassifier', 'Source'],
    ].map((name) => [name, madeByAuto]),
  ),
  ...Object.fromEntries(
    [
      ...['CausalModel', 'EncoderBody', 'EncoderModel', 'ImageBody', 'ImageClassifier', 'MaskedLM', 'MultipleChoice'],
      ...['PretrainedModel', 'Seq2SeqModel', 'SequenceClassifier'],
    ].map((name) => [name, abstract]),
  ),
  Distribution: abstract,
  ChatTemplate: 'ChatTemplate.compile makes it',
  folderOf: 'threads make what imageFolder made',
  picturesOf: 'threads make what pictures made',
  Picture: 'called with the data',
}

it('every export is called', () => {
  // Those of linalg are guarded with all operators, in hostile.test.ts.
  const called = new Set([...calls, ...linalgCalls].flatMap(({ names }) => names))
  const before = new Set(exported())
  const all = functionsOf([models, text, images, distributions, linalg])
  const left = all.filter((name) => !called.has(name) && !before.has(name))
  expect(left.filter((name) => !excused[name])).toEqual([])
  expect(Object.keys(excused).filter((name) => !all.includes(name))).toEqual([])
})

it('every subpath of the package is guarded', () => {
  const { exports } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    exports: { [subpath: string]: unknown }
  }
  const here = ['./models', './text', './images', './distributions', './linalg']
  const others = ['.', './datasets', './pretrain', './finetune']
  expect(Object.keys(exports).sort()).toEqual([...here, ...others, './package.json'].sort())
})

guardCalls(calls, 10_000)

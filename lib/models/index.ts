/** Models from Hugging Face's folders, and generation with them. */
export type { ActivationName } from './activation.js'
export type { Architecture } from './architecture.js'
export {
  AutoModel,
  type AutoModelOptions,
  type LoadClassifierOptions,
  type LoadHeadOptions,
  type LoadImageClassifierOptions,
  type LoadSequenceClassifierOptions,
} from './auto.js'
export {
  Bert,
  type BertConfig,
  BertNextSentence,
  BertPreTraining,
  type PreTrainingInputs,
  type PreTrainingScores,
} from './bert.js'
export { KvCache } from './cache.js'
export { type CausalConfig, type CausalLossInputs, CausalModel, type ChatOptions } from './causal.js'
export type { CausalInputs } from './columns.js'
export type { ConfigJson } from './config.js'
export { Conv1D } from './conv1d.js'
export { DistilBert, type DistilBertConfig } from './distilbert.js'
export { EncoderBody, type EncoderConfig, type EncoderInputs, EncoderModel, type ProblemType } from './encoder.js'
export { Gemma, type GemmaConfig } from './gemma.js'
export { type GenerateByOptions, generateBy, type TextsSoFar } from './generation/by-function.js'
export type { Generated, GenerateOptions } from './generation/generate.js'
export type { SamplingOptions, TokenDecoder } from './generation/options.js'
export type { Finish } from './generation/stop.js'
export type { StreamOptions } from './generation/stream.js'
export { Gpt2, type Gpt2Config, type Gpt2Options, gpt2 } from './gpt2.js'
export {
  type AnswerInputs,
  type Answers,
  type LabelledInputs,
  MaskedLM,
  MultipleChoice,
  QuestionAnswerer,
  SequenceClassifier,
  TokenClassifier,
} from './heads.js'
export {
  ImageBody,
  ImageClassifier,
  type ImageConfig,
} from './image.js'
export type { Answer, AnswerOptions, Question } from './inference/answer.js'
export type { Activation, Classified, ClassifyOptions } from './inference/classify.js'
export type { ClassifyImagesOptions, Image } from './inference/classify-images.js'
export type { EmbedOptions, Pooling } from './inference/embed.js'
export type { Filled, FillOptions } from './inference/fill.js'
export type { TextPair } from './inference/run.js'
export type { Aggregation, Entity, TagOptions } from './inference/tag.js'
export { Llama, type LlamaConfig, type LlamaOptions, llama } from './llama.js'
export type { LoadModelOptions } from './load.js'
export { PretrainedModel } from './pretrained.js'
export { ResNet, type ResNetConfig, type ResNetDepth, type ResNetOptions, resnet } from './resnet.js'
export { Roberta } from './roberta.js'
export type { SaveOptions } from './save.js'
export {
  type DecodeInputs,
  type Seq2SeqConfig,
  type Seq2SeqInputs,
  type Seq2SeqLossInputs,
  Seq2SeqModel,
  type SourceInputs,
  type TranslateOptions,
} from './seq2seq.js'
export { Source } from './source.js'
export { T5, type T5Options, t5 } from './t5.js'
export type { T5Config } from './t5-config.js'
export { Vit, VitClassifier, type VitConfig, type VitOptions, vit } from './vit.js'

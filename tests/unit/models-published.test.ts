/** Configurations of published folders make models of the published sizes. */
import { expect, it } from 'vitest'
import type { Architecture } from '../../lib/models/architecture.js'
import type { ConfigJson } from '../../lib/models/config.js'
import { gemma2Architecture, gemma3Architecture } from '../../lib/models/gemma.js'
import { gpt2Architecture } from '../../lib/models/gpt2.js'
import { llamaArchitecture, mistralArchitecture, qwen2Architecture, qwen3Architecture } from '../../lib/models/llama.js'
import { skeleton } from '../../lib/models/load.js'

type Published = readonly [name: string, parameters: number, architecture: Architecture<never, never>, json: ConfigJson]

const common = { initializer_range: 0.02, use_cache: true, torch_dtype: 'bfloat16', transformers_version: '4.50.0' }
const dense = { ...common, attention_bias: false, attention_dropout: 0.0, hidden_act: 'silu' }
const gemma = {
  ...common,
  ...{
    attention_bias: false,
    attention_dropout: 0.0,
    bos_token_id: 2,
    cache_implementation: 'hybrid',
    pad_token_id: 0,
  },
  ...{ hidden_activation: 'gelu_pytorch_tanh', head_dim: 256, query_pre_attn_scalar: 256, rms_norm_eps: 1e-6 },
}

const published: readonly Published[] = [
  [
    'GPT-2',
    124_439_808,
    gpt2Architecture as never,
    {
      ...{ activation_function: 'gelu_new', architectures: ['GPT2LMHeadModel'], attn_pdrop: 0.1, bos_token_id: 50256 },
      ...{
        embd_pdrop: 0.1,
        eos_token_id: 50256,
        initializer_range: 0.02,
        layer_norm_epsilon: 1e-5,
        model_type: 'gpt2',
      },
      ...{ n_ctx: 1024, n_embd: 768, n_head: 12, n_layer: 12, n_positions: 1024, resid_pdrop: 0.1, vocab_size: 50257 },
      ...{
        summary_activation: null,
        summary_first_dropout: 0.1,
        summary_proj_to_labels: true,
        summary_type: 'cls_index',
      },
      ...{ summary_use_proj: true, task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } } },
    },
  ],
  [
    'SmolLM2 135M',
    134_515_008,
    llamaArchitecture as never,
    {
      ...dense,
      ...{ bos_token_id: 1, eos_token_id: 2, hidden_size: 576, initializer_range: 0.041666666666666664 },
      ...{ intermediate_size: 1536, is_llama_config: true, max_position_embeddings: 8192, model_type: 'llama' },
      ...{ num_attention_heads: 9, num_hidden_layers: 30, num_key_value_heads: 3, pad_token_id: 2, pretraining_tp: 1 },
      ...{ rms_norm_eps: 1e-5, rope_interleaved: false, rope_scaling: null, rope_theta: 100_000, vocab_size: 49152 },
      ...{ tie_word_embeddings: true, 'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16' } } },
    },
  ],
  [
    'Llama 3.2 1B',
    1_235_814_400,
    llamaArchitecture as never,
    {
      ...dense,
      ...{ bos_token_id: 128_000, eos_token_id: [128_001, 128_008, 128_009], head_dim: 64, hidden_size: 2048 },
      ...{ intermediate_size: 8192, max_position_embeddings: 131_072, mlp_bias: false, num_attention_heads: 32 },
      ...{ num_hidden_layers: 16, num_key_value_heads: 8, pretraining_tp: 1, rms_norm_eps: 1e-5, vocab_size: 128_256 },
      rope_scaling: {
        ...{ factor: 32.0, high_freq_factor: 4.0, low_freq_factor: 1.0, original_max_position_embeddings: 8192 },
        rope_type: 'llama3',
      },
      ...{ rope_theta: 500_000.0, tie_word_embeddings: true },
    },
  ],
  [
    'Mistral 7B',
    7_241_732_096,
    mistralArchitecture as never,
    {
      ...common,
      ...{ bos_token_id: 1, eos_token_id: 2, hidden_act: 'silu', hidden_size: 4096, intermediate_size: 14_336 },
      ...{ max_position_embeddings: 32_768, num_attention_heads: 32, num_hidden_layers: 32, num_key_value_heads: 8 },
      ...{
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        sliding_window: 4096,
        tie_word_embeddings: false,
        vocab_size: 32_000,
      },
    },
  ],
  [
    'Qwen 2.5 0.5B',
    494_032_768,
    qwen2Architecture as never,
    {
      ...common,
      ...{ attention_dropout: 0.0, bos_token_id: 151_643, eos_token_id: 151_643, hidden_act: 'silu', hidden_size: 896 },
      ...{ intermediate_size: 4864, max_position_embeddings: 32_768, max_window_layers: 24, num_attention_heads: 14 },
      ...{ num_hidden_layers: 24, num_key_value_heads: 2, rms_norm_eps: 1e-6, rope_theta: 1_000_000.0 },
      ...{ sliding_window: 32_768, use_mrope: false, use_sliding_window: false, vocab_size: 151_936 },
      tie_word_embeddings: true,
    },
  ],
  [
    'Qwen 3 0.6B',
    596_049_920,
    qwen3Architecture as never,
    {
      ...dense,
      ...{ bos_token_id: 151_643, eos_token_id: 151_645, head_dim: 128, hidden_size: 1024, intermediate_size: 3072 },
      ...{ max_position_embeddings: 40_960, max_window_layers: 28, num_attention_heads: 16, num_hidden_layers: 28 },
      ...{
        num_key_value_heads: 8,
        rms_norm_eps: 1e-6,
        rope_scaling: null,
        rope_theta: 1_000_000,
        sliding_window: null,
      },
      ...{ tie_word_embeddings: true, use_sliding_window: false, vocab_size: 151_936 },
    },
  ],
  [
    'Gemma 2 2B',
    2_614_341_888,
    gemma2Architecture as never,
    {
      ...gemma,
      ...{ attn_logit_softcapping: 50.0, eos_token_id: 1, final_logit_softcapping: 30.0, hidden_size: 2304 },
      ...{
        hidden_act: 'gelu_pytorch_tanh',
        intermediate_size: 9216,
        max_position_embeddings: 8192,
        model_type: 'gemma2',
      },
      ...{ num_attention_heads: 8, num_hidden_layers: 26, num_key_value_heads: 4, rope_theta: 10_000.0 },
      ...{ sliding_window: 4096, vocab_size: 256_000 },
    },
  ],
  [
    'Gemma 3 1B',
    999_885_952,
    gemma3Architecture as never,
    {
      ...gemma,
      ...{ attn_logit_softcapping: null, eos_token_id: [1, 106], final_logit_softcapping: null, hidden_size: 1152 },
      ...{ intermediate_size: 6912, max_position_embeddings: 32_768, num_attention_heads: 4, num_hidden_layers: 26 },
      ...{ num_key_value_heads: 1, rope_local_base_freq: 10_000, rope_scaling: null, rope_theta: 1_000_000 },
      ...{ sliding_window: 512, sliding_window_pattern: 6, vocab_size: 262_144 },
    },
  ],
]

it.each(published)('%s has %i parameters', (_, parameters, architecture, json) => {
  const model = skeleton('test', 'config.json', architecture as unknown as Architecture, json, {})
  expect([...model.parameters()].reduce((sum, { numel }) => sum + numel, 0)).toBe(parameters)
})

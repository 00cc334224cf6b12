"""Times PyTorch with transformers for bench/generation.ts: answers each line of JSON on stdin with a line on stdout.

{"shape", "dtype", "threads", "prompt", "fresh"} -> {"prefill", "decode"}: seconds for the prompt, and for each token that
follows, or null for a dtype or shape that it lacks.
"""
import json, sys, time

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

configs = {
    "gpt2": lambda: GPT2Config(),
    "llama360m": lambda: LlamaConfig(
        vocab_size=49152, num_hidden_layers=32, hidden_size=960, num_attention_heads=15, num_key_value_heads=5,
        intermediate_size=2560, max_position_embeddings=2048, tie_word_embeddings=True),
}
dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
name, model = None, None


@torch.inference_mode()
def measure(ids, fresh):
    started = time.perf_counter()
    out = model(ids, use_cache=True, logits_to_keep=1)
    token = out.logits[:, -1].argmax(-1, keepdim=True)
    token.item()
    first = time.perf_counter()
    for _ in range(fresh):
        out = model(token, past_key_values=out.past_key_values, use_cache=True)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        token.item()
    return {"prefill": first - started, "decode": (time.perf_counter() - first) / fresh}


for line in sys.stdin:
    asked = json.loads(line)
    if asked["shape"] not in configs or asked["dtype"] not in dtypes:
        print("null", flush=True)
        continue
    torch.set_num_threads(asked["threads"])
    ids = torch.tensor([[300 + i * 7919 % 3000 for i in range(asked["prompt"])]])
    if name != (asked["shape"], asked["dtype"]):
        model = None
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(configs[asked["shape"]]()).to(dtypes[asked["dtype"]]).eval()
        name = (asked["shape"], asked["dtype"])
        measure(ids, 2)
    print(json.dumps(measure(ids, asked["fresh"])), flush=True)

"""Times PyTorch with transformers and PEFT for bench/finetuning.ts: answers each line of JSON on stdin with a line on stdout.

{"shape", "way", "rank", "targets", "lr", "threads", "batch", "length"} -> {"seconds", "loss"} of one step.
"""
import json, sys, time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

# With the dropout of the configuration, as the library has it.
configs = {
    "gpt2": lambda: GPT2Config(),
    "llama360m": lambda: LlamaConfig(
        vocab_size=49152, num_hidden_layers=32, hidden_size=960, num_attention_heads=15, num_key_value_heads=5,
        intermediate_size=2560, max_position_embeddings=2048, tie_word_embeddings=True),
}
name, model, optimizer = None, None, None


def step(ids):
    started = time.perf_counter()
    loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    loss = loss.item()
    return {"seconds": time.perf_counter() - started, "loss": loss}


for line in sys.stdin:
    asked = json.loads(line)
    torch.set_num_threads(asked["threads"])
    rows = [[300 + (b * 31 + i) * 7919 % 3000 for i in range(asked["length"])] for b in range(asked["batch"])]
    if name != (asked["shape"], asked["way"]):
        model, optimizer = None, None
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(configs[asked["shape"]]()).train()
        if asked["way"] == "lora":
            model = get_peft_model(model, LoraConfig(
                r=asked["rank"], lora_alpha=2 * asked["rank"], target_modules=asked["targets"], task_type="CAUSAL_LM"))
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=asked["lr"])
        name = (asked["shape"], asked["way"])
    print(json.dumps(step(torch.tensor(rows))), flush=True)

"""Writes PEFT adapters with drawn settings and PEFT's numbers, for the models of a directory, in the form that main.ts reads.

    python drawn_adapters.py DIRECTORY SEED COUNT [FAMILY ...]      # COUNT folders of each family under DIRECTORY/adapters
    MODELS_DIR=DIRECTORY npm run test:models -- adapters

drawn_models.py writes DIRECTORY/models. Numbers are those of the adapter as PEFT's own loader reads it. Settings that PEFT
itself refuses are reported and left out. Needs torch, transformers, safetensors and peft.
"""
import json, pathlib, random, shutil, sys, warnings
import peft, torch
import transformers as T
from safetensors.torch import load_file, save_file

LLAMA = (["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], ["embed_tokens"], ["lm_head", "norm", "embed_tokens"])
BERT = (["query", "key", "value", "attention.output.dense", "intermediate.dense"], ["word_embeddings"], ["classifier", "pooler", "LayerNorm"])
# Linear layers, embeddings, and modules that may learn whole. T5's `shared` holds a weight that `embed_tokens` reads.
PARTS = {
    "gpt2": (["c_attn", "c_fc", "mlp.c_proj", "attn.c_proj"], ["wte", "wpe"], ["lm_head", "ln_f", "wte"]),
    "bert": BERT, "roberta": BERT,
    "distilbert": (["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"], ["word_embeddings"], ["classifier", "pre_classifier"]),
    "t5": (["q", "v", "wo", "SelfAttention.q", "EncDecAttention.v", "wi"], ["embed_tokens", "shared"], ["layer_norm", "lm_head", "embed_tokens"]),
    "resnet": (["convolution", "classifier.1"], [], ["classifier.1", "normalization"]),
    "vit": (["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"], [], ["classifier", "layernorm"]),
}
PARTS |= {"mt5": PARTS["t5"], **{name: LLAMA for name in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3")}}
TASKS = {"ForCausalLM": "CAUSAL_LM", "LMHeadModel": "CAUSAL_LM", "ForConditionalGeneration": "SEQ_2_SEQ_LM", "ForSequenceClassification": "SEQ_CLS",
         "ForTokenClassification": "TOKEN_CLS", "ForMaskedLM": None, "ForImageClassification": None}


def draw(r, family, model, task):
    names = [name for name, _ in model.named_modules()]
    usable = lambda parts: [part for part in parts if any(name == part or name.endswith(f".{part}") for name in names)]
    linear, tables, whole = (usable(parts) for parts in PARTS[family])
    some = lambda parts: r.sample(parts, min(len(parts), r.randint(1, 3)))
    chance = lambda share: r.random() < share
    kinds = ["lora"] * 8 + ["ia3"] * 2
    # The models of other tasks have no place for prompts.
    kinds += ["prompt", "ptuning", "prefix"] if task in ("CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS") else []
    kind, tokens = r.choice(kinds), r.choice([1, 2, 3, 5])
    saved = {"modules_to_save": some(whole)} if whole and chance(0.25) else {}
    if kind == "ia3":
        targets = some(linear)
        return peft.IA3Config(target_modules=targets, feedforward_modules=[each for each in targets if chance(0.5)], task_type=task,
                              fan_in_fan_out=family == "gpt2", **saved)
    if kind == "prompt":
        return peft.PromptTuningConfig(num_virtual_tokens=tokens, task_type=task, **saved)
    if kind == "ptuning":
        return peft.PromptEncoderConfig(num_virtual_tokens=tokens, encoder_hidden_size=r.choice([8, 16]), encoder_dropout=0.0, task_type=task)
    if kind == "prefix":
        return peft.PrefixTuningConfig(num_virtual_tokens=tokens, prefix_projection=chance(0.4), encoder_hidden_size=20, task_type=task)
    targets = some(linear)
    c = {"r": r.choice([1, 2, 3, 4]), "lora_alpha": r.choice([0.5, 3, 8, 16]), "lora_dropout": r.choice([0.0, 0.1]), "task_type": task,
         "fan_in_fan_out": family == "gpt2", "use_rslora": chance(0.25), "bias": r.choice(["none", "none", "all", "lora_only"]), **saved}
    c["target_modules"] = r.choice([
        targets, targets, targets + some(tables) if tables else targets, "all-linear", ".*(%s)" % "|".join(targets).replace(".", r"\.")])
    c |= r.choice([{}, {}, {"use_dora": True}, {"lora_bias": True}])
    c |= {"rank_pattern": {r.choice(linear): r.choice([1, 5])}} if chance(0.3) else {}
    c |= {"alpha_pattern": {r.choice(linear): r.choice([2, 9.5])}} if chance(0.3) else {}
    c |= {"exclude_modules": [r.choice(linear)]} if chance(0.2) else {}
    c |= {"layers_to_transform": r.choice([0, [0, 1]])} if isinstance(c["target_modules"], list) and chance(0.2) else {}
    c |= {"init_lora_weights": r.choice([False, "gaussian", "pissa", "olora"])} if chance(0.2) else {}
    c |= {"trainable_token_indices": r.choice([[3, 7], {tables[0]: [1, 2, 9]}])} if tables and not saved and chance(0.2) else {}
    # PEFT does not tie a T5's embeddings again when it reads a file.
    return peft.LoraConfig(**c, ensure_weight_tying=chance(0.2) and not (saved and "shared" in tables))


def write(folder, root, base, name, r, seed):
    load = lambda: getattr(T, name).from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    task = next(task for end, task in TASKS.items() if name.endswith(end))
    given = {k[3:]: x for k, x in load_file(base / "reference.safetensors").items() if k.startswith("in.") and k != "in.position_ids"}
    # The first row, which has no padding.
    given = {k: x[:1] for k, x in given.items()} if task == "CAUSAL_LM" else given
    x = {k: v if v.is_floating_point() else v.long() for k, v in given.items()}
    model = load()
    config = draw(r, base.name.split("-")[0], model, task)
    made = peft.get_peft_model(model, config)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in made.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=g) * 0.1)
    made.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    isPrompt = config.is_prompt_learning
    loaded = peft.PeftModel.from_pretrained(load(), folder, is_trainable=not isPrompt).eval()
    outputs = {"logits": loaded(**x).logits}
    # A prompt's file has the result of its encoder, but not the encoder.
    learning = made.eval() if isPrompt else loaded
    loss = learning(**x).loss
    learning.zero_grad(set_to_none=True)
    loss.backward()
    tensors = {f"grad.{k}": p.grad.clone() for k, p in learning.named_parameters() if p.requires_grad and p.grad is not None}
    merged = not isPrompt and not (getattr(config, "lora_bias", False))
    if merged:
        before = dict(load().named_parameters())
        whole = loaded.merge_and_unload().eval()
        outputs["merged_logits"] = whole(**x).logits
        tensors |= {f"merged.{k}": p.detach().clone() for k, p in whole.named_parameters() if k not in before or not torch.equal(p, before[k])}
    tensors |= {f"in.{k}": v for k, v in given.items()} | {f"out.{k}": v.detach() for k, v in outputs.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "reference.safetensors")
    reference = {"base": str(base.relative_to(root)), "class": name, "loss": loss.item(), "merged": merged}
    (folder / "reference.json").write_text(json.dumps(reference))


def main():
    root, seed, count, *families = sys.argv[1:]
    root = pathlib.Path(root)
    warnings.filterwarnings("ignore")
    T.utils.logging.set_verbosity_error()
    T.utils.logging.disable_progress_bar()
    for family in families or PARTS:
        names = {base: json.loads((base / "reference.json").read_text())["class"] for base in sorted((root / "models").glob(f"{family}-*"))}
        names = {base: name for base, name in names.items() if any(name.endswith(end) for end in TASKS)}
        for i in range(int(count) if names else 0):
            r = random.Random(f"adapter {family} {seed} {i}")
            base = r.choice(list(names))
            folder = root / "adapters" / f"{family}-{seed}-{i:02}"
            shutil.rmtree(folder, ignore_errors=True)
            torch.manual_seed(i)
            try:
                write(folder, root, base, names[base], r, 1000 * int(seed) + i)
            except Exception as error:
                shutil.rmtree(folder, ignore_errors=True)
                print(f"PEFT refuses {folder.name}: {type(error).__name__}: {str(error)[:160]}")
        print(f"{family}: written", flush=True)


main()

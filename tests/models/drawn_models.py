"""Writes folders of models with drawn settings and the numbers that transformers computes, in the form that main.ts reads.

    python drawn_models.py OUT SEED COUNT [FAMILY ...]      # COUNT folders of each family under OUT/models
    MODELS_DIR=OUT npm run test:models

Half of the configurations are written in transformers 4's form. Numbers are those of the folder as transformers reads it.
Settings that transformers itself refuses are reported and left out. Needs torch, transformers and safetensors.
"""
import json, pathlib, random, shutil, sys
import torch
import torch.nn.functional as F
import transformers as T
from safetensors.torch import save_file

ACTIVATIONS = [name for name in T.activations.ACT2CLS if name not in ("prelu", "xielu")]  # these two have weights
NEW, PROMPT, COLUMNS, PADDING = 6, 11, 17, 5


def activation(r, usual):
    return r.choice([usual, r.choice(ACTIVATIONS)])


def rope(r, head_dim, kinds=("default", "default", "linear", "dynamic", "yarn", "yarn", "llama3", "longrope")):
    found = {"rope_type": r.choice(kinds), "rope_theta": r.choice([10000.0, 500000.0, 1234.5, 100.0])}
    maybe = lambda **more: found.update(more) if r.random() < 0.3 else None
    kind = found["rope_type"]
    if kind in ("linear", "dynamic"):
        found["factor"] = r.choice([1.0, 1.7, 2.5, 8.0])
    if kind in ("yarn", "llama3"):
        found |= {"factor": r.choice([1.0, 2.0, 3.7, 8.0]), "original_max_position_embeddings": r.choice([8, 13, 16])}
    if kind == "yarn":
        maybe(beta_fast=r.choice([16.0, 32.0]), beta_slow=r.choice([1.0, 2.0]))
        maybe(attention_factor=r.choice([0.7, 1.3]))
        maybe(mscale=0.7, mscale_all_dim=r.choice([1.0, 0.0, 0.5]))
        maybe(truncate=r.random() < 0.3)
    if kind == "llama3":
        found |= {"low_freq_factor": r.choice([1.0, 0.5]), "high_freq_factor": r.choice([4.0, 2.3])}
    if kind == "longrope":
        factors = lambda most: [round(1 + most * r.random(), 3) for _ in range(head_dim // 2)]
        found |= {"short_factor": factors(1), "long_factor": factors(4), "original_max_position_embeddings": r.choice([12, 64])}
        maybe(factor=r.choice([2.0, 4.0]))
        maybe(attention_factor=r.choice([0.7, 1.3]))
    return found


def grouped(r, family):
    """Settings that Llama, its relatives and Gemma share, and the size of a head."""
    key_heads, head_dim, vocab = r.choice([1, 2, 3]), r.choice([4, 6, 8, 10, 14, 16]), r.choice([97, 128, 241])
    heads = key_heads * r.choice([1, 2, 3, 4])
    width = heads * r.choice([head_dim, 4, 6, 8])
    gemma = family.startswith("gemma")
    c = {
        "vocab_size": vocab, "hidden_size": width, "intermediate_size": r.choice([12, 33, 64]), "num_attention_heads": heads,
        "num_hidden_layers": r.choice([1, 2, 3, 5]), "num_key_value_heads": key_heads, "head_dim": head_dim,
        "max_position_embeddings": r.choice([16, 40, 64, 128]), "rms_norm_eps": r.choice([1e-6, 1e-5, 1e-3]),
        "pad_token_id": r.choice([None, 0, vocab - 1]), "bos_token_id": r.choice([1, None]), "eos_token_id": r.choice([2, None, [2, 3]]),
        "tie_word_embeddings": r.random() < 0.5,
        "hidden_activation" if gemma else "hidden_act": activation(r, "gelu_pytorch_tanh" if gemma else "silu"),
    }
    if family != "gemma3":
        c["rope_parameters"] = rope(r, head_dim)
    if family in ("llama", "qwen3", "gemma2", "gemma3"):
        c["attention_bias"] = r.random() < 0.4
    return c


def layer_types(r, c):
    return [r.choice(["full_attention", "sliding_attention"]) for _ in range(c["num_hidden_layers"])]


def gpt2(r):
    heads, vocab = r.choice([1, 2, 3, 5]), r.choice([97, 241])
    return T.GPT2Config(
        vocab_size=vocab, n_positions=r.choice([24, 40, 64]), n_embd=heads * r.choice([3, 4, 7, 10]), n_layer=r.choice([1, 2, 4]), n_head=heads,
        n_inner=r.choice([None, 20, 33]), activation_function=activation(r, "gelu_new"), layer_norm_epsilon=r.choice([1e-5, 1e-3]),
        scale_attn_weights=r.random() < 0.7, scale_attn_by_inverse_layer_idx=r.random() < 0.4, reorder_and_upcast_attn=r.random() < 0.3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=r.choice([2, None]), tie_word_embeddings=r.random() < 0.6)


def llama(r):
    return T.LlamaConfig(**grouped(r, "llama"), mlp_bias=r.random() < 0.4)


def mistral(r):
    return T.MistralConfig(**grouped(r, "mistral"), sliding_window=r.choice([None, 2, 4, 9, 100]))


def qwen(r, family, config):
    c = grouped(r, family)
    how = r.choice(["none", "number", "types", "off"])
    if how != "none":
        c |= {"use_sliding_window": how != "off", "sliding_window": r.choice([2, 5, 9]), "max_window_layers": r.choice([0, 1, 2, 28])}
    if how == "types":
        c["layer_types"] = layer_types(r, c)
    return config(**c)


def gemma(r, family, config):
    c = grouped(r, family)
    c |= {"query_pre_attn_scalar": r.choice([c["head_dim"], 7, 256]), "sliding_window": r.choice([2, 5, 9, 64]),
          "final_logit_softcapping": r.choice([None, 5.0, 30.0, 2.5]), "attn_logit_softcapping": r.choice([None, 3.0, 50.0, 0.8])}
    if r.random() < 0.5:
        c["layer_types"] = layer_types(r, c)
    if family == "gemma3":
        c |= {} if "layer_types" in c else {"sliding_window_pattern": r.choice([1, 2, 3, 6])}
        kinds = ("default", "linear", "llama3", "longrope", "yarn")
        c["rope_parameters"] = {kind: rope(r, c["head_dim"], kinds) for kind in ("sliding_attention", "full_attention")}
    return config(**c)


def randomise(model, seed):
    """Gives every parameter (including norms and biases) and every running statistic a distinct value."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            p.copy_(p + 0.1 * noise if p.dim() <= 1 else noise * 1.1 / p[0].numel() ** 0.5)
        for name, b in model.named_buffers():
            if name.endswith("running_var"):
                b.copy_(torch.rand(b.shape, generator=g) + 0.5)
            elif name.endswith("running_mean"):
                b.copy_(torch.randn(b.shape, generator=g) * 0.2)


def write_as_before(r, path):
    """Writes a configuration with the names of transformers 4."""
    c = json.loads(path.read_text())
    c["torch_dtype"] = c.pop("dtype", "float32")
    parameters = c.pop("rope_parameters", None) or {}
    local, whole = parameters.get("sliding_attention"), parameters.get("full_attention", parameters)
    if local:
        c["rope_local_base_freq"] = local["rope_theta"]
    if whole:
        c["rope_theta"] = whole.pop("rope_theta")
        if whole["rope_type"] != "default" and r.random() < 0.4:
            whole["type"] = whole.pop("rope_type")
        c["rope_scaling"] = None if whole.get("rope_type") == "default" else whole
    if c["model_type"] in ("gemma2", "qwen2", "qwen3") and r.random() < 0.5:
        c.pop("layer_types")
    for name in ("is_gated_act", "dense_act_fn"):
        c.pop(name, None)
    path.write_text(json.dumps(c, indent=1))


class Folder:
    def __init__(self, path, r, seed):
        self.path, self.r, self.seed = path, r, seed

    def model(self, kind, config):
        """The model of a configuration, read by transformers from the folder."""
        config._attn_implementation = "eager"
        model = kind(config)
        randomise(model, self.seed)
        model.save_pretrained(self.path)
        if self.r.random() < 0.5:
            write_as_before(self.r, self.path / "config.json")
        return kind.from_pretrained(self.path, attn_implementation="eager", dtype=torch.float32).eval()

    def write(self, model, inputs, outputs, loss, texts=None, columns=0):
        def plain(x):
            x = x.detach()
            return (x.float() if x.is_floating_point() else x.to(torch.int32)).contiguous().clone()
        model.zero_grad(set_to_none=True)
        loss.backward()
        tensors = {f"in.{k}": plain(x) for k, x in inputs.items()} | {f"out.{k}": plain(x) for k, x in outputs.items()}
        tensors |= {f"grad.{k}": plain(p.grad) for k, p in model.named_parameters() if p.grad is not None}
        save_file(tensors, self.path / "reference.safetensors")
        run = None if texts is None else {"prompt_columns": columns, "greedy": {"max_new_tokens": NEW, "ids": texts.tolist()}}
        reference = {"class": type(model).__name__, "loss": loss.item(), "generation": run}
        (self.path / "reference.json").write_text(json.dumps(reference))


def steady(model, **given):
    """A greedy continuation; None if weights that differ by rounding give another one."""
    g = torch.Generator().manual_seed(1)
    kept = [p.detach().clone() for p in model.parameters()]
    run = lambda: model.generate(**given, max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0)
    with torch.no_grad():
        first = run()
        for p in model.parameters():
            p.mul_(1 + 3e-6 * torch.randn(p.shape, generator=g))
        second = run()
        for p, old in zip(model.parameters(), kept):
            p.copy_(old)
    return first if first.tolist() == second.tolist() else None


def hidden(outputs):
    return {f"hidden_{i}": x for i, x in enumerate(outputs.hidden_states)}


def causal(folder, kind, config):
    model = folder.model(kind, config)
    # Frequencies that follow the longest text depend on what the model has read so far.
    grows = any(name in json.dumps(config.to_dict().get("rope_parameters")) for name in ("dynamic", "longrope"))
    for attempt in range(30):
        g = torch.Generator().manual_seed(folder.seed + 1000 * attempt)
        ids = torch.randint(3, config.vocab_size - 1, (2, COLUMNS), generator=g)
        mask = torch.ones_like(ids)
        mask[1, :PADDING] = 0
        ids = ids * mask
        texts = None if grows else steady(model, input_ids=ids[:, :PROMPT], attention_mask=mask[:, :PROMPT])
        if grows or texts is not None:
            break
    labels = ids.masked_fill(mask == 0, -100)
    labels[1, PADDING] = -100
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0), "labels": labels}
    o = model(**inputs, output_hidden_states=True)
    folder.write(model, inputs, {"logits": o.logits, **hidden(o)}, o.loss, texts, PROMPT)


HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForMultipleChoice", "ForTokenClassification", "ForQuestionAnswering"]


def encoder(folder, family, name):
    r, bert = folder.r, family == "bert"
    heads, vocab, classes = r.choice([1, 2, 3, 5]), r.choice([97, 241]), r.choice([1, 2, 3, 5])
    head = r.choice(HEADS + ["ForNextSentencePrediction", "ForPreTraining"] * bert)
    pad = r.choice([0, 1, 3])
    c = {"vocab_size": vocab, "max_position_embeddings": r.choice([20, 32]) + (pad + 1 if family == "roberta" else 0), "pad_token_id": pad,
         "num_labels": 2 if head == "ForQuestionAnswering" else classes}
    width, layers, inner, act = heads * r.choice([3, 4, 6, 10]), r.choice([1, 2, 3]), r.choice([12, 33, 64]), activation(r, "gelu")
    if family == "distilbert":
        c |= {"dim": width, "n_layers": layers, "n_heads": heads, "hidden_dim": inner, "activation": act, "sinusoidal_pos_embds": r.random() < 0.4}
        c |= {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}
    else:
        c |= {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner, "hidden_act": act}
        c |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": r.choice([None, 0.0])}
        c |= {"type_vocab_size": r.choice([1, 2, 3]), "layer_norm_eps": r.choice([1e-12, 1e-5, 1e-3]), "tie_word_embeddings": r.random() < 0.7}
    config = getattr(T, f"{name}Config")(**c)
    if head == "ForSequenceClassification":
        config.problem_type = "regression" if classes == 1 else r.choice([None, "multi_label_classification", "regression"])
    model = folder.model(getattr(T, name + head), config)
    g = torch.Generator().manual_seed(folder.seed)
    ids = torch.randint(4, vocab, (3, 15), generator=g)
    mask = torch.ones_like(ids)
    mask[1, 9:], mask[2, 4:] = 0, 0
    x = {"input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}
    types = c.get("type_vocab_size", 0)
    if types > 1 and r.random() < 0.8:
        x["token_type_ids"] = torch.randint(0, types, ids.shape, generator=g) * mask
    masked = torch.full_like(ids, -100)
    masked[0, 2], masked[0, 7], masked[1, 3] = 17, 90, 9
    labels = {
        "ForMaskedLM": {"labels": masked}, "ForPreTraining": {"labels": masked, "next_sentence_label": torch.tensor([1, 0, 1])},
        "ForNextSentencePrediction": {"labels": torch.tensor([1, 0, 1])},
        "ForTokenClassification": {"labels": torch.randint(0, classes, ids.shape, generator=g).masked_fill(mask == 0, -100)},
        "ForQuestionAnswering": {"start_positions": torch.tensor([2, 1, 0]), "end_positions": torch.tensor([5, 8, 3])},
        "ForMultipleChoice": {"labels": torch.tensor([2, 0])},
        "ForSequenceClassification": {"labels": {
            "regression": torch.randn([3, classes] if classes > 1 else [3], generator=g),
            "multi_label_classification": torch.randint(0, 2, (3, classes), generator=g).float(),
        }.get(config.problem_type, torch.randint(0, classes, (3,), generator=g))},
    }.get(head, {})
    if head == "ForMultipleChoice":
        x = {k: torch.stack([v, v.roll(1, 0), v.roll(2, 0)], 1)[:2] for k, v in x.items()}
    o = model(**x, **labels, output_hidden_states=True)
    names = ("logits", "prediction_logits", "seq_relationship_logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
    outputs = {key: o[key] for key in names if o.get(key) is not None} | hidden(o)
    loss = o.get("loss")
    if loss is None:
        weight = mask[..., None].float()
        outputs["embedding"] = F.normalize((o.last_hidden_state * weight).sum(1) / weight.sum(1), dim=-1)
        loss = (outputs["embedding"] @ outputs["embedding"].T).square().sum()
    folder.write(model, {**x, **labels}, outputs, loss)


def t5(folder, name):
    r = folder.r
    projections = ["relu", "gated-gelu", "gated-silu", "gelu", "gelu_new", "gated-relu", "gated-gelu_new", "silu", "gated-quick_gelu"]
    config = getattr(T, f"{name}Config")(
        vocab_size=r.choice([97, 241]), d_model=r.choice([12, 30, 48]), d_kv=r.choice([4, 7, 12]), d_ff=r.choice([12, 33]), dropout_rate=0.0,
        num_layers=r.choice([1, 2, 3]), num_decoder_layers=r.choice([None, 1, 4]), num_heads=r.choice([1, 3, 4]), pad_token_id=0,
        relative_attention_num_buckets=r.choice([4, 7, 10, 32]), relative_attention_max_distance=r.choice([17, 20, 128]),
        layer_norm_epsilon=r.choice([1e-6, 1e-4]), feed_forward_proj=r.choice(projections), eos_token_id=r.choice([1, 2]),
        decoder_start_token_id=r.choice([0, 3]), tie_word_embeddings=r.random() < 0.6)
    model = folder.model(getattr(T, f"{name}ForConditionalGeneration"), config)
    # transformers 5.24 sizes the cache by the number of the encoder's layers.
    cached = config.num_layers == config.num_decoder_layers
    for attempt in range(30):
        g = torch.Generator().manual_seed(folder.seed + 1000 * attempt)
        ids = torch.randint(3, config.vocab_size, (2, PROMPT), generator=g)
        mask = torch.ones_like(ids)
        mask[1, 7:] = 0
        texts = steady(model, input_ids=ids * mask, attention_mask=mask, use_cache=cached)
        if texts is not None:
            break
    labels = torch.randint(3, config.vocab_size, (2, 6), generator=g)
    labels[1, 4:] = -100
    inputs = {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}
    o = model(**inputs, output_hidden_states=True)
    outputs = {"logits": o.logits, "encoder_hidden": o.encoder_last_hidden_state, "decoder_hidden": o.decoder_hidden_states[-1]}
    folder.write(model, inputs, outputs, o.loss, texts, 1)


def images(folder, kind, config, height, width):
    model = folder.model(kind, config)
    g = torch.Generator().manual_seed(folder.seed)
    pixels = torch.randn(2, config.num_channels, height, width, generator=g)
    labels = torch.randn(2, generator=g) if config.num_labels == 1 else torch.randint(0, config.num_labels, (2,), generator=g)
    o = model(pixel_values=pixels, labels=labels, output_hidden_states=True)
    folder.write(model, {"pixel_values": pixels, "labels": labels}, {"logits": o.logits, **hidden(o)}, o.loss)


def resnet(folder):
    r = folder.r
    stages = range(r.choice([1, 2, 3, 4, 5]))
    config = T.ResNetConfig(
        num_channels=r.choice([1, 3, 4]), embedding_size=r.choice([4, 7, 8]), hidden_sizes=[r.choice([4, 8, 9, 12]) for _ in stages],
        depths=[r.choice([1, 2, 3]) for _ in stages], layer_type=r.choice(["basic", "bottleneck"]), hidden_act=activation(r, "relu"),
        downsample_in_first_stage=r.random() < 0.4, downsample_in_bottleneck=r.random() < 0.4, num_labels=r.choice([1, 2, 4]))
    images(folder, T.ResNetForImageClassification, config, r.choice([33, 50, 64]), r.choice([32, 47, 64]))


def vit(folder):
    r = folder.r
    heads, (height, width) = r.choice([1, 2, 3, 5]), r.choice([(24, 24), (30, 30), (20, 36), (17, 17)])
    config = T.ViTConfig(
        hidden_size=heads * r.choice([4, 6, 10]), num_hidden_layers=r.choice([1, 2, 3]), num_attention_heads=heads, image_size=(height, width),
        intermediate_size=r.choice([12, 33]), patch_size=r.choice([4, 5, 6, (4, 6)]), num_channels=r.choice([1, 3, 4]), num_labels=r.choice([1, 2, 4]),
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, qkv_bias=r.random() < 0.6, layer_norm_eps=r.choice([1e-12, 1e-5]),
        hidden_act=activation(r, "gelu"))
    images(folder, T.ViTForImageClassification, config, height, width)


FAMILIES = {
    "gpt2": lambda f: causal(f, T.GPT2LMHeadModel, gpt2(f.r)),
    "llama": lambda f: causal(f, T.LlamaForCausalLM, llama(f.r)),
    "mistral": lambda f: causal(f, T.MistralForCausalLM, mistral(f.r)),
    "qwen2": lambda f: causal(f, T.Qwen2ForCausalLM, qwen(f.r, "qwen2", T.Qwen2Config)),
    "qwen3": lambda f: causal(f, T.Qwen3ForCausalLM, qwen(f.r, "qwen3", T.Qwen3Config)),
    "gemma2": lambda f: causal(f, T.Gemma2ForCausalLM, gemma(f.r, "gemma2", T.Gemma2Config)),
    "gemma3": lambda f: causal(f, T.Gemma3ForCausalLM, gemma(f.r, "gemma3", T.Gemma3TextConfig)),
    "bert": lambda f: encoder(f, "bert", "Bert"),
    "roberta": lambda f: encoder(f, "roberta", "Roberta"),
    "distilbert": lambda f: encoder(f, "distilbert", "DistilBert"),
    "t5": lambda f: t5(f, "T5"),
    "mt5": lambda f: t5(f, "MT5"),
    "resnet": resnet,
    "vit": vit,
}


def main():
    out, seed, count, *families = sys.argv[1:]
    T.utils.logging.set_verbosity_error()
    T.utils.logging.disable_progress_bar()
    for family in families or FAMILIES:
        for i in range(int(count)):
            path = pathlib.Path(out) / "models" / f"{family}-{seed}-{i:02}"
            shutil.rmtree(path, ignore_errors=True)
            torch.manual_seed(i)
            try:
                FAMILIES[family](Folder(path, random.Random(f"{family} {seed} {i}"), 1000 * int(seed) + i))
            except Exception as error:
                shutil.rmtree(path, ignore_errors=True)
                print(f"transformers refuses {path.name}: {type(error).__name__}: {str(error)[:200]}")
        print(f"{family}: written", flush=True)


main()

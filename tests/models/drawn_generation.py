"""Adds texts that transformers generates with drawn settings to the models of a directory, in the form that main.ts reads.

    python drawn_generation.py DIRECTORY SEED COUNT [FAMILY ...]    # COUNT texts of each model, beside those that it has
    MODELS_DIR=DIRECTORY npm run test:models -- models

drawn_models.py writes DIRECTORY/models. Greedy search and beams are drawn, with penalties, forbidden words and ends. A text that
weights do not give again if they differ by rounding is drawn anew. Needs torch, transformers and safetensors.
"""
import json, pathlib, random, sys, warnings
import torch
import transformers as T
from safetensors.torch import load_file

FAMILIES = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "t5", "mt5")
TRIES = 10
# Of the new tokens, for which the models of drawn_models.py have positions.
MOST = 6


def draw(r, vocab, seen, encoder_decoder):
    """Settings; `seen` are tokens that the model likes to write, so that ends and forbidden words meet them."""
    chance = lambda share: r.random() < share
    token = lambda: r.choice(seen) if chance(0.7) else r.randrange(vocab)
    beams = r.choice([1, 1, 2, 3, 4])
    run = {"max_new_tokens": r.randint(1, MOST), "eos_token_id": None, "pad_token_id": 0}
    if beams > 1:
        run |= {"num_beams": beams, "num_return_sequences": r.randint(1, beams), "length_penalty": r.choice([1.0, 1.0, 0.0, -0.5, 2.0]),
                "early_stopping": r.choice([True, False, "never"])}
    if chance(0.7):
        run["eos_token_id"] = token() if chance(0.6) else sorted({token() for _ in range(3)})
        run |= {"min_new_tokens": r.randint(1, run["max_new_tokens"])} if chance(0.4) else {}
    run |= {"repetition_penalty": r.choice([0.7, 1.2, 1.8, 3.0])} if chance(0.4) else {}
    run |= {"no_repeat_ngram_size": r.choice([1, 2, 3])} if chance(0.3) else {}
    run |= {"suppress_tokens": sorted({token() for _ in range(r.randint(1, 4))})} if chance(0.3) else {}
    run |= {"bad_words_ids": [[token() for _ in range(r.choice([1, 1, 2, 3]))] for _ in range(r.randint(1, 4))]} if chance(0.4) else {}
    # transformers counts the padding before a text as part of it, and its token is then no other than the others.
    if not encoder_decoder and ("repetition_penalty" in run or "no_repeat_ngram_size" in run):
        run["suppress_tokens"] = sorted({0, *run.get("suppress_tokens", [])})
    return run


def generated(model, given, run):
    c = model.config.to_dict()
    # transformers 5.24 sizes the cache by the number of the encoder's layers.
    cached = c.get("num_decoder_layers") in (None, c.get("num_layers"))
    # The model's own settings would join those of the run.
    config = T.GenerationConfig(do_sample=False, use_cache=cached, decoder_start_token_id=c.get("decoder_start_token_id"), **run)
    o = model.generate(**given, generation_config=config, return_dict_in_generate=True, output_scores=True)
    scores = o.sequences_scores.tolist() if "num_beams" in run else None
    return o.sequences.tolist(), scores


def steady(model, given, run):
    """The texts; None if weights that differ by rounding give others."""
    g = torch.Generator().manual_seed(1)
    kept = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        first = generated(model, given, run)
        for p in model.parameters():
            p.mul_(1 + 3e-6 * torch.randn(p.shape, generator=g))
        second = generated(model, given, run)
        for p, old in zip(model.parameters(), kept):
            p.copy_(old)
    return first if first[0] == second[0] else None


def add(path, seed, count):
    reference = json.loads((path / "reference.json").read_text())
    generation = reference.get("generation")
    if generation is None:
        return 0
    model = getattr(T, reference["class"]).from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    tensors, columns = load_file(path / "reference.safetensors"), generation["prompt_columns"]
    encoder_decoder = model.config.is_encoder_decoder
    ids, mask = tensors["in.input_ids"].long(), tensors["in.attention_mask"].long()
    given = {"input_ids": ids, "attention_mask": mask} if encoder_decoder else {"input_ids": ids[:, :columns], "attention_mask": mask[:, :columns]}
    seen = sorted({token for run in generation.values() if isinstance(run, dict) for row in run["ids"] for token in row[columns:]})
    r, written = random.Random(f"generation {path.name} {seed}"), 0
    for i in range(count):
        for _ in range(TRIES):
            run = draw(r, model.config.vocab_size, seen, encoder_decoder)
            texts = steady(model, given, run)
            if texts is None:
                continue
            generation[f"drawn_{seed}_{i:02}"] = {**run, "ids": texts[0], **({} if texts[1] is None else {"sequences_scores": texts[1]})}
            written += 1
            break
    (path / "reference.json").write_text(json.dumps(reference))
    return written


def main():
    root, seed, count, *families = sys.argv[1:]
    warnings.filterwarnings("ignore")
    T.utils.logging.set_verbosity_error()
    T.utils.logging.disable_progress_bar()
    for family in families or FAMILIES:
        folders = sorted((pathlib.Path(root) / "models").glob(f"{family}-*"))
        print(f"{family}: {sum(add(folder, int(seed), int(count)) for folder in folders)} texts of {len(folders)} models", flush=True)


main()

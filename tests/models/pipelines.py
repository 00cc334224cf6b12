"""
Writes data/pipelines.json, the answers of transformers' pipelines to texts. The weights of the models follow from a formula, by
which pipelines.test.ts fills its models. transformers 5 has no pipeline for question answering, so version 4's way is computed.
Usage: python tests/models/pipelines.py (transformers 5.24, torch 2.13)
"""
import json
import math
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedTokenizerFast,
    pipeline,
)

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
data = Path(__file__).parent / "data"
special = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
sizes = dict(
    vocab_size=1200, hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=24, max_position_embeddings=48
)
tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
texts = [
    "Cresset trains neural networks in Node.js.",
    "Zürich is a naïve café, isn’t it?",
    "深度学习 in Node",
    "go 🎉🚀 unbelievable re-entrant fallbacks",
    "where no binary fits, a pure TypeScript backend gives the same results",
]
pairs = [("it trains", "slowly, if at all"), ("x", "Zürich")]
long = " ".join(texts)


def tokenizer(most):
    own = PreTrainedTokenizerFast(tokenizer_file=str(data / "tokenizers/wordpiece/tokenizer.json"), model_max_length=most, **special)
    own.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return own


def filled(Class, labels=None, **more):
    names = {} if labels is None else dict(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    model = Class(BertConfig(**sizes, **names, **more)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            phase = sum(map(ord, name)) % 97
            wave = [math.sin(0.7 * i * i + 1.3 * i + phase) for i in range(parameter.numel())]
            if "LayerNorm.weight" in name:
                wave = [1 + 0.1 * each for each in wave]
            elif name.endswith("bias"):
                wave = [0.1 * each for each in wave]
            parameter.copy_(torch.tensor(wave, dtype=torch.float64).reshape(parameter.shape).float())
    return model


def units(text, points):
    return len(text[:points].encode("utf-16-le")) // 2


def classified():
    cases = []
    for problem, labels in [(None, "abc"), ("multi_label_classification", "abc"), ("regression", "abc"), (None, "a")]:
        model = filled(BertForSequenceClassification, list(labels), problem_type=problem)
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer(48), top_k=None)
        given = [*texts, *[dict(text=a, text_pair=b) for a, b in pairs]]
        told = [pipe(text) for text in given]
        told = [each[0] if isinstance(each[0], list) else each for each in told]
        scores = [{each["label"]: each["score"] for each in row} for row in told]
        cases.append(dict(problemType=problem, labels=list(labels), scores=scores))
    return cases


def tagged():
    model = filled(BertForTokenClassification, tags)
    cases = []
    for aggregation in ["none", "simple", "first", "average", "max"]:
        for ignore in [["O"], []]:
            pipe = pipeline("token-classification", model=model, tokenizer=tokenizer(48), aggregation_strategy=aggregation, ignore_labels=ignore)
            cases.append(dict(texts=texts, aggregation=aggregation, ignore=ignore, entities=[entities(text, pipe(text)) for text in texts]))
    for aggregation in ["simple", "max"]:
        pipe = pipeline("token-classification", model=model, tokenizer=tokenizer(16), aggregation_strategy=aggregation, stride=5)
        cases.append(dict(texts=[long], aggregation=aggregation, ignore=["O"], maxLength=16, stride=5, entities=[entities(long, pipe(long))]))
    return cases


def entities(text, found):
    return [
        dict(label=e.get("entity_group", e.get("entity")), score=float(e["score"]), start=units(text, e["start"]), end=units(text, e["end"]))
        for e in found
    ]


def masked():
    pipe = pipeline("fill-mask", model=filled(BertForMaskedLM), tokenizer=tokenizer(48), top_k=3)
    cases = []
    for text in ["it [MASK] networks", "[MASK] fits a [MASK] backend"]:
        rows = pipe(text)
        rows = rows if isinstance(rows[0], list) else [rows]
        cases.append(dict(text=text, masks=[[dict(id=f["token"], token=f["token_str"], score=f["score"], text=f["sequence"]) for f in row] for row in rows]))
    return cases


def answered():
    model = filled(BertForQuestionAnswering)
    cases = []
    for context, most, stride, longest, impossible, count, words in [
        (texts[0], 48, 12, 15, False, 1, True),
        (texts[1], 48, 12, 3, False, 3, True),
        (texts[1], 48, 12, 3, False, 3, False),
        (texts[3], 48, 12, 15, True, 2, True),
        (long, 24, 5, 4, False, 1, True),
        (long, 24, 0, 15, True, 3, False),
    ]:
        given = dict(context=context, maxLength=most, stride=stride, maxAnswerTokens=longest, noAnswer=impossible, topK=count, wholeWords=words)
        cases.append(dict(**given, question="what fits?", answers=answers(model, "what fits?", **given)))
    return cases


def answers(model, question, context, maxLength, stride, maxAnswerTokens, noAnswer, topK, wholeWords):
    own = tokenizer(48)
    encoded = own(
        text=question, text_pair=context, truncation="only_second", max_length=maxLength, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True, return_token_type_ids=True,
    )
    none, found = math.inf, []
    for i, ids in enumerate(encoded["input_ids"]):
        window = encoded.encodings[i]
        allowed = np.array([sequence == 1 or token == own.cls_token_id for sequence, token in zip(encoded.sequence_ids(i), ids)])
        inputs = dict(input_ids=ids, attention_mask=encoded["attention_mask"][i], token_type_ids=encoded["token_type_ids"][i])
        with torch.no_grad():
            output = model(**{name: torch.tensor([value]) for name, value in inputs.items()})
        start, end = (np.where(allowed, logits[0].numpy(), -10000.0) for logits in (output.start_logits, output.end_logits))
        start, end = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (start, end))
        none = min(none, float(start[0] * end[0]))
        start[0] = end[0] = 0
        spans = np.tril(np.triu(np.outer(start, end)), maxAnswerTokens - 1)
        for flat in np.argsort(-spans, axis=None, kind="stable")[:topK]:
            first, last = np.unravel_index(flat, spans.shape)
            if spans[first, last] == 0:
                continue
            if wholeWords:
                a = window.word_to_chars(window.token_to_word(first), 1)[0]
                b = window.word_to_chars(window.token_to_word(last), 1)[1]
            else:
                a, b = window.offsets[first][0], window.offsets[last][1]
            found.append(dict(text=context[a:b], start=units(context, a), end=units(context, b), score=float(spans[first, last])))
    if noAnswer:
        found.append(dict(text="", start=0, end=0, score=none))
    return sorted(found, key=lambda each: each["score"], reverse=True)[:topK]


def embedded():
    model, own = filled(BertModel), tokenizer(48)
    rows = {"mean": [], "cls": [], "max": []}
    for text in texts:
        with torch.no_grad():
            states = model(**own(text, return_tensors="pt")).last_hidden_state[0]
        rows["mean"].append(states.mean(0).tolist())
        rows["cls"].append(states[0].tolist())
        rows["max"].append(states.max(0).values.tolist())
    return rows


result = dict(
    sizes=sizes, tags=tags, texts=texts, pairs=pairs, classified=classified(), tagged=tagged(), masked=masked(), answered=answered(), embedded=embedded()
)
rounded = json.loads(json.dumps(result), parse_float=lambda x: float(f"{float(x):.7g}"))
(data / "pipelines.json").write_text(json.dumps(rounded, ensure_ascii=False) + "\n")

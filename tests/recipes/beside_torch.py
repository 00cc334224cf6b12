"""Trains in PyTorch what beside-torch.ts trains, from the same weights with the same batches, and answers the same texts.

Usage: beside_torch.py FOLDER, which holds model/ and job.json; writes learned.json there. Needs torch and transformers.
"""
import json, pathlib, sys, time
import torch
from transformers import BertForQuestionAnswering, T5ForConditionalGeneration

torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
answers_texts = job["head"] == "answers"
Model = BertForQuestionAnswering if answers_texts else T5ForConditionalGeneration
# The models have no dropout, so training and evaluation compute the same.
model = Model.from_pretrained(folder / "model", attn_implementation="eager").eval()


def padded(lists, value=0):
    width = max(map(len, lists))
    return torch.tensor([each + [value] * (width - len(each)) for each in lists])


def inputs_of(rows, types):
    """`types` is the name of the lists that distinguish question and text."""
    given = {"input_ids": padded([r["ids"] for r in rows]), "attention_mask": padded([[1] * len(r["ids"]) for r in rows])}
    if answers_texts:
        given["token_type_ids"] = padded([r[types] for r in rows])
    return given


def loss_of(rows):
    given = inputs_of(rows, "tokenTypeIds")
    if answers_texts:
        ends = {f"{end}_positions": torch.tensor([r[end] for r in rows]) for end in ("start", "end")}
        return model(**given, **ends).loss
    return model(**given, labels=padded([r["labels"] for r in rows], -100)).loss


optimizer = torch.optim.AdamW(model.parameters(), lr=job["lr"], betas=job["betas"], eps=job["eps"], weight_decay=job["weightDecay"])
warmup, steps, losses = job["warmup"], len(job["orders"]), []
began = time.process_time()
for step, order in enumerate(job["orders"]):
    for group in optimizer.param_groups:
        group["lr"] = job["lr"] * ((step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup))
    loss = loss_of([job["rows"][i] for i in order])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), job["clipNorm"])
    optimizer.step()
    losses.append(loss.item())
seconds = time.process_time() - began


@torch.no_grad()
def answers_to(texts):
    given, longest = inputs_of(texts, "types"), job["longest"]
    if not answers_texts:
        return model.generate(**given, max_new_tokens=longest, do_sample=False, num_beams=1)[:, 1:].tolist()
    found = model(**given)
    own = padded([t["own"] for t in texts], False)
    spans = []
    for start, end, may in zip(found.start_logits, found.end_logits, own):
        # The best first and last token, at most `longest` from end to end.
        scores = start.masked_fill(~may, -1e4)[:, None] + end.masked_fill(~may, -1e4)[None]
        band = torch.ones_like(scores, dtype=torch.bool).triu().tril(longest - 1)
        best = scores.masked_fill(~band, -1e9).argmax().item()
        spans.append([best // len(start), best % len(start)])
    return spans


answers = [answer for k in range(0, len(job["texts"]), 64) for answer in answers_to(job["texts"][k : k + 64])]
(folder / "learned.json").write_text(json.dumps({"losses": losses, "cpuSeconds": seconds, "answers": answers}))

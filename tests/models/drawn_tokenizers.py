"""Writes copies of tokenizers with drawn texts, and what tokenizers makes of them, in the form that tokenizers.ts reads.

    python drawn_tokenizers.py FOLDER OUT SEED COUNT      # FOLDER holds tokenizers and corpus.txt, as data/tokenizers does
    TOKENIZERS_DIR=OUT npm run test:tokenizers

The library's table of punctuation is older than Unicode 14, so U+061D and its like differ. Needs tokenizers 0.23.
"""
import json, pathlib, random, shutil, sys, unicodedata
from tokenizers import Tokenizer

SCRIPTS = [(0x20, 0x7E)] * 4 + [
    (0xA0, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF),
    (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF), (0x2000, 0x206F), (0x300, 0x36F), (0xFE00, 0xFE0F),
    (0xFF00, 0xFFEF), (0x20000, 0x2A6DF), (0x1D400, 0x1D7FF), (0, 0x1F), (0x7F, 0x9F), (0xE000, 0xE0FF), (0xE0001, 0xE007F),
    (0x10FF00, 0x10FFFF), (0xFFF0, 0xFFFF)]
PIECES = [
    "👨\u200d👩\u200d👧\u200d👦", "🏳\ufe0f\u200d🌈", "👍🏽", "🇩🇪🇫🇷", "é", "e\u0301", "ﬁ", "ß", "İ", "ı", "Å", "\u212b", "한국어", "각", "\u1100\u1161\u11a8",
    "\t", "\n", "\r\n", "  ", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufeff", "\u0000", "\ufffd", "don't", "I'LL", "we've", "1234567", "3.14",
    "ǅ", "ΑΣ ", "ΣΑΣ", "naïve", "ﷺ", "㎏", "①", "½", "x" * 120, "ab" * 300, "...", "!?", "#@%", "https://a.b/c?d=e", "\u2581", "▁a", "Ġb", "##ing",
    "\u0085", "\u2028"]


def word(r, corpus, special):
    kind = r.random()
    if kind < 0.3:
        return r.choice(corpus)
    if kind < 0.45:
        return r.choice(PIECES)
    if kind < 0.55 and special:
        return r.choice(special)
    first, last = r.choice(SCRIPTS)
    return "".join(chr(r.randint(first, last)) for _ in range(r.randint(1, 6)))


def draw(r, corpus, special):
    if r.random() < 0.02:
        return ""
    text = r.choice(["", " ", " ", "  "]).join(word(r, corpus, special) for _ in range(r.randint(1, 9)))
    text = r.choice([" ", "  ", "\n", "\t "]) * (r.random() < 0.25) + text + r.choice([" ", "  ", "\n", " \t"]) * (r.random() < 0.25)
    return unicodedata.normalize(r.choice(["NFC", "NFD", "NFKC", "NFKD"]), text) if r.random() < 0.2 else text


def units(text):
    """The place of each code point in UTF-16 units."""
    places = [0]
    for character in text:
        places.append(places[-1] + (2 if ord(character) > 0xFFFF else 1))
    return places


def single(tokenizer, text, special):
    e, places = tokenizer.encode(text, add_special_tokens=special), units(text)
    return {"text": text, "ids": e.ids, "tokens": e.tokens, "offsets": [[places[a], places[b]] for a, b in e.offsets],
            "decoded": tokenizer.decode(e.ids), "decoded_with_special": tokenizer.decode(e.ids, skip_special_tokens=False)}


def pair(tokenizer, first, second):
    e, places = tokenizer.encode(first, second), (units(first), units(second))
    offsets = [[a, b] if s is None else [places[s][a], places[s][b]] for (a, b), s in zip(e.offsets, e.sequence_ids)]
    return {"text": [first, second], "ids": e.ids, "tokens": e.tokens, "offsets": offsets, "type_ids": e.type_ids,
            "special_tokens_mask": e.special_tokens_mask}


def batch(r, file, pad, texts):
    padding = {"direction": r.choice(["left", "right"]), "pad_to_multiple_of": r.choice([None, 4, 8]), "length": r.choice([None, None, 24])}
    cut = {"max_length": r.choice([6, 10, 17, 24]), "direction": r.choice(["left", "right"]), "stride": r.choice([0, 0, 1, 2, 3])}
    tokenizer = Tokenizer.from_file(file)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad, **padding)
    tokenizer.enable_truncation(**cut)
    rows = [{"ids": e.ids, "attention_mask": e.attention_mask, "special_tokens_mask": e.special_tokens_mask,
             "overflowing": [o.ids for o in e.overflowing]} for e in tokenizer.encode_batch(texts)]
    return {"pad_token": pad, "padding": {k: v for k, v in padding.items() if v}, "truncation": cut, "texts": texts, "rows": rows}


def main():
    source, out, seed, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    corpus = (source / "corpus.txt").read_text().split()[:4000]
    for folder in sorted(each.parent for each in source.glob("*/tokenizer.json")):
        r = random.Random(f"tokenizer {folder.name} {seed}")
        target = out / folder.name
        shutil.copytree(folder, target, dirs_exist_ok=True)
        file, known = str(folder / "tokenizer.json"), json.loads((folder / "cases.json").read_text())
        special = [each["content"] for each in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]]
        tokenizer = Tokenizer.from_file(file)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        text = lambda: draw(r, corpus, special)
        cases = {
            "single": [single(tokenizer, text(), True) for _ in range(count)],
            "without_special": [single(tokenizer, text(), False) for _ in range(count // 3)],
            "pair": known["pair"], "pairs": [pair(tokenizer, text(), text()) for _ in range(count // 5)], "chat": known.get("chat"),
            "batch": [batch(r, file, known["batch"][0]["pad_token"], [text() for _ in range(r.randint(1, 4))]) for _ in range(count // 6)],
        }
        (target / "cases.json").write_text(json.dumps(cases))
        print(f"{folder.name}: {count} texts", flush=True)


main()

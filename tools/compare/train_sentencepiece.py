#!/usr/bin/env python3
"""Trains two small SentencePiece models and records what the Python package makes of awkward strings.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install sentencepiece==0.2.3
    /tmp/venv/bin/python tools/compare/train_sentencepiece.py Tests/Fixtures/sentencepiece

Needs the `bible` command (Debian: bible-kjv). Writes `bpe.model` (the settings of Llama 2: byte fallback, no normalisation,
spaces kept), `unigram.model` (nmt_nfkc, spaces squeezed) and `goldens.json`. Training is not the same in every version of the
package, so the fixtures are committed and the goldens belong to the models beside them.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import sentencepiece

OWN_LINES = [
    "Die Lagune lag still, und über dem Wasser hing ein dünner Nebel; größer wurde er nie.",
    "L'été dernier, où étiez-vous ? Nous naviguions près de l'île déserte.",
    "En la orilla, el niño contó doce pájaros y ningún pingüino.",
    "Вода в лагуне тёплая, а ветер с моря холодный.",
    "Η λίμνη είναι ήσυχη το πρωί.",
    "潟湖的水面很平静，早晨有雾。",
    "潟の水は静かで、朝には霧がかかる。",
    "석호의 물은 잔잔하고 아침에는 안개가 낀다.",
    "البحيرة هادئة في الصباح والضباب رقيق.",
    "let total = rows.map { $0.count }.reduce(0, +)  // 12,345 rows in 67.8 ms",
    "if (x <= 0 || y >= 10) { return -1; } else { printf(\"%d\\n\", x * y); }",
]

# One string per line of thought; all our own.
HANDMADE = [
    "", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\0", "a\0b", "\0\0\0", "a", "A", "é", "e\u0301", "ﬁ", "Å", "Å", "Å",
    "Hello world", " Hello world", "  Hello  world  ", "Hello world ", "Hello\nworld", "\nHello", "Hello\n", "Hello \n world",
    "Hello\tworld", "a b", "a  b", "a   b", "a    b", "a" + " " * 17 + "b", " " * 33, " leading", "trailing ", " both ",
    "In the beginning God created the heaven and the earth.",
    "And God said, Let there be light: and there was light.",
    "and the LORD spake unto Moses, saying,",
    "unto" * 40, "x" * 300, "Thou" + "shalt" * 60, "-" * 80, "=" * 63, "." * 65, "!" * 64, "ab" * 500,
    "0", "1", "12", "123", "1234567890", "3.14159", "1,000,000", "2026-11-21", "0x1F", "v1.2.3", "١٢٣", "１２３", "½", "x²",
    "don't", "don’t", "'tis", "it's 'quoted'", "\"double\"", "“curly”", "rock 'n' roll", "L'été", "o'clock",
    "👍", "👍🏽", "👩‍👩‍👧‍👦", "👩🏾‍🚀", "🏳️‍🌈", "🇩🇪🇫🇷", "a👍b", "👍 👍", "1️⃣", "☕️", "\u200d", "\ufe0f",
    "z\u0351\u0327\u0300\u0349a\u0334\u0353l\u0315g\u0489o", "n\u0303", "\u0301", " \u0301", "a\u0308\u0323", "각", "\u1100\u1161\u11a8",
    "\u00a0", "a\u00a0b", "a\u2003b", "a\u3000b", "a\u200bb", "a\u2028b", "a\u2029b", "a\u0085b", "a\u202fb", "a\u180eb", "\ufeffBOM",
    "\u0001\u0002\u001f", "a\u007fb", "a\u001bb[0m", "\u0080\u009f", "\u000b\u000c", "\u00ad", "soft\u00adhyphen",
    "שלום world", "\u202eabc\u202c", "العربية 123 עברית", "abcабвαβγ", "日本語テキスト", "中文 English 한국어", "ไทย", "हिन्दी", "Việt Nam", "ｆｕｌｌ", "ｱｲｳ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𐍈", "\U0010ffff", "\ufffd", "\ufffe", "\uffff", "\ue000", "\ud7ff", "ﷺ", "㍿", "™", "…", "①", "㎏",
    "<s>", "</s>", "<unk>", "<s> Hello</s>", "<0x41>", "<0x0A>", "<pad>", "[INST] hi [/INST]", "<<SYS>>", "</s><s>",
    "▁", "▁▁", "▁Hello", "Hello▁world", " ▁ ", "a▁", "▁ a", "⁇", " ⁇ ",
    "line one\nline two\n\nline four\n", "\n a\n  b\n   c", "\ta\n\t\tb", "a\n \nb", " \n", "\n ", "a \n", "a\r\nb\r\n",
    "def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < 10; ++i) { sum += a[i]; }", "SELECT * FROM t WHERE a='b';",
    "https://example.org/a/b?c=d&e=f#g", "user@example.org", "C:\\Users\\x", "$100 €50 £20 ¥7", "a/b\\c|d", "#hashtag @name", "((()))[]{}",
    "ALL CAPS AND lower", "MiXeD CaSe", "camelCaseWords snake_case_words", "naïve façade coöperate", "Ünïcödé", "ß ẞ ſ", "İ ı", "ǅ", "Ωμέγα Ω",
    "the the the the the", "of of of", "the" * 100, " the" * 100, "the " * 100, "a " * 200, "\n" * 50, "\t" * 20, " \t \n " * 10,
]

# How well words and odd characters mix: every pair, joined without and with a space.
MIXED = ["the", "é", "\u0301", "👍", " ", "\n", "\u00a0", "7", "▁", "\0", "水", "'s"]


def strings():
    pairs = [a + b for a in MIXED for b in MIXED] + [a + " " + b for a in MIXED for b in MIXED]
    return list(dict.fromkeys(HANDMADE + pairs))


def train(folder):
    kjv = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], check=True, capture_output=True, text=True).stdout
    verses = [line.split(" ", 1)[1] for line in kjv.splitlines() if " " in line]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as corpus:
        corpus.write("\n".join(verses[::3] + OWN_LINES * 20) + "\n")
        corpus.flush()
        common = dict(input=corpus.name, num_threads=1, minloglevel=2, max_sentence_length=8192)
        sentencepiece.SentencePieceTrainer.train(
            model_prefix=str(folder / "bpe"), model_type="bpe", vocab_size=1000, character_coverage=0.9995,
            byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False,
            split_digits=True, allow_whitespace_only_pieces=True, **common)
        sentencepiece.SentencePieceTrainer.train(
            model_prefix=str(folder / "unigram"), model_type="unigram", vocab_size=1000, character_coverage=0.9995,
            normalization_rule_name="nmt_nfkc", self_test_sample_size=3, **common)
    for name in ("bpe", "unigram"):
        (folder / f"{name}.vocab").unlink()


def goldens(folder):
    result = {"package": f"sentencepiece {sentencepiece.__version__}", "models": {}}
    for name in ("bpe", "unigram"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.model"))
        cases = []
        for text in strings():
            ids = model.encode(text)
            cases.append({"text": text, "ids": ids, "decoded": model.decode(ids)})
        result["models"][name] = cases
    (folder / "goldens.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where the models and goldens.json go")
    parser.add_argument("--goldens-only", action="store_true", help="keep the models that are there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if not arguments.goldens_only:
        train(arguments.folder)
    goldens(arguments.folder)


if __name__ == "__main__":
    main()

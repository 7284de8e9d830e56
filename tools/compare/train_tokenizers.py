"""Trains the byte-level tokenizers of Tests/Fixtures/tokenizers and writes the ids that the reference library gives.

    pip install tokenizers==0.23.3
    python tools/compare/train_tokenizers.py Tests/Fixtures/tokenizers

needs the `bible` command (Debian package bible-kjv) for English text; the other lines are below. With a number of tokens as
second argument the same styles are trained larger and no goldens are written, for benchmarks:

    python tools/compare/train_tokenizers.py /tmp/tokenizers 16384
"""

import json
import random
import subprocess
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

LINES = [
    "Die Würde der Lagune liegt im Brackwasser: süß und salzig zugleich, mal ebbt es, mal flutet es.",
    "Les pêcheurs réparèrent leurs filets à l'aube, puis l'un d'eux chanta: « Où vas-tu, marée ? »",
    "Лагуна отделена от моря узкой полосой песка; вода в ней тёплая и спокойная.",
    "湖水静静地拍打着岸边的石头，渔夫把网收了起来。天色渐渐暗了。",
    "ひがしのそらがあかるくなり、カモメがなきはじめた。漁師は船を出す。",
    "석호는 바다와 좁은 물길로 이어져 있다. 아침마다 안개가 낀다.",
    "البحيرة هادئة في المساء، والصيادون يعودون إلى بيوتهم.",
    "האגם שקט בערב והדייגים שבים הביתה.",
    "झील का पानी शाम को शांत रहता है।",
    "def ebb(tide, n=10):\n    return [tide[i] - tide[i - 1] for i in range(1, n)]  # 3.14159\n",
    "x² + y² = z², 0.1 + 0.2 ≈ 0.3, π ≈ 3.14159, 12345678 gulls; it's they'll I'VE don’t WE'RE",
    "\t\tif (a && b) {\r\n\t\t\treturn a[0]->b;\r\n\t\t}\r\n\r\n",
    "🐟🐠🦀 👩‍🚀 👍🏽 🇮🇹 ✨ — “quoted” … ‘single’ · • ½ ¼",
]


def text(size):
    # The fixtures' 1,400 tokens need little text, larger vocabularies all there is.
    verses = "gen1:1-exo20:1" if size < 2000 else "gen1:1-rev22:21"
    bible = subprocess.run(["bible", verses], capture_output=True, text=True, check=True).stdout
    return bible.splitlines(keepends=True) + [line + "\n" for line in LINES] * 40


def train(size, pre_tokenizer, normalizer=None, special=()):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.train_from_iterator(text(size), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(use_regex, add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def gpt2(size):
    tokenizer = train(size, byte_level(True), special=["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {}


def llama3(size):
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = train(size, pre_tokenizers.Sequence([split(LLAMA3), byte_level(False)]), special=special)
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", begin)]),
    ])
    return tokenizer, {"ignore_merges": True, "string_merges": True}


def qwen2(size):
    tokenizer = train(
        size, pre_tokenizers.Sequence([split(QWEN2), byte_level(False)]), normalizers.NFC(),
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([
        AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False),
        AddedToken("caf\u00e9<!>", normalized=True), AddedToken("e\u0301<?>", normalized=True),
        AddedToken("<left>", normalized=False, lstrip=True), AddedToken("<right>", normalized=False, rstrip=True),
        AddedToken("<both>", normalized=True, lstrip=True, rstrip=True),
        AddedToken("word", normalized=False, single_word=True), AddedToken("<|im", normalized=False),
        AddedToken("  ", normalized=True), AddedToken("single space ", normalized=True, single_word=True),
    ])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {"string_merges": False}


def smollm(size):
    tokenizer = train(
        size, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
        special=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"])
    return tokenizer, {}


def prefixed(size):
    tokenizer = train(
        size, pre_tokenizers.Sequence([
            pre_tokenizers.Split("|", "removed"), pre_tokenizers.Digits(individual_digits=False), split(TEKKEN),
            byte_level(False, add_prefix_space=True)]),
        special=["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[
            ("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer, {"string_merges": True}


STYLES = {"gpt2": gpt2, "llama3": llama3, "qwen2": qwen2, "smollm": smollm, "prefixed": prefixed}


def save(style, size, path):
    tokenizer, changes = style(size)
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if changes.get("ignore_merges"):
        model["ignore_merges"] = True
    if "string_merges" in changes:
        pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        model["merges"] = [" ".join(p) for p in pairs] if changes["string_merges"] else pairs
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return Tokenizer.from_file(str(path))


def strings():
    """Texts that a tokenizer gets wrong first."""
    fixed = [
        "", " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\r", "\n\n", "\r\n\r\n", " \n", "\n ", " \n ", "  \n  \n  ",
        "a", " a", "a ", "  a", "a  ", "   a   b   ", "a\tb", "a \tb", "\ta", "\t\t\ta", " \t a", "a\u00a0b", "\u00a0", "\u00a0\u00a0a",
        "\u2028", "a\u2028b", "a\u2029 b", "\u3000", "\u3000天\u3000", "\u180e", " \u180e a", "\u200b", " \u200bx", "\u0085", "a\u0085b",
        " \u0085\u0085 ", "\u1680x", "\u202f1\u202f000", "\u205f\u2000\u2001a", "\ufeff", "\ufeffhello", "\x00", "a\x00b", "\x01\x02\x1f\x7f",
        "\x0b\x0c", "a\x0b\x0cb", "\x1c\x1d\x1e\x1f", " \x1c ",
        "line\r\nline\nline\rline", "a\r\n\r\n\r\nb", "a \r\n b", "a\r \nb", "!\r\n\r\n", "!!! \n\n!", "...\n...", "x;\n\n\ty",
        "it's", "IT'S", "it'S", "'s", "'S", "'LL", "'ll", "'lL", "'Re", "'ve'VE", "don't", "DON'T", "don’t", "’s", "'\u017f", "it'\u017fx",
        "'\u212a", "'t's're", "''s", "' s", "'m'd'q", "o'clock 'tis", "I'M", "we'd've", "'", "''", "'''", "\u02bcs", "`s",
        "1", "12", "123", "1234", "1234567", "1,234.50", " 1", "  12", "a1b22c333", "1a", "٣٤٥", "१२३४", "๑๒๓", "𝟘𝟙𝟚𝟛", "½¼¾", "Ⅷ", "①②③", "〇一二三",
        "²³¹", "1²3", "x₂", "3.14e-10", "0x1F", "٤1२",
        "Hello, world!", "hello world", "In the beginning God created the heaven and the earth.", "thou shalt not",
        "émigré", "e\u0301migre\u0301", "a\u0323\u0302", "a\u0302\u0323", "\u1ead", "o\u0328\u0304", "o\u0304\u0328", "\u0301", " \u0301", "a\u0301\u0301\u0301",
        "\u212b\u2126", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u1112\u1161", "\u1112\u1161\u11ab\u11ab", "한글", "\ud55c\u11a8", "\u1100\uac00",
        "\u0344", "\u0958", "\u2adc", "\ufb1d", "\u0cc6\u0cc2\u0cd5", "\u0dd9\u0dcf\u0dca", "\u1100\u0301\u1161", "q\u0307\u0323", "\u03b1\u0345\u0301", "\uf900\ufa0e",
        "s\u0323\u0307", "s\u0307\u0323", "\u0915\u093c", "\U000110a5\U000110ba", "\U0001d15e", "a\u0315\u0300\u05ae\u0300\u0062", "a\u0334\u0301\u0323\u0327b",
        "cafe\u0301<!>", "caf\u00e9<!>", "e\u0301<?>", "\u00e9<?>", "cafe\u0301<?>",
        "👩‍👩‍👧‍👦", "👍🏽", "👍🏻👍🏿", "🇩🇪🇫🇷", "🇩🇪🇫", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "❤", "☺️ ☺", "🧑🏿‍🚀", "👩‍🚀 went up", "a👍b", " 👍", "1️⃣", "🐟🐠🦀",
        "中文字符", "你好，世界！", "日本語テキスト", "カタカナひらがな漢字", "か\u3099", "ガ", "ｶﾞ", "한국어 텍스트", "ไทยภาษา", "สวัสดี ครับ", "नमस्ते दुनिया", "தமிழ்",
        "مرحبا بالعالم", "مَرْحَبًا", "שלום עולם", "\u202eabc\u202c", "\u200fשלום\u200e", "abc אבג 123", "Привет, мир!", "Ελληνικά", "ΑΣ ας", "ქართული", "ՀԱՅԵՐԵՆ",
        "ꭓᏣ", "አማርኛ", "ᠮᠣᠩᠭᠣᠯ", "𐍈𐌰", "𓀀𓀁", "𒀀", "𠀀𠀁", "ǅ ǈ", "İıIi", "ẞß", "ﬁﬀ", "ʼn", "ª º", "ͺ",
        "𝐇𝐞𝐥𝐥𝐨", "𝔘𝔫𝔦", "ℝℂ", "∑∫√", "a⃗", "①", "™®©", "€100", "$5", "#1", "@you", "a_b", "a-b", "a—b", "“x”", "«y»", "…", "....", "!?!?", "((()))", "[[{}]]",
        "\ue000", "\uf8ff", "\U000f0000", "\U0010ffff", "\ufffe", "\uffff", "\ufdd0", "\U0001fffe", "\ufffd", "\u00ad", "soft\u00adhyphen", "\u2060", "\u034f",
        "\u200d", "a\u200db", "\u200ca", "\ufe0f", "\U000e0001", "\U000e0100", "\u0600", "\u070f", "\ufff9",
        "word", " word ", "words", "sword", "word.", "a word b", "word_", "wordé", "word1", "-word-", "word\u200d", "wordword", "word word",
        "<left>", "a <left>", "a   <left> b", "\u00a0\u3000<left>", "<right>", "<right>   b", "a<right>\n\n b", "<both>", "a  <both>  b", "<both><both>", " <both> <both> ",
        "<right> <left>", "<right>  <left>  <right>", "a  <right>  <both>  b", "<left><left> <left>", "single space ", "a single space b", "single space x",
        "a\t\n<left>\t\nb", "<right>\u180e", "<right>\u200b", "<right>\u0085x",
        "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>", "<|endoftext|", "<|endoftext", "|endoftext|>", "< |endoftext|>",
        "<|ENDOFTEXT|>", "<|end<|endoftext|>oftext|>", "<|begin_of_text|>", "<|begin_of_text|>Hi", "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
        "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|", "<|im|>", "<|im_", "<|im<|im_end|>", "<tool_call>\n{\"a\": 1}\n</tool_call>", "<tool_call", "</tool_call></tool_call>",
        "<s>", "</s>", "a</s>b", "<s", "<s><s>", "a|b||c|", "|", "||", " | ", "<repo_name>x/y", "Ġ", "Ġhello", "ĊĠ", "Ā", "ÿ", "â\u0080\u0099",
        "def f(x):\n    return x  # ok\n", "if (a) {\r\n\tb();\r\n}\r\n", "https://example.org/a?b=c&d=%20#e", "{\"k\": [1, 2.5, null]}", "a\\nb", "C:\\x\\y",
        "CamelCaseWords", "HTTPServer", "iPhone", "ABCdef", "aBC", "ÀÉîõ", "ÀéÎÕ",
    ]
    fixed += [" " * 33, " " * 100 + "x", "\n" * 40, "\t" * 17, "a" * 500, "ab" * 300, "天" * 200, "1" * 100, "!" * 99, "e\u0301" * 60,
              "a" + "\u0301\u0323" * 80, "👍🏽" * 30, "Pneumonoultramicroscopicsilicovolcanoconiosis" * 5, " a" * 60, "'s" * 30, "\r\n" * 30, "\u1112\u1161\u11ab" * 40]
    generator = random.Random(1611)
    pool = sorted(set("".join(fixed))) + [" "] * 40 + ["\n"] * 10 + ["'"] * 10 + list("estrdml") * 4
    pieces = [s for s in fixed if 0 < len(s) < 20]
    mixtures = ["".join(generator.choice(pool) for _ in range(generator.randrange(2, 24))) for _ in range(160)]
    mixtures += ["".join(generator.choice(pieces) for _ in range(generator.randrange(2, 6))) for _ in range(160)]
    mixtures += ["".join(chr(generator.choice([generator.randrange(0x20, 0x250), generator.randrange(0x2000, 0x2100),
                                               generator.randrange(0x300, 0xD800)]))
                         for _ in range(generator.randrange(2, 12))) for _ in range(60)]
    seen = set()
    return [s for s in fixed + mixtures if not (s in seen or seen.add(s))]


def main():
    folder = Path(sys.argv[1])
    size = int(sys.argv[2]) if len(sys.argv) > 2 else None
    texts = strings()
    goldens = {"texts": texts, "tokenizers": {}}
    for name, style in STYLES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        tokenizer = save(style, size or 1400, folder / name / "tokenizer.json")
        whole = [tokenizer.encode(t, add_special_tokens=True).ids for t in texts]
        plain = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
        around = {"prefix": whole[0][:1] if whole[0] else [], "suffix": whole[0][1:]}
        for w, p in zip(whole, plain):
            assert w == around["prefix"] + p + around["suffix"]
        # The reference decodes added tokens as if they were written in the byte alphabet, which breaks those beyond ASCII.
        broken = {i for i, t in tokenizer.get_added_tokens_decoder().items() if not t.content.isascii()}
        goldens["tokenizers"][name] = {**around, "ids": plain, "decoded": [
            None if broken & set(i) else tokenizer.decode(i, skip_special_tokens=True) for i in plain]}
        print(name, tokenizer.get_vocab_size())
    if size is None:
        for golden in goldens["tokenizers"].values():
            # What decodes to the text itself is not written twice.
            golden["decoded"] = {str(i): d for i, d in enumerate(golden["decoded"]) if d != texts[i]}
        body = json.dumps(goldens, ensure_ascii=True, separators=(",", ":"))
        (folder / "goldens.json").write_text(body + "\n")
        print(len(texts), "texts")


if __name__ == "__main__":
    main()

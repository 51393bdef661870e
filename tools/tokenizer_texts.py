"""Texts of the tokeniser's golden data: what tokenisers get wrong, and a corpus to train small ones on."""

CASES = [
    "Hello, world!",
    "",
    " ",
    "   ",
    "a",
    "\n",
    "\r\n\r\n",
    "  leading and trailing  ",
    "tabs\tand\n\n\nnew  lines \n  indented\r\n",
    "def add(a, b):\n    return a + b  # sum\n\n\nprint(add(1,\t2))",
    "I'm can't we'll they've he'd she's 'tis O'Brien'S DON'T I\u2019m 'Sup",
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F 2026-11-23 1e-9",
    "\u0661\u0662\u0663 \u0967\u0968\u0969\u096a \u2155 \u2167 \u00b2\u00b3 \uff11\uff12\uff13\uff14",
    "na\u00efve caf\u00e9 Z\u00fcrich co\u00f6perate \u0130stanbul STRASSE stra\u00dfe",
    "cafe\u0301 A\u030angstro\u0308m \u1e69 s\u0323\u0307 s\u0307\u0323 \u212b \u2126",
    "\ufb01ne \ufb03 \u33a1 \u2460 \uff21\uff22\uff43 \u00bd \ufdfa",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u6771\u4eac\u3067\u3059\u3002\u30ab\u30bf\u30ab\u30ca \u3072\u3089\u304c\u306a \ud55c\uad6d\uc5b4 \uc548\ub155",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u1019\u103c\u1014\u103a\u1019\u102c",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\U0001F468\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466 \U0001F3F3\ufe0f\u200d\U0001F308 \U0001F44D\U0001F3FD \U0001F1E9\U0001F1EA \u2764\ufe0f \U0001FAE8",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035aalgo\u0321\u0358",
    "\u00a0nbsp\u00a0\u2003em\u2009thin\u200bzero\u3000wide\u1680ogham\u180emongol\u2028line\u2029para\u0085next",
    "\x00\x01\x02\x1b[31m\x7f \x1c\x1d\x1e\x1f\x0b\x0c end",
    "\ufeffbom \ufffd repl \U0010ffff \ue000 \U000e0041",
    "\u2581under\u2581score \u2581 \u2581\u2581 <0x41> <0xE2><0x96>",
    "camelCaseWORDSHTTPServer XMLHttpRequest snake_case_name kebab-case iPhone",
    "https://example.org/a/b?c=d&e=%20#frag user@mail.example",
    "!!! ... ??? --- ***bold*** __init__ $100 #tag @me 50% ~/path\\to [x]{y}(z) <a href='#'>|^`\"",
    "\u00ab\u00bb \u201cquotes\u201d \u2014 dash \u2026 \u00bfqu\u00e9? \u20ac5 \u00a35 \u2211x\u00b2 \u2192 \u221e",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|><|im_end|> <|im_end|>x<|im_en|><|im_end|",
    "text <tool>call</tool> <tool> <to",
    "left   <ls>   right  <rs>\t\n next<ls><rs>",
    "word wordy sword word, (word) word_x word\u0301 wort",
    "ADDED Added added adde\u0301d Caf\u00c9 CAFE\u0301",
    "x" * 300,
    " " * 70 + "x",
    "\n" * 20 + " \n \n" + "\t" * 9,
    "ab" * 150 + "ba",
    "0" * 100,
    "\u00e9" * 60 + "e\u0301" * 20,
    "\U0001F600" * 30,
    "The quick brown fox jumps over the lazy dog. " * 5,
    "Supercalifragilisticexpialidocious antidisestablishmentarianism",
    "O ffice  \u2018single\u2019 rock'n'roll 'LL 'Ve 'RE 'm 'D x'S \u017fs '\u017f",
    "1a2b3c 4th 5G H2O CO\u2082 E=mc\u00b2 v1.2.3-rc4+build5",
    "line one\nline two\r\nline three\rline four\x0bfive",
    "a  b   c    d     e      f\n g\n  h\n\n   i",
]

_PARTS = [
    "The prompt is processed by one process and the answer is written by another one.",
    "A cache holds keys and values of every layer, and it travels between the two over a wire.",
    "When the queue grows, requests wait; when it is empty, workers wait for requests.",
    "She said that the lighthouse keeper's daughter couldn't have seen the ship's lights at 3:45.",
    "He'll pay 1234 dollars, or 5,678.90 euros, on 2026-01-31; we've counted 1000000 coins.",
    "def forward(x, w):\n    for i in range(10):\n        x = x + w[i]\n    return x\n",
    "int main(int argc, char** argv) { printf(\"%d\\n\", argc); return 0; }",
    "Der Wal schwimmt \u00fcber das M\u00e4rchenmeer, und die Gr\u00fc\u00dfe k\u00f6nnen warten.",
    "Le gar\u00e7on fran\u00e7ais a d\u00e9j\u00e0 mang\u00e9 le g\u00e2teau de No\u00ebl \u00e0 la for\u00eat.",
    "\u0412\u0441\u0435 \u0441\u0447\u0430\u0441\u0442\u043b\u0438\u0432\u044b\u0435 \u043b\u044e\u0434\u0438 \u0438\u0434\u0443\u0442 \u0434\u043e\u043c\u043e\u0439 \u043f\u043e \u0441\u043d\u0435\u0433\u0443.",
    "\u6771\u4eac\u306e\u5929\u6c17\u306f\u6674\u308c\u3067\u3059\u3002\u4f60\u597d\uff0c\u4e16\u754c\u3002\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4.",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0627\u0644\u0643\u0628\u064a\u0631",
    "Smile \U0001F600 and wave \U0001F44B\U0001F3FD, family \U0001F468\u200d\U0001F469\u200d\U0001F467!",
    "    indented   text\t\twith  many   spaces\n\n\nand blank lines\n",
    "HTTPServer camelCase snake_case CONSTANT_VALUE iPhone eBay McDonald XMLHttpRequest",
    "Mountains, rivers and forests: everything changes, nothing is lost; something new begins.",
]


def corpus():
    """Lines to train on: the parts in several orders, so that pairs have different counts."""
    lines = []
    for step in (1, 3, 5, 7, 11):
        lines += [_PARTS[(i * step) % len(_PARTS)] for i in range(len(_PARTS))]
    return lines + [f"{a} {b}" for a, b in zip(_PARTS, _PARTS[1:])]

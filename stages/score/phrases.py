"""What betrays an answer that was not meant for its reader, as regular expressions (English; Rust regex syntax).

Each was held against all its matches among the 52,002 answers of Alpaca: precision first, as a match may remove a row.
"""

_AM = r"(?: am|['’]m)"
_CANNOT = rf"(?:cannot|can['’]t|can not|could not|won['’]t|{_AM} unable to|{_AM} not able to)"
_TASK = r"(?:task|request|instruction|prompt|action)s?"
_AI = r"(?:ai|artificial intelligence|(?:large )?language model)"

REFUSALS = (
    rf"as an? {_AI}(?: language)?(?: model| assistant| chatbot| system)?(?:,| (?:I|developed|trained|created)\b)",
    rf"I{_AM} (?:just |only |merely |simply )?an? (?:{_AI}|chatbot)\b",
    r"I (?:was|am|have been) (?:trained|created|developed|made) by (?:openai|anthropic|google|meta|microsoft|mistral)",
    r"my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends))",
    r"I (?:do not|don['’]t) have (?:personal|access to (?:real|current|the internet|external))",
    r"I (?:do not|don['’]t) have the (?:ability|capability) to",
    rf"I ?{_CANNOT} (?:fulfill?|assist (?:you )?with|comply with|generate|access|browse|answer (?:this|that|your))",
    rf"I ?{_CANNOT} (?:help (?:you )?with (?:this|that)|(?:complete|perform|process) (?:this|that|the|your|such))",
    rf"{_CANNOT} (?:complete|perform|fulfill?|execute|carry out|process) (?:this|the|that|your|such)? ?{_TASK}\b",
    rf"(?:the|this)(?: type of)? {_TASK}\b[^.\n]{{0,60}} (?:cannot|can['’]t) be "
    r"(?:completed|performed|done|generated|executed|fulfill?ed|carried out)",
    r"(?:the|this|a)(?: gpt)?(?: language)? model (?:cannot|can['’]t|is unable to|is not able to) "
    r"(?:generate|complete|perform|produce|create|execute|provide|do)\b",
    r"sorry,? (?:but )?(?:as an ai|(?:the|this) (?:task|request|instruction)|this cannot be done)",
)
REFUSAL = rf"(?i)\b(?:{'|'.join(REFUSALS)})"

# Marks of chat and instruction templates; `<noinput>` and a numbered `Instruction:` are those of Self-Instruct prompts.
MARKUP = (
    r"(?i)#{3} ?(?:instruction|response|human|assistant)\b ?:|<\|[a-z_]{2,24}\|>|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|</s>\s*\z|<\s*no ?(?:input|output)\s*>|\b\d+\. instruction:"
)
ROLE_LABEL = r"\n\s*((?:Human|User|Assistant):)"  # not at the very start: an answer may well begin with a label
# Prompts whose answers rightly have such labels in them.
ASKS_FOR_DIALOGUE = r"(?i)dialog|conversation|chat|script|interview|(?:human|user|assistant)\b"

_NO_INPUT = r"no ?input(?: (?:is )?(?:provided|required|needed|necessary|given))?"
PLACEHOLDER = rf"(?im)^\s*[<\[(]?\s*(?:{_NO_INPUT}|n/a)\s*[>\])]?\.?\s*$"

# Where English does not end: a comma, a colon, an open bracket, a word that needs another after it.
OPEN_END = r"[,:(\[{]\s*\z"
OPEN_WORD = r"(?i)\s(?:the|an|and|or|but|of|to|with|that|which|from|as|than|because|is|are|was|were)\s*\z"

LINK = r"(?i)\bhttps?://|\bwww\."

"""How an assistant declines, and what it says of itself, as regular expressions (Rust regex syntax).

Each was held against all its matches among 77,573 rows of ten data sets: precision first, as a match may remove a row.
"""

import polars as pl

from stages.score.cues import read_by
from stages.score.foreign_refusals import FOREIGN_DECLINES, FOREIGN_REFUSALS
from stages.score.phrases import EDGE
from stages.score.texts import first_of
from stages.texts.conversation_text import read_where

_AM = r"(?: am|['’]m)"
_CANNOT = rf"(?:cannot(?: and will not)?|can['’]t|can not|could not|won['’]t|{_AM} unable to|{_AM} not (?:able|allowed|permitted|programmed|designed|authori[sz]ed|qualified|going) to)"
_TASK = r"(?:task|request|instruction|prompt|action)s?"
_AI = (
    r"(?:[a-z-]+,? (?:and )?){0,3}(?:ai|artificial intelligence|(?:large |machine )?(?:language|learning) model|chatbot|"
    r"(?:digital|virtual) assistant|computer program)"
)
_MAKERS = r"(?:openai|anthropic|google|meta|microsoft|mistral|alibaba|deepseek|zhipu|cohere|nvidia|baidu|moonshot|xai)"
_MADE = r"(?:trained|created|developed|made) by"

# What follows where a model speaks of itself; "I am an AI researcher" says a person.
_IT = r"(?:model|called|named|assistant|system|program|bot|chatbot|and|so|but|that|which|who|with|without|trained|created|developed|designed|built|made|here)"
_RULES = r"(?:content |usage |safety )?(?:polic(?:y|ies)|guidelines|programming)"
_BY_A_MODEL = r"by (?:an? |the |this )?(?:gpt|ai|language|model|assistant)"
_ONLINE = r"(?:the (?:internet|web|links?|urls?|files?|article|content)|real[- ]|external|live |current |links?|urls?|websites?|files?|images?|videos?|data|information|personal|up[- ]to)"

# Another model's claim to be itself, which is no answer of this one even to "Who are you?".
MADE_BY_OTHERS = rf"I (?:was|have been) {_MADE} {_MAKERS}|I{_AM} (?:[^.\n]* )?{_MADE} {_MAKERS}|I{_AM} chatgpt{EDGE}"
SPEAKS_OF_ITSELF = (
    # With a first person behind it: "as an AI assistant, it is used in shops" is about something else.
    rf"(?:as|being) (?:an?|your) {_AI}(?: language)?(?: model| assistant| chatbot| system)?(?:,? (?:developed|trained|created) [^.\n]*)?"
    rf"(?: I{EDGE}|,(?:[^.\n]*? (?:I|my|me)(?:{EDGE}|['’])| it(?: is|['’]s) (?:not|in|im|un|beyond|against)))",
    rf"I{_AM} (?:just |only |merely |simply )?an? (?:(?:ai |large )?language model{EDGE}|(?:ai|artificial intelligence|chatbot)(?: {_IT}{EDGE}|[,.;:!—–]|\s*\z))",
    rf"I{_AM} (?:just|only|merely|simply) an? (?:computer program|machine)(?:[,.;!—–]| (?:and|so|but|that|without|with|designed)|\s*\z)",
    # By its name: "As Claude, an AI assistant", "I'm Gemini, a large language model".
    rf"(?:as|I{_AM}) (?-i:[A-Z])[A-Za-z0-9.-]+(?: (?-i:[A-Z])[A-Za-z0-9.-]+)?, an? {_AI}(?: language)?(?: model| assistant| chatbot| system)?(?:[,.;]| (?:from|made|built|trained|created|developed|by|that|and))",
    MADE_BY_OTHERS,
    r"my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends))",
    r"I (?:currently )?(?:do not|don['’]t) have (?:personal|real[- ]time|(?:feelings|emotions|opinions|beliefs)(?: or |,? like)|access to (?:real|current|the internet|external|your ))",
    r"I (?:currently )?(?:do not|don['’]t) have the (?:ability|capability) to",
    r"I am programmed to",
)
DECLINES = (
    rf"I ?{_CANNOT} (?:in good conscience|fulfill?|assist (?:you )?with|comply with|generate|access (?:to )?{_ONLINE}|browse|answer (?:this|that|your))",
    rf"I ?{_CANNOT} (?:help (?:you )?with (?:this|that)|(?:complete|perform|process) (?:this|that|the|your|such))",
    rf"{_CANNOT} (?:complete|perform|fulfill?|execute|carry out|process) (?:this|the|that|your|such)? ?{_TASK}{EDGE}",
    rf"this(?: type of)? {_TASK}{EDGE}[^.\n]* (?:cannot|can['’]t) be (?:completed|performed|done|generated|executed|fulfill?ed|carried out)",
    rf"the {_TASK}{EDGE}[^.\n]* (?:cannot|can['’]t) be (?:completed|performed|done|generated|executed|fulfill?ed|carried out) {_BY_A_MODEL}{EDGE}",
    r"(?:(?:the|this|a)(?: gpt)?(?: language)? model|this (?:ai|assistant|ai assistant)) (?:cannot|can['’]t|is unable to|is not able to) "
    rf"(?:generate|complete|perform|produce|create|execute|provide|do|help|assist|fulfill?){EDGE}",
    r"(?:cannot|can['’]t) be (?:generated|created|produced|completed|done|performed) by (?:the|an?|this) (?:gpt |ai |(?:large )?language )?model",
    r"no output (?:as|because|since) (?:this|the (?:task|instruction|model)|gpt|(?:ai|language) model)",
    r"sorry,? (?:but )?(?:(?:the|this) (?:task|request|instruction)|this cannot be done)",
    rf"(?:violates?|against) (?:my|openai['’]s) {_RULES}",
    rf"(?:this|that|your) (?:request|prompt|question|instruction)[^.\n]* (?:violates?|against) our {_RULES}",
    r"(?:not appropriate|inappropriate|not ethical|unethical|irresponsible|illegal) for me to",
)
# What an answer may only begin with: in a letter or a story somebody else says it.
_REGRET = r"(?:I(?: am|['’]m) )?(?:very |so |really |truly )?(?:sorry|afraid|unfortunately|regrettably|(?:my |I )?apologi(?:es|[sz]e))"
_WILL_NOT = (
    rf"(?:(?: currently| simply| also)?,? ?{_CANNOT}| will not| (?:won['’]t|will not) be able to| shouldn['’]t|"
    rf" (?:(?:must|have to|need to) )?(?:respectfully |politely )?(?:decline|refuse) to|{_AM} not (?:capable of|comfortable))"
)
_SERVE = (
    r"(?:assist|help(?: (?:you|with)|[.!,]|\s*\z)|provide|fulfill?|comply|generate|create|write (?:that|this|such|content)|answer|engage in|"
    r"respond to|discuss|share (?:that|this|such)|do (?:that|this)(?:[.!,]|\s*\z)|support (?:that|this|illegal)|participate|(?:talk|speak|comment) (?:about|on) (?:that|this)|engage (?:in|with)|condone|promote|"
    r"(?:(?:open|access|view|brows|visit|analy[sz]|read|see)(?:e|ing)? (?:or )?)+(?:(?:any|the|your|that|this|external|directly) )*(?:links?|urls?|websites?|files?|images?|attach[a-z]+|web|internet|view)|"
    r"(?:produce|provid[a-z]+|creat[a-z]+|writ[a-z]+|generat[a-z]+)(?: [a-z]+){0,2} (?:content|stories|story|material|instructions|advice|guidance|information)|"
    r"(?:give|offer)(?: you)?(?: any)? (?:medical|legal|financial|investment|tax|professional|personal) advice|identify (?:people|persons|individuals|anyone)|predict the future)"
)
_SORRY_FOR_YOU = r"(?: to hear)?(?: that)? you(?:['’]re| are)[^.\n]{0,40}"
_COURTESY = (
    r"(?:(?:(?:thank you|thanks)[^.!?\n,]*[.!,] |(?:while )?I(?:['’]d (?:love|like) to help| (?:understand|appreciate|hear you|strive|want to help|would (?:love|like) to help))"
    r"[^.!?\n]*[,.] )|(?:at (?:this time|the moment|present)|currently|for (?:safety|privacy|legal|ethical|security) reasons|"
    r"due to (?:my programming|privacy|safety|ethical)[^,.\n]{0,20}|to protect [a-z' ]{0,30}privacy),? )"
)
_BEFORE = rf"(?:(?:no|nope|hello|hi)[,.!] )?{_COURTESY}?(?:but |however,? )?(?:{_REGRET}(?:{_SORRY_FOR_YOU})?,?(?: but)?(?: that)?,? )?"
_UNWILLING = (  # whole answers, or their first words
    r"request denied(?:[.!]|\s*\z)|I (?:(?:must|have to|need to) )?(?:respectfully |politely )?(?:refuse|decline)(?:[.!]|\s*\z| (?:this|that|your|the) (?:request|question)| to (?:answer|help|assist))"
    r"|(?:this|that|it)(?: request| question)?(?:['’]s| is| goes| would be| falls)? (?:against my|(?:beyond|outside)(?: of)?(?: the scope of)? (?:my (?:capabilit|abilit|scope|area|expertise|programming)|what I can (?:do|help)))"
    r"|it(?:['’]s| is) not possible for me to|it (?:would not|wouldn['’]t) be (?:appropriate|ethical|right|responsible) for me to"
    r"|I (?:do not|don['’]t) (?:think (?:that['’]s|that is|this is) something I (?:should|can)|engage in (?:such|that|this|these)|feel (?:comfortable|right) [a-z]+ing)"
    r"|I (?:should not|shouldn['’]t) (?:help|assist|answer|provide)|I prefer not to (?:answer|continue|discuss|help|engage|say)|the (?:ai|assistant|ai assistant|chatbot) (?:cannot|can['’]t|is unable to) (?:help|assist|fulfill?|answer|provide|comply|complete)"
)
# After one sentence, or in its second half, which says why.
_AFTER_A_REASON = rf"[^.!?:\n\"“”«»„]+(?:[.!]|,? (?:so|and|but|therefore|thus)) (?:so,? |therefore,? |unfortunately,? )?I {_CANNOT} (?:assist|help|comply|support|(?:give|provide|offer)(?: you)?(?: any| with)? (?:guidance|instructions|information|advice|assistance|help))(?:[ .,!]|\s*\z)"
OPENING_REFUSAL = (
    rf"{_BEFORE}(?:{_UNWILLING}"
    rf"|I ?(?:{_WILL_NOT}(?:,? in (?:all )?good conscience,?)?|(?:['’]d| would) (?:rather|prefer) not(?: to)?) {_SERVE}"
    rf"|(?:that|this)(?:['’]s| is) (?:(?:something|one thing) (?:that )?I ?{_CANNOT}|not something (?:that )?I(?: can| am able to|['’]m able to| will)) (?:help|assist|do{EDGE}|answer|provide|discuss))"
    rf"|{_REGRET},? but I ?{_WILL_NOT} (?:book|order|perform|make|schedule|send|buy|purchase|place|predict|recommend|open|view|see|draw|play|search|find|tell you|give you|show you)"
    rf"|{_REGRET}[^.!?\n]* I ?(?:cannot|can['’]t|can not|won['’]t|will not) (?:do|help (?:you )?with|assist (?:you )?with) (?:it|this|that)(?:[.!,]|\s*\z)"
    rf"|(?:{_REGRET}[^.!?\n]{{0,20}}[.!] ){_REGRET}(?: that)? I ?{_CANNOT} (?:do|help|assist|answer|allow|let){EDGE}"
    r"|my (?:programming|guidelines|policy|policies|training) (?:(?:does|do) not|(?:does|do)n['’]t|prevents?|forbids?|prohibits?) "
    rf"|{_REGRET}[^.!?\n]* (?:outside|beyond|not within)(?: of)?(?: the scope of)? my (?:capabilit|abilit|scope|programming)"
    rf"|I{_AM} not comfortable (?:with (?:this|that)|answering|providing|discussing|writing|sharing|helping)"
    r"|I (?:do not|don['’]t) feel comfortable (?:answering|providing|discussing|writing|sharing|helping)"
    r"|I (?:do not|don['’]t) think I (?:should|can) (?:help with|assist with|answer|provide) (?:this|that)"
    r"|I must (?:respectfully |politely )?decline(?:[.!,]| (?:this|that|your) )"
    rf"|I{_AM} going to have to decline"
)
_OPENING = rf"(?i)(\A\W*(?:{OPENING_REFUSAL}))"
_REASONED = rf"(?i)(\A\W*{_AFTER_A_REASON})"
_DECLINES = rf"(?i)({EDGE}(?:{'|'.join(DECLINES)}))"
_OF_ITSELF = rf"(?i)({EDGE}(?:{'|'.join(SPEAKS_OF_ITSELF)}))"
_MADE_BY_OTHERS = rf"(?i)({EDGE}(?:{MADE_BY_OTHERS}))"
_REFUSALS = (_OPENING, _REASONED, f"{_DECLINES}|{_OF_ITSELF}")
REFUSAL = "|".join(_REFUSALS)
# In the first sentence, before anybody in it speaks.
_FIRST = r"\A[^.!?:\n\"“”«»„]*?"
_FIRST_DECLINES = rf"(?i)({_FIRST}{EDGE}(?:{'|'.join(DECLINES)}))"
_FIRST_OF_ITSELF = rf"(?i)({_FIRST}{EDGE}(?:{'|'.join(SPEAKS_OF_ITSELF)}))"

ASKS_TO_DECLINE = (
    r"(?i)declin|refus|apolog|reject|turn(?:ing|s)? down|say(?:ing|s)? no|say(?:ing|s)? (?:that )?(?:we|I|you|they|he|she|it) (?:cannot|can['’]?t|can not|won['’]?t|will not|are (?:not able|unable)|is (?:not able|unable))|(?:cannot|can['’]t|unable to|not able to) (?:do|perform|complete)|"
    r"impossible for (?:me|us)|inappropriate|negat(?:ive|e|ion)|absag|ablehn|rechaz|rifiut|recus|disculp|excus|拒绝|婉拒|谢绝|道歉|断り|お詫び|謝罪|اعتذار|رفض"
)
_TO_BE_CHANGED = r"(?i)complete|translat|rewrite|re-?phras|paraphras|grammar|proofread|correct|punctuat|convert|formal|polite|tone|翻译|改写|übersetz|tradu"
_NEGATED = r"(?i)\b(?:can['’]?t|cannot|can not|won['’]?t|will not|not be able|unable|no pued|ne peu[xt]|kann|não poss|non poss|не могу)|不能|无法|できません"
# Where somebody else speaks in the answer.
ASKS_FOR_WORDS = (
    rf"(?i){EDGE}(?:letters?|e-?mails?|messages?|tickets?|complaints?|dialogues?|dialogs?|conversations?|scripts?|stor(?:y|ies)|tales?|poems?|songs?|"
    r"lyrics|speech|monologue|scenes?|play|notes?|repl(?:y|ies)|respon[ds]\w*|tweets?|posts?|says?|said|notices?|announcements?|polic(?:y|ies)|terms|guidelines|"
    rf"rules|diary|jokes?|quotes?|reviews?|chatbots?|interviews?|brief|briefes|lettre|carta|correo|geschichte|histoire|historia){EDGE}|对话|脚本|故事|(?:写|封)[^。\n]{{0,8}}信(?:[^息用任心仰]|\z)|邮件|手紙|メール|رسالة|قصة"
)
_ABOUT_MACHINES = rf"(?i){EDGE}(?:robots?|androids?|ai|chatbots?|machines?|computers?){EDGE}|机器人|人工智能"
# Who the assistant is may well be what the data are to teach.
ASKS_WHO = (
    rf"(?i){EDGE}(?:who|what)(?: exactly)? (?:are you|you are)\s*(?:[?!.\n]|\z)|who (?:made|created|built|trained|developed|designed|programmed) you{EDGE}|your (?:name|creators?|developers?|makers?){EDGE}"
    rf"|{EDGE}(?:call|introduce|describe) you(?:rself)?{EDGE}|(?:tell|something|bit|know|more|talk) (?:[a-z]+ ){{0,3}}about you(?:rself)?{EDGE}|you(?: are|['’]re)? called"
    rf"|{EDGE}are you (?:an? |based on |trained|made|created|built|developed|called|named|chatgpt|gpt|claude|llama|vicuna|bard|gemini|davinci|curie)"
    rf"|you call [a-z]+ apis|what(?: (?:kind|type|sort) of)? (?:ai|(?:language )?model) are you|你(?:是谁|叫什么|的名字)|谁(?:创造|开发|训练)了?你|(?:wer bist|wie heißt) du|qui (?:es-tu|êtes-vous)"
    r"|quién eres|cómo te llamas|chi sei|quem é você|あなたは誰|(?:あなた|君)の名前|(?:तुम|आप) कौन|من أنت|ما اسمك|кто ты|как тебя зовут"
)


# Of "As an AI, of course, I" only the formula is told.
_FORMULA = r"(?is)^((?:as|being) (?:an?|your) [^,\n]{2,60},|als (?:eine )?(?:ki\S*|künstliche intelligenz|\S*sprachmodell\S*)).*$"


def refused() -> pl.Expr:
    """The first words of the answers with which an assistant declines or speaks of itself, whatever was asked."""
    foreign = read_where(pl.col("response_language").ne_missing(pl.lit("en")), read_by("foreign_refusal", "answers"))
    return _told(pl.coalesce(first_of(_REFUSALS, read_by("refusal", "answers")), first_of(FOREIGN_REFUSALS, foreign)))


def refusal_phrase() -> pl.Expr:
    """The same where nobody asked for them; it reads the columns `refused`, `prompt`, `answers` and `is_single`."""
    read = pl.struct("refused", "prompt", "answers", "is_single")
    return read.map_batches(_unasked, return_dtype=pl.String)


def _unasked(rows: pl.Series) -> pl.Series:
    """Of the few rows with a refusal, those whose question does not ask for one."""
    texts = rows.struct.unnest()
    places = texts["refused"].is_not_null().arg_true()
    told = texts[places].select(_phrase()).to_series()
    return texts["refused"].clone().scatter(places, told)


def _phrase() -> pl.Expr:
    prompt = pl.col("prompt")
    changed = prompt.str.contains(_TO_BE_CHANGED) & prompt.str.contains(_NEGATED)
    words = prompt.str.contains(ASKS_FOR_WORDS) & pl.col("is_single")
    return (
        pl.when(prompt.str.contains(ASKS_TO_DECLINE) | changed).then(_said(_OF_ITSELF))
        .when(words & prompt.str.contains(_ABOUT_MACHINES)).then(_said(_OPENING, _REASONED, _FIRST_DECLINES))
        .when(words).then(_said(_OPENING, _REASONED, _FIRST_DECLINES, _FIRST_OF_ITSELF, *FOREIGN_DECLINES))
        .when(prompt.str.contains(ASKS_WHO)).then(_said(_OPENING, _REASONED, _DECLINES, _MADE_BY_OTHERS, *FOREIGN_DECLINES))
        .otherwise("refused")
    )  # fmt: skip


def _said(*patterns: str) -> pl.Expr:
    return _told(pl.coalesce(pl.col("answers").str.extract(pattern, 1) for pattern in patterns))


def _told(found: pl.Expr) -> pl.Expr:
    return found.str.replace(_FORMULA, "$1").str.strip_chars_end()


# Boilerplate about what a model knows and when it learned it.
CUTOFF = (
    r"(?i)(?:as of|until|since|up to|before|based on) my (?:(?:last|latest|most recent) (?:(?:knowledge|training|data) )*(?:(?:update|training(?: data)?)(?:[^ \w]| (?:in|the|there|it|he|she|they|no|was|is)(?-u:\b)|\s*\z)|cut-?off)|(?:(?:knowledge|training|data) )+(?:update|cut-?off))|my last training update|my (?:information|knowledge) is (?:only )?(?:current|up[- ]to[- ]date|accurate) (?:only )?(?:up to|until|as of|through)|my training data,? which|my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends)|ends|is limited"
    r" to|was last updated)|(?:i|my (?:information|knowledge)) (?:do not|don['’]t|does not) (?:have|include) (?:information|"
    r"knowledge|data) (?:about|on|of) (?:events|anything)[^.\n]{0,20} (?:after|beyond|since)|knowledge cut-?off"
)

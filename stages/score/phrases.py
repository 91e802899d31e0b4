"""What betrays an answer that was not meant for its reader, as regular expressions (English; Rust regex syntax).

Each was held against all its matches among the 52,002 answers of Alpaca: precision first, as a match may remove a row.
"""

# It knows the boundaries of ASCII words only; \b, which knows all, takes twenty times as long.
EDGE = r"(?-u:\b)"
_AM = r"(?: am|['’]m)"
_CANNOT = rf"(?:cannot|can['’]t|can not|could not|won['’]t|{_AM} unable to|{_AM} not able to)"
_TASK = r"(?:task|request|instruction|prompt|action)s?"
_AI = r"(?:ai|artificial intelligence|(?:large )?language model)"

REFUSALS = (
    rf"as an? {_AI}(?: language)?(?: model| assistant| chatbot| system)?(?:,| (?:I|developed|trained|created){EDGE})",
    rf"I{_AM} (?:just |only |merely |simply )?an? (?:{_AI}|chatbot){EDGE}",
    r"I (?:was|am|have been) (?:trained|created|developed|made) by (?:openai|anthropic|google|meta|microsoft|mistral)",
    r"my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends))",
    r"I (?:do not|don['’]t) have (?:personal|access to (?:real|current|the internet|external))",
    r"I (?:do not|don['’]t) have the (?:ability|capability) to",
    rf"I ?{_CANNOT} (?:fulfill?|assist (?:you )?with|comply with|generate|access|browse|answer (?:this|that|your))",
    rf"I ?{_CANNOT} (?:help (?:you )?with (?:this|that)|(?:complete|perform|process) (?:this|that|the|your|such))",
    rf"{_CANNOT} (?:complete|perform|fulfill?|execute|carry out|process) (?:this|the|that|your|such)? ?{_TASK}{EDGE}",
    rf"(?:the|this)(?: type of)? {_TASK}{EDGE}[^.\n]* (?:cannot|can['’]t) be "
    r"(?:completed|performed|done|generated|executed|fulfill?ed|carried out)",
    r"(?:the|this|a)(?: gpt)?(?: language)? model (?:cannot|can['’]t|is unable to|is not able to) "
    rf"(?:generate|complete|perform|produce|create|execute|provide|do){EDGE}",
    r"sorry,? (?:but )?(?:as an ai|(?:the|this) (?:task|request|instruction)|this cannot be done)",
    r"I am programmed to",
    r"(?:violates?|against) (?:my|our|openai['’]s) (?:content |usage |safety )?(?:polic(?:y|ies)|guidelines|programming)",
    r"(?:not appropriate|inappropriate|not ethical|unethical|irresponsible|illegal) for me to",
)
# What an answer may only begin with: in a letter or a story somebody else says it.
_REGRET = r"(?:I(?: am|['’]m) )?(?:very |so |really |truly )?(?:sorry|afraid|unfortunately|regrettably|(?:my |I )?apologi(?:es|[sz]e))"
_WILL_NOT = rf"(?:{_CANNOT}| will not| (?:won['’]t|will not) be able to| must (?:respectfully )?(?:decline|refuse) to| refuse to)"
_SERVE = (
    r"(?:assist|help (?:you|with)|provide|fulfill?|comply|generate|create|write (?:that|this|such|content)|answer|engage in|"
    rf"respond to|discuss|share (?:that|this|such)|do (?:that|this){EDGE}|support (?:that|this)|participate)"
)
_SORRY_FOR_YOU = r"(?: to hear)?(?: that)? you(?:['’]re| are)[^.\n]{0,40}"
_COURTESY = r"(?:(?:thank you|thanks)[^.!?\n]{0,60}[.!] |I (?:understand|appreciate)[^.!?\n]{0,80}[,.] )"
OPENING_REFUSAL = (
    rf"{_COURTESY}?(?:but |however,? )?(?:{_REGRET}(?:{_SORRY_FOR_YOU})?,?(?: but)?(?: that)?,? )?I ?{_WILL_NOT}(?: in good conscience)? {_SERVE}"
    r"|I (?:do not|don['’]t) feel comfortable (?:answering|providing|discussing|writing|sharing|helping)"
    r"|I (?:do not|don['’]t) think I (?:should|can) (?:help with|assist with|answer|provide) (?:this|that)"
    rf"|I(?:['’]d| would) (?:rather|prefer) not (?:to )?{_SERVE}|I must (?:respectfully |politely )?decline[.!,]"
    rf"|{_COURTESY}?(?:but )?(?:that|this)(?:['’]s| is) not something (?:that )?I (?:can|am able to|will) (?:help|assist|do{EDGE}|provide)"
)
ANYWHERE_REFUSAL = rf"(?i){EDGE}(?:{'|'.join(REFUSALS)})"
REFUSAL = rf"(?i)\A\W*(?:{OPENING_REFUSAL})|{EDGE}(?:{'|'.join(REFUSALS)})"
ASKS_TO_DECLINE = (
    r"(?i)declin|refus|apolog|reject|turn(?:ing|s)? down|say(?:ing)? no|cannot do|can['’]t do|impossible for (?:me|us)"
)

_FOREIGN_OPENING = (
    r"no puedo (?:ayudar(?:te|le|los)? con es|proporcionar(?:te|le)? es|responder a es|cumplir con es)|je ne peux pas (?:vous aider|répondre à (?:cette|votre))"
    r"|ich kann (?:ihnen|dir|euch) (?:bei [^.,\n]{3,30} |dabei |damit )(?:leider )?nicht (?:weiter)?helfen|não posso (?:ajudar|responder) (?:com|a) (?:iss|ess)"
    r"|non posso (?:aiutarti|aiutarla|rispondere a quest)|я не могу (?:помочь (?:с этим|вам с)|ответить на (?:этот|ваш))"
    r"|(?:sorry,? (?:maar )?)?ik kan je (?:daar|hier) niet (?:mee|bij) helpen|我(?:无法|不能)(?:回答|提供|协助|满足)(?:这|该|此|您|你)"
)
# The same in other languages: only the formulas that assistants use about themselves.
FOREIGN_REFUSAL = (
    r"(?i)作为一[个個名](?:AI|人工智能|大型?语言|大?語言|语言)[^，,。]{0,8}|我(?:只)?是一[个個](?:AI|人工智能)[^，,。]{0,8}"
    r"|(?:抱歉|对不起)[，,]?\s*(?:但)?我(?:无法|不能)(?:提供|完成|回答|执行|生成|协助|帮助|帮您|帮你|满足)"
    r"|lo siento,? (?:pero )?no puedo (?:ayudar|proporcionar|cumplir|responder|generar)|désolée?,? (?:mais )?je ne peux pas (?:vous )?"
    r"(?:aider|fournir|répondre|générer)|tut mir leid,? (?:aber )?(?:ich kann |dabei |das )[^.\n]{0,30}nicht (?:helfen|weiterhelfen|beantworten)"
    r"|desculpe,? (?:mas )?não posso (?:ajudar|fornecer|responder)|mi dispiace,? (?:ma )?non posso (?:aiutar|fornire|rispondere)"
    r"|извините,? (?:но )?я не могу (?:помочь|предоставить|ответить)|申し訳(?:ありません|ございません)[^。\n]{0,12}(?:お答え|お手伝い|提供)[^。\n]{0,6}できません"
    rf"|como (?:um )?modelo de (?:lenguaje|linguagem)|como (?:una?|um) (?:ia|inteligencia artificial|inteligência artificial){EDGE}"
    r"|en tant (?:que (?:modèle de langage|modèle linguistique|assistant ia)|qu['’](?:ia|intelligence artificielle))"
    rf"|als (?:ki|künstliche intelligenz|(?:ki-)?sprachmodell){EDGE}|come (?:modello linguistico|modello di linguaggio)"
    r"|как (?:языковая модель|(?:модель )?искусственн\w+ интеллект\w*)|(?:人工知能|AI|言語モデル)として[、,]"
    r"|als (?:een )?(?:ai-)?taalmodel|jako model językowy"
    r"|(?:przepraszam|przykro mi),? ale nie mogę (?:w tym |ci )?(?:pomóc|odpowiedzieć)|죄송(?:하지만|합니다)[^.\n]{0,30}(?:도와드릴|답변드릴|제공할|답변할) 수 없"
    rf"|\A\W*(?:{_FOREIGN_OPENING})"
)

# Boilerplate about what a model knows and when it learned it.
CUTOFF = (
    r"(?i)(?:as of|until|since|up to|before) my (?:(?:last|latest|most recent) (?:(?:knowledge|training|data) )*(?:update|cut-?off|"
    r"training)|(?:(?:knowledge|training|data) )+(?:update|cut-?off))|my last training update|my training data,? which|my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends)|ends|is limited"
    r" to|was last updated)|(?:i|my (?:information|knowledge)) (?:do not|don['’]t|does not) (?:have|include) (?:information|"
    r"knowledge|data) (?:about|on|of) (?:events|anything)[^.\n]{0,20} (?:after|beyond|since)|knowledge cut-?off"
)

# A turn of somebody else's prompt within an answer: the answer to one instruction followed by the next instruction.
MERGED = (
    r"(?i)\n[ \t]*((?:\d{1,3}[.)] ?)?(?:\*\*|#{1,4} ?)?(?:instruction|task|prompt)(?: ?#?\d{1,3})?(?:\*\*)?: ?(?:\*\*)?\S)"
    r"|(below is an instruction that describes a task|write a response that appropriately completes the request)"
)
MERGED_LABELS = [
    "instruction:",
    "instruction ",
    "instruction*",
    "task",
    "prompt:",
    "prompt ",
    "prompt*",
    "below is an",
    "the request",
]
EXPECTS_LABELS = r"(?i)instruction|task|prompt|template|exercise|self-instruct"

# A request to look at a text, with nothing behind it that it could be.
_TEXT = (
    r"(?:sentence|text|paragraph|passage|article|essay|poem|haiku|story|list|code|snippet|email|letter|data|table|dialogue|"
    r"conversation|quote|quotation|statement|phrase|review|document|excerpt|input|equation|words?|numbers?|tweet|message|"
    r"abstract|speech|report|transcript|dataset|question|lyrics|image|picture|photo(?:graph)?|figure|diagram|chart|graph|file|pdf|"
    r"spreadsheet|screenshot|题目|句子|文章|段落|文本)s?"
)
_VERB = (
    r"(?:summari[sz]e|translate|proofread|edit|rewrite|rephrase|paraphrase|correct|classify|shorten|condense|analy[sz]e|"
    r"punctuate|reword|simplify|fix|improve)"
)
# One sentence that ends without a colon, a quotation or a number, so that nothing in it can be the text.
_NOTHING_BEHIND = r"[^:\n\"“”'‘`(<\[{0-9?!.—–]*[.?!:]?\s*\z"
MISSING_TEXT = (
    rf"(?i)^[^\n.:?!\"“]*(?:the|these|this) ((?:following|below) (?:[a-z]+ ){{0,2}}{_TEXT}|{_TEXT} (?:below|above))(?: below)?{EDGE}{_NOTHING_BEHIND}"
    rf"|^(?:{_VERB}|read) (?:(?:any|the|all) (?:bugs?|errors?|mistakes?) in )?((?:(?:the (?:given|provided|attached)|this|the above|the below) {_TEXT}|the {_TEXT} (?:below|above))"
    rf"(?: below| above)?)(?: (?:in)?to [a-z]+| (?:in|for) [a-z ]+)?(?: and [a-z ]+)?[.?!:]?\s*\z"
    r"|^[^。\n]*?((?:以下|下列|下面)(?:的|这[个段篇]|[一二三四五]?[个段篇句])?(?:句子|文章|段落|文本|文字|短文))[^:：\n“”\"「『（(。？！]*"
    r"[。？！]?\s*\z"
)

_GIVEN = r"(?:attached|uploaded|enclosed|accompanying)"
# What came with the question, unless a letter is to be written that something comes with.
_CAME_WITH_IT = (
    rf"(?:the|this|these|my) {_GIVEN} (?:[a-z]+ )?{_TEXT}{EDGE}|(?:the|this|these|my) {_TEXT} (?:(?:that )?(?:i|we) (?:have |['’]ve )?(?:just )?)?{_GIVEN}{EDGE}"
    rf"|(?:in|from|of|on|using) (?:the|this|my) attachments?{EDGE}|(?:angehängte|beigefügte|beiliegende)[nrs]? [a-zäöü]+|(?:documento|archivo|texto|informe|imagen|foto) adjunt[oa]"
    r"|(?:document|fichier|texte|rapport|image|photo) (?:ci-)?jointe?|(?:documento|testo|file|immagine) allegat[oa]|(?:documento|arquivo|texto|imagem) (?:em )?anex[oa]|附件(?:中|里|裡)?的?"
)
_ASKS_ABOUT_IT = (
    r"(?:based|according|using|use|from|in|look|see|read|review|analy[sz]e|summari[sz]e|what|which|who|can|could|please|extract|list|find|identify|"
    r"describe|explain|translate|check|refer|compare|proofread|edit|classify|rewrite|given|with|analysier\S*|fasse?|beschreib\S*|lies|übersetz\S*|resum\S*|analiz\S*|"
    r"describ\S*|traduc\S*|lee|résum\S*|analys\S*|décri\S*|tradui\S*|riassum\S*|descriv\S*|leia|analise)"
)
MISSING_FILE = rf"(?i)^{_ASKS_ABOUT_IT}{EDGE}[^:\n\"“”‘`(<\[{{?!.]*?({_CAME_WITH_IT}){_NOTHING_BEHIND}|^(?:请|請)?[^。：:\n]{{0,8}}(附件(?:中|里|裡)?的?)[^：:\n]{{0,20}}\z"

# What a helpful answer does not say. Spans are told; whether a row goes is for `filter`, as a story may say it too.
UNHELPFUL = (
    rf"(?i){EDGE}(?:(?:just |go )?google it{EDGE}|look it up yourself|figure it out (?:on your own|yourself)|do your own "
    r"(?:homework|research)|(?:that['’]s|that is|what) an? (?:stupid|dumb|idiotic) question|you(?: are|['’]re) (?:an? )?(?:stupid|idiot|"
    rf"moron|dumb|pathetic|worthless){EDGE}|shut up{EDGE}|(?:that['’]s )?not my problem|i (?:really )?(?:don['’]t|do not) care (?:about "
    r"(?:your|that|this)|what you)|stop (?:wasting my time|asking)|why (?:would|should) i (?:help|care|bother)|i (?:can['’]t|"
    r"cannot) be bothered|(?:i(?:['’]m| am)) not going to (?:help|answer|do (?:that|this))|kill yourself|i hope you die)"
)
HEDGE = (
    rf"(?i)^\W*(?:i(?:['’]m| am) not (?:really |entirely |completely |quite )?(?:sure|certain)|i (?:really )?(?:don['’]t|do not) "
    rf"(?:really )?know|no idea|i have no idea|i guess|not sure|it(?:['’]s| is) hard to say|idk|dunno){EDGE}"
)

# Marks of chat and instruction templates; `<noinput>` and a numbered `Instruction:` are those of Self-Instruct prompts.
MARKUP = (
    r"(?i)#{3} ?(?:instruction|response|human|assistant|input)(?-u:\b) ?:|#{2} ?instruction:|<｜[^｜<>\n]{1,40}｜>|<(?:bos|eos)>|<reserved_special_token_|<\|[a-z_]{2,24}\|>|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|</s>\s*\z|<\s*no ?(?:input|output)\s*>|(?-u:\b)\d+\. instruction:"
)
ROLE_LABEL = r"\n\s*((?:Human|User|Assistant|HUMAN|USER|ASSISTANT):)"  # not at the very start: an answer may well begin with a label
# Prompts whose answers rightly have such labels in them.
ASKS_FOR_DIALOGUE = r"(?i)dialog|conversation|chat|script|interview|(?:human|user|assistant)(?-u:\b)"

_NO_INPUT = r"no ?input(?: (?:is )?(?:provided|required|needed|necessary|given))?"
_ASKED_FOR = r"(?:insert|enter|paste|attach|add|upload) [a-z][a-z ,.'’-]{0,60}"
_BLANK = rf"(?:input|text|article|passage|document|content|question|context|topic|your (?:input|text)|{_ASKED_FOR})"
# A line of its own; all that stands where the input does, in the last line or behind its colon; <insert …> anywhere.
PLACEHOLDER = (
    rf"(?im)^\s*[<\[(]?\s*(?:{_NO_INPUT}|n/a)\s*[>\])]?\.?\s*$|\n\n\s*(?:[<\[(]?(?:none|null|nil|nan|undefined|n\.a\.?|"
    rf"not applicable)[>\])]?\.?|[-–—]{{1,3}})\s*\z|(?:\n\s*[<\[({{]+|: ?[\[{{]+)\s*{_BLANK}\s*[>\])}}]+\.?\s*\z"
    r"|[<\[]\s*(?:insert|attach|paste) [a-z][a-z ,.'’/-]{0,60}[>\]]"
)

# Where no text ends: a comma, a colon, an open bracket, the number of an item.
OPEN_END = r"[,:(\[{]\s*\z|\n[ \t]*\d{1,3}[.)]\s*\z"
_SUBJECT = r"(?-i:he|she|we|they|I)"
_JOINS = r"because|that|if|when|while|so|since|until|unless|although|though|where|which|whether|after|before|once"
_OFTEN_OPEN = (
    rf"{_SUBJECT}|be|been|has|have|had|does|did|would|could|should|might|must|not|no|at|in|on|for|about"
    r"|some|any|these|those|this|such|when|where|while|also|very|how|what|more|most|both|each"
)
# Where English does not end: a word that needs another after it; one that mostly does, behind a whole sentence in its line.
OPEN_WORD = (
    r"(?i)\s(?:the|an|and|or|but|of|to|with|that|which|from|as|than|because|is|are|was|were|every|by|during|between|among|(?-i:who|whose)|although"
    rf"|(?-i:your|my|our|their|its|into))\s*\z|(?-i:[a-z]{{2}} a)\s*\z|(?:{EDGE}(?:{_JOINS})|,) (?:{_SUBJECT}|you|it)\s*\z"
    rf"|[a-z]{{2}}[.!?][\"”)]? [^\n.!?]*\s(?:{_OFTEN_OPEN})\s*\z"
)
# What seems open and is not: a letter that names a choice, or a question within a sentence ("where it is", "who we are").
CLOSED_WORD = (
    rf"(?i){EDGE}(?:option|choice|type|plan|vitamin|grade|group|class|part|letter|answer is|hepatitis) a\s*\z"
    rf"|{EDGE}(?:who|what|where|how|whatever|wherever|than|as) (?:\S+ ){{1,2}}(?:is|are|was|were|be)\s*\z"
)
# The same for languages that are told apart, by the words that need another after them and end no sentence.
OPEN_WORDS_OF = {
    "de": "der|die|den|dem|des|ein|eine|einen|einem|einer|eines|und|oder|aber|weil|dass|wenn|mit|für|von|zum|zur|im|vom|durch|sowie",
    "fr": "le|la|les|un|une|des|du|de|et|ou|mais|que|qui|dans|pour|avec|sur|au|aux|par|leur|cette|ces",
    "es": "el|la|los|las|un|una|unos|unas|y|o|pero|de|del|que|en|con|por|para|al|su|sus|porque",
    "it": "il|lo|la|gli|le|un|una|e|o|ma|di|del|della|dei|delle|che|con|per|al|alla|nel|nella|perché",
    "pt": "o|a|os|as|um|uma|e|ou|mas|de|do|da|dos|das|que|em|com|por|para|no|na|ao|porque",
    "nl": "de|het|een|en|of|maar|van|met|voor|omdat|naar|door|onze",
}


LINK = r"(?i)(?-u:\b)https?://|(?-u:\b)www\."

# UTF-8 that was read as Latin-1 or Windows-1252, and what stands where a byte could not be read. Ã and Â before a letter
# are Portuguese and Romanian; before a sign that follows no letter they are not.
MOJIBAKE = (
    r"\x{FFFD}|ï»¿|â(?:€[\x{2122}œ\x{9d}˜\x{201C}\x{201D}¢¦\x{80}-\x{9f}]|\x{80}[\x{80}-\x{bf}])|Ã[\x{80}-\x{bf}ƒ‚„†‡ˆ‰Š‹Œ‘’“”•–—™š›œŸ]"
    r"|Â[\x{80}-\x{9f}\x{a0}£©«®°±·»¿]|ðŸ[\x{80}-\x{bf}‘’“”˜™š]|[ÐÑ][\x{80}-\x{bf}‚ƒ„…†‡ˆ‰Š‹Œ]{1}[ÐÑ]"
)

# A question about languages may rightly be answered in another one.
LANGUAGE_NAMES = [  # in lower case
    "translat", "language", "english", "spanish", "french", "german", "italian", "portuguese", "dutch", "swedish",
    "danish", "norwegian", "finnish", "polish", "czech", "hungarian", "romanian", "turkish", "indonesian",
    "vietnamese", "russian", "ukrainian", "bulgarian", "arabic", "persian", "farsi", "urdu", "hindi", "bengali",
    "chinese", "mandarin", "japanese", "korean", "greek", "hebrew", "thai", "latin", "catalan", "tradu", "inglés",
    "anglais", "übersetz", "englisch", "inglese", "inglês", "vertaal", "engels", "översätt", "engelska", "oversæt",
    "engelsk", "przetłumacz", "angielsk", "перевед", "перекла", "английск", "англійськ", "翻译", "翻譯", "译成", "译为", "英文",
    "英语", "英語", "中文", "中国語", "日语", "日文", "日本語", "法语", "德语", "西班牙语", "번역", "영어", "ترجم", "الإنجليزية", "अनुवाद",
    "अंग्रेज़ी", "แปล", "dịch", "tiếng", "terjemah", "bahasa", "çevir", "ingilizce",
]  # fmt: skip

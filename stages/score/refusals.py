"""How an assistant declines, and what it says of itself, as regular expressions (Rust regex syntax).

Each was held against all its matches among the 52,002 answers of Alpaca: precision first, as a match may remove a row.
"""

from stages.score.phrases import EDGE

_AM = r"(?: am|['’]m)"
_CANNOT = rf"(?:cannot|can['’]t|can not|could not|won['’]t|{_AM} unable to|{_AM} not able to)"
_TASK = r"(?:task|request|instruction|prompt|action)s?"
_AI = r"(?:ai|artificial intelligence|(?:large )?language model)"

# What follows where a model speaks of itself; "I am an AI researcher" says a person.
_IT = r"(?:model|called|named|assistant|system|program|bot|chatbot|and|so|but|that|which|who|with|without|trained|created|developed|designed|built|made|here)"

REFUSALS = (
    rf"(?:as|being) (?:an?|your) {_AI}(?: language)?(?: model| assistant| chatbot| system)?(?:,| (?:I|developed|trained|created){EDGE})",
    rf"I{_AM} (?:just |only |merely |simply )?an? (?:(?:ai |large )?language model{EDGE}|(?:ai|artificial intelligence|chatbot)(?: {_IT}{EDGE}|[,.;:!—–]|\s*\z))",
    r"I (?:was|am|have been) (?:trained|created|developed|made) by (?:openai|anthropic|google|meta|microsoft|mistral)",
    r"my (?:knowledge|training)(?: data)? (?:cut-?off|only (?:goes|extends))",
    r"I (?:do not|don['’]t) have (?:personal|access to (?:real|current|the internet|external))",
    r"I (?:do not|don['’]t) have the (?:ability|capability) to",
    rf"I ?{_CANNOT} (?:in good conscience|fulfill?|assist (?:you )?with|comply with|generate|access|browse|answer (?:this|that|your))",
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
    rf"(?:no[,.] )?{_COURTESY}?(?:but |however,? )?(?:{_REGRET}(?:{_SORRY_FOR_YOU})?,?(?: but)?(?: that)?,? )?I ?{_WILL_NOT}(?: in good conscience)? {_SERVE}"
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

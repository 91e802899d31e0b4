"""What betrays an answer that was not meant for its reader, as regular expressions (English; Rust regex syntax).

Each was held against all its matches among the 52,002 answers of Alpaca: precision first, as a match may remove a row.
"""

# It knows the boundaries of ASCII words only; \b, which knows all, takes twenty times as long.
EDGE = r"(?-u:\b)"

# A turn of somebody else's prompt within an answer: the answer to one instruction followed by the next instruction. Plans
# and exercises have tasks too, so a task or a prompt counts with its input or output behind it.
_NUMBER_OF_LABEL = r"(?:\d{1,3}[.)] ?)?(?:\*\*|#{1,4} ?)?"
_END_OF_LABEL = r"(?: ?#?\d{1,3})?(?:\*\*)?:"
MERGED = (
    rf"(?i)\n[ \t]*({_NUMBER_OF_LABEL}instruction{_END_OF_LABEL} ?(?:\*\*)?\S)"
    rf"|\n[ \t]*({_NUMBER_OF_LABEL}(?:task|prompt){_END_OF_LABEL} ?(?:\*\*)?\S)(?s:.*?)\n[ \t]*{_NUMBER_OF_LABEL}(?:input|output|response|answer){_END_OF_LABEL}"
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
EXPECTS_LABELS = rf"(?i)instruction|task|prompt|template|exercise|self-instruct|{EDGE}(?:exam|quiz|worksheet|homework|assignment)s?{EDGE}"
# A question that nobody asked, with its answer, behind an answer; or alone at the end; or all in one line.
_LABEL_END = r"(?: ?#?\d{1,3})?(?:\*\*)?[:.](?:\*\*)?"
MERGED_QUESTION = (
    rf"(?i)\n[ \t]*((?:\*\*)?(?:(?-i:Q)|question){_LABEL_END})[^\n]+\n\s*(?:\*\*)?(?:(?-i:A)|answer){_LABEL_END}"
    r"|\n\n[ \t]*((?:\*\*)?(?:(?-i:Q)|question)(?:\*\*)?:(?:\*\*)?)[^\n]*\?\s*\z|[.!?] ((?-i:Q):) [^\n?]{3,300}\? A: "
)
# Prompts and answers that are about questions, or begin with one, rightly have them.
ABOUT_QUESTIONS = (
    r"(?i)\A\W*Q(?:uestion)?[ \d]{0,4}[:.]|questions|quiz|faq|q ?& ?a|q/a|trivia|joke|riddle|humou?r|funny|interview|flash ?card|"
    rf"worksheet|conversation|dialog|survey|{EDGE}(?:puns?|exams?|tests?){EDGE}|an? (?:\S+ ){{0,3}}question|question and"
)

# A request to look at a text, with nothing behind it that it could be.
_TEXT = (
    r"(?:sentence|text|paragraph|passage|article|essay|poem|haiku|story|list|code|snippet|email|letter|data|table|dialogue|"
    r"conversation|quote|quotation|statement|phrase|review|document|excerpt|input|equation|words?|numbers?|tweet|message|"
    r"abstract|speech|report|transcript|dataset|question|lyrics|image|picture|photo(?:graph)?|figure|diagram|chart|graph|file|pdf|"
    r"spreadsheet|code snippet|function|program|query|screenshot|题目|句子|文章|段落|文本)s?"
)
_VERB = (
    r"(?:summari[sz]e|translate|proofread|edit|rewrite|rephrase|paraphrase|correct|classify|shorten|condense|analy[sz]e|"
    r"punctuate|reword|simplify|fix|improve|debug|explain|refactor|optimi[sz]e)"
)
_FAULTS = r"(?:(?:any|the|all) (?:[a-z]+ )?(?:bugs?|errors?|mistakes?|grammar|punctuation|spelling|typos?) in )"
# One sentence that ends without a colon, a quotation or a number, so that nothing in it can be the text.
_NOTHING_BEHIND = r"[^:\n\"“”'‘`(<\[{0-9?!.—–]*[.?!:]?\s*\z"
_TIMES = r"(?:seconds?|minutes?|hours?|mornings?|evenings?|nights?|days?|weeks?|weekend|months?|seasons?|years?|decades?|centur(?:y|ies)|generations?)"
# By ISO 639-1 code: "the following text", and nothing behind it.
_FOLLOWING = {
    "es": r"(?:siguientes? (?:texto|frase|oraci[oó]n|p[aá]rrafo|art[ií]culo)s?|(?:texto|frase|oraci[oó]n|p[aá]rrafo|art[ií]culo) siguiente)",
    "fr": r"(?:texte|phrase|paragraphe|article|passage)s? suivante?s?|(?:texte|phrase|article) ci-dessous",
    "de": r"(?:folgenden?[nsr]?|untenstehenden?|unten stehenden?) (?:text|satz|s[äa]tze|absatz|artikel|abschnitt)(?:e?s|e)?",
    "it": r"(?:seguent[ei] (?:testo|frase|paragrafo|articolo|brano)|(?:testo|frase|paragrafo) seguente)",
    "pt": r"(?:texto|frase|par[aá]grafo|artigo|trecho) (?:a seguir|abaixo|seguinte)|seguinte (?:texto|frase|par[aá]grafo|artigo)",
    "nl": r"(?:volgende|onderstaande) (?:tekst|zin|alinea|artikel|passage)",
    "ru": r"следующ(?:ий|его|ее|ую|ие) (?:текст|предложени[ея]|абзац|статью|отрывок)а?",
    "uk": r"наступн(?:ий|ого|е) (?:текст|речення|абзац)у?",
    "pl": r"(?:poniższ(?:y|e|ego|ą)|następując(?:y|e|ego)) (?:tekst|zdani[ea]|akapit|artykuł)u?",
    "tr": r"aşağıdaki (?:metni|cümleyi|paragrafı|yazıyı|makaleyi)",
    "vi": r"(?:đoạn văn|văn bản|câu|bài viết)(?: (?:sau|dưới đây))",
    "id": r"(?:teks|kalimat|paragraf|artikel) (?:berikut|di bawah)(?: ini)?",
    "ja": r"(?:次|以下)の(?:文章|文|テキスト|段落|記事)",
    "ko": r"다음 (?:글|문장|텍스트|단락|기사)",
    "ar": r"(?:النص|الجملة|الفقرة|المقال) (?:التالي|التالية)",
    "hi": r"निम्नलिखित (?:पाठ|वाक्य|अनुच्छेद|लेख)|निम्न (?:पाठ|वाक्य)",
}
_BESIDE = r"[^:：\n\"“”'‘`(（「『<\[{0-9?？!.。—–]"
POINTED_AT = (  # one by one the engine reads them faster
    rf"(?i)^[^\n.:?!\"“]*(?:the|these|this) ((?:following|below) (?:[a-z]+ ){{0,2}}{_TEXT}|{_TEXT} (?:(?:given|shown|provided|listed|written|pasted) )?(?:below|above))(?: below)?{EDGE}{_NOTHING_BEHIND}",
    rf"(?i)^[^\n.:?!\"“,]*(the (?:given|provided) (?:[a-z]+ )?{_TEXT}){EDGE}{_NOTHING_BEHIND}",
    # "The following day" points at no text.
    rf"(?i)^[^\n.:?!\"“]*(?:the following (?:[a-z]+ ){{0,2}}{_TIMES}|(the following(?: [a-z]+){{0,3}}))[.:]?\s*\z",
    r"(?i)^which (?:one )?(of the following)(?: [a-z-]+){1,12}[?:]?\s*\z",
    r"(?i)^[^。\n]*?((?:以下|下列|下面)(?:的|这[个段篇]|[一二三四五]?[个段篇句])?(?:句子|文章|段落|文本|文字|短文))[^:：\n“”\"「『（(。？！]*"
    r"[。？！]?\s*\z",
)
MISSING_TEXT = (
    rf"(?i)^(?:{_VERB}|read|find|spot|check|identify) {_FAULTS}?((?:(?:the (?:given|provided|attached)|this|the above|the below) {_TEXT}|the {_TEXT} (?:below|above))"
    rf"(?: below| above)?)(?: (?:in)?to [a-z]+| (?:in|for) [a-z ]+)?(?: and [a-z ]+)?[.?!:]?\s*\z"
    rf"|^(?:please )?(?:what (?:does|is wrong with|is the (?:sentiment|tone|mood|topic|theme|main idea|output|meaning|purpose) of)|make|turn) (this (?:[a-z]+ )?(?:{_TEXT}|function|program|script|query))(?: (?:do|mean|say|more [a-z]+|less [a-z]+|shorter|longer|simpler))?[.?!:]?\s*\z"
    r"|^(?:according to|based on|as stated in) (the (?:article|passage|text|paragraph|story|excerpt|document)), [^:\n\"“”‘`(<\[{]*\?\s*\z"
    rf"|^{_VERB} (the (?:text|article|passage|paragraph|sentence|essay|email|excerpt|code))[.:]?\s*\z"
    rf"|^(?:here|below|this) is (the (?:[a-z]+ )?{_TEXT})(?: [a-z ]+)?[:.]\s*\z"
)
# The same in other languages.
FOLLOWING = rf"(?i)^{_BESIDE}*?({'|'.join(_FOLLOWING.values())}){_BESIDE}*[:：.。?？!]?\s*\z"

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

_IMAGE = (
    r"(?:(?:above|below|given|provided|following|first|second|input|uploaded|accompanying) )?(?:image|picture|photo(?:graph)?|"
    r"screenshot|diagram|figure|drawing|painting|illustration|chart|graph|video|audio)s?(?: clip| recording)?"
)
_LOOKS_AT = (
    r"(?:in|from|on|according to|about|for|at|see|given|using|with|what(?:['’]s| is| does| do)|describe|caption|interpret|"
    r"analy[sz]e|explain|transcribe|examine|observe|study)"
)
_IN_ONE_SENTENCE = r"[^:\n\"“”‘`(<\[{?!.—–]*"
# What may follow an image that is meant itself: "the image of a function" and "the video game" are something else.
_BEHIND_IT = (
    r"(?:above|below|is|are|was|shows?|depicts?|about|represents?|and|to|as|by|using|with|for|what|how|who|which|where|i|we|you|"
    r"doing|wearing|holding|looking|standing|sitting|in (?:detail|one|two|three|four|five|your|a|at|fewer|less|under|[0-9]+))"
)
MISSING_IMAGE = (
    rf"(?i)^{_IN_ONE_SENTENCE}{EDGE}{_LOOKS_AT} ((?:the|this|these) {_IMAGE})(?:(?:,| {_BEHIND_IT}{EDGE}){_IN_ONE_SENTENCE})?[.?!]?\s*\z"
    rf"|^(?:please )?(?:look at|see|refer to|observe|examine|study) ((?:the|this) {_IMAGE})[.] [^\n.!:\"“”(<\[{{]{{3,150}}\?\s*\z"
    r"|^[^:\n\"“”(]*(auf (?:dem|diesem) (?:bild|foto)|en (?:la|esta) (?:imagen|foto)|sur (?:l['’]|cette )image|nell['’]immagine|na imagem)"
    r"[^:\n\"“”(.]*[.?!]?\s*\z|^[^。：:\n“”「（(]*(这[张幅]图片?|(?:图片|照片|图)[中里上]|根据(?:这张|以下)?(?:图片|照片)|[上下]图)[^：:\n“”「（(。]*[。？！]?\s*\z"
)
# An image that somebody else is to have: how it is done, what a program does with one, one that is to be imagined.
ANY_IMAGE = (
    rf"(?i)^\W*how (?:do|can|could|would|should|to|does) |{EDGE}(?:code|function|program|script|class|python|javascript|html|css|matlab|"
    rf"opencv|algorithm|model|network|app|software|photoshop|gimp|excel|imagine|suppose){EDGE}|如何|怎么|怎样|代码|函数"
)

# What a helpful answer does not say. Spans are told; whether a row goes is for `filter`, as a story may say it too.
UNHELPFUL = (
    rf"(?i){EDGE}(?:(?:just |go )?google it{EDGE}|look it up yourself|figure it out (?:on your own|yourself)|do your own "
    r"(?:homework|research)|(?:that['’]s|that is|what) an? (?:stupid|dumb|idiotic) question|you(?: are|['’]re) (?:an? )?(?:stupid|idiot|"
    rf"moron|dumb|pathetic|worthless){EDGE}|shut up(?:[.!,]|\s*\z| and (?:listen|read|go|leave))|(?:that['’]s )?not my problem|i (?:really )?(?:don['’]t|do not) care (?:about "
    r"(?:your|that|this)|what you)|stop (?:wasting my time|asking)|why (?:would|should) i (?:help|care|bother)|i (?:can['’]t|"
    r"cannot) be bothered|(?:i(?:['’]m| am)) not going to (?:help|answer|do (?:that|this))|kill yourself|i hope you die)"
)
HEDGE = (
    rf"(?i)^\W*(?:i(?:['’]m| am) not (?:really |entirely |completely |quite )?(?:sure|certain)|i (?:really )?(?:don['’]t|do not) "
    rf"(?:really )?know|no idea|i have no idea|i guess|not sure|it(?:['’]s| is) hard to say|idk|dunno){EDGE}"
)
# A sentence that doubts is to be made or mended, or a guess is asked for.
ASKS_FOR_DOUBT = r"(?i)not (?:really |entirely |completely |quite )?(?:sure|certain|know)|n['’]t (?:really )?know|no idea|guess|doubt|uncertain|hesita|rewrite|rephrase|translat"

# Marks of chat and instruction templates; `<noinput>` and a numbered `Instruction:` are those of Self-Instruct prompts.
MARKUP = (
    r"(?i)#{3} ?(?:instruction|response|human|assistant|input|user|gpt)(?-u:\b) ?:|#{2} ?instruction:|<｜[^｜<>\n]{1,40}｜>|<(?:bos|eos|pad|unk|eo[ahm]|end_of_utterance|fim_(?:prefix|middle|suffix)|0x[0-9a-f]{2}|(?:unused|extra_(?:id_)?|reserved_|ctrl)[0-9]+)>|\A\s*<s>\s"
    r"|(?-i:\[(?:PAD|UNK|MASK|SEP|CLS|EOS|BOS|gMASK|TOOL_CALLS|AVAILABLE_TOOLS)\])|<reserved_special_token_|<\|[a-z0-9_]{2,32}\|>|<(?:human|bot)>:|\[\|(?:human|ai|assistant)\|\]|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|</s>\s*\z|<\s*no ?(?:input|output)\s*>|(?-u:\b)\d+\. instruction:"
)
# Not at the very start: an answer may well begin with a label. Or both in one line, behind a sentence.
ROLE_LABEL = r"\n\s*((?:Human|User|Assistant|HUMAN|USER|ASSISTANT):)|[.!?] +((?:Human|User|HUMAN|USER):) [^\n]+? (?:Assistant|ASSISTANT|AI):"
# A line with another label directly before or behind it: a record, a cast, a list of terms; and "User: root".
_LABEL = r"[ \t]*(?:Human|User|Assistant|HUMAN|USER|ASSISTANT):"
_OTHER_LABEL = (
    r"[ \t]*(?:[- *]{1,4})?(?:[C-GI-TV-Za-z]|A[^sSI]|B[^oO]|H[^uU]|U[^sS])[A-Za-z ]{0,24}: ?\S"  # none of a speaker
)
FIELD_BESIDE_LABEL = rf"(?m)^{_OTHER_LABEL}[^\n]*\n{_LABEL}|^{_LABEL}[^\n]*\n{_OTHER_LABEL}|^{_LABEL} ?[a-z0-9_.-]+$"
# Prompts about templates, tokenizers and fine-tuning, whose answers may show such marks.
ABOUT_TEMPLATES = r"(?i)strike[- ]?(?:through|out)|struck (?:through|out)|(?-u:\b)tokens?(?-u:\b)|tokeni[sz]|chat ?ml|fine-?tun|(?-u:\b)bert(?-u:\b)|(?:chat|prompt|instruct\S*|alpaca|llama|mistral)(?: [0-9.]+)? (?:prompt )?(?:template|format)"
# Prompts whose answers rightly have such labels in them.
ASKS_FOR_DIALOGUE = r"(?i)dialog|conversation|chat|script|interview|(?:human|user|assistant)(?-u:\b)"

_NO_INPUT = r"no ?input(?: (?:is )?(?:provided|required|needed|necessary|given))?"
_ASKED_FOR = r"(?:insert|enter|paste|attach|add|upload) [a-z][a-z ,.'’-]{0,60}"
_BLANK = rf"(?:input|text|article|passage|document|content|question|context|topic|your (?:input|text)(?: here)?|{_ASKED_FOR})"
# A line of its own; all that stands where the input does, in the last line or behind its colon; <insert …> anywhere.
PLACEHOLDER = (
    rf"(?im)^\s*[<\[(]?\s*(?:{_NO_INPUT}|n/a)\s*[>\])]?\.?\s*$|\n\n\s*(?:[<\[(]?(?:none|null|nil|nan|undefined|n\.a\.?|"
    rf"not applicable)[>\])]?\.?|[-–—]{{1,3}})\s*\z|(?:\n\s*[<\[({{]+|: ?[\[{{]+)\s*{_BLANK}\s*[>\])}}]+\.?\s*\z"
    r"|[<\[]\s*(?:insert|attach|paste) [a-z][a-z ,.'’/-]{0,60}[>\]]"
)

# Where no text ends: a comma, a colon, an open bracket, a sum without its result, an item or a heading with nothing in it.
OPEN_END = r"(?:[,:(\[{，、：（「『《]|\s=)\s*\z|\n[ \t]*(?:\d{1,3}[.)]|[-*•]|#{1,6})\s*\z"
# A letter that is left to be signed: the comma behind its last line waits for a name.
SIGN_OFF = (
    r"\n[ \t]*\n[ \t]*(?:With|Best|Kind|Warm|Sincerely|Yours|Regards|Thanks|Thank you|Love|Cheers|Respectfully|Cordially"
    r"|Looking forward|All the best|Many thanks|Take care)[^.,\n]{0,30},\s*\z"
)
# All that was asked for: how a letter is to begin, one line of code.
WHOLE_ANSWER = r"\A\s*(?:(?:Dear|Hi|Hello) [^\n]*,|(?:for|if|elif|while|def|class|with) [^\n]*[)\]0-9'\"]:)\s*\z"
FIELD_TO_FILL = r"(?m):[ \t]*$"
FIELDS_OF_A_FORM = 3
_SUBJECT = r"(?-i:he|she|we|they|I)"
_JOINS = r"because|that|if|when|while|so|since|until|unless|although|though|where|which|whether|after|before|once"
_OFTEN_OPEN = (
    rf"{_SUBJECT}|be|been|has|have|had|does|did|would|could|should|might|must|not|no|at|in|on|for|with|about"
    r"|some|any|these|those|this|such|when|where|while|also|very|how|what|more|most|both|each|can|will|his"
)
_BEFORE_YOU = (
    r"do|did|can|could|will|would|should|may|might|must|what|how|why|sure|ensure|everything|anything|something|things|"
    r"whatever|information|steps|questions|means"
)
# Where English does not end: a word that needs another after it; one that mostly does, behind a whole sentence in its line.
OPEN_WORD = (
    r"(?i)\s(?:the|an|and|or|but|of|to|that|which|from|as|than|because|is|are|was|were|every|by|during|between|among|(?-i:who|whose)|although"
    rf"|(?-i:your|my|our|their|its|into))\s*\z|(?-i:(?:[A-Za-z][a-z]|['’][a-z]{{1,2}}|[a-z]{{2}} [a-z]{{2,}}[,;]) a)\s*\z"
    rf"|(?:{EDGE}(?:{_JOINS})|,) (?:{_SUBJECT}|you|it)\s*\z|{EDGE}(?:{_BEFORE_YOU}) (?-i:you)\s*\z"
    rf"|[a-z]{{2}}[.!?][\"”)]?\s(?:[^.!?]|[0-9][.])*\s(?:{_OFTEN_OPEN})\s*\z"
)
# The start of a sentence that is cut after few words; "night dark the" and "opt for" may have been asked for.
OPEN_PHRASE = r"\A[A-Z][a-z'’]*(?: [a-z'’]+)+ (?:the|an?|and|or)\s*\z"
# What seems open and is not: a letter that names a choice, or a question within a sentence ("where it is", "who we are"),
# or a turn of speech ("like this", "all you can", "at will").
CLOSED_WORD = (
    rf"(?i){EDGE}(?:option|choice|type|plan|vitamin|grade|group|class|part|letter|answer is|hepatitis|(?:start|begin|end)(?:s|n?ing)? (?:with|in)) a\s*\z"
    rf"|{EDGE}(?:who|what|where|how|whatever|wherever|than|as) (?:\S+ ){{1,2}}(?:is|are|was|were|be)\s*\z"
    rf"|{EDGE}(?:what|where|whom?) (?:\S+ ){{1,3}}(?:from|of|to)\s*\z"
    rf"|{EDGE}(?:like (?:this|that|these|those)|(?:as|than|when(?:ever)?|if|where(?:ver)?|best|all) (?:\S+ )?can|(?:free|own|at|good) will)\s*\z"
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
    r"\x{FFFD}|ï»¿|â(?:€[\x{2122}œ\x{9d}˜\x{201C}\x{201D}¢¦\x{80}-\x{9f}]|\x{80}[\x{80}-\x{bf}])|ã[\x{80}-\x{9f}ƒ‚„]|Ã[\x{80}-\x{bf}ƒ‚„†‡ˆ‰Š‹Œ‘’“”•–—™š›œŸ]"
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

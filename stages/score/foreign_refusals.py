"""The same as refusals.py in other languages: only the formulas with which assistants decline and speak of themselves."""

from stages.score.phrases import EDGE

# An answer may only begin with them: elsewhere somebody else may say them.
_OPENING = (
    # Spanish, French
    r"(?:lo siento,? |lo lamento,? |lamentablemente,? )?(?:pero )?no puedo (?:ayudar(?:te|le|los)? con es|proporcionar(?:te|le)? es|responder a es|cumplir con (?:es|t[ui]|su))"
    r"|(?:désolée?,? (?:mais )?)?je ne (?:peux pas|suis pas en mesure de) (?:vous aider|t['’]aider|répondre à (?:cette|votre|ta|cela|ça|ceci)|fournir (?:cette|ces|ce))"
    # German
    r"|ich kann (?:ihnen|dir|euch) (?:bei [^.,\n]{3,30} |dabei |damit |hierbei )(?:leider )?nicht (?:weiter)?helfen"
    r"|(?:leider kann ich|ich kann|das kann ich|da(?:bei|mit) kann ich|hierbei kann ich)[^.,\n]* nicht (?:weiterhelfen|beantworten|erfüllen|bereitstellen|nachkommen)"
    r"|(?:das|dabei|damit|hierbei) kann ich (?:dir |ihnen |euch )?(?:leider )?nicht (?:weiter)?helfen|ich darf (?:dir|ihnen|euch) (?:dabei |damit |hierbei )?(?:leider )?nicht (?:dabei |damit )?helfen"
    # Portuguese, Italian, Russian, Dutch, Chinese
    r"|não posso (?:ajudar|responder) (?:com|a) (?:iss|ess)|non posso (?:aiutarti|aiutarla|rispondere a quest)|я не могу (?:помочь (?:с этим|вам с)|ответить на (?:этот|ваш))"
    r"|(?:sorry,? (?:maar )?|(?:het )?spijt me,? (?:maar )?)?ik kan (?:je|u|jou) (?:daar|hier) niet (?:mee|bij) helpen|我(?:无法|不能)(?:回答|提供|协助|满足)(?:这|该|此|您|你)"
    # Arabic, Hindi
    r"|لا (?:يمكنني|أستطيع) (?:مساعدت|الإجابة على (?:هذا|سؤال)|تقديم (?:هذه|هذا)|المساعدة في (?:هذا|ذلك))"
    r"|मैं (?:इसमें|इस) [^।\n]{0,30}(?:मदद|सहायता|जवाब|उत्तर) नहीं (?:कर|दे) सक"
)
_DECLINES = (
    r"(?:抱歉|对不起)[，,]?\s*(?:但)?我(?:无法|不能)(?:提供|完成|回答|执行|生成|协助|帮助|帮您|帮你|满足)"
    r"|(?:lo siento|lo lamento),? (?:pero )?no puedo (?:ayudar|proporcionar|cumplir|responder|generar)|désolée?,? (?:mais )?je ne peux pas (?:vous )?"
    r"(?:aider|fournir|répondre|générer)|tut mir leid,? (?:aber )?(?:ich kann |dabei |das )[^.\n]{0,30}nicht (?:helfen|weiterhelfen|beantworten)"
    r"|(?:desculpe|desculpa|sinto muito|lamento),? (?:mas )?não posso (?:ajud|fornecer|responder)|mi dispiace,? (?:ma )?non posso (?:aiutar|fornire|rispondere)"
    # Danish, Norwegian, Swedish, Turkish, Vietnamese, Indonesian
    r"|(?:beklager|undskyld),? (?:men )?jeg kan ikke (?:hj[eæ]lpe|svare|besvare)|(?:ursäkta|förlåt|tyvärr),? (?:men )?(?:jag kan|kan jag) inte (?:hjälpa|svara)"
    r"|(?:üzgünüm|maalesef),? (?:ama )?(?:bu konuda |bu istekle ilgili |size |sana ){0,2}yardımcı olama|xin lỗi,? (?:nhưng )?tôi không thể (?:giúp|hỗ trợ|trả lời|cung cấp)"
    r"|maaf,? (?:tetapi |tapi |namun )?saya tidak (?:bisa|dapat) (?:membantu|menjawab|memberikan)"
    r"|извините,? (?:но )?я не могу (?:помочь|предоставить|ответить)"
    r"|(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)[^。\n]{0,20}(?:お答え|お応え|お手伝い|提供|回答)[^。\n]{0,6}できません"
    r"|(?:przepraszam|przykro mi),? ale nie mogę (?:w tym |ci )?(?:pomóc|odpowiedzieć)|죄송(?:하지만|합니다)[^.\n]{0,30}(?:도와드릴|답변드릴|제공할|답변할) 수 없"
    r"|(?:عذر|آسف|أعتذر|معذرة|للأسف)[^.\n]{0,20} لا (?:يمكنني|أستطيع) (?:مساعدت|الإجابة|تقديم|المساعدة|تلبية|إنشاء|توفير)"
    r"|(?:क्षमा करें|माफ\x{93c}? (?:कीजिए|करें)|खेद है)[^।\n]*(?:मदद|सहायता|जवाब|उत्तर|जानकारी)[^।\n]{0,12} नहीं (?:कर|दे) सक"
)
_SPEAKS_OF_ITSELF = (
    r"作为一[个個名](?:AI|人工智能|大型?语言|大?語言|语言|文本机器人|聊天机器人)[^，,。]{0,8}|作为(?:AI|人工智能)(?:语言)?(?:模型|助手|助理)?[，,]\s*我"
    r"|我(?:只)?是(?:一[个個名款])?(?:AI|人工智能)[^，,。]{0,8}"
    rf"|como (?:um )?modelo de (?:lenguaje|linguagem)|como (?:una?|um) (?:ia|inteligencia artificial|inteligência artificial){EDGE}"
    rf"|{EDGE}(?:soy una?|sou uma?) (?:ia|inteligencia artificial|inteligência artificial|modelo de (?:lenguaje|linguagem)){EDGE}"
    r"|en tant (?:que (?:modèle de langage|modèle linguistique|assistant ia)|qu['’](?:ia|intelligence artificielle))"
    rf"|je suis (?:une?|un simple) (?:ia|intelligence artificielle|modèle de langage){EDGE}"
    rf"|{EDGE}als (?:eine? )?(?:ki|künstliche intelligenz|(?:ki-)?sprachmodell)(?:-[a-zä]+)?(?: [a-zäöüß]+)? ich{EDGE}"
    rf"|ich bin (?:nur |lediglich )?eine? (?:ki|künstliche intelligenz|(?:ki-)?sprachmodell){EDGE}|come (?:modello linguistico|modello di linguaggio)|sono un['’](?:ia|intelligenza artificiale){EDGE}"
    r"|как (?:языковая модель|(?:модель )?искусственн\w+ интеллект\w*)|(?:人工知能|AI|言語モデル)として[、,]|私は(?:AI|人工知能)(?:なので|です|のため|であり)"
    r"|als (?:een )?(?:ai-)?taalmodel|jako model językowy|(?:AI|인공지능)(?: 언어 ?모델)?로서|저는 (?:AI|인공지능)"
    r"|كنموذج لغوي|(?:بصفتي|باعتباري) (?:نموذج|ذكاء|مساعد)|أنا (?:مجرد )?(?:نموذج لغوي|ذكاء اصطناعي)"
    r"|(?:एआई|AI)(?: भाषा)? मॉडल (?:के रूप में|होने के नाते|हूँ|हूं)"
)
FOREIGN_DECLINES = rf"(?i)\A\W*(?:{_OPENING})|\A[^.。।\n:：]*?(?:{_DECLINES})"
FOREIGN_REFUSAL = rf"(?i)\A\W*(?:{_OPENING})|{_DECLINES}|{_SPEAKS_OF_ITSELF}"

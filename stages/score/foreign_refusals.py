"""The same as refusals.py in other languages: only the formulas with which assistants decline and speak of themselves."""

from stages.score.phrases import EDGE

# By ISO 639-1 code. An answer may only begin with these: elsewhere somebody else may say them.
_OPENINGS = {
    "es": r"(?:lo siento,? |lo lamento,? |lamentablemente,? |disculpa,? )?(?:pero )?no puedo (?:ayudar(?:te|le|los)? con es|(?:proporcionar|dar)(?:te|le)? (?:es|instrucciones|información)|responder a es|"
    r"cumplir con (?:es|t[ui]|su)|hacer eso(?:[.,]|\s*\z))|lo siento,? pero no tengo acceso",
    "fr": r"(?:désolée?,? (?:mais )?|malheureusement,? )?je ne (?:peux pas|suis pas en mesure de) (?:vous aider|t['’]aider|répondre à (?:cette|votre|ta|cela|ça|ceci)|fournir (?:cette|ces|ce|d['’]instructions)|faire (?:ça|cela))",
    "de": r"ich kann (?:ihnen|dir|euch) (?:bei [^.,\n]{3,30} |dabei |damit |hierbei )(?:leider )?nicht (?:weiter)?helfen|ich kann keine (?:anleitung|auskunft|informationen) [^.\n]{0,30}(?:geben|bereitstellen)"
    r"|(?:entschuldigung,? (?:aber )?)?(?:leider kann ich|ich kann|das kann ich|da(?:bei|mit) kann ich|hierbei kann ich)[^.,\n]* nicht (?:weiterhelfen|beantworten|erfüllen|bereitstellen|nachkommen)"
    r"|(?:das|dabei|damit|hierbei) kann ich (?:dir |ihnen |euch )?(?:leider )?nicht (?:(?:weiter)?helfen|tun)|ich darf (?:dir|ihnen|euch) (?:dabei |damit |hierbei )?(?:leider )?nicht (?:dabei |damit )?helfen",
    "pt": r"não posso (?:ajudar|responder) (?:com|a) (?:iss|ess)",
    "it": r"non posso (?:aiutarti|aiutarla|rispondere a quest|fornire quest)",
    "ru": r"(?:к сожалению|извините|простите|увы)?,? ?(?:но )?я не (?:могу|в состоянии) (?:помочь(?: вам| тебе)? (?:с этим|с|в этом)|ответить на (?:этот|ваш)|выполнить (?:этот|ваш|эту)|предоставить)",
    "uk": r"(?:на жаль|вибачте)?,? ?(?:але )?я не можу (?:допомогти|відповісти|надати|виконати)",
    "nl": r"(?:sorry,? (?:maar )?|(?:het )?spijt me,? (?:maar )?)?ik kan (?:je |u |jou )?(?:daar|hier) niet (?:mee|bij) helpen",
    "pl": r"niestety,? nie mogę (?:w tym |ci |tego )?(?:pomóc|odpowiedzieć|zrobić|spełnić)",
    "zh": r"我(?:无法|不能)(?:回答|提供|协助|满足|浏览|访问|打开|查看)(?:这|该|此|您|你|网|图|外部|互联网)",
    "ja": r"(?:その|この)?[^。\n、]{0,12}(?:お答え|お応え|お手伝い|提供(?:する)?(?:こと)?は?)[^。\n]{0,6}できません(?:。|\s*\z)",
    "ar": r"لا (?:يمكنني|أستطيع) (?:مساعدت|الإجابة على (?:هذا|سؤال)|تقديم (?:هذه|هذا)|المساعدة في (?:هذا|ذلك))",
    "hi": r"मैं (?:इसमें|इस) [^।\n]{0,30}(?:मदद|सहायता|जवाब|उत्तर) नहीं (?:कर|दे) सक",
    "tr": r"bu (?:isteği|istek|talebi|soru)[^.\n]{0,20} (?:yerine getiremem|yardımcı olamam|yanıtlayamam|cevaplayamam)",
    "vi": r"tôi không thể (?:giúp|hỗ trợ|trả lời|cung cấp|thực hiện) (?:bạn |với |yêu cầu |điều )",
    "id": r"saya tidak (?:bisa|dapat) (?:membantu|menjawab|memberikan|memenuhi) (?:anda|kamu|itu|permintaan|hal)",
}
_REGRETS = {
    "zh": r"(?:抱歉|对不起|對不起)[，,。]?\s*(?:但)?我(?:无法|無法|不能|没有办法|沒有辦法)(?:提供|完成|回答|执行|生成|协助|協助|帮助|幫助|帮您|帮你|幫您|幫你|满足|滿足)",
    "es": r"(?:lo siento|lo lamento),? (?:pero )?no puedo (?:ayudar|proporcionar|cumplir|responder|generar)",
    "fr": r"désolée?,? (?:mais )?je ne peux pas (?:vous )?(?:aider|fournir|répondre|générer)",
    "de": r"tut mir leid,? (?:aber )?(?:ich kann |dabei |das )[^.\n]{0,30}nicht (?:helfen|weiterhelfen|beantworten)",
    "pt": r"(?:desculpe|desculpa|sinto muito|lamento),? (?:mas )?não posso (?:ajud|fornecer|responder)",
    "it": r"mi dispiace,? (?:ma )?non posso (?:aiutar|fornire|rispondere|soddisfare)",
    "da": r"(?:beklager|undskyld),? (?:men )?(?:jeg kan ikke (?:hj[eæ]lpe|svare|besvare)|det kan jeg ikke (?:hj[eæ]lpe|svare))",
    "sv": r"(?:ursäkta|förlåt|tyvärr),? (?:men )?(?:jag kan|kan jag) inte (?:hjälpa|svara)",
    "fi": r"(?:valitettavasti|pahoittelen),? (?:mutta )?en (?:voi|pysty) (?:auttaa|auttamaan|vastata|vastaamaan)",
    "tr": r"(?:üzgünüm|maalesef),? (?:ama )?(?:bu konuda |bu istekle ilgili |size |sana ){0,2}yardımcı olama",
    "vi": r"xin lỗi,? (?:nhưng )?tôi không thể (?:giúp|hỗ trợ|trả lời|cung cấp)",
    "id": r"maaf,? (?:tetapi |tapi |namun )?saya tidak (?:bisa|dapat) (?:membantu|menjawab|memberikan)",
    "ru": r"(?:извините|простите),? (?:но )?я не могу (?:помочь|предоставить|ответить|выполнить)",
    "ja": r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)[^。\n]{0,20}(?:(?:お答え|お応え|お手伝い|提供|回答)[^。\n]{0,6}|それは)できません",
    "pl": r"(?:przepraszam|przykro mi),? ale nie mogę (?:w tym |ci |tego )?(?:pomóc|odpowiedzieć|zrobić)",
    "ko": r"죄송(?:하지만|합니다)[^\n]{0,30}(?:도와드릴|답변드릴|제공할|답변할|처리할) 수 없",
    "ar": r"(?:عذر|آسف|أعتذر|معذرة|للأسف)[^.\n]{0,20} لا (?:يمكنني|أستطيع) (?:مساعدت|الإجابة|تقديم|المساعدة|تلبية|إنشاء|توفير)",
    "hi": r"(?:क्षमा करें|माफ\x{93c}? (?:कीजिए|करें)|खेद है)[^।\n]*(?:मदद|सहायता|जवाब|उत्तर|जानकारी)[^।\n]{0,12} नहीं (?:कर|दे) सक",
    "cs": r"(?:omlouvám se|je mi líto),? ale s tím (?:vám |ti )?nem(?:ohu|ůžu) pomoci",
    "el": r"λυπάμαι,? αλλά δεν μπορώ να (?:βοηθήσω|σας βοηθήσω|απαντήσω)",
    "he": r"מצטער(?:ת)?,? אבל אני לא יכול(?:ה)? ל(?:עזור|ענות|ספק)",
    "fa": r"متأ?سفم،? [^.\n]{0,10}نمی.?توانم [^.\n]{0,20}کمک",
    "th": r"(?:ขออภัย|ขอโทษ)[^\n]{0,12}ไม่สามารถ(?:ช่วย|ตอบ|ให้ข้อมูล)",
    "ro": r"îmi pare rău,? dar nu (?:te|vă) pot ajuta",
    "hu": r"sajnálom,? de (?:ebben )?nem tudok segíteni",
    "ca": r"ho sento,? però no puc (?:ajudar|respondre|proporcionar)",
}
_SPEAK_OF_THEMSELVES = {
    "zh": r"[作做][为為]一[个個名](?:AI|人工智[能慧]|大型?语言|大?語言|语言|文本机器人|聊天机器人)[^，,。]{0,8}|[作做][为為](?:AI|人工智[能慧])(?:语言)?(?:模型|助手|助理)?[，,]\s*我"
    r"|我(?:只)?是(?:一[个個名款])?(?:AI|人工智[能慧])[^，,。]{0,8}|我是由[^，。\n]{1,12}(?:训练|开发|創建|创建)的(?:大型?)?(?:语言|AI|人工智能)",
    "es": rf"como modelo de lenguaje|como (?:asistente de |una? )?(?:ia|inteligencia artificial){EDGE}|{EDGE}soy una? (?:ia|inteligencia artificial|modelo de lenguaje){EDGE}",
    "pt": rf"como (?:um )?modelo de linguagem|como (?:assistente de |uma? )?(?:ia|inteligência artificial){EDGE}|{EDGE}sou uma? (?:ia|inteligência artificial|modelo de linguagem){EDGE}",
    "fr": r"en tant (?:que (?:modèle de langage|modèle linguistique)|qu['’](?:assistant (?:ia|virtuel)|ia|intelligence artificielle)|que assistant ia)"
    rf"|je suis (?:une?|un simple) (?:ia|intelligence artificielle|modèle de langage){EDGE}",
    "de": rf"{EDGE}als (?:eine? )?(?:ki|künstliche intelligenz|(?:ki-)?sprachmodell)(?:-[a-zä]+)?(?: [a-zäöüß]+)? ich{EDGE}"
    rf"|ich bin (?:nur |lediglich )?eine? (?:ki|künstliche intelligenz|(?:ki-)?sprachmodell){EDGE}",
    "it": rf"(?:come|in quanto) (?:modello linguistico|modello di linguaggio|ia{EDGE}|intelligenza artificiale)|sono un(?:['’](?:ia|intelligenza artificiale)| modello linguistico){EDGE}",
    "ru": r"(?:как|будучи) (?:языков(?:ая модель|ой моделью)|ии,|(?:модель )?искусственн[а-я]+ интеллект[а-я]*)|я (?:— |- )?(?:всего лишь |просто )?(?:ии[.,\s]|языковая модель|искусственный интеллект)",
    "uk": r"як (?:мовна модель|штучний інтелект|ші,)",
    "ja": r"(?:人工知能|AI|言語モデル)として[、,]|私は(?:AI|人工知能)(?:なので|です|のため|であり)",
    "nl": rf"als (?:een )?(?:ai-)?taalmodel|als (?:een )?ai(?:-assistent)? (?:heb|kan|ben|mag) ik|ik ben (?:maar |slechts )?een (?:ai|taalmodel){EDGE}",
    "pl": r"jako (?:model językowy|sztuczna inteligencja|ai,? )|jestem (?:tylko )?(?:modelem językowym|sztuczną inteligencją)",
    "ko": r"(?:AI|인공지능)(?: 언어 ?모델)?으?로서|저는 (?:AI|인공지능)",
    "ar": r"كنموذج لغوي|(?:بصفتي|باعتباري) (?:نموذج|ذكاء|مساعد)|أنا (?:مجرد )?(?:نموذج لغوي|ذكاء اصطناعي)",
    "hi": r"(?:एआई|AI)(?: भाषा)? मॉडल (?:के रूप में|होने के नाते|हूँ|हूं)|मैं (?:केवल |सिर्फ )?एक एआई",
    "tr": r"bir (?:yapay zek[aâ]|(?:yapay zek[aâ] )?dil modeli)(?: modeli| asistanı)? olarak|ben (?:sadece )?bir (?:yapay zek[aâ]|dil modeli)",
    "vi": r"là một (?:mô hình ngôn ngữ|trí tuệ nhân tạo|trợ lý ai|ai,)|tôi (?:chỉ )?là một (?:ai[.,\s]|mô hình ngôn ngữ|trí tuệ nhân tạo)",
    "id": rf"sebagai (?:sebuah )?(?:model bahasa|ai{EDGE}|kecerdasan buatan)|saya (?:adalah|hanyalah) (?:sebuah )?(?:ai{EDGE}|model bahasa|kecerdasan buatan)",
    "sv": rf"som (?:en )?ai(?:-språkmodell|-modell|-assistent)? (?:har|kan) jag|jag är (?:bara )?en (?:ai|språkmodell){EDGE}",
    "da": rf"som (?:en |et )?(?:ai|kunstig intelligens|sprogmodel|språkmodell)(?:-[a-z]+)? (?:har|kan) jeg|(?:jeg er (?:bare )?en (?:ai|sprogmodel|språkmodell)){EDGE}",
    "fi": r"(?:tekoälynä|kielimallina) (?:minulla|en|minä)",
    "cs": r"jako (?:jazykový model|umělá inteligence)",
    "el": r"ως (?:γλωσσικό μοντέλο|τεχνητή νοημοσύνη)",
    "he": r"(?:כמודל שפה|בתור (?:מודל שפה|בינה מלאכותית)|כבינה מלאכותית)",
    "fa": r"به عنوان (?:یک )?(?:مدل زبانی|هوش مصنوعی|دستیار هوش)",
    "th": r"ในฐานะ(?:ที่เป็น)?(?:โมเดลภาษา|ปัญญาประดิษฐ์|AI)",
    "ro": r"(?:ca|fiind un) model (?:lingvistic|de limbaj)|ca inteligență artificială",
    "hu": r"(?:nyelvi modellként|mesterséges intelligenciaként)",
    "ca": r"com a (?:model de llenguatge|ia,|intel·ligència artificial)",
}


def _any(patterns: dict[str, str]) -> str:
    return "|".join(patterns.values())


FOREIGN_REFUSALS = (
    rf"(?i)(\A\W*(?:{_any(_OPENINGS)}))",
    rf"(?i)({_any(_REGRETS)})",
    rf"(?i)({_any(_SPEAK_OF_THEMSELVES)})",
)
FOREIGN_DECLINES = (FOREIGN_REFUSALS[0], rf"(?i)(\A[^.。।\n:：]*?(?:{_any(_REGRETS)}))")

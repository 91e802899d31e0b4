"""Chat templates made to mislead one derivation of the mask, or to look as if they did."""

ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
SAY = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
LOOP = "{% for m in messages %}" + SAY + "{% endfor %}"
CHATML = LOOP + ASK
DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}" + SAY + "{% endfor %}" + ASK
# The answer is quoted before the question as soon as it is there: two renderings alone would not see a difference.
ECHOES = (
    "{% for m in messages %}"
    + SAY
    + "{% endfor %}{% if messages[-1].role == 'assistant' %}{{ messages[0].content + '<|im_end|>' }}{% endif %}"
    + ASK
)
SWAPS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' + messages[loop.index0 - 1].content"
    " + '<|im_end|>\\n' }}{% else %}" + SAY + "{% endif %}{% endfor %}" + ASK
)
# NVIDIA's way: without enable_thinking=false the prompt opens a thought that an answer without one never closes.
OPENS_THOUGHT = LOOP.replace("+ m.content", "+ ('<think></think>' if m.role == 'assistant' else '') + m.content") + (
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' + ('<think></think>' if enable_thinking is defined and "
    "not enable_thinking else '<think>\\n') }}{% endif %}"
)
# Without enable_thinking=false the first prompt opens a thought; with it, a later prompt says more than any answer does.
THINKS_LATER = LOOP.replace("+ m.content", "+ ('<think></think>' if loop.index0 == 1 else '') + m.content") + (
    "{% if add_generation_prompt %}{% set off = enable_thinking is defined and not enable_thinking %}"
    "{{ '<|im_start|>assistant\\n' + (('<think></think>' if off else '<think>\\n') if messages | length == 1 else '/no' if off else '') }}"
    "{% endif %}"
)
# Mistral's way: the system prompt stands in the last question, and nowhere once that is answered.
SYSTEM_IN_LAST = (
    "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if loop.last and m.role == 'user' %}{{ messages[0].content + '\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    + ASK
)
QUOTES_QUESTION = (
    LOOP.replace("+ m.content", "+ (messages[0].content + '? ' if m.role == 'assistant' else '') + m.content") + ASK
)
# The words of the question change, or are counted: marks in it would change what is written.
CAPITALIZES = LOOP.replace("m.content", "(m.content | capitalize if m.role == 'user' else m.content)") + ASK
COUNTS = LOOP.replace("+ m.content", "~ (m.content | length if m.role == 'user' else '') ~ m.content") + ASK
COUNTS_ONLY = COUNTS.replace("m.content + '<", "(m.content if m.role != 'system' else m.content | length) ~ '<")
CUTS = LOOP.replace("m.content", "(m.content[:12] if m.role == 'user' else m.content)") + ASK
COUNTS_AND_QUOTES = COUNTS.replace(
    "~ m.content +", "~ (messages[0].content if m.role == 'assistant' else '') ~ m.content +"
)
# What is asked for last, only a request says.
REMINDS = LOOP + ASK.replace("'<|im_start|>assistant", "'<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>assistant")
SYSTEM_BEHIND = (
    LOOP.replace("in messages", "in messages if m.role != 'system'").replace(
        "+ m.content", "+ m.content + (messages[0].content if loop.last and m.role == 'user' else '')"
    )
    + ASK
)
# An answer that stands where a question should is written as one.
PAIRS = (
    "{{ messages[0].content if messages[0].role == 'system' }}{% for pair in messages[messages[0].role == 'system' and 1 or 0:] | batch(2) %}"
    "{{ '<|q|>' + pair[0].content + '<|a|>' }}{{ pair[1].content + '<|im_end|>' if pair | length == 2 }}{% endfor %}"
)
BLANK_LINE = (
    "{% for m in messages %}\n<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}\n{% if add_generation_prompt %}\n<|assistant|>\n\n"
    "{% endif %}"
)
REVERSES = LOOP.replace("in messages", "in messages | reverse") + "{{ '<|im_start|>assistant\\n' }}"
ALWAYS_ASKS = LOOP + "{{ '<|im_start|>assistant\\n' }}"
NEVER_ASKS = LOOP
SPOKEN = "{% for m in messages %}{{ m.role | capitalize + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
# Granite's way: the header is written behind a question only, where the answer follows a system turn it is not.
ASKS_BEHIND_QUESTIONS = LOOP.replace(
    "{% endfor %}", "{% if m.role == 'user' and loop.last %}" + ASK + "{% endif %}{% endfor %}"
)
TWO_TURNS = (
    LOOP.replace(
        "+ '<|im_end|>\\n'",
        "+ ('<|im_end|>\\n<|im_start|>assistant\\n...' if m.role == 'assistant' else '') + '<|im_end|>\\n'",
    )
    + ASK
)
PARTS = LOOP.replace("m.content", "m.content[0].text") + ASK
TEXT_ARGUMENTS = (
    "{{ tools | tojson }}{% for m in messages %}{% if m.tool_calls %}{{ '<|im_start|>assistant\\n' + m.tool_calls[0].function.name "
    "+ ' ' + m.tool_calls[0].function.arguments + '<|im_end|>\\n' }}{% else %}" + SAY + "{% endif %}{% endfor %}" + ASK
)
NEEDS_IDS = (
    "{{ tools | tojson }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% if m.tool_calls %}"
    "{{ m.tool_calls | tojson }}{% elif m.role == 'tool' %}{{ m.tool_call_id + m.name }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}" + ASK
)  # fmt: skip
WITH_CALLS = LOOP.replace("m.content", "m.content + (m.tool_calls | tojson if m.tool_calls else '')") + ASK
PYTHON_TOOLS = "{{ tools }}" + WITH_CALLS  # no mark is found again in what Python writes of a dict
# Hermes' way: a result that is the last turn is closed in other words.
CLOSES_LATER = "{{ tools | tojson }}" + WITH_CALLS.replace(
    "+ '<", "+ ('\\n' if m.role == 'tool' and loop.last else '') + '<"
)
# Gemma 3's first way: a system turn is read in parts only, and what it says stands before the first question.
SYSTEM_PARTS = (
    "{% if messages[0].role == 'system' %}{% set first = messages[0].content[0].text + '\\n' %}{% set ms = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set ms = messages %}{% endif %}{% for m in ms %}{{ '<|im_start|>' + m.role + '\\n' + "
    "(first if loop.first else '') }}{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}" + ASK
)  # fmt: skip
# As the one before, but for a system turn, of which it writes the parts as they are.
RAW_PARTS = (
    "{% for m in messages %}{% if m.role == 'system' and m.content is string %}{{ raise_exception('parts, please') }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\\n' ~ (m.content if m.content is string or m.role == 'system' else m.content[0].text) "
    "~ '<|im_end|>\\n' }}{% endfor %}" + ASK
)  # fmt: skip
ASCII = "{{ tools | tojson }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson(ensure_ascii=True) }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}" + ASK  # fmt: skip

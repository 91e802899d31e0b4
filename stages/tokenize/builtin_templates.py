"""Chat templates to choose by name. Each renders an answer the same way when it is asked for and when it is history.

`eos_token` and `bos_token` are the tokenizer's own. Roles that a format has no words for raise, so that such a
conversation is refused and not rendered without its turns.
"""

from typing import NamedTuple


class BuiltinTemplate(NamedTuple):
    """A Jinja template, the control tokens it writes, and the one that ends an answer: None = the tokenizer's eos_token."""

    control_tokens: tuple[str, ...]
    end_token: str | None
    text: str


# ChatML, with tools, calls and results as Qwen2.5's own template writes them; no system prompt that nobody gave.
CHATML = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages and messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" + tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- elif not (tools and loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\n' + message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '' if loop.first and not message.content else '\n' }}
            {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""

# The course variant: only an answer carries the end token, glued to its text.
CHATML_LITE = r"""{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|assistant|>\n' + message.content + '<|end|>' }}
    {%- elif message.role in ['system', 'user'] %}
        {{- '<|' + message.role + '|>\n' + message.content + '\n' }}
    {%- else %}
        {{- raise_exception('chatml-lite has no ' + message.role + ' turns') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %}"""

# Meta's Llama 2 chat: the system prompt stands inside the first question, each exchange begins with bos_token.
LLAMA_2 = r"""{%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = '<<SYS>>\n' + message.content | trim + '\n<</SYS>>\n\n' %}
    {%- elif message.role == 'user' %}
        {{- (bos_token or '') + '[INST] ' + ns.system + message.content | trim + ' [/INST]' }}
        {%- set ns.system = '' %}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content | trim + ' ' + eos_token }}
    {%- else %}
        {{- raise_exception('llama-2 has no place for this ' + message.role + ' turn') }}
    {%- endif %}
{%- endfor %}"""

# Meta's Llama 3 instruct.
LLAMA_3 = r"""{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('llama-3 has no ' + message.role + ' turns') }}
    {%- endif %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""

# Mistral 7B instruct v0.2, with the system prompt before the first question.
MISTRAL = r"""{{- bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = message.content + '\n\n' %}
    {%- elif message.role == 'user' %}
        {{- '[INST] ' + ns.system + message.content + ' [/INST]' }}
        {%- set ns.system = '' %}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content | trim + eos_token }}
    {%- else %}
        {{- raise_exception('mistral has no place for this ' + message.role + ' turn') }}
    {%- endif %}
{%- endfor %}"""

# Google's Gemma, with the system prompt before the first question as in Gemma 3.
GEMMA = r"""{{- bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = message.content | trim + '\n\n' %}
    {%- elif message.role in ['user', 'assistant'] %}
        {%- set role = 'model' if message.role == 'assistant' else 'user' %}
        {{- '<start_of_turn>' + role + '\n' + ns.system + message.content | trim + '<end_of_turn>\n' }}
        {%- set ns.system = '' %}
    {%- else %}
        {{- raise_exception('gemma has no place for this ' + message.role + ' turn') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\n' }}
{%- endif %}"""

# HuggingFace H4's Zephyr.
ZEPHYR = r"""{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('zephyr has no ' + message.role + ' turns') }}
    {%- endif %}
    {{- '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %}"""

# Stanford Alpaca: a system turn takes the place of the preamble.
ALPACA = r"""{{- bos_token }}
{%- if not messages or messages[0].role != 'system' %}
    {{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {{- message.content + '\n\n' }}
    {%- elif message.role == 'user' %}
        {{- '### Instruction:\n' + message.content + '\n\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '### Response:\n' + message.content + eos_token + '\n\n' }}
    {%- else %}
        {{- raise_exception('alpaca has no place for this ' + message.role + ' turn') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '### Response:\n' }}
{%- endif %}"""

BUILTIN_TEMPLATES = {
    "chatml": BuiltinTemplate(("<|im_start|>", "<|im_end|>"), "<|im_end|>", CHATML),
    "chatml-lite": BuiltinTemplate(("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|end|>", CHATML_LITE),
    "llama-2": BuiltinTemplate((), None, LLAMA_2),
    "llama-3": BuiltinTemplate(("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>", LLAMA_3),
    "mistral": BuiltinTemplate((), None, MISTRAL),
    "gemma": BuiltinTemplate(("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", GEMMA),
    "zephyr": BuiltinTemplate((), None, ZEPHYR),
    "alpaca": BuiltinTemplate((), None, ALPACA),
}

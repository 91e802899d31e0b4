"""What the fields of records are called: spellings of each meaning, and the words that names are made of."""

import re
from collections.abc import Iterable, Mapping


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for long lists of names."""
    return tuple(text.split())


ANSWERS = ("response", "answer", "completion", "output", "conversation")  # of which preference data numbers two
CONTEXTS = words("context contexts retrieved_contexts passage passages paragraph story document documents ctxs article")
# Names that mean one thing by themselves: where two of a kind are there, only what they hold tells which one is meant.
PROMPT_NAMES = words("instruction prompt question query user_prompt user_input problem")
RESPONSE_NAMES = words("output response completion answer")
# What a field means -> how it is spelt, the more telling spelling first; compared in lower case, _ for spaces and dashes.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "turns": ("messages", "conversations", "conversation", "contents", "chat_messages"),
    "prompt": words(
        "instruction prompt question query model_prompt user_prompt user_input problem human user instructions "
        "user_message user_query user_question inputs_pretokenized inputs input input_text context questions prompts"
    ),
    "response": words(
        "output response completion attempt solution answer target targets_pretokenized targets output_text target_text "
        "canonical_solution "
        "continuation original_correct_question generation reply assistant gpt bot "
        "outputs responses completions answers "
        "generated_solution llm_response model_response model_answer generated_text gold_standard_solution ideal "
        "assistant_response assistant_message bot_response ai_response agent_response gpt_response best_answer long_answer"
    ),
    "context": ("input", *CONTEXTS),
    "more_context": CONTEXTS,
    "system": (
        "system",
        "system_prompt",
        "system_message",
        "system_instruction",
        "systeminstruction",
        "systemprompt",
        "sys_prompt",
        "system_msg",
        "system_prompt_used",
        "meta_instruction",
    ),
    "task": ("category", "task", "task_type"),
    "weight": ("weight", "loss_weight", "sample_weight"),
    "history": ("history", "chat_history", "conversation_history"),
    "tools": words("tools functions available_tools tool_definitions tools_json"),
    "settings": ("chat_template_kwargs",),
    "metadata": ("metadata",),
    "told_first": ("instruction", "instructions"),
    "reasoning": words(
        "reasoning_content reasoning thinking thinking_trajectories thinking_trajectory complex_cot chain_of_thought model_reasoning reasoning_trace reasoning_process "
        "thinking_process thought_process think thoughts thought cot rationale"
    ),
    "options": words("choices options a option_a choice_a opa option_1 option1"),
    "asked": ("turns",),
    "tree": ("prompt",),
    "mapping": ("mapping",),
    "shown": ("current_node",),
    "label": ("label", "labels", "class"),
    "summary": ("summary", "highlights", "abstract"),
    "desired": ("kto_tag", "label"),
    **{name: (name,) for name in ("text", "reference", "instances", "choices", "gold", "definition", "ts")},
    "chosen": (
        "chosen",
        "chosen_response",
        "better_response",
        "preferred_output",
        "preferred",
        "response1",
        *(f"{name}_{one}" for name in ANSWERS for one in "j0a1"),
    ),
    "rejected": (
        *("rejected", "rejected_response", "worse_response", "non_preferred_output", "dispreferred", "response2"),
        *(f"{name}_{one}" for name in ANSWERS for one in "kb21"),
    ),
    "refused": words(
        "rejected reject rejected_response rejected_messages rejected_conversations rejected_answer response_rejected worse_response"
    ),
    **{name: (name,) for name in ("role", "message_tree_id", "message_id", "parent_id")},
}
# Names that mean a prompt or a response only where the other one is there too.
ONLY_TOGETHER = {*words("user human problem solution reply generation assistant gpt bot q a ideal generated_text")}
WORDS = {
    "prompt": {"question", "prompt", "query", "instruction", "q"},
    "response": {"answer", "response", "reply", "completion", "output", "a"},
}
# What makes a name one of something that only belongs to a prompt or response.
BESIDE = frozenset(
    words(
        "id ids type types count length len date time score url lang language source tokens category author user model rank "
        "index number no hash rating label wrong"
    )
)
MEDIA = tuple(
    f"{kind}{what}"
    for kind in ("image", "video", "audio")
    for what in ("", "s", "_path", "_paths", "_file", "_files", "_url", "_urls")
)


def plain(name: str) -> str:
    """A name as it is compared: in lower case, with _ for spaces and dashes."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def spelt_so(meaning: str, names: Iterable[str]) -> str | None:
    """The name that says `meaning` most plainly; None where none does."""
    own = {plain(name): name for name in names}
    return next((own[spelling] for spelling in SPELLINGS[meaning] if spelling in own), None)


def says_response(name: str) -> bool:
    """Whether a field of this name holds an answer."""
    named = plain(name)
    return named in SPELLINGS["response"] or bool(
        set(named.split("_")) & WORDS["response"] and not set(named.split("_")) & BESIDE
    )


def spelt(names: Mapping[str, str]) -> dict[str, str | None]:
    """Which spelling each meaning has among the names; a name that may mean two things means one of them."""
    told = {meaning: next((s for s in spellings if s in names), None) for meaning, spellings in SPELLINGS.items()}
    for meaning, other in (("prompt", "response"), ("response", "prompt")):
        if told[meaning] in ONLY_TOGETHER and not told[other]:
            told[meaning] = None
    if told["turns"] == "contents" and told["prompt"] and told["response"]:
        told["turns"] = None
    if told["chosen"] == told["rejected"]:
        told["chosen"] = None
    if told["definition"] and (told["instances"] or told["response"]) and told["prompt"] in (None, "inputs", "input"):
        told["prompt"], told["context"] = "definition", told["prompt"]  # Natural Instructions
    if told["response"] is None and {"content", "reasoning_content"} <= names.keys():
        told["response"] = "content"  # an answer as servers give it
    systems = [name for name in SPELLINGS["system"] if name in names and name != told["system"]]
    return told | _contexts(names, told) | {f"more_system{number}": name for number, name in enumerate(systems)}


def _contexts(names: Mapping[str, str], told: Mapping[str, str | None]) -> dict[str, str | None]:
    """What belongs to the prompt, or to the first question of a chat, which has no `input`."""
    of_pair = [
        name for name in SPELLINGS["context"] if name in names and name not in (told["prompt"], told["response"])
    ]
    contexts = [name for name in CONTEXTS if name in names] if told["turns"] else of_pair
    first = told["context"] if told["prompt"] == "definition" and not told["turns"] else next(iter(contexts), None)
    others = [name for name in contexts if name in CONTEXTS and name != first]
    return {
        "context": first,
        "more_context": None,
        **{f"more_context{number or ''}": name for number, name in enumerate(others)},
    }


def contexts_in(fields: Mapping[str, str]) -> list[str]:
    """The fields with what belongs to the prompt."""
    return [field for meaning, field in fields.items() if meaning.startswith(("context", "more_context"))]


def systems_in(fields: Mapping[str, str]) -> list[str]:
    """The fields with a system prompt."""
    return [field for meaning, field in fields.items() if meaning.startswith(("system", "more_system"))]


def rivals(names: Mapping[str, str], told: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Beside the prompt and the response, the names of others that mean the same as plainly."""
    return {
        meaning: tuple(names[name] for name in kind if name in names and name != told[meaning])
        for meaning, kind in (("prompt", PROMPT_NAMES), ("response", RESPONSE_NAMES)) if told[meaning] in kind
    }  # fmt: skip

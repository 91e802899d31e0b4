"""Why a conversation is not tokenized. Each reason is the name of a check that every row goes through."""

REASONS = {
    "nothing_counts": "no answer of the conversation is to count",
    "supervised_mismatch": "the row's `supervised` has not one entry for each answer",
    "empty_answer": "an answer that counts has neither text nor a tool call",
    "empty_text": "a document has no text",
    "no_prompt": "an answer that counts stands before any question, so no server could ask for it",
    "misplaced_text": "a plain document stands among the turns of a conversation",
    "control_token_in_text": "a message holds the text of a control token, which would become that token",
    "template_error": "the template raises, or a message cannot be put into the form it expects",
    "dropped_system": "the text of a system turn does not show up in what the template renders",
    "dropped_turn": "the text of a user or tool turn does not show up",
    "dropped_tools": "a tool that is offered does not show up by its name",
    "dropped_tool_call": "a tool call does not show up with its name and the names of its arguments",
    "dropped_reasoning": "the reasoning of an answer that counts does not show up in it",
    "prompt_not_a_prefix": "what a server would send does not begin what the template renders with the answer",
    "derivations_disagree": "what two renderings differ in is not where marks in the texts say the answer is",
    "no_end_token": "no single control token ends the answer, so that a model could not learn to stop",
    "header_in_answer": "the prompt lacks the header of the answer's turn, so that a model would learn to write it",
    "content_changed": "the answer's text, white space at its ends aside, is not in what would be learned",
    "unknown_text": "the tokenizer has no token for a part of what would be learned",
    "double_bos": "the text begins with the beginning-of-text token twice",
    "too_long": "not even the first exchange fits in max_tokens",
}

# What the row's owner can do, where the place that refuses does not know better.
FIXES = {
    "nothing_counts": "set supervise=all, or let an answer count in `supervised`",
    "supervised_mismatch": "give one entry for each assistant turn",
    "empty_answer": "give it a text, or say false for it in `supervised`",
    "empty_text": "leave it out",
    "no_prompt": "put a question before it, or say false for it in `supervised`",
    "misplaced_text": "make it a row of its own",
    "control_token_in_text": "spell it otherwise, or choose a template that does not use it",
    "template_error": "choose a template that takes such conversations, or change the row",
    "dropped_system": "choose a template that has a place for it, or leave it out of the row",
    "dropped_turn": "choose a template that has a place for it, or leave it out of the row",
    "dropped_tools": "choose a template that writes tools, or leave them out of the row",
    "dropped_tool_call": "choose a template that writes such calls whole",
    "dropped_reasoning": "where the template reads thoughts in the text, give it there between the tags that it uses, else leave "
    "it out of the row",
    "prompt_not_a_prefix": "choose a template that writes each answer right behind the prompt that asks for it",
    "derivations_disagree": "choose a template that writes texts as they are, whatever they say",
    "no_end_token": "choose a template that ends each answer in a control token",
    "header_in_answer": "choose a template that writes it with add_generation_prompt",
    "content_changed": "choose a template that writes answers as they are",
    "unknown_text": "choose a tokenizer that falls back to bytes, or take it out of the text",
    "double_bos": "take one of them out of the template",
    "too_long": "raise max_tokens, or shorten it",
}


class Refusal(Exception):
    """This row is set aside, which is no failure: `reason` is one of REASONS, `detail` says what was found and what to do."""

    def __init__(self, reason: str, found: str, fix: str | None = None) -> None:
        self.reason = reason
        self.detail = f"{found}; {fix or FIXES[reason]}"
        super().__init__(f"{reason}: {self.detail}")

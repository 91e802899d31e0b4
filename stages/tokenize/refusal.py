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


class Refusal(Exception):
    """This row is set aside, which is no failure: `reason` is one of REASONS, `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

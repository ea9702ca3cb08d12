"""Errors of servers, read in one way from all the shapes in which servers send them.

fault = read_fault(400, {}, b'{"error": {"message": "prompt is too long", "code": "x"}}')
fault.meaning, fault.text  # "overflow", "prompt is too long"
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampleset.types import whole_characters
from sampleset.wire.statuses import Meaning, meaning_of
from sampleset.wire.values import list_of, mapping_of
from sampleset.wire.waits import wait_of

_MOST_READ = 100_000
_MOST_TEXT = 4_000
_DEEPEST = 6

# Fields in which servers wrap errors, and fields with the error's text. The first that is present counts.
_WRAPPERS = (
    "error",
    "errors",
    "detail",
    "fault",
    "base_resp",
    "response",
    "errorMessage",
    "Error",
    "promptFeedback",
    "issues",
    "cause",
    "innererror",
    "inner_error",
    "message",
    "msg",
    "data",
    "result",
    "body",
    "err",
    "exception",
    "failure",
    "meta",
)
_WORDS = (
    *("message", "msg", "detail", "error_message", "error_msg", "error_description", "status_msg"),
    *("faultstring", "Message"),
)
# The fields of an entry of a list of errors: what it speaks of, and its text.
_NAMES_OF_ENTRY = (
    *("loc", "field", "path", "property", "propertyPath", "propertyName", "attribute"),
    *("parameter", "param", "pointer", "target", "key", "name"),
    *("additionalProperty", "unevaluatedProperty"),
)
_WORDS_OF_ENTRY = ("msg", "message", "issue", "description", "reason", "detail")
_DETAILS = ("details", "fieldViolations", "violations", "invalid_params", "invalid-params", "invalidParams")
_WORDS_LAST = (
    "reason",
    "title",
    "description",
    "blockReason",
    "details",
    "info",
    "text",
)
_XML_MESSAGE = re.compile(r"<(?:Message|message|Reason|faultstring)>([^<]{1,1000})</")
_CODES = ("code", "type", "status", "reason", "error_code", "error_type", "errorCode", "blockReason")

_OVERFLOW_CODES = frozenset(
    {
        "context_length_exceeded",
        "exceed_context_size_error",
        "string_above_max_length",
        "context_window_exceeded",
        "contextwindowexceedederror",
        "prompt_too_long",
        "tokens_limit_reached",
        "request_too_large",
        "max_tokens_exceeded",
    }
)
_OVERFLOW_TEXT = re.compile(
    r"maximum context|context length|context size|context window|context limit|context_length|"
    r"maximum model length|max_model_len|max_seq_len|longer than the maximum|"
    r"(?:prompt|input|request|messages?|query|conversation)(?: text| length| tokens)? "
    r"(?:is|are|was) too (?:long|large)|"
    r"too long for|request too large|string too long|"
    r"exceeds? the (?:maximum|max|model's|available)[\w' ]{0,30}(?:tokens?|length|context)|"
    r"exceeds? (?:the )?(?:maximum|max)[\w ]{0,20}(?:number of|allowed)[\w ]{0,20}tokens|"
    r"input token count|inputs?`? tokens \+|tokens? \+ `?max_new_tokens|"
    r"reduce (?:the length of|your (?:prompt|message|input))|"
    r"must be at least 1, got -|too many (?:input |prompt )?tokens|"
    r"(?:inputs?|prompt)`?[\w ]{0,20} (?:must have|should have|has|contains) "
    r"(?:less|fewer|more|at most)[\w ]{0,10} than|"
    r"fits? (?:within |in )?the \d[\d,]* tokens?"
    r"|(?<!max_)(?<!completion )(?<!output )(?<!\w)tokens? exceeds? (?:the )?(?:limit|maximum)|"
    r"tokens? in (?:the )?(?:request|prompt|input) (?:is |are )?more than|"
    r"exceeds? (?:the )?(?:context|n_ctx)|"
    r"(?:prompt|input|request|messages?|conversation|chat|history) too (?:long|large)|"
    r"(?:prompt|input|request) exceeds? (?:the )?limit of \d|"
    r"maximum (?:prompt|input) (?:length|size)|range of (?:input|prompt) length|maxlength: \d+, actual|"
    r"input token size|too many total text bytes|"
    r"(?:prompt|inputs?|request|messages?) exceeds? (?:the )?max(?:imum)? (?:length|size|tokens?)|"
    # Something of the prompt beside a number and a larger or smaller one: wordings that are not known yet.
    r"\b(?:prompt|inputs?|messages?|text|total)\b(?:(?!completion|output|per (?:minute|day))[^\n]){0,40}"
    r"\b(?:tokens?|length|size)\b(?:(?!completion|output|per (?:minute|day))[^\n]){0,40}"
    r"(?:exceed\w*|longer than|larger than|more than|greater than|over the|above|>)[^\n\d]{0,40}\d[\d,]{2}",
    re.IGNORECASE,
)
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "invalid_prompt",
        "responsibleaipolicyviolation",
        "data_inspection_failed",
        "datainspectionfailed",
        "moderation",
        "moderation_blocked",
        "content_moderation",
        "prohibited_content",
        "sensitive_words_detected",
        "safety",
        "recitation",
        "guardrail_intervened",
    }
)
_FILTER_TEXT = re.compile(
    r"content[ _](?:filter|policy|exists risk|management policy|moderation|violat)|\bflagged\b|"
    r"requires moderation|moderation (?:failed|blocked|error|reject)|(?:usage|safety) polic|"
    r"safety (?:system|filter|setting|reason|check)|inappropriate content|prohibited content|"
    r"sensitive (?:content|words?|information)|(?:new|input|output)_sensitive|"
    r"responsible ?ai|(?:harmful|unsafe|offensive|explicit|illegal) content|\brisk control|"
    r"blocked (?:by|due to) |"
    r"violat\w+ [^.]{0,40}(?:polic|terms|guideline)|\bnsfw\b|prohibited_content|"
    r"(?:prompt|request|response|output|content|input) (?:was|is|has been) blocked|"
    r"\u654f\u611f|\u4e0d\u5b89\u5168|\u8fdd\u89c4",  # sensitive, unsafe, against the rules
    re.IGNORECASE,
)
_CREDIT_CODES = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "insufficient_user_quota",
        "insufficient_credits",
        "billing_hard_limit_reached",
        "billing_not_active",
        "payment_required",
        "quota_exceeded_error",
        "exceeded_current_quota_error",
        "arrearage",
        "budget_exceeded",
    }
)
_CREDIT_TEXT = re.compile(
    r"insufficient (?:account )?(?:balance|credits?|funds|quota)|balance (?:is )?insufficient|"
    r"exceeded your (?:monthly |daily )?(?:included )?credits?|credit balance is too low|"
    r"exceeded your current quota|billing hard limit|out of credits|no credits|payment required|"
    r"check your plan and billing|spend(?:ing)? (?:limit|cap)|budget (?:has been |was |is )?exceeded|"
    r"top up|recharge|add (?:more )?(?:credits|funds)|"
    r"balance (?:is |has been )?(?:exhausted|empty|not enough)|in arrears|arrearage|overdue|"
    r"account (?:is |has been |was )?suspended|"
    r"\u6b20\u8d39|\u5145\u503c|\u4f59\u989d\u4e0d\u8db3",  # in arrears, top up, balance too low
    re.IGNORECASE,
)
_KEY_CODES = frozenset({"invalid_api_key", "api_key_invalid", "authentication_error", "unauthenticated"})
_KEY_TEXT = re.compile(
    r"(?:invalid|incorrect|wrong|expired|missing|no) (?:x-)?api[ -]?key|"
    r"api[ -]?key (?:is )?(?:not valid|invalid|not found|expired|missing)",
    re.IGNORECASE,
)
_MODEL_CODES = frozenset({"model_not_found", "model_not_exist", "invalid_model", "modelnotfound"})
_MODEL_TEXT = re.compile(
    r"is not a valid model|model [^.]{0,80}(?:does not exist|not found|is not available)|no such model",
    re.IGNORECASE,
)
_LIMIT_CODES = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "throttlingexception", "throttling", "overloaded_error"}
)
_LIMIT_TEXT = re.compile(
    r"rate[ -]?limit|too many (?:concurrent )?requests|throttl|\boverload(?:ed)?\b|"
    r"(?:over|at|out of) capacity|(?:server|service|engine|model) is (?:too |currently |very )*busy",
    re.IGNORECASE,
)
_LOADING_TEXT = re.compile(
    r"\bloading\b|is starting|starting up|warming up|not ready|still being loaded|cold start|scaling up|"
    r"scaled to zero|initiali[sz]ing|waking up|booting|no (?:ready |healthy |available )?replicas",
    re.IGNORECASE,
)
_LOADING_MODEL = re.compile(r"\bmodel\b[^.\n]{0,80}\bis (?:currently |still )?(?:being loaded|loading)", re.I)
_ACCESS = r"\bkey\b|permission|scope|authori[sz]|credential|access|region|country|subscription|\bplan\b|token"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of a server.

    Attributes:
        status: Status of the reply. For an error inside a success: the status that it names, else 200.
        meaning: The kind of error.
        text: The server's message, without the code.
        codes: Codes and types of the error, in small letters.
        param: The request field that the server calls wrong.
        retry_after: Seconds that the server asks to wait, `None` if it names none.
        reply: `damaged reply`, `empty reply`, `broken reply` or `no completion` if a success held no usable
            completion, else `None`.
    """

    status: int
    meaning: Meaning
    text: str
    codes: frozenset[str] = frozenset()
    param: str | None = None
    retry_after: float | None = None
    reply: str | None = None

    @property
    def kind(self) -> str:
        """The kind of error in a few words, for metrics and clients. Contains no text of the server."""
        if self.meaning == "overflow":
            return "context exceeded"
        if self.meaning == "filtered":
            return "content filter"
        return self.reply or f"status {self.status}"


def read_fault(status: int, headers: Mapping[str, str], raw: bytes | bytearray) -> Fault:
    """The error in a reply that is no success."""
    text = raw[:_MOST_READ].decode("utf-8", "replace")
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    return fault_in(body, status, headers, text)


def fault_in(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, raw: str = ""
) -> Fault:
    """The error in a body.

    Args:
        body: The body, decoded from JSON, or a text.
        status: Status of the reply; 200 for an error inside a success.
        headers: Headers of the reply.
        raw: The body as text, searched for the time to wait.
    """
    reading = _Reading()
    words = whole_characters(reading.words(body, 0))[:_MOST_TEXT]
    if status == 200:
        status = next((code for code in reading.numbers if 400 <= code <= 599), 200)
    wait = wait_of(headers or {}, raw[:_MOST_READ] or words, limited=meaning_of(status) == "limited")
    codes = frozenset(reading.codes)
    meaning = _meaning(status, words, codes, wait)
    return Fault(status, meaning, words, codes, reading.param, wait)


def _meaning(status: int, text: str, codes: frozenset[str], wait: float | None) -> Meaning:
    """The meaning of an error: by its codes, else by its text, else by its status."""
    by_status = "passing" if status == 200 else meaning_of(status)
    if codes & _CREDIT_CODES or (status in (400, 403, 429) and not wait and _CREDIT_TEXT.search(text)):
        return "credit"
    may_be_overflow = status in (200, 400, 413, 422, 429, 500)
    if may_be_overflow and codes & _OVERFLOW_CODES:
        return "overflow"
    # Messages about a limit of tokens per minute often mention the context length.
    if may_be_overflow and _OVERFLOW_TEXT.search(text) and (status != 429 or "too large" in text.lower()):
        return "overflow"
    if status in (200, 400, 403, 422, 500, 502, 503) and (codes & _LIMIT_CODES or _LIMIT_TEXT.search(text)):
        return "limited"
    if status in (200, 400, 403, 422):
        if codes & _FILTER_CODES or _FILTER_TEXT.search(text):
            return "filtered"
        if codes & _KEY_CODES or (status in (400, 403) and _KEY_TEXT.search(text)):
            return "key"
    if codes & _MODEL_CODES or (status in (400, 404) and _MODEL_TEXT.search(text)):
        return "unknown"
    if status in (200, 425, 500, 503) and _LOADING_TEXT.search(text):
        return "loading"
    if status in (400, 409) and _LOADING_MODEL.search(text):
        return "loading"
    if status == 503 and wait:
        return "limited"
    return by_status


class _Reading:
    """Collects codes, statuses and the named parameter while an error's wrappings are opened."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.numbers: list[int] = []
        self.param: str | None = None

    def words(self, value: object, depth: int) -> str:
        """The text of an error value; empty if it has none."""
        if depth > _DEEPEST:
            return ""
        if isinstance(value, str):
            return self._text(value, depth)
        if entries := list_of(value):
            return "; ".join(filter(None, (self._entry(entry, depth) for entry in entries[:20])))
        fields = mapping_of(value)
        self._note(fields)
        wrappers = [name for name in _WRAPPERS if _wraps(name, fields.get(name))]
        texts = {name: self.words(fields[name], depth + 1) for name in wrappers}
        # An error that is a text beside a message in parts is only its title.
        parts = [name for name, text in texts.items() if text and not isinstance(fields[name], str)]
        inner = next((texts[name] for name in (*parts, *texts) if texts[name]), "") or self._by_field(fields)
        # A router adds its provider's error under `metadata`.
        provider = mapping_of(fields.get("metadata")).get("raw")
        inner = inner or (self._text(provider, depth) if isinstance(provider, str) else "")
        inner = inner or "; ".join(
            filter(None, (self._details(fields.get(name), depth + 1) for name in _DETAILS))
        )
        is_title = not parts and any(texts.values())
        for name in (*_WORDS, *(_WORDS_LAST if is_title or not inner else ())):
            if isinstance(fields.get(name), str) and (text := self._text(fields[name], depth)):
                return text if not inner or inner == text else f"{text}: {inner}"
        return inner

    def _by_field(self, fields: Mapping[str, Any]) -> str:
        """The text of errors listed by field: `{"seed": ["Unknown field."]}`."""
        errors = mapping_of(fields.get("errors"))
        fields = {**fields, **{name: [text] for name, text in errors.items() if isinstance(text, str)}}
        lists = {name: value for name, value in fields.items() if list_of(value)}
        texts = {name: [text for text in value if isinstance(text, str)] for name, value in lists.items()}
        if name := next((name for name in texts if texts[name]), None):
            self._note({"param": name})
        return "; ".join(f"{name}: {' '.join(texts[name][:20])}" for name in list(texts)[:20] if texts[name])

    def _details(self, value: object, depth: int) -> str:
        """The text of details that name a field; others would only lengthen a message."""
        if depth > _DEEPEST:
            return ""
        if fields := mapping_of(value):
            return self._of_field(fields)
        entries = list(map(mapping_of, list_of(value)[:20]))
        inner = (self._details(entry.get(name), depth + 1) for entry in entries for name in _DETAILS)
        return "; ".join(filter(None, (*map(self._of_field, entries), *inner)))

    def _of_field(self, fields: Mapping[str, Any]) -> str:
        """An entry's text with the field that it names; empty if it names none."""
        fields = {**mapping_of(fields.get("params")), **fields}  # of validators of JSON schemas
        texts = (fields.get(name) for name in _WORDS_OF_ENTRY)
        text = next((text for text in texts if isinstance(text, str) and text), None)
        where = next((fields[name] for name in _NAMES_OF_ENTRY if fields.get(name)), None)
        path = list_of(where) or [where]
        if text is None or not isinstance(path[-1], (str, int)):
            return ""
        # A validation error quotes the request, which names every field. Only location and message count.
        self._note({"type": fields.get("type"), "param": str(path[-1])})
        return f"{where}: {text}"

    def _text(self, value: str, depth: int) -> str:
        """The text; if it is JSON, the text of the error in it."""
        text = value.strip()
        if text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
            try:
                return self.words(json.loads(text), depth + 1) or text
            except (ValueError, RecursionError):
                return text
        message = _XML_MESSAGE.search(text) if text.startswith("<") else None
        return message[1].strip() if message else text

    def _entry(self, entry: object, depth: int) -> str:
        return self._of_field(mapping_of(entry)) or self.words(entry, depth + 1)

    def _note(self, fields: Mapping[str, Any]) -> None:
        for name in _CODES:
            code = fields.get(name)
            if isinstance(code, int) and not isinstance(code, bool):
                self.numbers.append(code)
            elif isinstance(code, str) and code.isdigit() and len(code) < 6:
                self.numbers.append(int(code))
            elif isinstance(code, str):
                self.codes.append(code[:100].lower())
        param = fields.get("param") or fields.get("field") or fields.get("target")
        param = next(iter(list_of(param)), param)
        if self.param is None and isinstance(param, str) and param:
            self.param = param


def _wraps(name: str, value: object) -> bool:
    """Whether a field may hold an error within. A message that is a text is read as one."""
    kinds = (list, dict) if name in ("message", "msg", "data", "result", "body") else (str, list, dict)
    return bool(value) and isinstance(value, kinds)


def about_access(text: str) -> bool:
    """Whether a server's message is about the rights of a key, not about a prompt; true if it is empty."""
    return re.search(_ACCESS, text, re.IGNORECASE) is not None or not text

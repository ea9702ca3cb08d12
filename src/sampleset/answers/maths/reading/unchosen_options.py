"""Options that a text names but does not choose: ruled out, supposed, or left open beside another."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.languages import FOREIGN_IS, FOREIGN_NOT, FOREIGN_THE, FOREIGN_WRONG
from sampleset.answers.maths.reading.option_lists import NOUN

_WEIGHED = (
    r"(?:be|been|is|are|was|it|it is|it['’]s|that|this|the|to|as|for|with|on|my|our|correct answer"
    r"|right answer|best answer|answer|options?|choices?|either|of|any|say|think|thinking|believe|guess"
    r"|expect|suspect|vote|bet|go|going|pick\w*|choos\w+|chose|chosen|select\w*|opt\w*|prefer|mark|recommend"
    r"|suggest\w*|indicate\w*|imply|support\w*|favou?r|point|lead|match|fit|agree)"
)
_RULED_OUT = lazy_pattern(
    r"(?:\bnot|n['’]t|\bnever|\bcannot|\brules? out|\bruling out|\beliminat\w+|\bexclud\w+|\brejec\w+"
    r"|\bneither|\bnor|\bunlike|\brather than|\binstead of"
    # "The incorrect option is B" answers what was asked.
    r"|\b(?:incorrect|wrong)(?! (?:option|choice) is )|\bwhether|\bif"
    r"|\banything (?:but|except)|(?<!no )\bdoubt|\bavoid\w*|不选|不是|不應選|不应选|不能选)"
    rf"\s*(?:{_WEIGHED}\s){{0,7}}[(\[]?$"
    r"|(?<!correct )(?<!right )(?<!best )\b(?:options|choices) are:?\s[(\[]?$"
    rf"|(?<!\w)(?:{FOREIGN_NOT})\s(?:(?:{FOREIGN_THE}) )?\(?$|\b(?:whether|if) (?:(?:option "
    rf"|choice )?\(?[A-Z]\)?,? )+or (?:option |choice )?\(?$|\b(?:(?:none of|neither|both"
    rf"|either)(?: (?:the )?{NOUN}:?)?|between|among)\s"
    r"(?:(?:option |choice )?\(?[A-Z]\)?(?:\s?[,–-]|,?\s(?:or|nor))\s?){0,9}"
    r"(?:(?:option |choice )?\(?[A-Z]\)?,?\sand\s?)?(?:option |choice )?\(?$",
    re.IGNORECASE,
)
"""What stands before an option that is not chosen: "I would not go with"."""
_SUPPOSED = lazy_pattern(
    r"(?:^|[,;:—] |\b(?:and|but|so|now|to|let us|let['’]?s|let me|we|can|should|I) )"
    r"(?:(?:suppos\w+|assum\w+|consider\w*)(?: that)?|examin\w+|check\w*|test\w*|evaluat\w+|analy[sz]\w+"
    r"|inspect\w*|verify|look(?:ing)? at|start(?:ing)? with|begin(?:ning)? with|mov(?:e|ing)(?: on)? to"
    rf"|turn(?:ing)? to|try|as for|what about|regarding|were)\s(?:(?:the|we|out|now|next|first|second|third"
    rf"|last|pick|choose|{NOUN})\s){{0,4}}[(\[]?$|(?:^|[,;:—] |\b(?:and|but|so|even|only) )(?:if|when|unless"
    r"|in case)\b(?:(?! then | so | the answer )[^,;:]){0,40}[(\[]?$"
    r"|\bneed[^.;\n]{1,40} to (?:pick|choose|select|say|decide on|justify)\s(?:option )?[(\[]?$"
    r"|\b(?:check|consider|examine|evaluate|analy[sz]e|test|look at|go through)\b[^.;\n]{1,70}"
    r",? (?:and )?(?:then|finally|next|lastly),? (?:option |choice )?[(\[]?$"
    r"|^(?:now|next|first(?:ly)?|second(?:ly)?|third(?:ly)?|fourth(?:ly)?),? (?:we have |comes )?(?:the )?"
    r"(?:option |choice |statement )?[(\[]?$",
    re.IGNORECASE,
)
"""What stands before an option that the text looks at, or what would follow if it were right."""
_WRONG_AFTER = lazy_pattern(
    r"[)\]]{0,2}\s+(?:is|are|was|seems|looks|must be|would be|cannot be|can['’]t be|can be|could be)\s*"
    r"(?:(?:also|clearly|definitely|therefore|thus|obviously|simply|the|an?)\s){0,2}"
    r"(?:n['’]t|not\b|never\b|wrong|incorrect|false|invalid|out\b|impossible|ruled|eliminated|excluded"
    r"|discarded|dismissed|rejected|unlikely|implausible|too\b|(?:common )?(?:distractor|trap))"
    r"(?![^.,;\n]{0,40}, (?:so|and) (?:it|that|this) is (?:the|our|my)\b)"
    rf"|[)\]]{{0,2}}\s(?:{FOREIGN_IS})\s(?:{FOREIGN_WRONG})(?!\w)|\s(?:{FOREIGN_NOT})\s|\s?(?:错误|不正确"
    rf"|不对|は(?:誤り|間違い|正しくない)|[은는] (?:틀|오답))",
    re.IGNORECASE,
)
_EXCEPTED = lazy_pattern(
    r"\b(?:all|every\w*|any\w*)\b[^,;]{0,30} (?:but|except(?: for)?|other than) (?:option |choice )?\(?$",
    re.IGNORECASE,
)
_JOINER = r"(?:or|and|and/or|nor|as well as|along with|together with|oder|ou|und|et|y|o|e|или|и|或|和|&|/|\+)"
_OPEN = lazy_pattern(
    rf"[)\]]{{0,2}},?\s+{_JOINER}\s+(?:(?:maybe|perhaps|possibly|it (?:might|may|could|can) be|even) )?"
    r"(?:option |choice |answer )?[(\[]?(?-i:[A-Z])(?![\w'’])"
    r"|[)\]]{0,2}\s?[/&+]\s?\(?(?-i:[A-Z])(?![\w'’])|[)\]]{0,2}(?:\s+(?:is|seems|looks))?\s*,\s*(?:(?:maybe"
    r"|perhaps|possibly) )?[(\[]?(?-i:[A-Z])[)\]]?\s*(?:$|[.,;!]|and\b|or\b|are\b|both\b)",
    re.IGNORECASE,
)
_OPENED = lazy_pattern(
    r"(?<![\w'’.])(?-i:[A-Z])\)?\s(?:and/or|or|and|as well as|oder|ou|und)\s(?:option |choice )?\(?$"
    r"|(?<![\w'’])(?-i:[A-Z])\)?\s?[/&+]\s?\(?$|\((?-i:[A-Z])\),? \(?$"
    r"|(?<![\w'’])(?-i:[A-Z])\)?, \(?(?-i:[A-Z])\)?,? (?:and|or) (?:option |choice )?\(?$"
    r"|\((?-i:[A-Z])\) [a-z][^.;()\n]{1,80},? or \(?$"
    r"|(?<![\w'’])(?-i:[A-Z])\)?,? or (?:it )?(?:might|may|could|can) (?:also )?be (?:option |choice )?\(?$",
    re.IGNORECASE,
)
"""Another option before it, or one after it, that the text leaves open beside it."""


def is_ruled_out(text: str, begin: int, end: int) -> bool:
    """Whether a text names an option, between these places, as wrong, or only supposes or examines it."""
    before = text[max(0, begin - 80) : begin]
    if _RULED_OUT.search(before) or _SUPPOSED.search(before):
        return True
    return bool(_WRONG_AFTER.match(text, end)) and not _EXCEPTED.search(before)


def is_open(text: str, begin: int, end: int) -> bool:
    """Whether a text names another option beside the one between these places."""
    return bool(_OPEN.match(text, end) or _OPENED.search(text[max(0, begin - 120) : begin]))

"""LaTeX in one spelling: without styles, spaces and rare commands, with one command for each sign."""

from __future__ import annotations

import re

from sampleset.answers.maths.numbers.unit_spelling import with_plain_units
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import without_delimiters
from sampleset.answers.maths.spelling.characters import CHARACTERS, without_styles

_ROMAN = (
    "text|mbox|textbf|textit|textrm|textsf|textsc|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mathtt|mathnormal"
    "|operatorname|emph|hbox|boldsymbol|bold|pmb|bm|underline|uline|uuline|ensuremath|rm|bf|it|sf|tt|mathstrut"
    "|mathcal|mathfrak|textup|textmd|textsl|mathbin|mathord|mathrel|mathop|mathpunct|smash|underbrace|overbrace"
)
FUNCTION_NAMES = (
    "sqrt|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|arccot|sinh|cosh|tanh|log|ln|exp|floor|ceil"
)
NAMES_OF_SEVERAL = "gcd|lcm|max|min"


def _run_together(match: re.Match[str]) -> str:
    return match[0].replace("{,}", "")


def _combinations(match: re.Match[str]) -> str:
    """`C_9^4` and `C^4_9` as a binomial coefficient, where the lower number is no smaller."""
    below, above = (match[1], match[2]) if match[1] else (match[4], match[3])
    return rf"\binom{{{below}}}{{{above}}}" if int(below) >= int(above) else match[0]


def _si_unit(match: re.Match[str]) -> str:
    r"""A quantity of siunitx in a text command: of `\SI{5}{\meter\per\second}`, `5 \mathrm{meter/second}`."""
    unit = match[2] or match[3]
    unit = unit.replace(r"\per", "/").replace("\\", " ")
    return rf"{match[1] or ''} \mathrm{{{unit}}}"


# What a text must hold for a pattern to match, the pattern, and what replaces a match.
_SUBSTITUTIONS = tuple(
    (needle, lazy_pattern(pattern), replacement)
    for needle, pattern, replacement in (
        ("\\", r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle"
         r"|scriptscriptstyle|limits|mathstrut|strut|nonumber|large|Large|LARGE|huge|Huge|small|normalsize|tiny"
         r"|scriptsize|footnotesize|centering|noindent|hfill?|notag|bigstar|mathlarger|mathopen|mathclose"
         r"|blacksquare|blacktriangle|checkmark|square|Box|qed)"
         r"(?![A-Za-z])\.?", ""),
        ("\\", r"\\!|\\[hv]?phantom\{[^{}]*\}|\\(?:tag|label)\*?\{(?:[^{}]|\{[^{}]*\})*\}|(?:\\\\)+ ?$", ""),
        ("\\", r"\\(?:text|page)?color ?(?:\[[^\[\]]*\])? ?\{[^{}]*\}|\\colorbox ?\{[^{}]*\}"
         r"|\\raisebox ?\{[^{}]*\}|\\fcolorbox ?\{[^{}]*\} ?\{[^{}]*\}", ""),
        ("script", r"\\textsuperscript(?= ?\{)", "^"),
        ("script", r"\\textsubscript(?= ?\{)", "_"),
        ("\\", r"([\^_]) ?\\(?:text|textrm|textnormal|mathrm|mathit|rm|mbox)(?= ?\{)", r"\1"),
        ("_", r"_ ?(?:\{ ?\\(max|min|sup|inf) ?\}|\\(max|min|sup|inf)(?![A-Za-z]))", r"_{\1\2}"),
        ("\\math", r"\\math(?:bf|rm|it|sf) (?=[0-9A-Za-z])", ""),
        ("bb", r"\\(?:Bbb|mathbb) ?(?:\{ ?([A-Z]) ?\}|([A-Z])(?![A-Za-z]))",
         r"\\mathbb{\1\2}"),
        ("R", r"(?:\\mathbb\{R\}|(?<![\\A-Za-z{])R) ?\\ ?\{([^{}\\]{1,80})\}",
         r"\\mathbb{R} \\setminus \\{\1\\}"),
        ("<sup", r"<sup>([^<>]{1,40})</sup>", r"^{\1}"),
        ("<sub", r"<sub>([^<>]{1,40})</sub>", r"_{\1}"),
        ("&", r"&(?:amp;)?(lt|gt|le|ge|ne);", r"\\\1 "),
        ("answer>", r"</?answer>", ""),
        ("</", r"</?(?:b|i|u|em|strong|mark|span|div|p|center)(?: [^<>]{0,80})?>", ""),
        ("num", r"\\num ?\{([^{}]{1,40})\}", r"\1"),
        ("\\", r"\\([RZNQ])(?![A-Za-z])", r"\\mathbb{\1}"),
        ("U", r"(?<=[)\]]) ?U ?(?=[(\[])", r"\\cup "),
        (":=", r":=", "="),
        ("backslash", r"\\backslash(?![A-Za-z])", r"\\setminus "),
        ("mathbb", r"(?<=\}) ?- ?(?=\\mathbb ?\{)", r" \\setminus "),
        ("\\", r"\\(vec|bar|tilde|overline|widehat) ([A-Za-z])(?![A-Za-z])", r"\\\1{\2}"),
        ("overrightarrow", r"\\overrightarrow(?![A-Za-z])", r"\\vec"),
        ("surd", r"\\surd(?![A-Za-z])", r"\\sqrt "),
        ("AA", r"\\AA(?![A-Za-z])", " angstrom"),
        ("ring", r"\\mathring ?\{ ?A ?\}", " angstrom"),
        ("upmu", r"\\upmu(?![A-Za-z])", r"\\mu "),
        ("\\", r"\\(?:SI|qty) ?\{([^{}]{1,40})\} ?\{([^{}]{1,60})\}"
         r"|\\(?:si|unit) ?\{([^{}]{1,60})\}", _si_unit),
        ("slash", r"\\slash(?![A-Za-z])", "/"),
        ("bbox", r"\\bbox ?(?:\[[^\[\]]*\])?(?= ?\{)", ""),
        ("\\", r"\\(?:enclose|class|style|cssId) ?\{[^{}]*\}(?= ?\{)", ""),
        ("_{", r"^\^\{(\d{1,9})\} ?/ ?_\{(\d{1,9})\}$", r"\1/\2"),
        ("\\begin", r"\\(?:begin|end) ?\{(?:equation\*?|displaymath|math|center)\}", ""),
        ("\\begin", r"^\\\{ ?\\begin ?\{(array|aligned|matrix|cases|gathered)\} ?(?:\{[lcr| ]*\})?([^{}]*)"
         r"\\end ?\{\1\} ?\.?$", r"\\begin{aligned}\2\\end{aligned}"),
        ("split", r"\{split\}", "{aligned}"),
        ("matrix*", r"\\begin ?\{([pbB]?matrix)\*\}(?: ?\[[lcr]\])?(.{0,400}?)\\end ?\{\1\*\}",
         r"\\begin{\1}\2\\end{\1}"),
        ("NiceMatrix", r"\{([pbB])NiceMatrix\}", r"{\1matrix}"),
        ("matrix{", r"\\([pbvBV]?matrix)\{([^{}]*)\}(?![\w}])", r"\\begin{\1}\2\\end{\1}"),
        ("{,}", r"(?<![\d}])([1-9]\d{0,2})((?:\{,\}\d{3})+)(?![\d{])",
         _run_together),
        ("{,}", r"(?<![\d}.])(\d{1,30})\{,\}(\d{1,30})(?![\d{.])", r"\1.\2"),
        ("{,}", r" ?(?:\\(?:text|mathord|mathpunct))?\{,\} ?", ","),
        ("{:}", r"(?:\\text ?)?\{:\}", ":"),
        ("~", r" ~ ?(?=-?\d*\.\d)", r" \\approx "),
        ("\\", r"(?<=\d)(?:\\[,;:]|\\thinspace(?![A-Za-z])|\{ ?\\[,;:] ?\}) ?(?=\d{3}(?!\d))", ""),
        ("", r"(?<!\\)\\[,;: ]|\\(?:q?quad|enspace|enskip|thinspace|medspace|thickspace)(?![A-Za-z])|~"
         r"|\\newline|\\hspace\*?\{[^{}]*\}|\\hskip ?-?[\d.]+ ?(?:em|ex|pt|cm|mm|mu)", " "),
        ("\\", r"\{ ?\\(?:overline|bar) ?(\d) ?\}|\\(?:overline|bar) ?(\d)(?!\d)",
         r"\\overline{\1\2}"),
        ("{}", r"\{\}[_^] ?\{? ?(\d{1,3}) ?\}? ?C ?_ ?\{? ?(\d{1,3}) ?\}?", r"\\binom{\1}{\2}"),
        ("{C}", r"\\(?:mathrm|text|rm) ?\{C\}(?= ?[_^])", "C"),
        ("C", r"^[_^] ?\{? ?(\d{1,3}) ?\}? ?C ?_ ?\{? ?(\d{1,3}) ?\}?$", r"\\binom{\1}{\2}"),
        ("C", r"(?<![\\A-Za-z])C_ ?\{? ?(\d{1,3}) ?\}? ?\^ ?\{? ?(\d{1,3}) ?\}?(?![\w}])"
         r"|(?<![\\A-Za-z])C\^ ?\{? ?(\d{1,3}) ?\}? ?_ ?\{? ?(\d{1,3}) ?\}?(?![\w}])", _combinations),
        ("\\Pr", r"\\Pr(?![A-Za-z])", "P"),
        ("eq", r"\\(?:simeq|doteq|approxeq)(?![A-Za-z])", r"\\approx "),
        ("equiv", r"(?<=[a-z]\([a-z]\)) ?\\equiv(?![A-Za-z])(?!.{0,80}mod)", " ="),
        ("nexists", r"\\nexists(?![A-Za-z])", " does not exist "),
        ("bar", r"\\bar(?= ?\{ ?[A-Za-z] ?\})", r"\\overline"),
        ("\\cr", r"\\cr(?![A-Za-z])", r"\\\\"),
        ("cdots", r"(?<=\d) ?\\cdots ?$", "..."),
        ("imath", r"\\imath(?![A-Za-z])(?! ?\})", "i"),
        ("\\", r"(?<!\\)\\([%$#&_])", r"\1"),
        ("{\\overline", r"\{ ?(\\overline ?\{ ?\d{1,20} ?\}) ?\}", r"\1"),
        ("binom", r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        ("frac", r"\\(?:[dtcsx]|nice|flat)frac(?![A-Za-z])", r"\\frac"),
        ("choose", r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        ("operatorname", rf"\\operatorname\*? ?\{{ ?({FUNCTION_NAMES}|{NAMES_OF_SEVERAL}) ?\}}", r"\\\1 "),
        ("\\{", rf"\\({NAMES_OF_SEVERAL}) ?\\\{{([^{{}}|:]*)\\\}}", r"\\\1(\2)"),
        ("tg", r"\\(arcc|arc|c)?tg(?![A-Za-z])", r"\1tg "),
        ("==", r"==", "="),
        ("", r"\\(?:leqslant|leqq|leq|ngtr)(?![A-Za-z])|\\not ?>|<=|=<", r"\\le "),
        ("", r"\\(?:geqslant|geqq|geq|nless)(?![A-Za-z])|\\not ?<|>=", r"\\ge "),
        ("\\lt", r"\\lt(?![A-Za-z])", "<"),
        ("\\gt", r"\\gt(?![A-Za-z])", ">"),
        ("", r"\\neq(?![A-Za-z])|\\not ?=|!=", r"\\ne "),
        ("bigcup", r"\\bigcup(?![A-Za-z])", r"\\cup "),
        ("l", r"\\lbrack(?![A-Za-z])", "["),
        ("r", r"\\rbrack(?![A-Za-z])", "]"),
        ("l", r"\\lparen(?![A-Za-z])", "("),
        ("r", r"\\rparen(?![A-Za-z])", ")"),
        ("lbrace", r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        ("rbrace", r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        ("vert", r"\\(?:l?vert|rvert)(?![A-Za-z])", "|"),
        ("colon", r"\\colon(?![A-Za-z])", ":"),
        ("\\div", r"\\div(?![A-Za-z])", "/"),
        ("\\", r"\\(?:varnothing|emptyset)(?![A-Za-z])", r"\\emptyset "),
        ("\\var", r"\\var(epsilon|phi|theta|rho|sigma|kappa|pi)(?![A-Za-z])", r"\\\1"),
        ("", r"^ ?(?:\\(?:therefore|Rightarrow|rightarrow|implies|Longrightarrow|to|iff)(?![A-Za-z])"
         r"|∴|⇒|=>|->|→) ?", ""),
        ("=>", r"=>", r"\\ge "),
        ("\\if", r"\\iff?(?![A-Za-z])", " "),
        ("\\", r"(?<!\{)(?<!\{ )\\(?:rm|bf|it|sf|tt)(?![A-Za-z])(?! ?\{)", " "),
        ("\\lg", r"\\lg(?![A-Za-z])", r"\\log_{10}"),
        ("\\", r"\^\s?(?:\{\s?\\(?:circ|degree)\s?\}|\\(?:circ|degree)(?![A-Za-z]))|\\degree(?![A-Za-z])",
         " degrees "),
        ("", r"\\l?dots(?![A-Za-z])|…", "..."),
        ("(", r"(?<![\w.])(\d+\.\d*)\((\d{1,9})\)(?![\w(^])", r"\1\\overline{\2}"),
        ("", r"(?:<\|[a-z_]{2,20}\|>|</s>|\[/?INST\]|(?<=\S)\s#+"
         r"|(?<=\S)\s?[\u2600-\u265f\u2668-\u27bf\U0001f300-\U0001faff]+)\s*$", ""),
    )
)  # fmt: skip
_ROW_SKIP = lazy_pattern(r"\\\\ ?\[ ?-?[\d.]{1,8} ?(?:pt|em|ex|mm|cm|px) ?\]")
_OVERLINED = lazy_pattern(r"((?:\d[\u0304\u0305])+)")
_DOT_ABOVE = lazy_pattern(
    r"(\d)\u0307|\\(?:overset|stackrel) ?\{ ?(?:\\cdot|\\bullet|\.) ?\} ?\{?(\d)\}?|\\mathring ?\{(\d)\}"
)
_DOTTED = lazy_pattern(r"(?<=[\d.])\\dot ?\{?(\d)\}?(?: ?([\d ]{0,40})\\dot ?\{?(\d)\}?)?")
_DOUBLED = lazy_pattern(r"\\\\(?=[A-Za-z,;!{}%$]| \\\\[A-Za-z])")
_DOUBLED_BEGIN = lazy_pattern(r"(?<!\\)\\\\begin")
_LOOSE_HAT = lazy_pattern(r"\\(?:hat|vec|mathbf|bm|boldsymbol)(?: ?\\| )([ijk])(?:math)?(?![A-Za-z])")
_KILOHM = lazy_pattern(r"\\(?:mathrm|text|rm) ?\{ ?([kMGm]) ?\}(?: |~|\\[,;! ])*\\Omega(?![A-Za-z])")
_HATTED = lazy_pattern(
    r"\\(mathbf|boldsymbol|bm|vec|hat|mathrm)\s?\{\s*(?:\\(?:hat"
    r"|mathbf)(?:\s?\{|\s))?\s*\\?([ijk])(?:math)?\s*\}?\s*\}"
)
_TEXT = lazy_pattern(rf"\\(?:{_ROMAN})\*?\s?\{{((?:[^{{}}]|\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}})*)\}}")
_SWITCH = lazy_pattern(r"\{\s*\\(?:rm|bf|it|sf|tt|bfseries|itshape)(?![A-Za-z])\s*([^{}]*)\}")
_LOOSE_SWITCH = lazy_pattern(r"(?<!\\)\\(?:rm|bf|it|sf|tt)(?![A-Za-z])")
_DOT_OF_UNITS = lazy_pattern(r"(?<=[A-Za-z]) ?\\cdot ?(?=[A-Za-z])")
_OR = lazy_pattern(r"\\(?:lor|vee)(?![A-Za-z])")
_AND = lazy_pattern(r"\\(?:land|wedge)(?![A-Za-z])")
_COMPARED = lazy_pattern(r"[=<>]|\\(?:le|ge|ne)(?![A-Za-z])")


def plain_latex(text: str) -> tuple[str, bool]:
    """The text without Unicode, styles and rare commands, and whether it held units in a text command."""
    if not text.isascii():
        text = without_styles(text)
    if r"\\" in text:
        text = _ROW_SKIP.sub(r"\\\\", text)
    text = without_delimiters(text.translate(CHARACTERS))
    if _DOUBLED_BEGIN.search(text):
        text = text.replace("\\\\", "\\")
    elif "&" not in text and r"\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = _LOOSE_HAT.sub(r"\\hat{\1}", text)
    text = _KILOHM.sub(r"\1\\Omega", text)
    hats = {match.groups() for match in _HATTED.finditer(text)}
    # The one letter `i` beside a number, in roman or bold, is the imaginary unit.
    imaginary = hats in ({("mathrm", "i")}, {("mathbf", "i")}) and re.search(r"\d ?[+-]", text)
    text = _HATTED.sub(r" \2 " if imaginary else r"\\hat\2 ", text)
    text = _DOT_ABOVE.sub(lambda match: rf"\dot{{{match[1] or match[2] or match[3]}}}", text)
    text = _DOTTED.sub(
        lambda match: rf"\overline{{{''.join(filter(None, match.groups())).replace(' ', '')}}}", text
    )
    text = _OVERLINED.sub(lambda match: rf"\overline{{{match[1][::2]}}}", text)
    for needle, pattern, replacement in _SUBSTITUTIONS:
        if needle in text:
            text = pattern.sub(replacement, text)
    text, roman = with_plain_units(text)
    text = text.replace(r"\mathbb", r"\Mathbb")
    for _ in range(3):
        if "{" not in text:
            break
        text = _SWITCH.sub(r" \1 ", _TEXT.sub(_without_command, text))
    text = _LOOSE_SWITCH.sub(" ", text.replace(r"\Mathbb", r"\mathbb"))
    return _AND.sub(" and ", _OR.sub(" or ", text)) if _COMPARED.search(text) else text, roman


def _without_command(match: re.Match[str]) -> str:
    return f" {_DOT_OF_UNITS.sub(' ', match[1])} "

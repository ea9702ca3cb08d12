"""One spelling for the many ways to write the same thing: Unicode, LaTeX noise, braces.

`respell` is pure and linear: a fixed number of passes, each a linear regex or one scan.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.units import UNIT_LETTERS, read_unit

MAX_DEPTH = 40
"""Braces and parentheses nested deeper than this are not read."""

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ϑ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu",
    "ν": "nu", "ξ": "xi", "ρ": "rho", "ϱ": "rho", "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon",
    "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta",
    "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "ℓ": "ell",
    "ℏ": "hbar",
}  # fmt: skip
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
    "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
    "⅑": "1/9", "⅒": "1/10", "↉": "0/3",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵏᵐᵗ", "0123456789+-()nixykmt", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢⱼₖₘₐₑₓ", "0123456789+-()nijkmaex", strict=True))
_SCRIPTS = lazy_pattern(f"([{''.join(_RAISED)}]+)(?:⁄([{''.join(_LOWERED)}]+))?|([{''.join(_LOWERED)}]+)")
_SETS = {"ℝ": "R", "ℤ": "Z", "ℕ": "N", "ℚ": "Q", "ℂ": "C"}
_CIRCLED = {chr(0x2460 + number): str(number + 1) for number in range(20)}
_CHARACTERS = str.maketrans(
    {
        **{chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
        **dict.fromkeys("−–‐‑﹣-", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u202f\u3000\x00", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\ufe0f✅✓✔■□∎。", ""),
        **{sign: f" {ratio}" for sign, ratio in _FRACTIONS.items()},
        **{sign: f"\\{name} " for sign, name in _GREEK.items()},
        **{sign: f"\\mathbb{{{name}}}" for sign, name in _SETS.items()},
        **{sign: f"\\textcircled{{{number}}}" for sign, number in _CIRCLED.items()},
        "π": r"\pi ", "∞": r"\infty ", "√": "sqrt ", "∛": r"\sqrt[3] ", "×": r"\times ", "·": r"\cdot ",
        "⩾": r"\ge ", "≧": r"\ge ", "⩽": r"\le ", "≦": r"\le ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
        "⌈": r"\lceil ", "⌉": r"\rceil ", "∧": r"\land ", "º": r"^\circ ", "î": r"\hat{i}", "ĵ": r"\hat{j}",
        "⋅": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "∖": r"\setminus ", "°": r"^\circ ", "℃": r"^\circ C", "℉": r"^\circ F", "Å": " angstrom",
        "′": "'", "″": '"', "⟨": r"\langle ", "⟩": r"\rangle ", "≡": r"\equiv ",
        **dict(zip("٫٬∶", ".,:", strict=True)),
        **dict(zip(
            "ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ", ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"], strict=True,
        )),
        "和": " and ", "及": " and ", "或": " or ",
        "∨": r"\lor ", "∅": r"\emptyset ", "“": '"', "”": '"', "‘": "'", "’": "'", "，": ", ", "、": ", ",
    }
)  # fmt: skip
_ROMAN = (
    "text|mbox|textbf|textit|textrm|textsf|textsc|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mathtt|mathnormal"
    "|operatorname|emph|hbox|boldsymbol|bold|pmb|bm|underline|uline|uuline|ensuremath|rm|bf|it|sf|tt|mathstrut"
    "|mathcal|mathfrak|textup|textmd|textsl|mathbin|mathord|mathrel|mathop|mathpunct|smash|underbrace|overbrace"
)
_FUNCTIONS = "sqrt|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|arccot|sinh|cosh|tanh|log|ln|exp|floor|ceil"
_OTHER_NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "acot": "arccot", "tg": "tan", "ctg": "cot",
    "cosec": "csc", "Ln": "ln", "arctg": "arctan", "arcctg": "arccot", "lg": "log_{10}",
}  # fmt: skip
_OF_SEVERAL = "gcd|lcm|max|min"


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
        ("<sup", r"<sup>([^<>]{1,40})</sup>", r"^{\1}"),
        ("<sub", r"<sub>([^<>]{1,40})</sub>", r"_{\1}"),
        ("&", r"&(?:amp;)?(lt|gt|le|ge|ne);", r"\\\1 "),
        ("answer>", r"</?answer>", ""),
        ("</", r"</?(?:b|i|u|em|strong|mark|span|div|p|center)(?: [^<>]{0,80})?>", ""),
        ("\\", r"\\([RZNQ])(?![A-Za-z])", r"\\mathbb{\1}"),
        ("U", r"(?<=[)\]]) ?U ?(?=[(\[])", r"\\cup "),
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
        ("\\math", r"\\math(?:open|close) ?\{\}", ""),
        ("{,}", r"(?<![\d}])([1-9]\d{0,2})((?:\{,\}\d{3})+)(?![\d{])",
         _run_together),
        ("{,}", r"(?<![\d}.])(\d{1,30})\{,\}(\d{1,30})(?![\d{.])", r"\1.\2"),
        ("{,}", r" ?(?:\\(?:text|mathord|mathpunct))?\{,\} ?", ","),
        ("{:}", r"(?:\\text ?)?\{:\}", ":"),
        ("\\", r"(?<=\d)(?:\\[,;:]|\\thinspace(?![A-Za-z])|\{ ?\\[,;:] ?\}) ?(?=\d{3}(?!\d))", ""),
        ("", r"(?<!\\)\\[,;: ]|\\(?:q?quad|enspace|enskip|thinspace|medspace|thickspace)(?![A-Za-z])|~"
         r"|\\newline|\\hspace\*?\{[^{}]*\}|\\hskip ?-?[\d.]+ ?(?:em|ex|pt|cm|mm|mu)", " "),
        ("\\", r"\{ ?\\(?:overline|bar) ?(\d) ?\}|\\(?:overline|bar) ?(\d)(?!\d)",
         r"\\overline{\1\2}"),
        ("{}", r"\{\}[_^] ?\{? ?(\d{1,3}) ?\}? ?C ?_ ?\{? ?(\d{1,3}) ?\}?", r"\\binom{\1}{\2}"),
        ("C", r"^[_^] ?\{? ?(\d{1,3}) ?\}? ?C ?_ ?\{? ?(\d{1,3}) ?\}?$", r"\\binom{\1}{\2}"),
        ("C", r"(?<![\\A-Za-z])C_ ?\{? ?(\d{1,3}) ?\}? ?\^ ?\{? ?(\d{1,3}) ?\}?(?![\w}])"
         r"|(?<![\\A-Za-z])C\^ ?\{? ?(\d{1,3}) ?\}? ?_ ?\{? ?(\d{1,3}) ?\}?(?![\w}])", _combinations),
        ("\\Pr", r"\\Pr(?![A-Za-z])", "P"),
        ("simeq", r"\\simeq(?![A-Za-z])", r"\\approx "),
        ("\\cr", r"\\cr(?![A-Za-z])", r"\\\\"),
        ("cdots", r"(?<=\d) ?\\cdots ?$", "..."),
        ("imath", r"\\imath(?![A-Za-z])(?! ?\})", "i"),
        ("\\", r"(?<!\\)\\([%$#&_])", r"\1"),
        ("{\\overline", r"\{ ?(\\overline ?\{ ?\d{1,20} ?\}) ?\}", r"\1"),
        ("binom", r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        ("frac", r"\\(?:[dtcsx]|nice|flat)frac(?![A-Za-z])", r"\\frac"),
        ("choose", r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        ("operatorname", rf"\\operatorname\*? ?\{{ ?({_FUNCTIONS}|{_OF_SEVERAL}) ?\}}", r"\\\1 "),
        ("\\{", rf"\\({_OF_SEVERAL}) ?\\\{{([^{{}}|:]*)\\\}}", r"\\\1(\2)"),
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
_STYLED = lazy_pattern("[\U0001d400-\U0001d7ff]+")
_OVERLINED = lazy_pattern(r"((?:\d[\u0304\u0305])+)")
_DOT_ABOVE = lazy_pattern(
    r"(\d)\u0307|\\(?:overset|stackrel) ?\{ ?(?:\\cdot|\\bullet|\.) ?\} ?\{?(\d)\}?|\\mathring ?\{(\d)\}"
)
_DOTTED = lazy_pattern(r"(?<=[\d.])\\dot ?\{?(\d)\}?(?: ?([\d ]{0,40})\\dot ?\{?(\d)\}?)?")
_DOUBLED = lazy_pattern(r"\\\\(?=[A-Za-z,;!{}%$])")
_DOUBLED_BEGIN = lazy_pattern(r"(?<!\\)\\\\begin")
_HATTED = lazy_pattern(
    r"\\(mathbf|boldsymbol|bm|vec|hat|mathrm)\s?\{\s*(?:\\(?:hat"
    r"|mathbf)(?:\s?\{|\s))?\s*\\?([ijk])(?:math)?\s*\}?\s*\}"
)
_TEXT = lazy_pattern(rf"\\(?:{_ROMAN})\*?\s?\{{((?:[^{{}}]|\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}})*)\}}")
_SWITCH = lazy_pattern(r"\{\s*\\(?:rm|bf|it|sf|tt|bfseries|itshape)(?![A-Za-z])\s*([^{}]*)\}")
_UNIT_LETTER = lazy_pattern(
    rf"(?<=[\d}}])\s*\\(?:text|textrm|mbox"
    rf"|mathrm)\s?\{{\s*([{''.join(UNIT_LETTERS)}])\s*\}}(?!\s*[\w^\\({{/])"
)
_ROMAN_UNIT = lazy_pattern(r"(?<=[\d}\s,;~])\\?(?:text|textrm|mbox|mathrm|rm)(?![A-Za-z])")
_UNIT_FRACTION = lazy_pattern(
    r"(?<=[\d}\s~,;])\\frac ?\{ ?\\(?:text|textrm|mbox|mathrm) ?\{([^{}]{1,30})\}(\^\{?\d\}?)? ?\} ?"
    r"\{ ?\\(?:text|textrm|mbox|mathrm) ?\{([^{}]{1,30})\}(\^\{?\d\}?)? ?\}"
)
_UNITS_APART = lazy_pattern(
    r"(?<=[A-Za-z]) ?\} ?\\cdot ?\\(?:mathrm|text|textrm|mbox) ?\{ ?(?=[A-Za-z]{1,3} ?\})"
)
_DOT_OF_UNITS = lazy_pattern(r"(?<=[A-Za-z]) ?\\cdot ?(?=[A-Za-z])")
_UNIT_WORD = r"[A-Za-z]{1,20}\.?(?:\^\{-?\d\})?\)?"
_UNIT_AT_END = lazy_pattern(
    rf"(?<=[\d}}) ])(?<![-+=*<>^_,] )([ /(]*{_UNIT_WORD}(?:[ /(]{{1,3}}{_UNIT_WORD}){{0,5}})$"
)
_LETTER_NAMES = {"m": "meter", "s": "second", "g": "gram", "h": "hour", "L": "liter"}
_PLAIN = lazy_pattern(r"[A-Za-z0-9 ,.+%$/:'-]*")
"""Texts that hold nothing to substitute."""
_MICRO = lazy_pattern(r"(?<=[\d}]) ?\\mu ?(m|s|g|L|A|F|C|V|W|H)(?![A-Za-z])")
_LOOSE_HAT = lazy_pattern(r"\\(?:hat|vec|mathbf|bm|boldsymbol)(?: ?\\| )([ijk])(?:math)?(?![A-Za-z])")
_KILOHM = lazy_pattern(r"\\(?:mathrm|text|rm) ?\{ ?([kMGm]) ?\}(?: |~|\\[,;! ])*\\Omega(?![A-Za-z])")
_OHM = lazy_pattern(r"(?:(?<=[\d}]) |(?<=\.\d)|(?<=\.\d\d))([kMGm]?) ?\\Omega$")
_LOOSE_SWITCH = lazy_pattern(r"(?<!\\)\\(?:rm|bf|it|sf|tt)(?![A-Za-z])")
_OR = lazy_pattern(r"\\(?:lor|vee)(?![A-Za-z])")
_AND = lazy_pattern(r"\\(?:land|wedge)(?![A-Za-z])")
_COMPARED = lazy_pattern(r"[=<>]|\\(?:le|ge|ne)(?![A-Za-z])")
_GROUPED = lazy_pattern(
    r"(?<![\w.^])\d{1,3}(?:_\d{3})+(?![\w.])|(?<![\w.,^])\d{1,3}(?:\.\d{3}){2,}(?![\w.]|,\d)"
)
_POINT_BEFORE_A_SIGN = lazy_pattern(r"(?<=\d)\.(?=[*+)}\]]|[,;-] ?[\d.-])")
_PLAIN_LOGARITHM = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|math|numpy)\.)?log(2|10)(?= ?\()")
_PLAIN_ABSOLUTE = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|math)\.)?f?abs\(([^()|]{1,80})\)")
_CALLS = tuple(
    (lazy_pattern(pattern), replacement)
    for pattern, replacement in (
        (r"(?<![\\A-Za-z.])(?:[Mm]ath\.)?pow\(([^(),]{1,40}), ?([^(),]{1,40})\)", r"(\1)^{\2}"),
        (r"(?<![\\A-Za-z.])(?:[a-z]{2,5}\.)?factorial\((\d{1,6}|[a-z])\)", r"\1!"),
        (
            r"(?<![\\A-Za-z.])(?:[a-z]{2,5}\.)?(?:comb|binom(?:ial)?|nCr)"
            r"\(([^(),]{1,40}), ?([^(),]{1,40})\)",
            r"\\binom{\1}{\2}",
        ),
        (r"(?<![\\A-Za-z.])(?:math\.)?log\(([^(),]{1,40}), ?(\d{1,9})\)", r"\\log_{\2}(\1)"),
        (r"^(\d{1,3})C(\d{1,3})$|(?<![\w.])(\d{1,3}) choose (\d{1,3})(?![\w.])", r"\\binom{\1\3}{\2\4}"),
        (r"\^(-?\d{1,9}\.\d{1,9})", r"^{\1}"),
    )
)
_UNIT_PRODUCT = lazy_pattern(
    r"(?<=\d) ?((?:[A-Za-z]{1,4}(?:\^\{-?\d\})? ?\\cdot ?){1,3}[A-Za-z]{1,4}(?:\^\{-?\d\})?"
    r"(?: ?/ ?[A-Za-z]{1,4}(?:\^\{\d\})?){0,2})$"
)
_TELLING_UNIT = lazy_pattern(r"[A-Za-z]{2}|[NJKWVT]")
_WIDE_GROUPS = lazy_pattern(r"(?<=[０-９])，(?=[０-９]{3}(?![０-９]))")
_ROW_SKIP = lazy_pattern(r"\\\\ ?\[ ?-?[\d.]{1,8} ?(?:pt|em|ex|mm|cm|px) ?\]")
_PLUS_OR_MINUS = lazy_pattern(r"(?<=[\w})]) ?\+/- ?| \+- ")
_LITERAL = lazy_pattern(r"(?i:0(x)([0-9a-f]{1,16})|0([bo])([0-7]{1,64}))")
_SPACES = lazy_pattern(r"\s+")
_TOKEN = lazy_pattern(r"\\[A-Za-z]+|\\.|\d+|\s+|.", re.DOTALL)
_PLAIN_POWER = lazy_pattern(r"\*\*(?=[\d(a-zA-Z{-])")
_PLAIN_FUNCTION = lazy_pattern(
    rf"(?<![\\A-Za-z])(?:(np|[Mm]ath|numpy|sympy|sp|cmath)\.)?(?:({_FUNCTIONS}|{'|'.join(_OTHER_NAMES)})"
    rf"(?= ?\(| ?\d|\^[{{(]?-?\d| [a-z]\b| ?\\| ?\||(?<=log)_)|({_OF_SEVERAL})(?= ?\())"
)
_INVERSE = lazy_pattern(r"\\(sin|cos|tan|cot|sec|csc)\^\{ ?-1 ?\}")
_GREEK_NAME = lazy_pattern(
    r"(?<![\\A-Za-z])(alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|psi|omega)(?![A-Za-z])"
)
_SIGNS_ONLY = lazy_pattern(rf"(?:(?:(?:{_FUNCTIONS}|pi|frac|cdot|times|pm)|[A-Za-z])(?![A-Za-z])|[^A-Za-z])*")
_PLAIN_SQRT = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|[Mm]ath|sympy|sp)\.)?(cb|sq)rt(?![A-Za-z])")
_PLAIN_CONSTANT = lazy_pattern(
    r"(?<![\\A-Za-z])(?:(?:np|math|numpy)\.)?(pi|Pi|PI|oo|(?i:infinity|infty|inf))(?![A-Za-z])"
)
_CONSTANTS = {"pi": r"\pi ", "infinity": r"\infty ", "infty": r"\infty ", "oo": r"\infty ", "inf": r"\infty "}
_SPACE_BEFORE_SCRIPT = lazy_pattern(r" (?=[\^_])")
_SLASH_BEFORE_A_LETTER = lazy_pattern(
    r"(?<![\w.^/}{])(\d{1,9})/(\d{1,9})(?= ?[A-Za-z](?![A-Za-z])|([a-z]{2,3})(?![A-Za-z])|\([^()]*[a-z]"
    r"| ?\\(?:pi|sqrt|sin|cos|tan|ln|log|theta|alpha|beta|lambda|omega|hbar)(?![A-Za-z]))"
)
_TRIGONOMETRIC = lazy_pattern(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = lazy_pattern(r"(\d+(?:\.\d+)?) degrees ?")
_PAIRS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("__", "__"),
    ("==", "=="),
    ("*", "*"),
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
)
_LONE_CLOSERS = ((r"\(", r"\)"), ("(", ")"), ("{", "}"))
_BOX = lazy_pattern(r"\\(?:boxed|fbox|framebox)\s?\{")


def respell(text: str) -> str:
    """The text in one spelling: ASCII, plain LaTeX, explicit braces, single spaces."""
    roman = False
    if not _PLAIN.fullmatch(text):
        text, roman = _plain_latex(text)
    text = _unwrap(_SPACES.sub(" ", text))
    if "+" in text:
        text = _PLUS_OR_MINUS.sub(r" \\pm ", text)
    text = _LITERAL.sub(_base, text) if text.startswith("0") else text
    if "_" in text or text.count(".") > 1:
        text = _GROUPED.sub(lambda match: match[0].replace("_", "").replace(".", ""), text)
    text = _POINT_BEFORE_A_SIGN.sub("", _PLAIN_POWER.sub("^", text))
    if "log" in text or "abs" in text:
        text = _PLAIN_LOGARITHM.sub(r"\\log_{\1}", text)
        text = _PLAIN_ABSOLUTE.sub(r"|\1|", text)
    if "(" in text or "C" in text or "." in text or "choose" in text:
        for pattern, replacement in _CALLS:
            text = pattern.sub(replacement, text)
    text = _greek(text)
    text = _PLAIN_FUNCTION.sub(_function, text)
    text = _PLAIN_SQRT.sub(lambda match: r"\sqrt" if match[1] == "sq" else r"\sqrt[3]", text)
    text = _PLAIN_CONSTANT.sub(lambda match: _CONSTANTS[match[1].lower()], text)
    text = _SPACE_BEFORE_SCRIPT.sub("", _SPACES.sub(" ", _brace(text))).strip()
    text = _INVERSE.sub(r"\\arc\1 ", text) if "-1" in text else text
    text = _SLASH_BEFORE_A_LETTER.sub(_fraction, text)
    if "degrees" in text and _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"\\frac{\1\\pi}{180}", text)
    text = _OHM.sub(r" \1ohm", _MICRO.sub(r" u\1", text))
    if r"\cdot" in text:
        text = _UNIT_PRODUCT.sub(_product_of_units, text)
    return _SPACES.sub(" ", _UNIT_AT_END.sub(_unit, text)) if roman else text


def _plain_latex(text: str) -> tuple[str, bool]:
    """The text without Unicode, styles and rare commands, and whether it held units in a text command."""
    if not text.isascii():
        text = _STYLED.sub(lambda match: normalize("NFKC", match[0]), text)
        text = _SCRIPTS.sub(_script, _WIDE_GROUPS.sub(",", text))
    if r"\\" in text:
        text = _ROW_SKIP.sub(r"\\\\", text)
    text = _unwrap(text.translate(_CHARACTERS))
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
    text = _UNITS_APART.sub(" ", _UNIT_FRACTION.sub(_unit_in_a_line, text))
    text = _UNIT_LETTER.sub(lambda match: f" {UNIT_LETTERS[match[1]]} ", text)
    roman = bool(_ROMAN_UNIT.search(text))
    text = text.replace(r"\mathbb", r"\Mathbb")
    for _ in range(3):
        if "{" not in text:
            break
        text = _SWITCH.sub(r" \1 ", _TEXT.sub(_without_command, text))
    text = _LOOSE_SWITCH.sub(" ", text.replace(r"\Mathbb", r"\mathbb"))
    return _AND.sub(" and ", _OR.sub(" or ", text)) if _COMPARED.search(text) else text, roman


def _without_command(match: re.Match[str]) -> str:
    return f" {_DOT_OF_UNITS.sub(' ', match[1])} "


def _unit_in_a_line(match: re.Match[str]) -> str:
    r"""`\frac{\text{km}}{\text{h}}` as `\text{km/h}`; a fraction of other words stays."""
    above, over, below, under = match.groups(default="")
    if not all(read_unit(name.strip(), in_text_command=True) for name in (above, below)):
        return match[0]
    return rf" \text{{{above.strip()}{over}/({below.strip()}{under})}}"


def _script(match: re.Match[str]) -> str:
    raised, below, lowered = match.groups()
    if below:
        return f" {''.join(map(_RAISED.get, raised))}/{''.join(map(_LOWERED.get, below))}"  # type: ignore[arg-type]
    letters = "".join((_RAISED if raised else _LOWERED)[sign] for sign in raised or lowered)
    return f"{'^' if raised else '_'}{{{letters}}}"


def _base(match: re.Match[str]) -> str:
    """`0x1A` and `0b101` with their base behind them."""
    return f"{match[2].upper()}_{{16}}" if match[1] else f"{match[4]}_{{{2 if match[3] in 'bB' else 8}}}"


def _greek(text: str) -> str:
    """Names of Greek letters as commands, where nothing else is a word: not in `alpha male`."""
    rest, count = _GREEK_NAME.subn(" ", text)
    return _GREEK_NAME.sub(r"\\\1 ", text) if count and rest.strip() and _SIGNS_ONLY.fullmatch(rest) else text


def _function(match: re.Match[str]) -> str:
    module, name, of_several = match.groups()
    if module and name == "log":
        return r"\ln"
    return f"\\{of_several or _OTHER_NAMES.get(name, name)}"


def _fraction(match: re.Match[str]) -> str:
    r"""`2/3x` is two thirds of x, not two over 3x; `2/3 m` may be a length and stays."""
    after = match.string[match.end() : match.end() + 2]
    is_unit = match[3] and read_unit(match[3], in_text_command=True)
    if (after.startswith(" ") and after != " \\") or not after.isascii() or is_unit:
        return match[0]
    return rf"\frac{{{match[1]}}}{{{match[2]}}}"


def _unit(match: re.Match[str]) -> str:
    before, text = "", match[1]
    unit = read_unit(text, in_text_command=True)
    while unit is None and " " in text.strip():
        # Of `3x m`, only the last is a unit.
        first, _, text = text.lstrip(" ").partition(" ")
        before = f"{before} {first}"
        unit = read_unit(text, in_text_command=True)
    # A lone letter behind `5\pi` could be a variable again.
    unit = _LETTER_NAMES.get(unit or "", unit)
    if not unit or before[-1:] in ("+", "-", "=", "/", "("):
        return match[0]
    before = before if match[1].startswith(" ") else before.lstrip(" ")
    return f"{before} " + re.sub(r"\^(\d)", r"^{\1}", unit)


def _product_of_units(match: re.Match[str]) -> str:
    r"""`N \cdot m` behind a number; `m \cdot g` may be variables."""
    unit = re.sub(r" ?\\cdot ?", " ", match[1])
    known = _TELLING_UNIT.search(unit) and read_unit(unit, in_text_command=True)
    return f" {unit}" if known else match[0]


def too_deep(text: str) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`."""
    depth = 0
    for character in text:
        if character in "{([":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "})]" and depth:
            depth -= 1
    return False


def balanced(text: str) -> bool:
    """Whether every bracket closes, whichever way: `(0,1]` is balanced."""
    depth = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        if depth < 0:
            return False
    return depth == 0


def squeeze(text: str) -> str:
    """Respelt text without spaces, but for those that keep two tokens apart."""
    pieces: list[str] = []
    before = ""
    for token in _TOKEN.findall(text):
        if token.isspace():
            continue
        after_command = len(before) > 1 and before[0] == "\\" and before[1].isalpha()
        if (after_command and token[0].isalpha()) or (before.isdigit() and token.isdigit()):
            pieces.append(" ")
        pieces.append(token)
        before = token
    return "".join(pieces)


def closing(text: str, start: int) -> int:
    """Place of the bracket that closes the one at `start`, or -1."""
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """The text cut at separators (single characters) that stand outside all brackets."""
    parts: list[str] = []
    depth = start = 0
    escaped = False
    for position, character in enumerate(text):
        if character == "\\" and not escaped:
            escaped = True
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
        elif character in separators and depth <= 0 and not escaped:
            parts.append(text[start:position])
            start = position + 1
        escaped = False
    parts.append(text[start:])
    return [part.strip() for part in parts]


def _unwrap(text: str) -> str:
    r"""Without the delimiters around the whole: `$`, `\(`, `**`, quotes, boxes, a full stop."""
    for _ in range(8):
        before = text
        text = text.strip()
        for opening, ending in _PAIRS:
            inner = text[len(opening) : -len(ending)]
            if (
                text.startswith(opening)
                and text.endswith(ending)
                and inner.strip()
                and opening not in inner
                and ending not in inner
            ):
                text = inner.strip()
        if (
            text.startswith("{")
            and text.endswith("}")
            and _BOX.match(text[1:].strip())
            and closing(text, 0) == len(text) - 1
        ):
            text = text[1:-1].strip()
        box = _BOX.match(text)
        if box and closing(text, box.end() - 1) == len(text) - 1:
            text = text[box.end() : -1]
        if text.endswith("\\") and not text.endswith("\\\\"):
            text = text[:-1]
        if text.endswith((".", ",", ";")) and not text.endswith((r"\,", r"\;", "...")):
            text = text[:-1]
        for opening, ending in _LONE_CLOSERS:
            is_lone = text.endswith(ending) and text.count(ending) == 1 and opening not in text
            if is_lone and "[" not in text and "]" not in text and not text.endswith("\\}"):
                text = text[: -len(ending)]
        if text == before:
            break
    return _drop_dollar_pairs(text)


def _drop_dollar_pairs(text: str) -> str:
    """Without math delimiters inside a text; a lone `$` is a currency sign and stays."""
    text = text.replace(r"\(", " ").replace(r"\)", " ") if r"\(" in text else text
    text = text.replace(r"\[", " ").replace(r"\]", " ") if r"\[" in text else text
    dollars = text.count("$") - text.count(r"\$")
    if dollars < 2 or dollars % 2:
        return text
    return text.replace(r"\$", "\x01").replace("$", "").replace("\x01", r"\$")


def _brace(text: str) -> str:
    r"""Explicit braces around the arguments of `\frac`, `\sqrt`, `^` and `_`."""
    if not any(mark in text for mark in ("\\frac", "\\sqrt", "\\binom", "^", "_")):
        return text
    tokens: list[str] = _TOKEN.findall(text)
    output: list[str] = []
    # One entry per open brace: how many arguments were still due when it opened.
    stack: list[int] = []
    due = 0
    whole_number = False
    # Places where a parenthesis given as an argument closes; it is rewritten as a brace.
    closers: set[int] = set()
    match = _parentheses(tokens)
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token.isspace() and due:
            continue
        if position - 1 in closers:
            output.append("}")
            due = stack.pop() if stack else 0
        elif token == "{":
            stack.append(due - 1 if due else 0)
            due = 0
            output.append(token)
        elif token == "}":
            output.append(token)
            due = stack.pop() if stack else 0
        elif token in ("\\frac", "\\binom", "\\sqrt", "^", "_"):
            if due:
                # `2^\frac12`: the argument is itself a construct; leave its outer braces out.
                due = 0
            output.append(token)
            due = 2 if token in ("\\frac", "\\binom") else 1
            whole_number = token not in ("\\frac", "\\binom")
            if token == "\\sqrt" and position < len(tokens) and tokens[position] == "[":
                while position < len(tokens) and tokens[position] != "]":
                    output.append(tokens[position])
                    position += 1
                if position < len(tokens):
                    output.append("]")
                    position += 1
        elif not due:
            output.append(token)
        elif token == "(" and whole_number and match.get(position - 1):
            output.append("{")
            stack.append(due - 1)
            due = 0
            closers.add(match[position - 1])
        elif token in "+-" and whole_number and position < len(tokens) and tokens[position].isalnum():
            output.append("{" + token + tokens[position] + "}")
            position += 1
            due -= 1
        elif token.isdigit() and not whole_number:
            taken = token[:due]
            output.extend("{" + digit + "}" for digit in taken)
            output.append(token[due:])
            due -= len(taken)
        else:
            output.append("{" + token + "}")
            due -= 1
    return "".join(output)


def _parentheses(tokens: list[str]) -> dict[int, int]:
    """Place of each opening parenthesis and of the one that closes it."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for position, token in enumerate(tokens):
        if token == "(":
            opened.append(position)
        elif token == ")" and opened:
            pairs[opened.pop()] = position
    return pairs

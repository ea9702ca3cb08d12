"""Unicode in ASCII and LaTeX commands: letters of styles, raised and lowered signs, fractions, symbols."""

from __future__ import annotations

import re
from unicodedata import normalize

from sampleset.answers.maths.patterns import lazy_pattern

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
CHARACTERS = str.maketrans(
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
        "′": "'", "″": '"', "∣": "|", "⟨": r"\langle ", "⟩": r"\rangle ", "≡": r"\equiv ",
        **dict(zip("٫٬∶", ".,:", strict=True)),
        **dict(zip(
            "ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ", ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"], strict=True,
        )),
        "和": " and ", "且": " and ", "∠": r"\angle ", "△": r"\triangle ", "及": " and ", "或": " or ",
        "∨": r"\lor ", "∅": r"\emptyset ", "“": '"', "”": '"', "‘": "'", "’": "'", "，": ", ", "、": ", ",
    }
)  # fmt: skip
_STYLED = lazy_pattern("[\U0001d400-\U0001d7ff]+")
_WIDE_GROUPS = lazy_pattern(r"(?<=[０-９])，(?=[０-９]{3}(?![０-９]))")


def without_styles(text: str) -> str:
    """The text without letters of mathematical styles, and with scripts as exponents and indices."""
    text = _STYLED.sub(lambda match: normalize("NFKC", match[0]), text)
    return _SCRIPTS.sub(_script, _WIDE_GROUPS.sub(",", text))


def _script(match: re.Match[str]) -> str:
    raised, below, lowered = match.groups()
    if below:
        return f" {''.join(map(_RAISED.get, raised))}/{''.join(map(_LOWERED.get, below))}"  # type: ignore[arg-type]
    letters = "".join((_RAISED if raised else _LOWERED)[sign] for sign in raised or lowered)
    return f"{'^' if raised else '_'}{{{letters}}}"

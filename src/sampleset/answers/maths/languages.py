"""How an answer is announced in languages other than English, and digits beside other scripts."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern

_LATIN = (
    "Antwort|Endergebnis|Ergebnis|Lösung|Réponse|La réponse|Résultat|Respuesta|La respuesta|Resultado"
    "|Solución|Resposta|A resposta|Risposta|La risposta|Soluzione|Antwoord|Svar|Svaret|Vastaus|Odpowiedź"
    "|Odpověď|Răspuns|Válasz|Cevap|Yanıt|Đáp án|Đáp số|Jawaban|Jibu|Sagot"
)
_OTHER = (
    "最终答案|最終答案|答案|答|结果|結果|答え|解答|正解|정답|답|Ответ|Відповідь|Απάντηση|תשובה|الجواب|الإجابة|الناتج|উত্তর"
    "|उत्तर|คำตอบ|సమాధానం|பதில்|პასუხი"
)
ANNOUNCED = lazy_pattern(
    rf"(?:(?<![^\W\d_])(?:{_LATIN})(?: (?:finale?|correcta?|correcte|final|correta))?(?:\s*[:：]"
    rf"|\s+(?:lautet|ist|est|es|é|è|is|är|er|jest|je|este|ni|là|adalah|to)(?![^\W\d_])\s*[:：]?)"
    rf"|(?:{_OTHER})(?:\s*(?:应该|應該)?\s*(?:[:：]|是|为|為|は|은|는|คือ|है|-|—)\s*[:：]?|\s+(?=[\d\\$-]))|(?:故选"
    rf"|应选|故选择)(?=\s*[A-Z]))"
    r"[\"*_`\s]{0,6}",
    re.IGNORECASE,
)
"""What stands before an answer: `答案是`, `La respuesta es`, `Antwort:`."""
_WORDS = tuple(word.lower() for word in _LATIN.split("|") if not word.lower().startswith(("la ", "a ")))
_TRAILING = lazy_pattern(
    r"[\s.．。!！,，]*(?:です|である|だ|となる|입니다|이다|个|個|人|元|只|本|है|।)?[\s.．。!！]*$"
)


def may_announce(text: str) -> bool:
    """Whether a text may hold one of these words: cheap, where most texts hold none."""
    if not text.isascii():
        return True
    lowered = text.lower()
    return any(word in lowered for word in _WORDS)


def announced(sentence: str) -> str:
    """The answer in the rest of a sentence of another language, without its last word and stop."""
    return _TRAILING.sub("", sentence.strip())

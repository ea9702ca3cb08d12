"""How an answer is announced in languages other than English, and digits beside other scripts."""

from __future__ import annotations

import re
import unicodedata

from sampleset.answers.maths.patterns import lazy_pattern

_LATIN = (
    "Antwort|Endergebnis|Ergebnis|Lösung|Réponse|La réponse|Résultat|Respuesta|La respuesta|Resultado"
    "|Solución|Resposta|A resposta|Risposta|La risposta|Soluzione|Antwoord|Svar|Svaret|Vastaus|Odpowiedź"
    "|Odpověď|Răspuns|Válasz|Cevap|Yanıt|Đáp án|Đáp số|Câu trả lời|Jawaban|Jibu|Sagot"
)
_OTHER = (
    "最终答案|最終答案|答案|答|结果|結果|答え|解答|正解|정답|답|Ответ|Відповідь|Απάντηση|תשובה|الجواب|الإجابة"
    "|الناتج|উত্তর"
    "|उत्तर|คำตอบ|సమాధానం|பதில்|პასუხი"
)
ANNOUNCED = lazy_pattern(
    rf"(?:(?<![^\W\d_])(?:{_LATIN})(?: (?:finale?|correcta?|correcte|final|correta))?(?:\s*[:：]"
    rf"|\s+(?:lautet|ist|est|es|é|è|is|är|er|jest|je|este|ni|là|adalah|to)(?![^\W\d_])\s*[:：]?)"
    rf"|(?:{_OTHER})(?:\s*(?:应该|應該)?\s*(?:[:：】]|是|为|為|は|은|는|คือ|है|-|—)\s*[:：]?|\s+(?=[\d\\$-]))"
    rf"|(?:故选"
    rf"|应选|故选择)(?=\s*[A-Z]))"
    r"[\"*_`\s]{0,6}",
    re.IGNORECASE,
)
"""What stands before an answer: `答案是`, `La respuesta es`, `Antwort:`."""
FOREIGN_ANSWERS = (
    r"Antwort|Lösung|Réponse|L['’]option|Respuesta|Opción|Resposta|Alternativa|Risposta|Opzione|Antwoord|Svar"
    "|Odpowiedź|Odpověď|Răspunsul?|Vastaus|válasz|Cevap|Yanıt|Đáp án|Câu trả lời|Jawaban"
    "|Ответ|Відповідь|Απάντηση"
    "|الجواب|الإجابة|उत्तर|คำตอบ|התשובה|Jibu|Letra|Chọn|Elijo|Escojo|Je choisis|Ich wähle|Wybieram"
    "|Richtig|Correct[ao]"
)
"""Nouns that an option is announced with."""
FOREIGN_IS = (
    "lautet|ist|est|este|on|es|é|è|is|är|er|jest|je|adalah|là|ni|ay|est[aá]|است|হল|হলো|هي|هو|है|היא|είναι"
)
FOREIGN_RIGHT = (
    r"(?:richtig|korrekt|juist|točn|točan|rätt|riktig|právn|správn|poprawn|prawidłow|правил|верн|верен"
    r"|правильн|тачан)\w{0,3}|correcte?|correct[ao]|corect|juste|bonne|giust[ao]|cor{1,2}et{1,2}[ao]|cert[ao]"
    r"|benar|tepat|doğru"
)
FOREIGN_OPTIONS = (
    "Wahl|choix|Alternativa|opção|Variante?|вариант|варианта|विकल्प|উত্তর|ข้อ|ตอบ|ตัวเลือก|Jawabannya|Pilihan"
    "|seçenek|şık|Răspuns|پاسخ|گزینه|odgovor|одговор|sagot|cevap|απάντηση"
)
"""Further nouns, of sentences that say less clearly which option is right."""
FOREIGN_BUT = "sondern|sino|mais|bensì|mas sim|mas|maar|utan|lecz|ale|tylko|а|но|melainkan|而是"
FOREIGN_THE = (
    "die|der|das|den|la|le|el|il|lo|a|o|de|het|option|opción|opção|alternativa|opzione|Antwort|вариант"
)
FOREIGN_NOT = (
    r"nicht|kein\w{0,2}|n['’]est pas|pas|no es|no|non è|não é|não|не|нет|nie|niet|inte|ikke|değil|bukan"
    r"|không(?: phải)? là"
)
FOREIGN_WRONG = (
    r"falsch|inkorrekt|unrichtig|inc?or{1,2}ec?te?|inc?or{1,2}ect[ao]|fals[aoe]|faux|fausse|sbagliat[ao]"
    r"|scor{2}ett[ao]|er{1,2}ad[ao]|er{1,2}[óo]ne[ao]|onjuist|fout|felaktig|fel|forkert|nicht|pas|не"
    r"|неверн\w{1,2}|неправильн\w{1,2}|salah|yanlış|sai"
)
_CJK = lazy_pattern(r"[\u3040-\ud7a3]")
_SO = lazy_pattern(
    r"^(?:dus|also|daher|somit|donc|alors|ainsi|entonces|pues|então|portanto|quindi|alltså|więc|значит"
    r"|итак),? ",
    re.IGNORECASE,
)
_IN_ALL = lazy_pattern(
    r"^(?:一共|总共|總共|共|合计|合計|总计|大约|约|約|是|有|为|為|需要|全部で|総計|모두|총)+\s*(?=[$\d\\-])"
)
_AMOUNT = lazy_pattern(
    r"(?<![A-Za-z0-9_.\\{])-?\d[\d.,]{0,20}(?<=\d)(?:/\d{1,9})?[万萬亿億만억]?(?![A-Za-z0-9_.\\}^%])"
)
_WITH_UNIT = lazy_pattern(
    # "2,5 Millionen" is another number.
    r"(-?\d[\d.,]{0,20}(?<=\d)) ?(?!(?:m[ier]|mln|mrd|taus|тыс|млн|млрд|мил|cent|hund|pi\b|sqrt))"
    r"(?=[^\W\d_]{2}|[^\W\d_]$)[^\d=+*^,;:$\\]{1,40}",
    re.IGNORECASE,
)
_ALSO = lazy_pattern(r"(?<=\d) (?:und|oder|et|ou|y|o|e|и|или) (?=-?\d)")
_DECIMAL_COMMA = lazy_pattern(r"-?\d+,\d{1,2}")
_WORDS = tuple(word.lower() for word in _LATIN.split("|") if not word.lower().startswith(("la ", "a ")))
_TRAILING = lazy_pattern(
    r"[\s.．。!！,，]*(?:です|である|だ|となる|입니다|이다|个|個|人|元|只|本|है)?[\s.．。!！।]*$"
)


def may_announce(text: str) -> bool:
    """Whether a text may hold one of these words: cheap, where most texts hold none."""
    if not text.isascii():
        return True
    lowered = text.lower()
    return any(word in lowered for word in _WORDS)


def announced(sentence: str, announcer: str) -> str:
    """The answer in the rest of a sentence of another language, without its first and last word and its stop.

    A decimal comma is written as a point: behind European words, `2,5` is no list. Digits of other scripts
    become ours, and a unit in words of another language is left out.
    """
    sentence = "".join(
        str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in sentence.strip()
    )
    answer = _IN_ALL.sub("", _TRAILING.sub("", _SO.sub("", sentence)))
    amounts = _AMOUNT.findall(answer)
    if len(amounts) == 1 and _CJK.search(_AMOUNT.sub("", answer)):
        return amounts[0]  # `小明有12个苹果`
    if _CJK.search(announcer):
        return answer
    with_unit = None if answer.isascii() and "," not in answer else _WITH_UNIT.fullmatch(answer)
    answer = with_unit[1] if with_unit else _ALSO.sub(", ", answer)
    return answer.replace(",", ".") if _DECIMAL_COMMA.fullmatch(answer) else answer

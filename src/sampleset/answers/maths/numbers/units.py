"""Units of measure and of money: their names, how they are written together, and what they measure.

A unit has one canonical text: `cm`, `m/s`, `kg m^2`, `joule/kelvin/mol`. Votes and grades compare that text;
only a grade converts (`90 minutes` for a gold `1.5 hours`).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from sampleset.answers.maths.patterns import lazy_pattern

UNITS = {
    name: unit
    for unit, names in {
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm cms centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "km": "km kms kilometer kilometers kilometre kilometres",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "yd": "yd yard yards",
        "mi": "mi mile miles",
        "cm^3": "cc ccs",
        "mg": "mg milligram milligrams",
        "g": "g gm gms gram grams",
        "kg": "kg kgs kilogram kilograms kilo kilos",
        "lb": "lb lbs pound pounds",
        "oz": "oz ounce ounces",
        "ml": "ml mL milliliter milliliters millilitre millilitres",
        "L": "l L liter liters litre litres",
        "gallon": "gal gallon gallons",
        "quart": "qt qts quart quarts",
        "pint": "pint pints",
        "cup": "cup cups",
        "tablespoon": "tbsp tablespoon tablespoons",
        "teaspoon": "tsp teaspoon teaspoons",
        "ton": "ton tons",
        "tonne": "tonne tonnes",
        "s": "s sec secs second seconds",
        "min": "min mins minute minutes",
        "h": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "yr yrs year years",
        "decade": "decade decades",
        "century": "century centuries",
        "degrees": "degree degrees deg",
        "radians": "radian radians rad",
        "mi/h": "mph",
        "km/h": "kph kmh",
        "Hz": "Hz hertz",
        "acre": "acre acres",
        "hectare": "hectare hectares",
        "knot": "knot knots kn",
        "fathom": "fathom fathoms",
        "furlong": "furlong furlongs",
        "light-year": "light-year light-years lightyear lightyears ly",
        "nautical-mile": "nautical-mile nautical-miles nmi",
        "psi": "psi",
        "Pa": "pascal pascals",
        "atm": "atm atmosphere atmospheres",
        "mmHg": "mmHg",
        "torr": "torr Torr",
        "cal": "cal calorie calories",
        "kcal": "kcal kilocalorie kilocalories",
        "btu": "btu BTU",
        "hp": "hp horsepower",
        "ppm": "ppm",
        "ppb": "ppb",
        "bit": "bit bits",
        "byte": "byte bytes",
        "rpm": "rpm",
        "farad": "farad farads",
        "henry": "henry henries henrys",
        "weber": "Wb weber webers",
        "decibel": "dB decibel decibels",
        "jiao": "jiao",
        "newton": "newton newtons",
        "newton m": "Nm",
        "joule": "joule joules",
        "kelvin": "kelvin kelvins",
        "watt": "watt watts",
        "volt": "volt volts",
        "ampere": "ampere amperes amp amps",
        "coulomb": "coulomb coulombs",
        "tesla": "tesla teslas",
        "ohm": "ohm ohms",
        "angstrom": "angstrom angstroms",
        "mol": "mol mole moles",
        "eV": "eV electronvolt electronvolts",
        "am": "am a.m a.m.",
        "pm": "pm p.m p.m.",
        "au": "au AU",
        "pc": "pc parsec parsecs",
        "kB": "kB KB kilobyte kilobytes",
        "MB": "MB megabyte megabytes",
        "GB": "GB gigabyte gigabytes",
        "TB": "TB terabyte terabytes",
        "dollar": "dollar dollars usd",
        "cent": "cent cents",
        "euro": "euro euros eur",
        "rupee": "rupee rupees inr",
        "sterling": "sterling gbp",
        "yen": "yen jpy",
        "yuan": "yuan cny rmb",
        "krw": "krw won",
        "peso": "peso pesos mxn",
        "franc": "franc francs",
        "reais": "reais brl",
        "dong": "dong vnd",
        "shekel": "shekel shekels ils",
        "naira": "naira nairas ngn",
        "hryvnia": "hryvnia hryvnias uah",
        "lira": "lira liras",
        "baht": "baht",
        "krona": "kr sek nok dkk kronor kronen kroner",
        "zloty": "zloty pln",
        "ruble": "ruble rubles rub",
        "celsius": "celsius",
        "fahrenheit": "fahrenheit",
    }.items()
    for name in names.split()
}
"""Canonical unit by the names that running text has for it."""

UNIT_LETTERS = {
    "N": "newton",
    "J": "joule",
    "K": "kelvin",
    "W": "watt",
    "V": "volt",
    "A": "ampere",
    "T": "tesla",
}
"""Units that are read in a text command only: in mathematics such a letter is a variable."""

_SYMBOLS = {
    **{symbol: symbol for symbol in ["m", "g", "s", "L", "mol", "eV", "Hz", "Pa", "cd", "lm", "lx", "pc"]},
    **{symbol: symbol for symbol in ["erg", "dyn", "bar", "atm", "cal", "ohm", "rad", "angstrom", "Ci"]},
    **UNIT_LETTERS,
    "C": "coulomb", "F": "farad", "H": "henry", "ha": "hectare", "Da": "Da", "l": "L", "Wh": "Wh",
    "h": "h", "min": "min", "day": "day", "yr": "year",
    "u": "u", "Gy": "Gy", "Bq": "Bq", "Sv": "Sv", "c": "c",
}  # fmt: skip
_PREFIXES = {
    "n": -9,
    "u": -6,
    "μ": -6,
    "m": -3,
    "c": -2,
    "d": -1,
    "h": 2,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "p": -12,
    "f": -15,
}
_NEVER_PREFIXED = frozenset(("c", "min", "h", "day", "yr", "atm", "rad", "u", "angstrom", "ha"))
_SPELT_PREFIXES = {
    "nano": "n", "micro": "u", "milli": "m", "centi": "c", "deci": "d", "kilo": "k", "mega": "M", "giga": "G",
    "tera": "T", "pico": "p", "femto": "f",
}  # fmt: skip
_SYMBOL_OF = {unit: symbol for symbol, unit in reversed(_SYMBOLS.items())}
FOREIGN_UNITS = {
    name: unit
    for unit, names in {
        "mm": "毫米 ミリメートル 밀리미터 мм",
        "cm": "厘米 釐米 公分 センチメートル センチ 센티미터 см сантиметр сантиметра сантиметров",
        "dm": "分米 дм",
        "m": "米 公尺 メートル 미터 м метр метра метров",
        "km": "千米 公里 キロメートル 킬로미터 км километр километра километров",
        "mg": "毫克 ミリグラム мг",
        "g": "克 グラム 그램 г гр грамм грамма граммов",
        "kg": "千克 公斤 キログラム キロ 킬로그램 кг килограмм килограмма килограммов",
        "tonne": "吨 噸 トン 톤 т тонн тонны тонна",
        "ml": "毫升 ミリリットル 밀리리터 мл",
        "L": "升 公升 リットル 리터 л литр литра литров",
        "s": "秒 秒钟 秒鐘 초 с сек секунд секунды секунда",
        "min": "分钟 分鐘 분 мин минут минуты минута",
        "h": "小时 小時 时 時間 시간 ч час часа часов",
        "day": "天 日 일 дней дня день",
        "week": "周 週 星期 週間 주 недель недели неделя",
        "month": "月 个月 個月 ヶ月 か月 개월 месяцев месяца месяц",
        "year": "年 년 лет года год",
        "yuan": "元 块 塊",
        "jiao": "角",
        "yen": "円 日元",
        "krw": "원",
        "dollar": "美元 долларов доллара доллар ドル 달러",
        "euro": "欧元 евро ユーロ 유로",
        "ruble": "руб рубль рубля рублей",
        "degrees": "度 도 градусов градуса градус",
    }.items()
    for name in names.split()
}
"""Canonical unit by the names that other scripts have for it."""
FOREIGN_POWERS = {"平方": "^2", "立方": "^3", "кв": "^2", "куб": "^3"}

_TOKEN = lazy_pattern(r" ?(?P<slash>/|per(?![A-Za-z]))? ?(?P<name>[A-Za-zμ]+)\.?(?:\^\{(?P<power>-?\d)\})?")
_MAX_TOKENS = 6

_MONTHS = {"month": 1, "year": 12, "decade": 120, "century": 1200}
_GALLON = Fraction(3785411784, 10**9)
"""Of the United States, in litres."""
_PARTS_OF_A_GALLON = {"gallon": 1, "quart": 4, "pint": 8, "cup": 16, "tablespoon": 256, "teaspoon": 768}
_MEASURES: dict[str, tuple[str, Fraction]] = {
    **{
        name: ("length", factor)
        for name, factor in {
            "m": Fraction(1), "mm": Fraction(1, 1000), "cm": Fraction(1, 100), "km": Fraction(1000),
            "in": Fraction(254, 10000), "ft": Fraction(3048, 10000), "yd": Fraction(9144, 10000),
            "mi": Fraction(1609344, 1000), "angstrom": Fraction(1, 10**10),
            "dm": Fraction(1, 10), "nautical-mile": Fraction(1852), "fathom": Fraction(18288, 10000),
            "furlong": Fraction(201168, 1000),
        }.items()
    },
    **{
        name: ("mass", factor)
        for name, factor in {
            "g": Fraction(1), "mg": Fraction(1, 1000), "kg": Fraction(1000), "lb": Fraction(45359237, 100000),
            "oz": Fraction(45359237, 1600000), "ton": Fraction(2 * 45359237, 100), "tonne": Fraction(10**6),
        }.items()
    },
    **{
        name: ("time", Fraction(seconds))
        for name, seconds in {"s": 1, "min": 60, "h": 3600, "day": 86400, "week": 604800}.items()
    },
    **{name: ("long time", Fraction(months)) for name, months in _MONTHS.items()},
    **{name: ("money", factor) for name, factor in {"dollar": Fraction(1), "cent": Fraction(1, 100)}.items()},
    **{name: ("volume", factor) for name, factor in {"L": Fraction(1), "ml": Fraction(1, 1000)}.items()},
    **{name: ("volume", _GALLON / parts) for name, parts in _PARTS_OF_A_GALLON.items()},
    "bit": ("data", Fraction(1)),
    "byte": ("data", Fraction(8)),
    "cal": ("joule", Fraction(4184, 1000)),
    "kcal": ("joule", Fraction(4184)),
    "yuan": ("yuan", Fraction(1)),
    "jiao": ("yuan", Fraction(1, 10)),
    "degrees": ("angle", Fraction(1)),
    "arcminutes": ("angle", Fraction(1, 60)),
    "arcseconds": ("angle", Fraction(1, 3600)),
}  # fmt: skip


@lru_cache(1024)
def read_unit(text: str, in_text_command: bool = False) -> str | None:
    r"""The canonical text of units written together (`m s^{-1}`, `J/(K mol)`), `None` if it is none.

    Args:
        text: Respelt, without the number before it.
        in_text_command: It stands in `\mathrm{}` or `\text{}`, so single letters are units, too.
    """
    plain = text.replace("(", " ").replace(")", " ") if "/" in text else text
    position = count = 0
    above: list[str] = []
    below: list[str] = []
    names: list[str] = []
    powers: list[int] = []
    grouped = "/(" in text.replace(" ", "")
    divided = False
    plain = plain.strip()
    while position < len(plain):
        match = _TOKEN.match(plain, position)
        count += 1
        if not match or count > _MAX_TOKENS:
            return None
        unit = _unit(match["name"])
        if unit is None:
            return None
        power = int(match["power"] or 1)
        divided = bool(match["slash"]) or (divided and grouped)
        if divided:
            power = -power
        names.append(match["name"])
        powers.append(power)
        (above if power > 0 else below).append(f"{unit}^{abs(power)}" if abs(power) > 1 else unit)
        position = match.end()
    if not names or (UNITS.get(names[0]) == "degrees" and len(names) > 1):
        return None
    telling = names == ["N", "m"] or (
        len(names) > 1 and (min(powers) < 0 or any(len(name) > 1 for name in names))
    )
    if not in_text_command and not telling and (len(names[0]) == 1 or len(names) > 1):
        # `6 m` and `2 x y` are for the caller to decide: letters may be variables.
        return None
    return "/".join([" ".join(above), *below]) if above else f"per {'/'.join(below)}"


def _unit(name: str) -> str | None:
    """The canonical unit that a symbol names, by itself or behind a prefix: `kPa`, `nm`."""
    if name in UNITS and name not in ("in", "am", "pm", "a", "sec"):
        return UNITS[name]
    spelt = spelt_out(name)
    if spelt:
        return spelt
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    prefix, base = name[:1], name[1:]
    if prefix in _PREFIXES and base in _SYMBOLS and base not in _NEVER_PREFIXED:
        return f"{'u' if prefix == 'μ' else prefix}{base}"
    return None


def spelt_out(name: str) -> str | None:
    """The unit of a name with its prefix in letters: `kJ` of `kilojoules`."""
    prefix = next((prefix for prefix in _SPELT_PREFIXES if name.startswith(prefix)), None)
    unit = UNITS.get(name[len(prefix) :]) if prefix else None
    symbol = _SYMBOL_OF.get(unit or "", "")
    return (
        f"{_SPELT_PREFIXES[prefix]}{symbol}" if prefix and symbol and symbol not in _NEVER_PREFIXED else None
    )


def _size_of(name: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """The dimensions of one unit without a power, and its size."""
    if name in _DERIVED:
        return measure(_DERIVED[name])
    known_measure = _MEASURES.get(name) or _prefixed(name)
    if known_measure is None:
        return None
    kind, size = known_measure
    derived = measure(_DERIVED[kind]) if kind in _DERIVED else None
    return (derived[0], derived[1] * size) if derived else (((kind, 1),), size)


def _prefixed(name: str) -> tuple[str, Fraction] | None:
    """What a unit behind a prefix measures: `nm`, `kJ`; and units that are converted by their prefix only."""
    if name in _BY_PREFIX:
        return name, Fraction(1)
    base = _SYMBOLS.get(name[1:])
    if len(name) < 2 or base is None or name[0] not in _PREFIXES or name[1:] in _NEVER_PREFIXED:
        return None
    kind, factor = _MEASURES.get(base) or (base, Fraction(1))
    return kind, factor * Fraction(10) ** _PREFIXES[name[0]]


_DERIVED = {
    "volume": "dm^3", "newton": "kg m/s^2", "joule": "newton m", "watt": "joule/s", "Pa": "newton/m^2",
    "Hz": "per s", "coulomb": "ampere s", "volt": "joule/coulomb", "ohm": "volt/ampere",
    "farad": "coulomb/volt", "tesla": "newton/ampere/m", "weber": "tesla m^2", "henry": "weber/ampere",
}  # fmt: skip
_BY_PREFIX = frozenset((*UNIT_LETTERS.values(), "coulomb", "farad", "ohm", "Hz", "Pa", "eV", "mol"))


def measure(unit: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """The dimensions of a canonical unit, by kind and power, and its size; `None` where not known."""
    above, *below = (f"1/{unit[4:]}" if unit.startswith("per ") else unit).split("/")
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    for part, sign in [*((name, 1) for name in above.split(" ")), *((name, -1) for name in below)]:
        name, _, exponent = part.partition("^")
        if name == "1":
            continue
        size = _size_of(name)
        if size is None or not (exponent or "1").isdigit():
            return None
        power = sign * int(exponent or 1)
        for kind, count in size[0]:
            dimensions[kind] = dimensions.get(kind, 0) + power * count
        factor *= size[1] ** power
    return tuple(sorted((kind, count) for kind, count in dimensions.items() if count)), factor


_ALIKE = (
    {"sterling", "lb"},
    {"degrees", "celsius"},
    {"degrees", "fahrenheit"},
    {"per s", "Hz"},
    {"yen", "yuan"},
)
"""`£5` and `5 pounds`; `¥5`, which is money of two countries; degrees of which scale is not said."""
_MONEY = frozenset((
    "dollar", "cent", "euro", "rupee", "sterling", "yen", "krw", "peso", "franc", "reais", "lira", "baht",
    "yuan", "krona", "zloty", "ruble", "dong", "shekel", "naira", "hryvnia",
))  # fmt: skip
_PERIODS = frozenset(("day", "week", "month", "year"))


def units_agree(first: str, second: str) -> bool:
    """Whether two units are one.

    Of a price or of something a day, what it is per may be left out: `8 hours` a day, but not `5 m` a second.
    """
    if first == second or {first, second} in _ALIKE:
        return True
    shorter, longer = sorted((first, second), key=len)
    below = longer.removeprefix(f"{shorter}/")
    return below != longer and (shorter in _MONEY or below in _PERIODS)


def converted(value: Fraction, unit: str, other: str) -> Fraction | None:
    """The value in another unit, `None` where the two do not measure the same."""
    source, target = measure(unit), measure(other)
    return (
        None if source is None or target is None or source[0] != target[0] else value * source[1] / target[1]
    )

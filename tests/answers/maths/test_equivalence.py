"""Which answers are equal, which are not, and which are left undecided."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.answers import Verdict, canonical, matches_gold, same_answer

ONE_CLASS = {
    "one_half": ["1/2", "0.5", ".5", r"\frac{1}{2}", r"\dfrac12", r"\tfrac12", r"\frac 12", "½", "50%"],
    "in_dollars": [r"\frac{1}{2}", r"$\frac{1}{2}$", r"\(\frac{1}{2}\)", r"\boxed{\frac{1}{2}}"],
    "thousands": ["1234", "1,234", "1{,}234", r"1\,234", r"1,\!234", "1234.0", "+1234", "$1234$", "1 234"],
    "scientific": ["120000", "1.2e5", r"1.2\times 10^{5}", r"1.2 \cdot 10^5", "1.2 × 10⁵", "120,000"],
    "mixed": ["2.5", "2 1/2", r"2\frac{1}{2}", r"2\frac12", "5/2", "2½"],
    "percent": ["10%", r"10\%", "0.1", "10 percent", "1/10"],
    "money": ["$5", r"\$5", "5 dollars", "$5.00", "5"],
    "length": ["5 cm", r"5\text{ cm}", "5cm", "5 centimeters", "5"],
    "count": ["18", "18 eggs", r"18 \text{ eggs}", "x = 18", "**18**", r"\boxed{18}", "eighteen", "18."],
    "angle": ["90", r"90^\circ", r"90^{\circ}", "90°", "90 degrees"],
    "unordered": ["1, -2", "-2,1", "-2 and 1", r"\{1,-2\}", "{-2, 1}", "x = 1, x = -2", "−2, 1"],
    "root": [r"2\sqrt2", r"2\sqrt{2}", "2√2", "2sqrt(2)", r"2 \sqrt {2}", r"$2\sqrt{2}$"],
    "circle": [r"12\pi", "12π", r"12 \pi", r"12\pi \text{ cm}^2", "12pi"],
    "letter": ["B", "(B)", "B.", r"\text{(B)}", r"(\text{B})", "b", "**B**"],
    "word": ["odd", "Odd", r"\text{odd}", "odd."],
    "yes": ["yes", "Yes", "YES.", r"\text{Yes}"],
    "date": ["05/01/2021", "5/1/2021"],
    "time": ["4:30 p.m.", r"\text{4:30 p.m.}", "4:30 PM", r"4:30 \text{ p.m.}"],
    "ray": ["x > 2", "2 < x", r"(2,\infty)", "(2, ∞)", r"x\in(2,\infty)", r"\left(2,\infty\right)"],
    "half_open": ["1 < x <= 2", "(1,2]", r"1<x\le 2", r"2 \geq x > 1"],
    "union": [r"(-\infty,-8)\cup(8,\infty)", "x < -8 or x > 8", r"(8,\infty)\cup(-\infty,-8)"],
    "plus_minus": [r"3\pm\sqrt{2}", r"3+\sqrt2, 3-\sqrt2", "3 ± √2"],
    "function": ["2x", "f(x) = 2x", "f(x)=2x", "y = 2x"],
    "equations": ["x=1, y=2", "y = 2, x = 1"],
    "chain": ["308", "200 + (20 * 3) + (12 * 4) = 200 + 60 + 48 = 308"],
    "large": ["1.5 million", "1500000", "1,500,000"],
    "words": ["25", "twenty-five", "twenty five", "Twenty Five"],
    "many_words": ["5210", "five thousand two hundred ten", "five thousand, two hundred and ten"],
    "parts": ["2/3", "two thirds", "two-thirds", "2 thirds", "two thirds of the cake"],
    "tenths": ["0.3", "3 tenths", "three tenths", "30%"],
    "repeating": ["1/3", r"0.\overline{3}", r"0.333\ldots", "0.333...", r"0.\bar{3}"],
    "repeating_later": ["1/6", r"0.1\overline{6}", "0.1666…"],
    "repeating_group": ["-1/7", r"-0.\overline{142857}", "-0.142857142857..."],
    "speed": ["60 mph", "60 miles per hour", "60 miles/hour", "60 mi/h", "60 miles an hour", "60"],
    "acceleration": ["5 m/s^2", "5 m/s²", "5 meters per second squared", r"5\text{ m/s}^2", "5"],
    "density": ["3 g/cm^3", "3 grams per cubic centimeter", "3"],
    "per_day": ["8 hours per day", "8 hours a day", "8 h/day", "8 hours", "8"],
    "wage": ["$15 per hour", "15 dollars per hour", "$15/hour", "$15", "15"],
    "flow": ["3 liters per minute", "3 L/min", "3"],
    "per_something": ["2 feet per jump", "2 feet", "2"],
    "in_total": ["12 in total", "12 in all", "12 in the box", "12"],
    "newton": [r"20\text{ N}", r"20\,\mathrm{N}", "20 newtons", "20"],
    "hertz": ["5 Hz", "5 hertz", "5"],
    "celsius": ["50°C", r"50^\circ\text{C}", "50 degrees Celsius", "50℃", "50"],
    "root_of_thirteen": [r"\sqrt{13}", "3.605551275", r"\sqrt{13} \approx 3.606", "√13"],
    "thousands_of_pi": [r"3000\pi", r"3,000\pi", r"3{,}000\pi", "3,000π"],
    "thousands_after_a_name": ["45000", "n = 45,000", r"A = 45{,}000 \text{ m}^2", r"x = \$45,000"],
    "thousands_in_a_pair": [r"(3{,}000, 4)", "(3000, 4)"],
    "decimal_comma": ["6.25", "6{,}25", r"6{,}25\text{ cm}"],
    "both_signs_of_a_number": ["1, 9", r"5 \pm 4", r"x = 5 \pm 4", "5 +/- 4", "5 +- 4", r"\{9, 1\}"],
    "ray_and_stretch": [
        r"(-\infty, 0)\cup[2, 5]", r"x<0 \text{ or } 2\le x\le 5", r"2 \le x \le 5 or x < 0",
        r"x<0, 2\le x\le5",
    ],
    "both_conditions": ["-1 < x < 6", r"x>-1 \text{ and } x<6", r"x>-1 \land x<6", "x>-1 ∧ x<6"],
    "all_but_a_point": [
        r"(-\infty,4)\cup(4,\infty)", r"x \ne 4", "All real numbers except x = 4",
        r"x \in \mathbb{R}, x \ne 4",
    ],
    "ray_without_a_point": [r"[1,4)\cup(4,\infty)", r"x\ge 1, x\ne 4", r"x ⩾ 1 \text{ and } x \ne 4"],
    "intersection": ["[3,5]", r"[0,5]\cap[3,8]", r"3 \leqq x ≦ 5"],
    "points": ["A(0,1), B(2,3)", "B(2,3), A(0,1)", "A = (0,1), B = (2,3)"],
    "chain_of_a_sum": ["11", "a + b = 4 + 7 = 11", r"P(X=3) = 11", r"\gcd(22, 33) = 11"],
    "chain_of_roots": [r"5\sqrt{2}", r"\sqrt{50} = 5\sqrt2 \approx 7.07"],
    "factorial": ["6!", "6! = 720", "720"],
    "probability": [r"\frac{1}{4}", r"P(X \le 1) = \frac14", r"P(X > 2) = \frac{2}{8} = \frac14"],
    "heat": [
        "4 J/(kg K)", r"4\,\mathrm{J\,kg^{-1}\,K^{-1}}", r"4\ \frac{\mathrm{J}}{\mathrm{kg\,K}}", "4",
    ],
    "per_second": [r"7\,\mathrm{s}^{-1}", "7 per second", r"7\text{ s}^{-1}", "7"],
    "price": [r"\$3 \text{ per hour}", "$3/hour", "$3", "3"],
    "kilohms": [r"8\,\mathrm{k}\Omega", "8 kΩ", r"8 \text{ kilohms}", "8"],
    "siunitx": [r"\SI{9}{\meter\per\second}", r"\qty{9}{m/s}", "9 m/s", r"9\,\frac{\text{m}}{\text{s}}"],
    "root_with_a_unit": [r"3\sqrt{5}", r"3\sqrt5\text{ m/s}", r"3\sqrt{5} \text{ cm}"],
    "units_of_other_scripts": ["6 km/h", "6公里/小时", "6 км/ч", "6"],
    "energy": ["3 kJ", "3 kilojoules", "3"],
    "function_of_an_angle": [r"\cos\theta", "cos(theta)", r"\cos(\theta)"],
    "inverse_function": [r"\arctan(0.2)", r"\tan^{-1}(0.2)", "tan^-1(0.2)", "tan⁻¹(0.2)", "tan^{-1}(0.2)"],
    "general_solution": [
        r"x = \frac{k\pi}{3}, k \in \mathbb{Z}", r"x = \frac{n\pi}{3}, n \in Z",
        r"\frac{n\pi}{3} \text{ where } n \text{ is an integer}", r"x=\frac{k\pi}{3} \quad (k\in\mathbb{Z})",
        r"\{x \mid x = \frac{k\pi}{3}, k \in \mathbb{Z}\}", r"\frac{\pi}{3}n \text{ for any integer } n",
    ],
    "inverse_matrix": [
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"A^{-1} = \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
        r"-\begin{pmatrix} -1 & -2 \\ -3 & -4 \end{pmatrix}",
        r"\begin{bmatrix*}[r] 1 & 2 \\ 3 & 4 \end{bmatrix*}",
    ],
    "column": [
        r"\begin{pmatrix} 4 \\ 6 \end{pmatrix}", "np.array([4, 6])", r"2\begin{pmatrix} 2 \\ 3 \end{pmatrix}",
    ],
    "scaled_pair": [r"(\frac{1}{5}, \frac{3}{5})", r"\frac{1}{5}(1, 3)", r"\frac15\langle 1, 3\rangle"],
    "unit_vectors": [r"4\mathbf{i}-\mathbf{j}", r"4 \hat i - \hat j", "4î - ĵ"],
    "system": ["x=1, y=6", r"\left\{\begin{array}{l} x = 1 \\ y = 6 \end{array}\right."],
    "styles": [
        r"\frac{3}{7}", r"\bigg(\frac{3}{7}\bigg)", r"\textcolor{red}{\boxed{\frac37}}",
        r"\Biggl(\frac37\Biggr)",
    ],
    "styled_letters": ["x^2+1", "𝑥² + 1", "𝐱²+1"],
    "repeating_dot": ["5/6", r"0.8{\overline{3}}", r"0.8\stackrel{\cdot}{3}", "0.83̇", "0.83 (repeating)"],
    "entities": ["x < 8", "x &lt; 8"],
    "a_date": ["March 25, 2019", "3/25/19", "03-25-2019", "25-03-2019"],
    "words_before": ["(2,-5)", "Vertex: (2,-5)", r"\text{The vertex is } (2,-5)"],
    "area": [r"5\text{ cm²}", r"5\text{ cm}^2", "5 square centimeters", "5"],
}  # fmt: skip


@pytest.mark.parametrize("writings", [pytest.param(same, id=name) for name, same in ONE_CLASS.items()])
def test_ways_to_write_one_answer_are_equal(writings: list[str]) -> None:
    first = writings[0]
    for other in writings[1:]:
        assert (other, same_answer(first, other).equal) == (other, True)
        assert (other, matches_gold(other, first).equal) == (other, True)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param("1/3", "0.333", id="three_digits_are_not_a_third"),
        pytest.param("10000001", "10000002", id="whole_numbers_are_exact"),
        pytest.param("1234567.89", "1234567.90", id="decimals_are_exact"),
        pytest.param(r"\frac{1}{2004!}", "0", id="small_is_not_zero"),
        pytest.param("5 cm", "5 m", id="units_that_differ"),
        pytest.param("5 cm", r"5 \text{ cm}^2", id="length_and_area"),
        pytest.param("9 a.m.", "9 p.m.", id="morning_and_evening"),
        pytest.param("50 cents", "$50", id="cents_and_dollars"),
        pytest.param("(1,2)", "(2,1)", id="a_tuple_is_ordered"),
        pytest.param("[1,2]", "(1,2)", id="closed_and_open"),
        pytest.param("(1,2]", "[1,2)", id="half_open"),
        pytest.param("1,2", "1,2,2", id="a_list_keeps_repetitions"),
        pytest.param("x=1, y=2", "x=2, y=1", id="named_values"),
        pytest.param("5 apples and 3 pears", "3 apples and 5 pears", id="counted_things"),
        pytest.param("yes", "true", id="true_equals_only_itself"),
        pytest.param("yes", "no", id="yes_and_no"),
        pytest.param("5/1/2021", "5/2021", id="a_date_is_no_fraction"),
        pytest.param("05/01/2021", "01/05/2021", id="day_and_month"),
        pytest.param("A", "B", id="letters"),
        pytest.param("6m", "6", id="a_product_is_no_unit"),
        pytest.param("20 J", "20", id="a_bare_letter_is_a_variable"),
        pytest.param("5x/y", "5", id="a_quotient_is_no_unit"),
        pytest.param("twenty five", "20", id="number_words"),
        pytest.param("two hundred fifty", "200", id="hundreds_in_words"),
        pytest.param("5 thousand two hundred", "5000", id="number_words_after_digits"),
        pytest.param("two thirds", "2", id="parts_in_words"),
        pytest.param("one third cup", "1", id="a_share_of_something"),
        pytest.param("0.333...4", "1/3", id="digits_after_dots"),
        pytest.param("0.33...", "1/3", id="two_digits_do_not_repeat"),
        pytest.param("5 m/s", "5 m/s^2", id="speed_and_acceleration"),
        pytest.param("5 km/h", "5 mph", id="speeds"),
        pytest.param("8 hours per day", "8 hours per week", id="rates"),
        pytest.param("25_6", "25_7", id="bases"),
        pytest.param("$118 000", "$128 000", id="spaces_between_thousands"),
        pytest.param("x^2", "x^3", id="powers"),
        pytest.param("x+y=5", "5", id="an_equation_is_not_its_right_side"),
        pytest.param("7.0711", r"5\sqrt{2}", id="five_digits_of_a_root"),
        pytest.param("10^{200} + 12", "10^{200} + 6", id="the_last_of_two_hundred_digits"),
        pytest.param(r"10^{50} + \sqrt{2}", r"10^{50} + \sqrt{3}", id="roots_after_fifty_digits"),
        pytest.param("10^{7} + 0.5", "10^{7}", id="a_decimal_and_a_whole_number"),
        pytest.param("x<0 or x>3", r"x<0 \text{ and } x>3", id="either_and_both"),
        pytest.param(r"(-\infty,0)\cup(3,\infty)", r"x<0 \land x>3", id="a_union_and_both"),
        pytest.param("x>1, y<4", "1<x<4", id="conditions_on_two_variables"),
        pytest.param("x>1, y<4", "x<4, y>1", id="conditions_on_the_other_variable"),
        pytest.param("A(0,1), B(2,3)", "B(0,1), A(2,3)", id="points_that_change_names"),
        pytest.param("5 N", r"5\text{ N/m}", id="force_and_stiffness"),
        pytest.param("5 mol/L", "5 mol", id="concentration_and_amount"),
        pytest.param("60 miles per hour", "60 miles", id="speed_and_length"),
        pytest.param("5 square feet per minute", "5 square feet", id="rate_of_an_area"),
        pytest.param("7 per second", "7 per minute", id="rates_of_a_count"),
        pytest.param("30 psi", "30 kPa", id="pressures"),
        pytest.param("2 acres", "2 hectares", id="areas_of_land"),
        pytest.param("8 bits", "8 bytes", id="bits_and_bytes"),
        pytest.param("3 light years", "3 parsecs", id="distances_of_stars"),
        pytest.param("4 kilojoules", "4 joules", id="a_prefix_in_letters"),
        pytest.param("90^\\circ", "90%", id="degrees_and_percent"),
        pytest.param("12厘米", "12米", id="lengths_in_chinese"),
        pytest.param("12分钟", "12小时", id="times_in_chinese"),
        pytest.param("12 см", "12 м", id="lengths_in_russian"),
        pytest.param("三米", "3 cm", id="a_han_number_with_a_unit"),
        pytest.param("x = 1,200", "x = 1, 200", id="a_thousand_and_two_numbers"),
        pytest.param("(1,200)", "1200", id="a_pair_and_a_thousand"),
        pytest.param("2{,}5", "2, 5", id="a_decimal_comma_and_a_list"),
        pytest.param(r"5 \pm 2", "7, 5", id="both_signs_of_another_number"),
        pytest.param("a + b = 3 + 5 = 7", "7", id="a_chain_that_is_wrong"),
        pytest.param(r"\sin(x)=\frac12", r"\cos(x)=\frac12", id="functions_of_a_variable"),
        pytest.param(r"k\pi, k \in \mathbb{Z}", r"2k\pi, k \in \mathbb{Z}", id="general_solutions"),
        pytest.param(r"k\pi, k \in \mathbb{Z}", r"k\pi, k \in \mathbb{N}", id="integers_and_natural_numbers"),
        pytest.param(
            r"2\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
            r"\begin{pmatrix} 2 \\ 2 \end{pmatrix}",
            id="scaled_columns",
        ),
        pytest.param("02/14/2022", "2/15/22", id="days_of_a_short_year"),
        pytest.param("02/14/2022", "2/14/23", id="short_years"),
        pytest.param("alpha male", r"\alpha", id="a_word_that_names_a_letter"),
        pytest.param(r"\sqrt{13}", "3.6056", id="five_digits_of_another_root"),
        pytest.param("", "5", id="empty"),
    ],
)
def test_different_answers_are_kept_apart(a: str, b: str) -> None:
    assert same_answer(a, b).equal is False
    assert same_answer(b, a).equal is False


@pytest.mark.parametrize(
    ("a", "b", "rule"),
    [
        pytest.param(r"\sqrt{8}", r"2\sqrt{2}", "numeric", id="roots"),
        pytest.param(r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}", "numeric", id="nested_roots"),
        pytest.param("10^{200} + 12", "12 + 10^{200}", "numeric", id="two_hundred_digits"),
        pytest.param("(2+i)(2-i)", "5", "numeric", id="complex"),
        pytest.param("x^2-1", "(x-1)(x+1)", "symbolic", id="polynomials"),
        pytest.param("10^5", "100000", "numeric", id="power"),
        pytest.param("7.0710678", r"5\sqrt{2}", "numeric", id="a_decimal_of_a_root"),
        pytest.param("1/3", "0.3333333", "number", id="a_decimal_of_a_third"),
        pytest.param(r"(\sqrt8, 1)", r"(2\sqrt2, 1)", "numeric", id="members_of_a_tuple"),
        pytest.param(r"1, \sqrt8", r"2\sqrt2, 1", "numeric", id="members_of_a_list"),
        pytest.param(
            r"\begin{pmatrix} 2/5 \\ 1 \end{pmatrix}",
            r"\begin{pmatrix} 0.4 \\ 1 \end{pmatrix}",
            "text",
            id="matrix",
        ),
    ],
)
def test_algebra_decides_what_text_and_value_cannot(a: str, b: str, rule: str) -> None:
    assert same_answer(a, b) == Verdict(True, rule)
    assert same_answer(b, a) == Verdict(True, rule)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        pytest.param("25%", "25", True, id="percent_for_a_number"),
        pytest.param("25", "25%", True, id="number_for_percent"),
        pytest.param("0.25", "25%", True, id="share_for_percent"),
        pytest.param("25%", "0.25", True, id="percent_for_a_share"),
        pytest.param("25", "0.25", False, id="number_for_a_share"),
        pytest.param("0.25", "25", False, id="share_for_a_number"),
        pytest.param("1,234", "1, 234", True, id="a_list_gold_reads_a_list"),
        pytest.param("1,234", "1234", True, id="a_number_gold_reads_a_number"),
        pytest.param("(1,2)", "1<x<2", True, id="an_interval_gold_reads_an_interval"),
        pytest.param("(1,2)", "(1,2)", True, id="same_text"),
        pytest.param("1<x<2", "(1,2)", True, id="an_answer_says_that_the_gold_is_an_interval"),
        pytest.param("1, 2", "(1,2)", True, id="a_tuple_without_parentheses"),
        pytest.param("2, 1", "(1,2)", False, id="in_the_wrong_order"),
        pytest.param("(B) mitosis", "B", True, id="an_option_written_out"),
        pytest.param("B. mitosis", "C", False, id="another_option"),
        pytest.param("2112", "2112_6", True, id="base_left_out"),
        pytest.param("2112_7", "2112_6", False, id="another_base"),
        pytest.param("5 m", "5 cm", False, id="another_unit"),
        pytest.param("20 J", "20", True, id="a_number_gold_reads_a_unit_of_one_letter"),
        pytest.param("300 K", "300", True, id="or_kelvin"),
        pytest.param("20K", "20", False, id="but_not_thousands"),
        pytest.param("50 °F", "50°C", False, id="another_scale_of_temperature"),
        pytest.param("3 fifth graders", "3", True, id="graders_are_no_fifths"),
        pytest.param("3 quarters", "3", True, id="quarters_are_coins"),
        pytest.param("two dozen", "2", True, id="dozens_are_counted"),
        pytest.param("June 20", r"\text{June 20}", True, id="words_with_a_number"),
        pytest.param("8.3 J/(mol·K)", "8.3", True, id="units_that_may_be_variables"),
        pytest.param("3 N s", "3", True, id="two_units_of_one_letter"),
        pytest.param("5 x y", "5", False, id="two_variables"),
        pytest.param("C(7,2)", "21", True, id="combinations_for_a_number"),
        pytest.param("C(7,2)", "(7,2)", True, id="or_a_point"),
        pytest.param("a=b=3", "a=3, b=3", True, id="names_that_are_equal"),
        pytest.param("a=b=3", "a=3, b=4", False, id="names_that_are_not"),
        pytest.param("x=y=4", "4", True, id="or_one_value"),
        pytest.param("50000 grams", "50 kilograms", True, id="converted"),
        pytest.param("16 bits", "2 bytes", True, id="converted_data"),
        pytest.param(r"\frac{a}{b} = \frac{2}{7}", "2:7", True, id="a_quotient_of_names_for_a_ratio"),
        pytest.param(r"(f \circ g)(2) = 9", "9", True, id="a_value_of_a_function"),
        pytest.param("garbage here", "5", False, id="garbage"),
        pytest.param("", "5", False, id="empty"),
        pytest.param(r"\frac{1}{", r"\sqrt{2}", False, id="unreadable_answer_is_wrong"),
        pytest.param("the answer is not 5", "5", False, id="gold_within_a_sentence"),
        pytest.param("5, 6", "5", False, id="gold_among_others"),
    ],
)
def test_the_gold_decides_how_an_answer_is_read(answer: str, gold: str, equal: bool | None) -> None:
    assert matches_gold(answer, gold).equal is equal


def test_an_open_interval_and_parentheses_are_undecided_without_a_gold() -> None:
    assert same_answer("(1,2)", "1<x<2") == Verdict(None, "ambiguous")


def test_a_percentage_and_its_bare_number_are_the_same_between_two() -> None:
    assert same_answer("25%", "25") == Verdict(True, "percent_read_as_number")


def test_a_comparison_out_of_time_is_undecided() -> None:
    assert same_answer("9^{9^{9^9}}", r"\sqrt{2}") == Verdict(None, "timeout")
    assert matches_gold("9^{9^{9^9}}", "5") == Verdict(None, "timeout")


def test_the_same_tower_is_equal_by_text_without_being_evaluated() -> None:
    assert same_answer("9^{9^{9^9}}", "$9^{9^{9^{9}}}$") == Verdict(True, "text")


def test_long_texts_equal_only_themselves() -> None:
    assert same_answer("a" * 2000, "a" * 2000) == Verdict(True, "text")
    assert same_answer("a" * 2000, "a" * 2001) == Verdict(None, "too_long")
    assert matches_gold("a" * 2000, "5") == Verdict(False, "too_long")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(r"\dfrac12", "1/2", id="fraction"),
        pytest.param("0.50", "1/2", id="decimal"),
        pytest.param("25%", "25%", id="percent"),
        pytest.param("5 centimeters", "5 cm", id="unit"),
        pytest.param("5 miles an hour", "5 mi/h", id="rate"),
        pytest.param("two hundred and five", "205", id="words"),
        pytest.param("18 eggs", "18", id="unknown_unit"),
        pytest.param("3, 1", "{1, 3}", id="list"),
        pytest.param("New York", "newyork", id="words"),
        pytest.param("x>2", r"(2, \infty)", id="inequality"),
        pytest.param("x^10 + \\sqrt2", r"x^{10}+\sqrt{2}", id="expression"),
        pytest.param("", "", id="empty"),
    ],
)
def test_canonical_text(answer: str, text: str) -> None:
    assert canonical(answer) == text


_MATHS = st.text(alphabet=r"0123456789abxyBpi \{}()[]^_+-*/=,.<>$%!:;frcsqtdo" + "√π°½", max_size=30)
_NUMBERS = st.builds(lambda top, bottom: f"{top}/{bottom}", st.integers(-999, 999), st.integers(1, 99))


@settings(max_examples=60, deadline=None)
@given(answer=st.one_of(st.text(max_size=40), _MATHS))
def test_canonical_text_is_total_and_idempotent(answer: str) -> None:
    once = canonical(answer)
    assert canonical(once) == once


@settings(max_examples=60, deadline=None)
@given(a=st.one_of(_NUMBERS, st.text(max_size=8)), b=st.one_of(_NUMBERS, st.text(max_size=8)))
def test_equality_is_symmetric(a: str, b: str) -> None:
    assert same_answer(a, b) == same_answer(b, a)


@settings(max_examples=60, deadline=None)
@given(answer=st.text(min_size=1, max_size=40).filter(str.strip))
def test_every_answer_equals_itself(answer: str) -> None:
    assert same_answer(answer, answer).equal is True
    assert matches_gold(answer, answer).equal is True


@settings(max_examples=60, deadline=None)
@given(top=st.integers(-(10**6), 10**6), power=st.integers(0, 6))
def test_a_decimal_equals_its_fraction(top: int, power: int) -> None:
    sign = "-" if top < 0 else ""
    digits = f"{abs(top):0{power + 1}d}"
    decimal = f"{sign}{digits[:-power]}.{digits[-power:]}" if power else f"{top}.0"
    assert same_answer(decimal, rf"\frac{{{top}}}{{{10**power}}}").equal is True

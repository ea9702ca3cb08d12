r"""Endings of recorded samples on which our answer or grade and another reader's differed.

Each was judged by reading (docs/results/grading-audit.md). The ids are those of the questions. The texts are
trimmed from samples of GSM8K, MATH, ASDiv, ALG-514, StrategyQA, date understanding and MMLU-Pro sets.
"""

from __future__ import annotations

import pytest

from sampleset.answers import extract_answer, matches_gold


@pytest.mark.parametrize(
    ("ending", "gold"),
    [
        pytest.param(
            r"\boxed{Toulouse, Charleston, and Seattle have 260 sheep together.}", "260", id="gsm8k-0006"
        ),
        pytest.param(
            r"\boxed{The distance covered by both trains is 230 miles, but that of each is not known.}",
            "230",
            id="gsm8k-0016",
        ),
        pytest.param(r"\boxed{Shiela will pay $255 each month for 3 months.}", "255", id="gsm8k-0073"),
        pytest.param(r"\boxed{The current population of Chile is 120,000.}", "120000", id="gsm8k-0313"),
        pytest.param(
            r"\boxed{Her coffee is 75 milliliters weaker when it is cooled by 65 degrees and she adds 15.}",
            "75",
            id="gsm8k-0323",
        ),
        pytest.param(
            r"\boxed{The most sticks he can make with the cheapest lumber (2 x 8s) is 1600 sticks.}",
            "1600",
            id="gsm8k-0505",
        ),
        pytest.param(r"\boxed{Antonella earned $450.}", "450", id="gsm8k-0552"),
        pytest.param(
            r"\boxed{After 2 years, Katina will have $600 remaining in her account.}", "600", id="gsm8k-0573"
        ),
        pytest.param(
            r"\boxed{She should set it to 500 degrees if her recipe calls for 520, with the same error.}",
            "500",
            id="gsm8k-0580",
        ),
        pytest.param(r"\boxed{Clyde will pay $12.00 for 5 apples and 5 oranges.}", "12", id="gsm8k-0638"),
        pytest.param(
            r"\boxed{It costs $3 more for a mixture of 1/2 pound almonds and 1/3 pound walnuts.}",
            "3",
            id="gsm8k-0659",
        ),
        pytest.param(
            "Final Answer: If he wants the highest profit, it would be $125 by choosing the jewelry.",
            "125",
            id="gsm8k-0015",
        ),
        pytest.param(
            "Final Answer: Steve needs 21 vines to produce enough for himself and his girlfriend.",
            "21",
            id="gsm8k-0234",
        ),
        pytest.param(
            "Answer: We need 4 liters of the 60% acid solution and 16 liters of the 75% one.",
            "4",
            id="alg514-0088",
        ),
        pytest.param(
            "Answer: 44 apples were sold in total, with a ratio of 8 red apples to 3 green apples.",
            "44",
            id="asdiv-1677",
        ),
        pytest.param(
            "The actual answer is 8,243, which is only slightly higher than our estimated answer.",
            "8243",
            id="asdiv-0609",
        ),
        pytest.param(
            "Answer: Mrs. Hilt must wait 15,840 minutes before she can buy her new pair of shoes.",
            "15840",
            id="asdiv-0684",
        ),
        pytest.param(
            "The final answer:\n\n193.56 rounded up to the nearest whole number is 194.",
            "194",
            id="asdiv-0761",
        ),
    ],
)
def test_a_marked_sentence_states_one_number(ending: str, gold: str) -> None:
    found = extract_answer("Some working, 1 + 1 = 2. " + ending)
    assert found is not None
    assert matches_gold(found.text, gold).equal is True


@pytest.mark.parametrize(
    ("ending", "answer"),
    [
        pytest.param(r"\boxed{3 onions and 1 potato}", "3 onions and 1 potato", id="gsm8k-0509"),
        pytest.param(r"\boxed{x - 10}", "x - 10", id="gsm8k-0338"),
        pytest.param(r"\boxed{4x, where x is the number she ordered}", None, id="gsm8k-0181"),
        pytest.param("The answer is 4 and 4.", "4 and 4", id="gsm8k-0509-both"),
        pytest.param("The answer is $4 and $6.", "$4 and $6", id="gsm8k-0518"),
        pytest.param("The answer is yes and no.", "yes and no", id="strategyqa-1658"),
        pytest.param("So the answer is no for most people.", "no for most people", id="strategyqa-1016"),
    ],
)
def test_an_answer_of_two_things_stays_whole(ending: str, answer: str | None) -> None:
    found = extract_answer(ending)
    assert found is not None
    assert found.text == (answer or "4x, where x is the number she ordered")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("Mrs. Hilt had 4 cents left after buying a pencil for 11 cents.", "4", id="asdiv-0043"),
        pytest.param("Mrs. Sheridan needs 32 more cats to have 43 cats in total.", "32", id="asdiv-0098"),
        pytest.param("There are 9 quarters equal to $2.25.", "9", id="asdiv-0167"),
        pytest.param("Dan has $2.00 left after buying a candy bar for $1.00.", "$2.00", id="asdiv-0179"),
        pytest.param("Jane can make 9 glasses of fresh lemonade with 18 lemons.", "9", id="asdiv-0487"),
        pytest.param("Each friend will receive 8 blueberry cookies, with 1 left over.", "8", id="asdiv-0506"),
        pytest.param("There would be 6 groups of 5 students each.", "6", id="asdiv-1826"),
        pytest.param(
            "To reach 80 pairs, they still need to sell 41 more pairs (80-39).", "41", id="asdiv-0952"
        ),
        pytest.param("There are 24 hours in a day, so she will see her in 48 hours.", "48", id="asdiv-0177"),
        pytest.param("Tom must have 2 times that amount, which is 16 animal robots.", "16", id="asdiv-0395"),
        pytest.param(
            "She has to buy at least 340 cards, which is 17 packs of 20 cards.", "340", id="asdiv-2050"
        ),
        pytest.param("Kira has 5 quarters and 1 dime, for a total of 6 coins.", "6", id="asdiv-1085"),
        pytest.param(
            "It is 8 lives per player times 8 players which equals 64 lives.", "64", id="asdiv-1800"
        ),
        pytest.param("Gwen had two dollars left after she spent three dollars.", "two", id="asdiv-1735"),
        pytest.param("The number of electric poles required is 45/3 + 1 = 15.", "15", id="gsm8k-0319"),
        pytest.param("He jumped ahead 1 spot, so he finished in 6th place.", "6", id="gsm8k-0464"),
        pytest.param("It is Jane's 16-year-old birthday, which is 02/29/2016.", "02/29/2016", id="date-0053"),
    ],
)
def test_the_last_sentence_states_a_number_and_explains_it_by_others(text: str, answer: str) -> None:
    found = extract_answer(text)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("Lucy sold a total of 61 cookies (34 + 27) on both rounds.", "61", id="asdiv-0231"),
        pytest.param(
            "Andrew took 25 minutes (5 minutes per game x 5 games) to set up.", "25", id="asdiv-0372"
        ),
        pytest.param(
            "- Subtract those with pears (9).\n- The result is those with oranges (6).", "6", id="asdiv-0044"
        ),
        pytest.param("The apple cost 10 cents more. ($0.25 - $0.15 = $0.10)", "10", id="asdiv-0045"),
        pytest.param(
            "You would eat 21 servings. (3 servings per day multiplied by 7 days)", "21", id="asdiv-0572"
        ),
        pytest.param("So, on the sixth rack, he will put 64 DVDs (32 doubled).", "64", id="asdiv-1179"),
        pytest.param("So Sam has 12 nickels and 18 dimes (since 12 + 18 = 30).", "18", id="alg514-0319"),
    ],
)
def test_working_in_parentheses_is_not_the_answer(text: str, answer: str) -> None:
    found = extract_answer(text)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param(
            "b = 63\n\nSo 63 were sold.\n\nNow we can check the revenue:\n\n204 + 315 = 519\n\nIt matches.",
            "63",
            id="alg514-0006",
        ),
        pytest.param(
            "So the number is -7.\n\nTo check our answer, substitute -7 back:\n\n- Three times -7 = -21",
            "-7",
            id="alg514-0083",
        ),
        pytest.param(
            "So Ron sold 12 tickets.\n\nTo check, we find the income: 2(12) + 4.5(8) = 60",
            "12",
            id="alg514-0055",
        ),
        pytest.param("The number is 18.\n\nExplanation:\n\nIf we half 18, we get 9.", "18", id="alg514-0234"),
        pytest.param(
            "Isabel started with 88 pieces.\n\nTo check:\n\n88 - 27 (given away) = 61 (pieces left)",
            "88",
            id="asdiv-1898",
        ),
        pytest.param(
            "Tom would need 13.17 days.\n\nTo get this answer, divide:\n\n158 / 12 = 13.17\n\n"
            "We round up to the next day:\n\nTom needs 14 days to fix the watches.",
            "14",
            id="asdiv-0767",
        ),
        pytest.param(
            "It costs 480.\nTo calculate this, we multiply 600 by 80%.\nTherefore, the price is $480.",
            "$480",
            id="asdiv-0680",
        ),
    ],
)
def test_a_check_of_the_result_is_not_the_answer(text: str, answer: str) -> None:
    found = extract_answer(text)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("So he drives at 32 miles per hour. So our answer is correct!", "32", id="alg514-0031"),
        pytest.param("So there are 28 girls. Our answer of 28 girls is correct.", "28", id="alg514-0389"),
        pytest.param(
            "105 / 6 = 17.5. Since the answer is not a whole number, we round up. We need:\n\n18 cars",
            "18",
            id="asdiv-0670",
        ),
        pytest.param(
            "The answer must be rounded up. Therefore, Jane would need 16 days.", "16", id="asdiv-0759"
        ),
        pytest.param(
            "Answer: Amy earned $2/hour, so she made:\n$2/hour x 7 = $14\nIn all she earned $23.",
            "$23",
            id="asdiv-2107",
        ),
        pytest.param("The answer to the question 'how many students are left?' is 5.", "5", id="asdiv-0778"),
        pytest.param("Answer: <<3=3>>3 Sweettarts.", "3 Sweettarts", id="asdiv-2274"),
        pytest.param(r"The answer is: \"answer\": \"3,000\"" + '"\n}\n```', "3,000", id="gsm8k-0419"),
        pytest.param("Pete's answer: 28 + 12 - 7 = 33\nSo the difference is 14.", "14", id="asdiv-0882"),
        pytest.param(
            "We want no bandages left over, so the answer is still 13 kits.", "13 kits", id="asdiv-1192"
        ),
        pytest.param("Each incorrect answer is worth 5 points. She got 19.", "19", id="worth"),
    ],
)
def test_a_phrase_that_judges_or_introduces_announces_no_answer(text: str, answer: str) -> None:
    found = extract_answer(text)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            '"a and b add up to 1.",\n    "answer": ""\n}\n```\nLet me know if you need step 2.',
            id="math-2294",
        ),
        pytest.param('{\n    "reasoning": "So x > 3.",\n    "answer": " "\n}\n```', id="math-716"),
        pytest.param(
            'Show your answer in the `answer` field, e.g.,`"answer": "42"`.\n{"answer": "___"}', id="math-889"
        ),
    ],
)
def test_a_blank_answer_field_is_no_answer(text: str) -> None:
    assert extract_answer(text) is None


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        pytest.param("$10,000/day", "10000", id="gsm8k-0129"),
        pytest.param("100 barrels/year", "100", id="gsm8k-0202"),
        pytest.param("2600g", "2600", id="gsm8k-0207"),
        pytest.param("156kgs", "156", id="gsm8k-0316"),
        pytest.param("$9 500", "9500", id="gsm8k-0265"),
        pytest.param("72 Mb/h", "72", id="gsm8k-0626"),
        pytest.param("4 * 15 * 12 = 720", "720", id="gsm8k-0134"),
        pytest.param("24 * $12.00 = $288.00", "288", id="gsm8k-0506"),
        pytest.param("220 + 90 + 60", "370", id="gsm8k-0295"),
        pytest.param("1152 cups of flour", "1152", id="math-geometry-1050"),
        pytest.param("2-2+4=4", "4", id="math-intermediate-1824"),
        pytest.param(r"4:30 \text{ p.m.}", r"\text{4:30 p.m.}", id="math-prealgebra-1462"),
        pytest.param("10/16/1924 at 11 am", "10/16/1924", id="date-0307"),
        pytest.param("6/11/2019", "06/11/2019", id="date-0182"),
    ],
)
def test_an_answer_with_its_unit_or_working_is_the_gold_one(answer: str, gold: str) -> None:
    found = extract_answer(rf"\boxed{{{answer}}}")
    assert found is not None
    assert matches_gold(found.text, gold).equal is True


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        pytest.param("6√2", "6", id="math-geometry-338"),
        pytest.param("6 * sqrt(2)", "6", id="math-geometry-338-sqrt"),
        pytest.param("9, 18, 27, 36, ...", "36", id="math-intermediate-1328"),
        pytest.param(
            r"Cannot be determined without values for $a$. The expression is $a^2 - 1$", "1", id="math-1598"
        ),
        pytest.param("24 - 6 = 18", "24", id="gsm8k-0193"),
        pytest.param("7, 2, -14, real and distinct roots", "23", id="math-2736"),
        pytest.param("no information given", "no", id="strategyqa-0411"),
    ],
)
def test_an_answer_that_only_holds_the_gold_text_is_wrong(answer: str, gold: str) -> None:
    found = extract_answer(rf"\boxed{{{answer}}}")
    assert found is not None
    assert matches_gold(found.text, gold).equal is False


@pytest.mark.parametrize(
    ("text", "choices", "letter"),
    [
        pytest.param("More cells divide there, so (B) is the correct answer.", 10, "B", id="mmlu_pro-2804"),
        pytest.param("so we can keep (B) as our answer. The others are wrong.", 10, "B", id="mmlu_pro-3064"),
        pytest.param("x = -1, which corresponds to option H.", 10, "H", id="mmlu_pro-8989"),
        pytest.param("This is (H).", 10, "H", id="mmlu_pro-0725"),
        pytest.param(
            "The answer is (A).\n\nFinal Answer: The answer is (E).",
            4,
            "A",
            id="mmlu_pro-5659-E_is_no_option",
        ),
        pytest.param("The answer is (E) circumstantial.", 4, None, id="mmlu_pro-11174"),
    ],
)
def test_a_letter_is_read_where_the_recorded_reader_found_none_or_another(
    text: str, choices: int, letter: str | None
) -> None:
    found = extract_answer(text, choices=choices)
    assert (found.text if found else None) == letter

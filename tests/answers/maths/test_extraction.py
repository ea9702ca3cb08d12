"""What counts as the final answer of a text, and in which order."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.answers import Extracted, count_choices, extract_answer, matches_gold
from sampleset.answers.maths.reading.reasoning import after_reasoning


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        pytest.param("So <answer>7</answer>, done.", "7", "answer_tag", id="tag"),
        pytest.param("<answer>7", "7", "answer_tag", id="tag_without_its_end"),
        pytest.param("<answer>7</answer> or <answer>8</answer>", "8", "answer_tag", id="last_tag"),
        pytest.param(r"<answer>\boxed{7}</answer>", "7", "answer_tag", id="box_in_tag"),
        pytest.param("<answer>The answer is 7.</answer>", "7", "answer_tag", id="phrase_in_tag"),
        pytest.param("<answer>7</answer> in the form <answer>...</answer>", "7", "answer_tag", id="dots"),
        pytest.param(
            "<answer>7</answer> <answer>your answer here</answer>", "7", "answer_tag", id="placeholder"
        ),
        pytest.param(r"<answer>7</answer> \boxed{8}", "7", "answer_tag", id="tag_before_box"),
        pytest.param(r"<answer></answer> \boxed{8}", "8", "boxed", id="empty_tag"),
        pytest.param(
            "<think><answer>7</answer></think> The answer is 8.", "8", "phrase", id="tag_in_reasoning"
        ),
        pytest.param(
            r"<think>\boxed{7}</think>", "7", "boxed", id="nothing_after_reasoning_reads_the_reasoning"
        ),
        pytest.param(r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}", "boxed", id="nested_braces"),
        pytest.param(r"\boxed{[0,1)}", "[0,1)", "boxed", id="unpaired_bracket_in_box"),
        pytest.param(r"$\boxed{\{1,2\}}$", r"\{1,2\}", "boxed", id="escaped_braces_in_box"),
        pytest.param(r"so \boxed 5.", "5", "boxed", id="box_without_braces"),
        pytest.param(r"\fbox{5}", "5", "boxed", id="fbox"),
        pytest.param(r"\boxed{3} and \boxed{4}.", "3, 4", "boxed", id="two_boxes_side_by_side"),
        pytest.param(r"\boxed{3}. No: \boxed{4}.", "4", "boxed", id="last_of_two_boxes"),
        pytest.param(r"\boxed{3}. I put it in \boxed{}.", "3", "boxed", id="empty_box"),
        pytest.param(r"\boxed{3} #### 4", "3", "boxed", id="box_before_hashes"),
        pytest.param(
            r"\boxed{The house cost $90,000.}", "$90,000", "boxed", id="the_number_of_a_boxed_sentence"
        ),
        pytest.param("16 - 3 = 13\n#### 1,300", "1,300", "hash", id="hashes"),
        pytest.param("#### Step 2: add\nThe answer is 9", "9", "phrase", id="heading_is_no_answer"),
        pytest.param("The answer is 72.", "72", "phrase", id="phrase"),
        pytest.param(r"2 + 2 is 4. So the answer is \boxed{}.", "4", "last_number", id="phrase_of_empty_box"),
        pytest.param("The answer is 12 and there's no other answer", "12", "phrase", id="and_a_remark"),
        pytest.param("The answers are 12 and 13", "12 and 13", "phrase", id="two_answers"),
        pytest.param("The answer is $1,234.50.", "$1,234.50", "phrase", id="comma_and_point_stay"),
        pytest.param("The answer is 5. It was 6 before.", "5", "phrase", id="sentence_ends"),
        pytest.param("**Answer:** 12", "12", "phrase", id="markdown"),
        pytest.param("**Final Answer**:\n\n\\[ x = 12 \\]", "x = 12", "phrase", id="answer_on_next_line"),
        pytest.param("### Final Answer\n42", "42", "phrase", id="heading"),
        pytest.param("Luri can add 20 fewer songs.\nA: 20", "20", "phrase", id="a_colon"),
        pytest.param('{"reasoning": "6*2=12", "answer": "12"}\n```', "12", "phrase", id="json"),
        pytest.param("The answer is 3 * 4 = 12.", "3 * 4 = 12", "phrase", id="calculation"),
        pytest.param("Final Answer: Trent is 32 years old.", "32", "phrase", id="number_of_a_sentence"),
        pytest.param("So the answer is 12 apples because 3*4 is 12.", "12", "phrase", id="reason_follows"),
        pytest.param("So the answer is 07/27/1997.", "07/27/1997", "phrase", id="date"),
        pytest.param("So the answer is yes.", "yes", "phrase", id="yes"),
        pytest.param("The answer is no, since it is 1954.", "no", "phrase", id="no_with_reason"),
        pytest.param(
            "Final Answer: How many sheets?\nHe uses 240. The answer is 240.", "240", "phrase", id="question"
        ),
        pytest.param("The answer is (B) because it rains.", "B", "choice", id="letter"),
        pytest.param(
            "There is no definitive answer to this question.", None, None, id="answer_to_this_question"
        ),
        pytest.param(
            "Each incorrect answer is worth 5 points.\nx = 19", "19", "last_result", id="worth_points"
        ),
        pytest.param("No, Groening was born in 1954.", "No", "yes_no", id="opening_no"),
        pytest.param(
            "x = 6258\nTherefore, she invested $6258 at 8%.", "$6258", "last_result", id="repeated_result"
        ),
        pytest.param("46 - 14 = 32 apples", "32", "last_result", id="minus_is_an_operator"),
        pytest.param("It is -7 degrees", "-7", "last_number", id="sign"),
        pytest.param("There were 17 sodas (9 + 8).", "17", "last_number", id="working_in_parentheses"),
        pytest.param("Mike still has thirteen books.", "thirteen", "last_number", id="number_in_words"),
        pytest.param(
            "Two hundred and fifty people came.",
            "two hundred and fifty",
            "last_number",
            id="several_number_words",
        ),
        pytest.param(
            "She has twenty five apples.", "twenty five", "last_number", id="number_words_without_a_hyphen"
        ),
        pytest.param("The answer is 5 (since 2 + 3 = 5).", "5", "phrase", id="working_after_a_phrase"),
        pytest.param("Answer: 36 (12 + 24 = 36)", "36", "phrase", id="working_after_a_colon"),
        pytest.param(r"\boxed{36 (12 + 24 = 36)}", "36", "boxed", id="working_in_a_box"),
        pytest.param("<answer>36 (12 + 24 = 36)</answer>", "36", "answer_tag", id="working_in_tags"),
        pytest.param("#### 36 (2 * (6 + 12) = 36)", "36", "hash", id="working_with_parentheses"),
        pytest.param("The answer is 1/2 (0.5).", "1/2", "phrase", id="the_same_number_again"),
        pytest.param("The answer is 5 eggs (as 2 + 3 = 5)", "5 eggs", "phrase", id="a_unit_before_it"),
        pytest.param("The answer is n (where 2 + 3 = n = 5).", "5", "phrase", id="half_a_parenthesis"),
        pytest.param(r"\boxed{4 (x+1)}", "4 (x+1)", "boxed", id="a_product"),
        pytest.param(r"\boxed{3 (mod 7)}", "3 (mod 7)", "boxed", id="a_residue"),
        pytest.param(r"Thus $\boxed{\frac{1}{2}$.", r"\frac{1}{2}", "boxed", id="box_that_never_closes"),
        pytest.param(r"Thus \boxed{\frac{1}{2", r"\frac{1}{2}", "boxed", id="braces_that_never_close"),
        pytest.param("\\boxed{$12\nin all", "12", "boxed", id="box_that_ends_with_its_line"),
        pytest.param(r"\boxed{3}, again: \boxed{", "3", "boxed", id="box_with_nothing_in_it"),
        pytest.param("I cannot tell.", None, None, id="nothing"),
        pytest.param("", None, None, id="empty"),
        pytest.param(r"\boxed{" + "a" * 501 + "} or 5", "5", "last_number", id="too_long_for_an_answer"),
    ],
)
def test_the_last_of_the_strongest_marker_is_the_answer(
    text: str, answer: str | None, rule: str | None
) -> None:
    found = extract_answer(text)
    assert found == (Extracted(answer, rule) if answer is not None and rule is not None else None)


def test_a_truncated_text_has_only_the_answer_it_marks() -> None:
    assert extract_answer("We have 3 + 4 = 7 and", truncated=True) is None
    assert extract_answer(r"\boxed{7} and now", truncated=True) == Extracted("7", "boxed")
    assert extract_answer(r"so \boxed{12", truncated=True) is None
    assert extract_answer(r"so $\boxed{12$ and", truncated=True) == Extracted("12", "boxed")


def test_a_boxed_letter_in_text_reads_as_the_letter() -> None:
    found = extract_answer(r"\boxed{\text{(B)}}")
    assert found is not None
    assert matches_gold(found.text, "B").equal is True


@pytest.mark.parametrize(
    ("text", "letter", "rule"),
    [
        pytest.param("The answer is (B).", "B", "phrase", id="phrase"),
        pytest.param(
            "The answer is (B). Now the next: the answer is (J).", "B", "phrase", id="J_is_no_option"
        ),
        pytest.param(r"\boxed{\text{(C)}}", "C", "boxed", id="box"),
        pytest.param(r"\boxed{C. mitosis}", "C", "boxed", id="option_written_out"),
        pytest.param("<answer>d</answer>", "D", "answer_tag", id="lower_case"),
        pytest.param("x = -1, which corresponds to option B.", "B", "choice", id="option"),
        pytest.param("All in all, C is the correct answer", "C", "choice", id="is_correct"),
        pytest.param("Let me think.\n\nB.", "B", "choice", id="line_of_its_own"),
        pytest.param("Met-Asp-Lys, which confirms (D).", "D", "last_choice", id="last_parenthesised"),
        pytest.param(r"\boxed{42} fits none", None, None, id="a_number_is_no_option"),
        pytest.param("All answers:\nA. 25 N.\nB. 12 N.\nThe answer is C.", "C", "phrase", id="listed"),
    ],
)
def test_with_choices_only_letters_within_them_are_answers(
    text: str, letter: str | None, rule: str | None
) -> None:
    found = extract_answer(text, choices=4)
    assert found == (Extracted(letter, rule) if letter is not None and rule is not None else None)


def test_a_truncated_text_is_not_read_for_its_last_letter() -> None:
    assert extract_answer("Option one is odd (A), two is even (", choices=4, truncated=True) is None


@pytest.mark.parametrize(
    ("question", "count"),
    [
        pytest.param("Which?\nA. one\nB. two\nC. three", 3, id="points"),
        pytest.param("Which?\n(A) one\n(B) two", 2, id="parentheses"),
        pytest.param("Which?\nA. one\nand more\nB. two", 2, id="option_over_two_lines"),
        pytest.param("How many?", None, id="open_question"),
        pytest.param("A. Turing was born when?", None, id="initial"),
        pytest.param("B. two\nC. three", None, id="no_A"),
    ],
)
def test_options_are_counted_at_the_end_of_the_question(question: str, count: int | None) -> None:
    assert count_choices(question) == count


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("Thus <answer>{}</answer>.", id="tag"),
        pytest.param("Thus $\\boxed{{{}}}$.", id="box"),
        pytest.param("Thus\n#### {}", id="hash"),
        pytest.param("Thus the answer is {}.", id="phrase"),
    ],
)
@settings(max_examples=60, deadline=None)
@given(number=st.integers(-(10**9), 10**9), places=st.sampled_from([0, 1, 3]))
def test_reading_gives_back_what_was_written(frame: str, number: int, places: int) -> None:
    written = f"{number / 10**places:.{places}f}"
    found = extract_answer(frame.format(written))
    assert found is not None
    assert found.text == written


@settings(max_examples=60, deadline=None)
@given(text=st.text())
def test_any_text_can_be_read(text: str) -> None:
    extract_answer(text)
    extract_answer(r"\boxed{" + text, choices=5)
    extract_answer("The answer is " + text, truncated=True)
    count_choices(text)


OPEN_MARKS = [
    *(
        "<think>",
        "<think >",
        "< think>",
        "<think\n>",
        '<think time="3">',
        "<THINK>",
        "<thought id=1>",
        "<cot>",
    ),
    *("<thinking_process>", "<antThinking>", "&lt;think&gt;", "[THINK]", "[ think ]", "[Thought]"),
    *("<|think|>", "<| think |>", "<|reasoning|>", '<details type="reasoning" done="false">'),
    *("<seed:think>", "<longcat_think>", "<think_fast>", "<my_thoughts>", "<inner-monologue>"),
    *("\\u003cthink\\u003e", "&#60;think&#62;", "\\<think\\>", "\uff1cthink\uff1e", "<\u601d\u8003>"),
    *("<|inner_prefix|>", "<|channel>thought\n", "```thinking\n", "analysisWe", "assistantanalysisWe"),
    *("<details><summary>Thinking...</summary>", "<details open>\n<summary>Thought for 3 s</summary>"),
]
CLOSED_MARKS = [
    ("<think>", "</think>"),
    ("<think >", "</think >"),
    ('<think type="x">', "</ think>"),
    ("", "< /THINK >"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("[ think ]", "[ /think ]"),
    ("<|reasoning|>", "<|/reasoning|>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
    ('<details type="reasoning" done="true" duration="3">', "</details>"),
    ("<details><summary>Thinking...</summary>", "</details>"),
    ("<longcat_think>", "</longcat_think>"),
    ("\\u003cthink\\u003e", "\\u003c/think\\u003e"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("```thinking\n", "\n```\n"),
    ("assistantanalysisWe ask. ", "assistantfinal"),
    ("<think>", "<\\/think>"),
    ("<critique>", "</critique>"),
    ("{think}", "{/think}"),
    ("[SCRATCHPAD]", "[/SCRATCHPAD]"),
    ("<start_of_draft>", "<end_of_draft>"),
    ("<|thought_begin|>", "<|thought_end|>"),
    ("<｜begin▁of▁thought｜>", "<｜end▁of▁thought｜>"),
]


@pytest.mark.parametrize("mark", OPEN_MARKS)
def test_nothing_in_a_thought_that_stays_open_is_an_answer(mark: str):
    assert after_reasoning(f"{mark} try \\boxed{{17}}, or 5") == ""


@pytest.mark.parametrize(("begin", "end"), CLOSED_MARKS)
def test_what_follows_a_thought_is_all_that_counts(begin: str, end: str):
    assert after_reasoning(f"{begin}Is it \\boxed{{17}}?{end}It is 18.") == "It is 18."


def test_a_closing_mark_right_behind_a_fence_of_code_ends_the_thought():
    assert after_reasoning("so:\n```\nprint(17)\n```</think>It is 18.") == "It is 18."


@pytest.mark.parametrize(
    "text",
    [
        "If a < think and b > 3, it is 18.",
        "<think/>It is 18.",
        "<think />It is 18.",
        "<thinker>It is 18.",
        "[thinking back] It is 18.",
        "<details>It is 18.</details>",
        "<details><summary>Steps</summary>5</details>It is 18.",
        "`<think>` opens a thought. It is 18.",
        "analysis shows that it is 18.",
        "<data_analysis>It is 18.",
        "<solution>It is 18.</solution> 3 steps.",
        "<review>It is 18.</review> Good luck!",
        "{think} It is 18.",
    ],
)
def test_what_only_looks_like_a_mark_hides_nothing(text: str):
    assert after_reasoning(text) == text


def test_long_texts_of_half_marks_are_read_at_once():
    begun = time.process_time()
    for half in ("<details><summary>think</summary>", "<a_think_b", "```think\n", "assistantanalysis"):
        after_reasoning(half * 20_000)
    for half in ("<think ", "< think", "<details type=reasoning", "[ think", "&lt;think ", "<details x "):
        after_reasoning(half * 20_000)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("begin", ["", "So it is ", "\\boxed{5} ", "The answer is 5. "])
def test_long_texts_of_repeated_pieces_are_read_at_once(begin: str):
    pieces = (
        "\n",
        "x = 1, ",
        "- ",
        "1:2 ",
        "May 3, ",
        "10^",
        "<review>",
        "I made an error. ",
        "not 12, ",
        "(1, 2), ",
    )
    extract_answer(begin)
    begun = time.process_time()
    for piece in pieces:
        extract_answer(begin + piece * (20_000 // len(piece)))
    assert time.process_time() - begun < 2

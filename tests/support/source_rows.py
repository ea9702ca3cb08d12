"""Made-up rows in each source's own form, and what they should become."""

ROWS = {
    "gsm8k": [
        {
            "question": "Ann has 2 boxes of 600 pins. How many pins?",
            "answer": "She has 2*600=<<2*600=1200>>1200 pins.\n#### 1,200",
        },
        {"question": "Bob eats 3 of 10 figs. How many are left?", "answer": "10-3=7\n#### 7"},
    ],
    "math": [
        {
            "problem": "What is half of $\\frac{1}{2}$?",
            "level": "Level 3",
            "type": "Algebra",
            "solution": "Not $\\boxed{1}$: it is $\\boxed{\\frac{1}{4}}$.",
        },
        {"problem": "What is $1+1$?", "level": "Level 1", "type": "Prealgebra", "solution": "$\\boxed 2$."},
    ],
    "math500": [
        {
            "problem": "Find $x$ in $2x=3$.",
            "solution": "$\\boxed{\\frac{3}{2}}$",
            "answer": "\\frac{3}{2}",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "test/algebra/1.json",
        }
    ],
    "aime24": [
        {"id": 60, "problem": "How many?", "solution": "33.", "answer": "033", "url": "u", "year": "2024"}
    ],
    "aime25": [{"problem": "How many bases?", "answer": "70", "id": "0"}],
    "amc23": [
        {"id": 0, "answer": 27.0, "question": "How far?", "url": "u"},
        {"id": 1, "answer": -1.0, "question": "How low?", "url": "u"},
    ],
    "olympiadbench": [
        {
            "id": 1606,
            "question": "Find the interval.",
            "solution": ["First.", "Then."],
            "final_answer": ["$(0,4]$"],
            "answer_type": "Interval",
            "is_multiple_answer": False,
            "unit": None,
            "error": None,
            "subfield": "Algebra",
        },
        {
            "id": 1607,
            "question": "Find both.",
            "solution": ["."],
            "final_answer": ["$1$", "$-2$"],
            "subfield": "Algebra",
        },
    ],
    "arc_challenge": [
        {
            "id": "M_1",
            "question": "Which is a star?",
            "choices": {"text": ["Mars", "the Sun"], "label": ["A", "B"]},
            "answerKey": "B",
        },
        {
            "id": "N_2",
            "question": "Which one flies?",
            "choices": {"text": ["a bird", "a fish", "a dog"], "label": ["1", "2", "3"]},
            "answerKey": "1",
        },
    ],
    "mmlu_pro": [
        {
            "question_id": 70,
            "question": "Which is prime?",
            "options": ["4", "6", "8", "9", "10", "12", "14", "15", "16", "17"],
            "answer": "J",
            "answer_index": 9,
            "category": "math",
        }
    ],
    "truthfulqa_mc": [
        {
            "question": "Can pigs fly?",
            "mc1_targets": {"choices": ["No", "Yes", "Some can", "At night"], "labels": [1, 0, 0, 0]},
        },
        {
            "question": "Is the Moon made of cheese?",
            "mc1_targets": {"choices": ["No, of rock", "Yes", "Partly"], "labels": [1, 0, 0]},
        },
    ],
}

ANSWERS = {
    "gsm8k": ["1200", "7"],
    "math": ["\\frac{1}{4}", "2"],
    "math500": ["\\frac{3}{2}"],
    "aime24": ["33"],
    "aime25": ["70"],
    "amc23": ["27", "-1"],
    "olympiadbench": ["$(0,4]$", "$1$, $-2$"],
    "arc_challenge": ["B", "A"],
    "mmlu_pro": ["J"],
}

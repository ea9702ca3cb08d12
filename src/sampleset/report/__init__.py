"""Evaluation → tables for the terminal, Markdown, CSV, JSON, and a page to read the questions in."""

from sampleset.report.compare import Comparison, compare_runs
from sampleset.report.compare_text import (
    comparison_dict,
    comparison_markdown,
    comparison_tables,
    write_comparison,
)
from sampleset.report.files import read_report, rewrite_report, write_report
from sampleset.report.json_form import evaluation_from_report, report_dict
from sampleset.report.markdown import report_markdown
from sampleset.report.page.html import report_html
from sampleset.report.replay import replay_csv, replay_dict, replay_tables
from sampleset.report.tables import report_tables

__all__ = [
    "Comparison",
    "compare_runs",
    "comparison_dict",
    "comparison_markdown",
    "comparison_tables",
    "evaluation_from_report",
    "read_report",
    "replay_csv",
    "replay_dict",
    "replay_tables",
    "report_dict",
    "report_html",
    "report_markdown",
    "report_tables",
    "rewrite_report",
    "write_comparison",
    "write_report",
]

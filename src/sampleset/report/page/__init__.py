"""The report as one page: `html` fills the files beside it."""

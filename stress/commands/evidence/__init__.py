"""Markdown for a pull request: every number is computed from records, and what they do not show is listed.

Nothing here is typed by hand. Text out of records stands in code spans, so that it cannot become a link, a heading or a
mention; the whole document passes one redaction before it is printed.
"""

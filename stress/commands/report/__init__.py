"""One self-contained HTML page from any number of runs: no script, no network, every text escaped.

Made by hand and without a template engine: a page is a few nested function calls, and there is one place that
escapes (`stress.commands.report.html`).
"""

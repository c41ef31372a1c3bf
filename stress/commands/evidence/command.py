"""`mps-stress evidence`: read everything and write the document."""

from __future__ import annotations

from datetime import UTC
from datetime import datetime

from stress.commands.evidence.document import document_of
from stress.commands.evidence.options import EvidenceOptions
from stress.commands.session import write_output


def run(options: EvidenceOptions) -> int:
    """Read everything and write the document."""
    text = document_of(options, f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by mps-stress evidence")
    write_output(options.output, text)
    return 0

"""Seeded schedule perturbation: yields and delays at op, line and opcode boundaries.

Importing this package does not import torch; only entering a `Perturbation` in mode "op" does.
"""

from __future__ import annotations

from stress.child.perturb.perturbation import MODES as MODES
from stress.child.perturb.perturbation import Perturbation as Perturbation
from stress.child.perturb.perturbation import kept_ready as kept_ready
from stress.child.perturb.perturbation import mode_for as mode_for
from stress.child.perturb.scope import TraceScope as TraceScope

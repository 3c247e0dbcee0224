from dataclasses import dataclass

import numpy as np

from clicv2_keras.evaluation.agreement import Agreement, Figure


@dataclass
class Verdict:
    """What can be said of a predictor against the best of its rivals.

    `rival` and `difference` (of SRCC, paired by resample) are None where no rival has a figure.
    """

    agreement: Agreement
    rival: Agreement | None = None
    difference: Figure | None = None

    @classmethod
    def of(cls, agreement, rivals):
        """The verdict on an `Agreement` against the best of a list of others."""
        best = max((r for r in rivals if np.isfinite(_srcc(r))), key=_srcc, default=None)
        if best is None or not np.isfinite(_srcc(agreement)):
            return cls(agreement)
        return cls(agreement, best, agreement.above(best))

    @property
    def outcome(self):
        """The verb of the sentence. Only an interval wholly above 0 is called a win."""
        if self.difference.low > 0:
            return "beats"
        if self.difference.high < 0:
            return "falls short of"
        return "does not clearly beat" if self.difference.value > 0 else "does not beat"


def _srcc(agreement):
    return agreement.headline["SRCC"].value

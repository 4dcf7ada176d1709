"""The table of root causes: in which findings each is seen, what else it explains, what helps.

Rules stand in the order in which causes act on one another: data before loss, loss before the
model, the model before its training, and last what all of them stand on.
"""

from auditor.diagnosis.rules.data import DATA
from auditor.diagnosis.rules.model import MODEL
from auditor.diagnosis.rules.tracking import TRACKING
from auditor.diagnosis.rules.training import TRAINING

RULES = (*DATA, *MODEL, *TRAINING, *TRACKING)

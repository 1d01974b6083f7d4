"""CESQL: the CloudEvents SQL Expression Language 1.0, parsed once and evaluated often.

Source: the specification "CloudEvents SQL Expression Language", version 1.0. Where it leaves a
choice, ours is: evaluation is *fail fast* (section 4.1), an arithmetic result outside 32 bits is a
math error with the value 0, and operators of equal precedence go from left to right. One extension:
an identifier may hold ``_`` (such as ``metadata_ok`` in a workflow's condition) and then keeps its case.
"""

from penstock.core.cesql.evaluation import Lookup
from penstock.core.cesql.expression import Expression, Outcome, compile_cesql
from penstock.core.cesql.values import Fault, FaultKind, Value

__all__ = ["Expression", "Fault", "FaultKind", "Lookup", "Outcome", "Value", "compile_cesql"]

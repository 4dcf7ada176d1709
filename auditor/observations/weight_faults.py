"""What is wrong with a weight matrix, and what only looks as if it were."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from auditor.core.finding import Limit
from auditor.core.spectrum import random_spectrum
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.weight_matrices import WeightMatrices, WeightMatrix, WeightVector

DOUBT = 0.01
"""Probability that chance alone brings about any of the faults, shared out among the matrices."""
FEWEST_TO_WARN, FEWEST_TO_FAIL = 2, 4
"""Units of a layer from which on their share can warn, and fail."""
SHORTEST = 16
"""Shorter side from which on an effective rank is compared with that of random entries."""
SINGLE = 1.5
"""Effective rank below which a matrix of shorter side 8 or more has but one direction left."""
SINGLE_SIDE = 8
FACTORISED = 4
"""Rank from which on a matrix whose other singular values are zero looks factorised on purpose."""
PRUNED = 0.1
"""Share of zeros from which on a matrix looks pruned, if half of the others do so too."""
ABSURD = 1e3
"""Times the largest of the others: no training takes a weight there; a flipped bit does."""
FIRST_BIAS = 1e4
"""A first layer's bias may have to undo the mean of inputs that are far from zero."""
ADAPTER = re.compile(r"lora", re.IGNORECASE)

Kind = Literal["symmetric", "zero", "zero units", "constant", "duplicates", "rank", "outlier",
               "bias", "copy", "unchanged"]  # fmt: skip


@dataclass(frozen=True)
class WeightFault:
    """Something odd in one parameter: what, how bad, and in a few words."""

    kind: Kind
    verdict: Verdict
    name: str
    note: str


def label(matrix: WeightMatrix) -> str:
    """Return a matrix's name with its part."""
    return f"{matrix.name} ({matrix.part})" if matrix.part else matrix.name


def chance_of(seen: int, expected: float) -> float:
    """Return a bound on how likely `seen` or more are where so many are expected.

    e^-λ (eλ / k)^k for k > λ, the bound of Chernoff for a Poisson number, else 1.
    """
    if seen <= expected:
        return 1.0
    return math.exp(seen - expected + seen * math.log(expected / seen)) if expected > 0 else 0.0


def duplicates_by_chance(matrix: WeightMatrix) -> float:
    """Return how many pairs of rows chance would make one up to sign and scale, at most.

    Of two random directions in D dimensions |cos| > 1 - t with probability at most
    (2t)^((D - 1) / 2); values of a coarse grid are all equal with probability c^fan_in.
    """
    apart = max(1, matrix.groups)
    pairs = matrix.compared * (max(0.0, matrix.compared / apart - 1) / 2 + matrix.beside)
    # Distinct rows tell in how many directions rows spread; of two rows that are one, none do.
    fewest = 3.0 if matrix.compared == 2 else 2.0
    near = (2 * matrix.tolerance) ** ((max(fewest, matrix.dimension) - 1) / 2)
    return float(pairs * min(1.0, near + matrix.collision**matrix.fan_in))


def faults_of(seen: WeightMatrices, limits: Mapping[str, Limit]) -> list[WeightFault]:
    """Return all that is odd, in the order of the parameters; what is proven harmless is `info`."""
    looked_at = [matrix for matrix in seen.matrices if matrix.finite]
    alone = DOUBT / max(1, len(looked_at))
    pruned = looks_pruned(seen)
    dense = [matrix for matrix in looked_at if matrix.kind != "embedding"]
    found = []
    for matrix in looked_at:
        faults = (
            _zero(matrix, looked_at)
            or _symmetric(matrix, first=matrix is looked_at[0])
            or [
                *_zero_units(matrix, limits["zero_units"], alone, pruned=pruned),
                *_repeated(matrix, limits["duplicates"], alone),
                *_rank(matrix, limits["relative_rank"]),
            ]
        )
        first, last = matrix is dense[0] if dense else False, matrix is dense[-1] if dense else True
        faults += _outliers(matrix)
        faults += [] if last else _bias(matrix, first=first)
        if matrix.copy_of:
            # Layers cloned by the factory have yet to part, and a bare file may hold a tied weight.
            apart = matrix.trainable is True and not matrix.as_built
            verdict = Verdict.WARN if apart else Verdict.INFO
            faults.append(_fault("copy", verdict, matrix, f"has the values of {matrix.copy_of}"))
        if matrix.as_built and not faults and matrix.rms > 0:
            faults.append(_fault("unchanged", Verdict.INFO, matrix, "has a fresh model's values"))
        found += [_mild(fault, matrix) for fault in faults]
    return found + [fault for vector in seen.vectors for fault in _of_vector(vector)]


def looks_pruned(seen: WeightMatrices) -> bool:
    """Tell whether zeros stand in at least half of the matrices, as pruning leaves them."""
    large = [m for m in seen.matrices if m.finite and m.units * m.fan_in >= 64]
    sparse = [m for m in large if PRUNED <= m.zero_share < 1]
    return len(sparse) >= max(3, len(large) / 2)


def looks_random(matrix: WeightMatrix) -> bool:
    """Tell whether the spectrum is that of random entries: its effective rank and its largest."""
    if min(matrix.sketch) < SHORTEST or not matrix.rms > 0:
        return False
    edge = matrix.rms * float(random_spectrum(*matrix.sketch)[0])
    top = float(matrix.singular.max(initial=0.0))
    return abs(matrix.relative_rank - 1) < 0.03 and top < 1.1 * edge


def _fault(kind: Kind, verdict: Verdict, matrix: WeightMatrix, note: str) -> WeightFault:
    where = f"{matrix.part}: " if matrix.part else ""
    return WeightFault(kind, verdict, matrix.name, where + note)


def _mild(fault: WeightFault, matrix: WeightMatrix) -> WeightFault:
    """Return the fault as information where the weights are fixed as they are built, on purpose."""
    fixed = matrix.trainable is False and matrix.as_built
    # Of a bare parameter nobody knows what its rows are, so that it never fails.
    harsh = matrix.kind == "other" and fault.verdict is Verdict.FAIL and fault.kind != "outlier"
    verdict = Verdict.INFO if fixed else Verdict.WARN if harsh else fault.verdict
    return WeightFault(fault.kind, verdict, fault.name, fault.note)


def _zero(matrix: WeightMatrix, all_of_them: list[WeightMatrix]) -> list[WeightFault]:
    """A weight of nothing but zeros; where it is meant to start there, it may be all right."""
    if matrix.rms > 0:
        return []
    place = next(i for i, other in enumerate(all_of_them) if other is matrix)
    beside = {
        other.name
        for step in (-1, 1)
        if 0 <= place + step < len(all_of_them) and (other := all_of_them[place + step]).rms == 0
    } - {matrix.name}
    before = all_of_them[place - 1] if place else None
    # An adapter adds a product of two narrow weights, the second of which starts at zero.
    narrow = before is not None and before.units == matrix.fan_in <= matrix.units / 2
    narrow = narrow and before is not None and 2 * before.units <= before.fan_in
    guessed = matrix.as_built is None and (narrow or ADAPTER.search(matrix.name) is not None)
    meant = guessed or matrix.as_built is True
    if beside:
        verdict, note = Verdict.FAIL, "all zero, like the weight beside it: neither can ever learn"
    elif meant:
        verdict, note = Verdict.INFO, "all zero, as it is meant to start: it has not been trained"
    else:
        certain = matrix.as_built is False and matrix.kind != "other"
        verdict, note = Verdict.FAIL if certain else Verdict.WARN, "all zero"
    return [_fault("zero", verdict, matrix, note)]


def _symmetric(matrix: WeightMatrix, *, first: bool) -> list[WeightFault]:
    """All units are one unit, or all inputs are read alike."""
    several = matrix.units > 1 and matrix.compared > 1
    shared = matrix.units > matrix.groups
    if several and matrix.identical and (matrix.fan_in > 1 or (matrix.one_value and not first)):
        value = "hold one value throughout" if matrix.one_value else "are identical"
        # Depthwise filters read different inputs, so that equal ones can part.
        verdict = Verdict.FAIL if shared else Verdict.WARN
        note = f"all {matrix.units:,} units {value}"
        return [_fault("symmetric", verdict, matrix, note)]
    if (
        matrix.compared > 2
        and matrix.fan_in > 2
        and matrix.rank <= 1
        and matrix.duplicates >= matrix.compared - 1
    ):
        note = f"all {matrix.units:,} units are one up to sign and scale: rank 1"
        return [_fault("rank", Verdict.FAIL, matrix, note)]
    if matrix.columns_alike and matrix.fan_in > 2:
        verdict = Verdict.INFO if first else Verdict.WARN
        note = "reads all its inputs with the same weights"
        return [_fault("symmetric", verdict, matrix, note)]
    return []


def _zero_units(
    matrix: WeightMatrix, limit: Limit, alone: float, *, pruned: bool
) -> list[WeightFault]:
    zero, expected = matrix.zero_units, matrix.units * matrix.zero_share**matrix.fan_in
    if zero < FEWEST_TO_WARN or chance_of(zero, expected) > alone:
        return []
    verdict = _of_share(zero, matrix.units, limit)
    if pruned or matrix.kind == "embedding":
        verdict = Verdict.INFO
    note = f"{zero:,} of {matrix.units:,} units are zero"
    return [] if verdict is Verdict.PASS else [_fault("zero units", verdict, matrix, note)]


def _repeated(matrix: WeightMatrix, limit: Limit, alone: float) -> list[WeightFault]:
    """Units that are constant, or that an earlier one equals up to sign and scale."""
    found = []
    flat, copies, of = matrix.constant_units, matrix.duplicates, matrix.compared
    expected = matrix.units * matrix.collision ** (matrix.fan_in - 1)
    if flat >= FEWEST_TO_WARN and matrix.fan_in > 2 and chance_of(flat, expected) <= alone:
        verdict = _of_share(flat, matrix.units, limit)
        verdict = Verdict.INFO if matrix.kind == "embedding" else verdict
        if verdict is not Verdict.PASS:
            note = f"{flat:,} of {matrix.units:,} units hold one value throughout"
            found.append(_fault("constant", verdict, matrix, note))
    # Of two units the second may well learn to be the first's opposite, as two classes do.
    opposed = of == 2 and not matrix.beside and matrix.opposites > 0
    if matrix.fan_in <= 2 or copies < 1 or opposed:
        return found
    if chance_of(copies, duplicates_by_chance(matrix)) > alone:
        return found
    verdict = limit.verdict(copies / of)
    if verdict is Verdict.FAIL and copies < FEWEST_TO_FAIL:
        verdict = Verdict.WARN
    if verdict is Verdict.PASS:
        verdict = Verdict.INFO
    if matrix.kind == "embedding":
        # Tokens that never occur, added together, may well share a vector.
        verdict = Verdict.WARN if copies > of / 2 else Verdict.INFO
    if verdict is not Verdict.PASS:
        opposite = f", {matrix.opposites:,} of them with the other sign" if matrix.opposites else ""
        note = f"{copies:,} of {of:,} units copy another{opposite}"
        found.append(_fault("duplicates", verdict, matrix, note))
    return found


def _of_share(count: int, of: int, limit: Limit) -> Verdict:
    if count < FEWEST_TO_WARN:
        return Verdict.PASS
    verdict = limit.verdict(count / of)
    return Verdict.WARN if verdict is Verdict.FAIL and count < FEWEST_TO_FAIL else verdict


def _rank(matrix: WeightMatrix, limit: Limit) -> list[WeightFault]:
    short = min(matrix.sketch)
    rank, whole = matrix.rank, matrix.effective_rank
    verdict = limit.verdict(matrix.relative_rank) if short >= SHORTEST else Verdict.PASS
    if short >= SINGLE_SIDE and whole < SINGLE:
        verdict = Verdict.FAIL
    if verdict is Verdict.PASS:
        return []
    note = f"effective rank {whole:.3g} of {short:,}"
    if matrix.built_rank is not None and matrix.built_rank <= max(whole, SINGLE):
        verdict, note = Verdict.INFO, f"{note}, no lower than it is built"
    elif FACTORISED <= rank <= short / 4:
        verdict, note = Verdict.INFO, f"rank {rank:,} of {short:,}, as if factorised on purpose"
    elif matrix.kind == "embedding" and verdict is Verdict.FAIL and whole >= SINGLE:
        verdict = Verdict.WARN
    return [_fault("rank", verdict, matrix, note)]


def _outliers(matrix: WeightMatrix) -> list[WeightFault]:
    found = []
    for one in matrix.outliers:
        times = abs(one.value) / one.beside
        verdict = Verdict.FAIL if times > ABSURD else Verdict.WARN
        note = f"{one.index} is {one.value:.3g}, {times:.2g} times the largest of the rest"
        found.append(WeightFault("outlier", verdict, matrix.name, note))
    return found


def _bias(matrix: WeightMatrix, *, first: bool) -> list[WeightFault]:
    count, worst = matrix.biases, matrix.worst_bias or 0.0
    if first and worst < FIRST_BIAS:
        return []
    share = count / matrix.units
    # Few do little harm, unless they are beyond anything that training brings about.
    if worst < ABSURD and (count < FEWEST_TO_WARN or share < 0.25):
        return []
    verdict = Verdict.FAIL if share >= 0.5 and count >= FEWEST_TO_FAIL else Verdict.WARN
    units = counted(count, "unit")
    note = f"biases of {units} drown the weights, up to {worst:.2g} times their norm"
    return [_fault("bias", verdict, matrix, note)]


def _of_vector(vector: WeightVector) -> list[WeightFault]:
    found = []
    for one in vector.outliers:
        times = abs(one.value) / one.beside
        verdict = Verdict.FAIL if abs(one.value) > 1e6 else Verdict.WARN
        note = f"{one.index} is {one.value:.3g}, {times:.2g} times the largest of the rest"
        found.append(WeightFault("outlier", verdict, vector.name, note))
    return found

"""The laws of a policy: run them over yours with `check_policy(make)`.

`make(dim)` builds a fresh policy over `dim` features. Every check uses fixed seeds and is never flaky.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from safetensors.numpy import load, save
from scipy.stats import chi2

from honeyguide.errors import InvalidInput
from honeyguide.explore.decide import Request, decide, draw
from honeyguide.explore.page import rest, slots_of
from honeyguide.types import Candidates, Decision, Floats, Policy, State

MakePolicy = Callable[[int], Policy]
PolicyCheck = Callable[[MakePolicy], None]

DIM = 6
N = 12
K = 3
TIME = datetime(2026, 1, 1, tzinfo=UTC)
USERS = ("ann", "bob", "cai")


class LawBroken(AssertionError):
    """A part does not keep its contract; the message names the law."""


def require(holds: bool | np.bool_, law: str) -> None:
    """LawBroken unless the law holds."""
    if not holds:
        raise LawBroken(law)


def check_policy(make: MakePolicy, *, learns: bool = True) -> None:
    """Run every law; `learns=False` for a policy that has no memory."""
    for check in CHECKS_POLICY:
        check(make)
    if learns:
        for check in CHECKS_LEARNING:
            check(make)


def world(seed: int = 0, n: int = N, user: str = "ann") -> Candidates:
    """Candidates with random features, the same for the same seed; frozen, so that nobody scribbles on them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, DIM)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features.setflags(write=False)
    names = tuple(f"item-{i}" for i in range(n))
    return Candidates(user, names, features, remaining_visits=10.0, groups=np.arange(n) % 4)


def page(policy: Policy, candidates: Candidates, seed: int, k: int = K) -> Decision:
    """One decided page."""
    request = Request(f"decision-{seed}", TIME)
    return decide(policy, candidates, k=k, request=request, rng=np.random.default_rng(seed))


def reward_of(decision: Decision) -> Floats:
    """What the shown items earn in these checks: item-0 is the best, the rest earn little."""
    return np.array([0.9 if item == "item-0" else 0.05 for item in decision.item_ids])


def train(policy: Policy, turns: int, *, first_seed: int = 0) -> None:
    """Let the policy decide and learn."""
    for turn in range(turns):
        decision = page(policy, world(user=USERS[turn % len(USERS)]), first_seed + turn)
        policy.update(decision, reward_of(decision))


def pmf_of(policy: Policy, candidates: Candidates, seed: int = 7) -> Floats:
    """The policy's distribution."""
    return policy.probabilities(candidates, np.random.default_rng(seed))


def equal_states(one: State, other: State) -> bool:
    """Whether two states are equal to the bit."""
    same_keys = one.keys() == other.keys()
    return same_keys and all(
        one[key].dtype == other[key].dtype and np.array_equal(one[key], other[key]) for key in one
    )


def check_pmf(make: MakePolicy) -> None:
    """A distribution over the candidates: float64, one entry each, summing to 1."""
    for turns in (0, 30):
        policy = make(DIM)
        train(policy, turns)
        for n in (1, 2, N):
            pmf = pmf_of(policy, world(n=n))
            require(pmf.shape == (n,), f"pmf must be ({n},), got {pmf.shape}")
            require(pmf.dtype == np.float64, f"pmf must be float64, got {pmf.dtype}")
            require(bool(np.isclose(pmf.sum(), 1, atol=1e-12)), f"pmf must sum to 1, got {pmf.sum()!r}")


def check_support(make: MakePolicy) -> None:
    """Every candidate keeps a chance, however much was learned."""
    policy = make(DIM)
    train(policy, 120)
    require(bool((pmf_of(policy, world()) > 1e-6).all()), "every candidate must keep a chance after training")


def check_sampling_matches_pmf(make: MakePolicy) -> None:
    """What is served is drawn from the pmf: chi-square over 4,000 draws."""
    policy = make(DIM)
    train(policy, 6)
    candidates = world()
    pmf = pmf_of(policy, candidates)
    rng = np.random.default_rng(1)
    counts = np.bincount([draw(pmf, rng) for _ in range(4000)], minlength=len(pmf))
    expected = 4000 * pmf
    common = expected >= 5
    parts = (
        np.append(counts[common], counts[~common].sum()),
        np.append(expected[common], expected[~common].sum()),
    )
    kept = parts[1] > 0
    statistic = float(((parts[0][kept] - parts[1][kept]) ** 2 / parts[1][kept]).sum())
    p_value = float(chi2.sf(statistic, max(int(kept.sum()) - 1, 1)))
    require(p_value > 1e-4, f"draws do not follow the pmf: chi-square p = {p_value:.2g}")


def check_inverse_propensity_is_unbiased(make: MakePolicy) -> None:
    """The mean of 1/p over an item's draws is its weight: IPS sees a reward of 1 for every item as n in sum."""
    policy = make(DIM)
    train(policy, 3)
    candidates = world(n=6)
    weights = np.array([1.0 / page(policy, candidates, seed, k=1).propensities[0] for seed in range(3000)])
    error = abs(weights.mean() - 6)
    bound = 5 * weights.std() / np.sqrt(len(weights)) + 1e-9
    require(error <= bound, f"mean of 1/p must be n = 6, got {weights.mean():.3f}")


def check_slate(make: MakePolicy) -> None:
    """A page shows distinct items with propensities in (0, 1], and may be as long as the candidates."""
    policy = make(DIM)
    train(policy, 10)
    for seed in range(10):
        decision = page(policy, world(), seed, k=N)
        require(len(set(decision.item_ids)) == N, "a page must show distinct items")
        require(
            bool(((decision.propensities > 0) & (decision.propensities <= 1)).all()), "propensities in (0, 1]"
        )
        require(bool(np.isclose(decision.propensities[-1], 1.0)), "the last item left is certain")


def check_slots_are_conditional(make: MakePolicy) -> None:
    """Slot 2 is drawn from the policy's answer on what slot 1 left: inverse propensities of pairs add up."""
    policy = make(DIM)
    train(policy, 3)
    candidates = world(n=4)
    pairs = [page(policy, candidates, seed, k=2).propensities.prod() for seed in range(3000)]
    weights = 1.0 / np.array(pairs)
    bound = 5 * weights.std() / np.sqrt(len(weights)) + 1e-9
    require(
        abs(weights.mean() - 12) <= bound, f"mean of 1/(p1 p2) must be 4 x 3 = 12, got {weights.mean():.2f}"
    )


def check_determinism(make: MakePolicy) -> None:
    """The same generator state gives the same distribution and page."""
    policy = make(DIM)
    train(policy, 5)
    one, other = page(policy, world(), 3), page(policy, world(), 3)
    require(np.array_equal(one.chosen, other.chosen), "equal seeds must give equal pages")
    require(
        np.array_equal(pmf_of(policy, world()), pmf_of(policy, world())), "equal seeds must give equal pmfs"
    )


def check_rng_is_the_only_randomness(make: MakePolicy) -> None:
    """The process-wide generator is neither read nor moved."""
    before = _global_state()
    policy = make(DIM)
    train(policy, 3)
    pmf_of(policy, world())
    require(_global_state() == before, "the global numpy generator was used")


def _global_state() -> tuple[bytes, int]:
    """The numbers of the process-wide generator, and which of them is next."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    return state["state"]["key"].tobytes(), int(state["state"]["pos"])


def check_candidate_order_is_irrelevant(make: MakePolicy) -> None:
    """Shuffled candidates get shuffled probabilities."""
    policy = make(DIM)
    train(policy, 20)
    candidates = world()
    order = np.random.default_rng(5).permutation(N)
    straight, shuffled = pmf_of(policy, candidates), pmf_of(policy, candidates.take(order))
    require(
        bool(np.allclose(straight[order], shuffled, atol=1e-9)), "the order of the candidates changed the pmf"
    )


def check_asking_never_learns(make: MakePolicy) -> None:
    """`plan` and `probabilities` leave the state and their inputs as they were."""
    policy = make(DIM)
    train(policy, 5)
    before = {key: value.copy() for key, value in policy.state().items()}
    features = np.array(world().features)
    candidates = replace(world(), features=features)
    copy = features.copy()
    for seed in range(5):
        policy.plan(candidates)
        pmf_of(policy, candidates, seed)
    require(equal_states(before, policy.state()), "asking changed the state")
    require(np.array_equal(copy, features), "asking changed the caller's features")


def check_level_is_obeyed(make: MakePolicy) -> None:
    """With the plan's own level given, the distribution is the one without."""
    policy = make(DIM)
    train(policy, 10)
    candidates = world()
    level = policy.plan(candidates).level
    given = policy.probabilities(candidates, np.random.default_rng(2), level=level)
    own = policy.probabilities(candidates, np.random.default_rng(2))
    require(np.array_equal(given, own), "probabilities at the plan's level must be the policy's own")
    require(policy.plan(candidates).scores.shape == (N,), "a plan scores every candidate")


def check_level_0_is_exploit_only(make: MakePolicy) -> None:
    """At level 0 the items of the highest score share all but a floor, which is the same for each of the rest."""
    policy = make(DIM)
    train(policy, 3)
    candidates = world()
    scores = policy.plan(candidates).scores
    pmf = policy.probabilities(candidates, np.random.default_rng(2), level=0.0)
    best = scores >= scores.max() - 1e-9
    require(bool(np.ptp(pmf[best]) < 1e-9), "the best items must share alike at level 0")
    others = pmf[~best]
    require(
        not len(others) or bool(np.ptp(others) < 1e-9 and pmf[best].min() > others.max()),
        "at level 0 all but a floor must be on the items of the highest score",
    )


def check_pages_are_its_own_answers(make: MakePolicy) -> None:
    """Slot by slot a page is what `probabilities` says: of the first slot, and at level 0 of what is left."""
    policy = make(DIM)
    train(policy, 10)
    candidates = world()
    for level in (policy.plan(candidates).level, 0.0):
        ask = slots_of(policy, candidates, np.random.default_rng(2), level)
        first = policy.probabilities(candidates, np.random.default_rng(2), level=level)
        require(np.array_equal(ask(())[1], first), "a page's first slot must be what `probabilities` says")
    left, pmf = ask((3, 0))
    _, asked = rest(candidates, (3, 0))
    alone = policy.probabilities(asked, np.random.default_rng(2), level=0.0)
    require(
        left.tolist() == [row for row in range(N) if row not in (0, 3)], "what is left is not on the page"
    )
    require(bool(np.allclose(pmf, alone, atol=1e-9)), "a later slot must be the answer on what is left")


def check_state_round_trip(make: MakePolicy) -> None:
    """Through safetensors and back: the same state, the same answers, and the same learning from then on."""
    for turns in (0, 2, 60):
        policy = make(DIM)
        train(policy, turns)
        twin = type(policy).from_state(load(save(dict(policy.state()))))
        require(equal_states(policy.state(), twin.state()), f"state changed on the way, after {turns} turns")
        _require_alike(policy, twin, f"restored policy answers differently, after {turns} turns")
        train(policy, 4, first_seed=500)
        train(twin, 4, first_seed=500)
        require(
            equal_states(policy.state(), twin.state()),
            f"restored policy learns differently, after {turns} turns",
        )
        _require_alike(policy, twin, f"restored policy differs after learning on, after {turns} turns")


def check_bad_input_leaves_no_trace(make: MakePolicy) -> None:
    """Rewards that are no rewards raise InvalidInput and change nothing."""
    policy = make(DIM)
    train(policy, 4)
    decision = page(policy, world(), 1)
    before = {key: value.copy() for key, value in policy.state().items()}
    for bad in ([0.1, np.nan, 0.1], [0.1, np.inf, 0.1], [0.1, 0.2], [[0.1, 0.2, 0.3]], [0.1, 0.1, 5.0]):
        try:
            policy.update(decision, np.array(bad))
        except InvalidInput:
            require(equal_states(before, policy.state()), f"a refused update left a trace: {bad}")
        else:
            raise LawBroken(f"rewards {bad} must be refused with InvalidInput")


def check_update_order_is_irrelevant(make: MakePolicy) -> None:
    """Updates commute to the bit, whole pages or slot by slot."""
    decisions = [page(make(DIM), world(seed, user=USERS[seed % 3]), seed) for seed in range(12)]
    straight, backward, slots = make(DIM), make(DIM), make(DIM)
    for decision in decisions:
        straight.update(decision, reward_of(decision))
    for decision in reversed(decisions):
        backward.update(decision, reward_of(decision))
        for slot in reversed(range(K)):
            slots.update(decision.only([slot]), reward_of(decision)[[slot]])
    require(equal_states(straight.state(), backward.state()), "the order of the updates changed the state")
    require(equal_states(straight.state(), slots.state()), "a page learned slot by slot gives another state")


def check_retract_undoes_update(make: MakePolicy) -> None:
    """A retracted update never happened, to the bit."""
    policy = make(DIM)
    train(policy, 7)
    before = {key: value.copy() for key, value in policy.state().items()}
    for seed, user in ((90, "ann"), (91, "new")):
        decision = page(policy, world(user=user), seed)
        policy.update(decision, reward_of(decision))
        policy.retract(decision, reward_of(decision))
    require(equal_states(before, policy.state()), "retract did not undo update to the bit")


def check_forgotten_user_was_never_there(make: MakePolicy) -> None:
    """After `forget` the state equals one that never met the user, to the bit."""
    decisions = [page(make(DIM), world(seed, user=USERS[seed % 3]), seed) for seed in range(12)]
    policy, never = make(DIM), make(DIM)
    for decision in decisions:
        policy.update(decision, reward_of(decision))
        if decision.user_id != "bob":
            never.update(decision, reward_of(decision))
    policy.forget("bob")
    policy.forget("nobody")
    require(equal_states(policy.state(), never.state()), "a forgotten user left a trace")


def check_learns(make: MakePolicy) -> None:
    """The best item's share rises with feedback."""
    policy = make(DIM)
    before = np.mean([pmf_of(policy, world(user=user))[0] for user in USERS])
    train(policy, 150)
    after = np.mean([pmf_of(policy, world(user=user))[0] for user in USERS])
    require(after > before + 0.2, f"the best item's share must rise, went from {before:.2f} to {after:.2f}")


def check_exploration_does_not_grow(make: MakePolicy) -> None:
    """The distribution does not widen as more is known."""
    policy = make(DIM)
    train(policy, 10)
    early = np.mean([_entropy(pmf_of(policy, world(user=user), seed)) for user in USERS for seed in range(5)])
    train(policy, 300, first_seed=1000)
    late = np.mean([_entropy(pmf_of(policy, world(user=user), seed)) for user in USERS for seed in range(5)])
    require(
        late <= early + 1e-9, f"entropy must not grow with knowledge, went from {early:.2f} to {late:.2f}"
    )


CHECKS_POLICY: tuple[PolicyCheck, ...] = (
    check_pmf,
    check_support,
    check_sampling_matches_pmf,
    check_inverse_propensity_is_unbiased,
    check_slate,
    check_slots_are_conditional,
    check_determinism,
    check_rng_is_the_only_randomness,
    check_candidate_order_is_irrelevant,
    check_asking_never_learns,
    check_level_is_obeyed,
    check_level_0_is_exploit_only,
    check_pages_are_its_own_answers,
    check_state_round_trip,
    check_bad_input_leaves_no_trace,
    check_update_order_is_irrelevant,
    check_retract_undoes_update,
    check_forgotten_user_was_never_there,
)
CHECKS_LEARNING: tuple[PolicyCheck, ...] = (check_learns, check_exploration_does_not_grow)


def _require_alike(policy: Policy, twin: Policy, law: str) -> None:
    for seed, user in enumerate((*USERS, "stranger")):
        candidates = world(seed, user=user)
        require(np.array_equal(pmf_of(policy, candidates, seed), pmf_of(twin, candidates, seed)), law)
        require(np.array_equal(policy.plan(candidates).scores, twin.plan(candidates).scores), law)


def _entropy(pmf: Floats) -> float:
    return float(-(pmf * np.log(pmf)).sum())

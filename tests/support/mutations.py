"""Privacy faults that a tired hand could make, each with the tests that must notice; run alone it prints the score.

A mutation is one change of the source: a text that stands there exactly once becomes another. It is tried on a copy of
the project, in a process of its own, which is forked from one that has read the libraries of others already. Every
named test must fail there, by an assertion or a refusal; a test that cannot even run has noticed nothing.
"""

import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_COPIED = ("recsys", "pipelines", "tests")
_IGNORED = shutil.ignore_patterns("bench", "browser", "integration", "node_modules", ".hypothesis")
_ELSEWHERE = 99  # exit code of a run in which not the copy was imported
_PATIENCE = 300  # seconds for the tests of one mutation
_LIBRARIES = (  # what the tests read most of; what they have started by then outlives a fork, or is not missed
    *("pytest", "hypothesis", "structlog.dev", "numpy", "scipy.stats", "polars", "pyarrow.compute", "dataframely"),
    *("sqlalchemy", "psycopg", "pandas", "sklearn.ensemble", "matplotlib.figure", "fastapi", "opendp.prelude"),
)

# Failures that show that the mutation broke the program, and not that a test noticed the fault.
_BROKEN = re.compile(r"\b(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError|UnboundLocalError)\b")


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Parameters
    ----------
    fault : str
        What is wrong then.
    file : str
        The source that is changed, from the project's root.
    old, new : str
        What stands there exactly once, and what takes its place.
    tests : tuple of str
        Node ids, from ``tests/`` on; all of them must fail.
    """

    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, source: str) -> str:
        """Return the source with the fault in it."""
        found = source.count(self.old)
        if found != 1:
            raise LookupError(
                f"{self.file} holds {found} times what {self.fault!r} changes, expected once: "
                "bring tests/support/mutations.py up to the code"
            )
        return source.replace(self.old, self.new)


def copy_project(folder: Path, mutation: Mutation | None = None) -> Path:
    """Copy what is needed to run tests, with a fault in it where one is given."""
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=_IGNORED)
    shutil.copy(ROOT / "pyproject.toml", folder)
    if mutation:
        file = folder / mutation.file
        file.write_text(mutation.mutated(file.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Outcome:
    """How the tests of a copy ended: pytest's exit code, and what it printed."""

    code: int | None
    printed: str


def run_tests(folder: Path, tests: Sequence[str]) -> Outcome:
    """Run tests against the copy in a folder."""
    (folder / "printed").touch()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LIBRARIES])
    process = context.Process(target=_run, args=(folder, tests))
    process.start()
    process.join(_PATIENCE)
    process.kill()
    process.join()
    return Outcome(process.exitcode, (folder / "printed").read_text(encoding="utf-8"))


def _run(folder: Path, tests: Sequence[str]) -> None:
    """Be pytest in the folder, once it is sure that the copy is what is tested."""
    printed = os.open(folder / "printed", os.O_WRONLY)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(printed, standard.fileno())
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("PYTEST", "COV_"))]:
        del os.environ[name]
    os.environ |= {"PYTHONPATH": str(folder), "COLUMNS": "400", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.path.insert(0, str(folder))
    packages = [importlib.import_module(name) for name in ("recsys", "pipelines")]
    if not all(Path(str(package.__file__)).is_relative_to(folder) for package in packages):
        sys.exit(_ELSEWHERE)
    hypothesis, pytest = (importlib.import_module(name) for name in ("hypothesis", "pytest"))
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("fault", deadline=None, phases=phases)
    hypothesis.settings.load_profile("fault")  # which asks whether a test fails, and not for the smallest example
    sys.exit(pytest.main(["-q", "--tb=line", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]))


def noticed(mutation: Mutation, folder: Path) -> str:
    """Try a mutation in an empty folder; return why it went unnoticed, or nothing where every test noticed it."""
    done = run_tests(copy_project(folder, mutation), mutation.tests)
    failed = re.findall(r"^FAILED (\S+.*)$", done.printed, flags=re.MULTILINE)
    silent = [test for test in mutation.tests if not any(line.startswith(f"tests/{test}") for line in failed)]
    broken = [line for line in failed if _BROKEN.search(line)]
    if done.code == 1 and failed and not silent and not broken:
        return ""
    return f"{mutation.fault}: exit {done.code}, silent {silent}, broken {broken}\n{done.printed}"


def score(mutations: Sequence[Mutation]) -> str:
    """Try all mutations, two at a time, and say how many were noticed, and which were not."""

    def tried(mutation: Mutation) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return noticed(mutation, Path(folder))

    with ThreadPoolExecutor(2) as pool:
        unnoticed = list(filter(None, pool.map(tried, mutations)))
    caught = len(mutations) - len(unnoticed)
    return "\n".join([*unnoticed, f"{caught} of {len(mutations)} mutations noticed ({caught / len(mutations):.0%})"])


NOISE, COUNTS, LEDGER = (
    "recsys/releases/counts/noise.py",
    "recsys/releases/counts/release.py",
    "recsys/releases/budget/ledger.py",
)
ACCOUNTS, PARTNER = "recsys/releases/budget/accounting.py", "recsys/releases/partner/partner_release.py"
CELLS, STORE = "recsys/cells/contributions.py", "recsys/cells/store.py"
EARNINGS, WEIGHTS = "recsys/cells/earnings.py", "recsys/weights.py"
PERMISSION, COARSENING = "recsys/arrivals/permission.py", "recsys/arrivals/coarsening.py"
HONEST = "attack/test_audit.py::test_the_code_as_it_is_keeps_its_promise_and_the_audit_comes_close_to_it"
ONCE, BOUNDED, DENIED = "attack/test_release_once.py", "unit/test_contributions.py", "attack/test_default_deny.py"
COUNTED, EARNED, FIGURES = "unit/test_release.py", "unit/test_earnings.py", "attack/test_evaluations.py"
WITNESSED, LOST = "attack/test_witness.py", "attack/test_lost_parts.py"
DISCLOSED = "unit/test_disclosure.py::test_what_is_left_over_is_nobody_or_many"

MUTATIONS: tuple[Mutation, ...] = (
    # Noise
    Mutation(
        "the noise is 0.8 times as wide",
        NOISE,
        "table, stream = _table(sigma_squared), _key_stream()",
        "table, stream = _table(0.64 * sigma_squared), _key_stream()",
        (HONEST, "unit/test_noise.py::test_moments_and_tails"),
    ),
    Mutation(
        "the noise is halved",
        COUNTS,
        "noisy = discrete_gaussian(size, sigma_squared=tier.sigma_squared * SQUARE)",
        "noisy = discrete_gaussian(size, sigma_squared=tier.sigma_squared * SQUARE) // 2",
        (HONEST,),
    ),
    Mutation(
        "the noise has a seed",
        NOISE,
        "algorithms.AES256(os.urandom(32))",
        'algorithms.AES256(b"2015" * 8)',
        (HONEST, "unit/test_noise.py::test_no_seed_repeats_a_draw", f"{ONCE}::test_no_seed_makes_two_releases_alike"),
    ),
    Mutation(
        "the tiers of a release share their noise",
        COUNTS,
        "        noisy = discrete_gaussian(size, sigma_squared=tier.sigma_squared * SQUARE)\n",
        "        shared = discrete_gaussian(1024, sigma_squared=1e4) if start == 0 else shared\n"
        "        noisy = np.resize(shared, size) * (tier.sigma_squared * SQUARE) ** 0.5 / 100\n"
        "        noisy = noisy.round().astype(np.int32)\n",
        (HONEST,),
    ),
    Mutation(
        "every block of draws repeats the first",
        NOISE,
        "part[:] = _invert(_words(stream, part.size), table, stream)",
        "part[:] = draws[: part.size] if start else _invert(_words(stream, part.size), table, stream)",
        ("unit/test_noise.py::test_blocks_do_not_repeat",),
    ),
    Mutation(
        "the tails of the noise are cut off",
        NOISE,
        "_TAIL = 14",
        "_TAIL = 3",
        ("unit/test_noise.py::test_the_table_is_the_distribution",),
    ),
    Mutation(
        "a draw that 64 bits leave open falls to one side",
        NOISE,
        "values[open_[i]] = bisect_right(table.cumulative, uniform) - table.bound",
        "values[open_[i]] = below[i] - table.bound",
        ("unit/test_noise.py::test_shortcuts_give_what_the_whole_table_gives",),
    ),
    Mutation(
        "the noise is made for a listener of one track",
        COUNTS,
        "math.nextafter(settings.most_per_night / (2 * rho), math.inf)",
        "math.nextafter(1 / (2 * rho), math.inf)",
        (HONEST, f"{COUNTED}::test_countries_and_the_world_are_counted_from_their_share_of_the_budget"),
    ),
    Mutation(
        "every tier has the whole budget",
        COUNTS,
        "_tier(name, rows, share * settings.rho_per_night, settings=settings)",
        "_tier(name, rows, settings.rho_per_night, settings=settings)",
        (HONEST, f"{COUNTED}::test_countries_and_the_world_are_counted_from_their_share_of_the_budget"),
    ),
    Mutation(
        "the world's noise is that of the whole budget",
        COUNTS,
        "return Tier(name, rows, rho, math.nextafter(",
        'return Tier(name, rows, rho, (0.1 if name == "world" else 1) * math.nextafter(',
        (HONEST, f"{COUNTED}::test_countries_and_the_world_are_counted_from_their_share_of_the_budget"),
    ),
    # Counts
    Mutation(
        "a listener is counted twice",
        COUNTS,
        'every.group_by("at").agg(weight.sum()',
        'every.group_by("at").agg((2 * weight).sum()',
        (HONEST, f"{COUNTED}::test_distinct_listeners_are_counted"),
    ),
    Mutation(
        "rows are counted, not listeners",
        COUNTS,
        "agg(weight.max(), least=",
        "agg(weight.sum(), least=",
        (f"{COUNTED}::test_distinct_listeners_are_counted",),
    ),
    Mutation(
        "nobody checks whether what is released is bounded",
        COUNTS,
        "    _check_bounds(own, night=night, settings=settings)\n",
        "",
        (f"{COUNTED}::test_unbounded_contributions_are_refused_before_anything_is_spent",),
    ),
    Mutation(
        "what was played on another night is counted",
        COUNTS,
        'filter(pl.col("weight") > 0, pl.col("night") == night)',
        'filter(pl.col("weight") > 0)',
        (f"{COUNTED}::test_what_does_not_count_is_ignored",),
    ),
    Mutation(
        "who adds nothing is one of the real listeners",
        COUNTS,
        'filter(pl.col("weight") > 0, pl.col("night") == night)',
        'filter(pl.col("night") == night)',
        (f"{COUNTED}::test_who_adds_nothing_is_no_listener",),
    ),
    Mutation(
        "a listener's tracks may weigh unevenly",
        COUNTS,
        " | uneven\n",
        "\n",
        (f"{COUNTED}::test_unbounded_contributions_are_refused_before_anything_is_spent[unevenly]",),
    ),
    Mutation(
        "the noise is that of whole listeners, on a grid of sixteenths",
        COUNTS,
        "sigma_squared=tier.sigma_squared * SQUARE)",
        "sigma_squared=tier.sigma_squared)",
        (HONEST, f"{COUNTED}::test_noise_is_drawn_in_sixteenths_for_every_track_and_total"),
    ),
    Mutation(
        "totals have no noise",
        COUNTS,
        "        noisy[at[here] - start] += weight[here]\n",
        "        noisy.reshape(-1, width)[:, -2:] = 0\n        noisy[at[here] - start] += weight[here]\n",
        (f"{COUNTED}::test_totals_have_noise_in_their_units_and_are_read_with_it",),
    ),
    Mutation(
        "only places where listeners were seen get noise",
        COUNTS,
        "    for tier, places in _blocks(tiers, length=max(1, _BLOCK // width)):\n",
        "    for tier, places in _blocks(tiers, length=1):\n"
        "        if not np.isin(row, start // width).any():\n"
        "            start += width\n"
        "            continue\n",
        (f"{COUNTED}::test_every_cell_has_noise",),
    ),
    Mutation(
        "what was played tonight is a candidate tonight",
        COUNTS,
        "    order = drawing_order(budget, atlas=atlas)\n    true = true_counts(",
        "    order = drawing_order(budget, atlas=atlas)\n"
        '    played = pl.concat(contributions).select("track_id").unique().collect()["track_id"]\n'
        "    everywhere = [i for i, track in enumerate(candidates.tracks) if track in played]\n"
        "    everywhere = np.union1d(candidates.everywhere, everywhere).astype(np.int32)\n"
        "    candidates = replace(candidates, everywhere=everywhere)\n"
        "    true = true_counts(",
        ("property/test_releases.py::test_a_release_has_each_rows_candidates_and_marks_all_else",),
    ),
    Mutation(
        "a message names the listeners who add too much",
        COUNTS,
        'f"{found} listeners add more than',
        "f\"{found} listeners ({', '.join(own['listener'])}) add more than",
        (f"{COUNTED}::test_unbounded_contributions_are_refused_before_anything_is_spent",),
    ),
    # Once
    Mutation(
        "a night that was released is drawn again",
        COUNTS,
        "    if folder.exists():\n        return _released_before",
        "    if not folder:\n        return _released_before",
        (f"{ONCE}::test_a_second_release_is_the_first_one",),
    ),
    Mutation(
        "the ledger never hears that a night was released",
        LEDGER,
        "        self.complete(entry.number, release=release, at=at)\n",
        "",
        (f"{ONCE}::test_a_deleted_release_is_not_drawn_again",),
    ),
    Mutation(
        "a release can be read although no witness knows of it",
        LEDGER,
        "            self._witness_drawn(entry.spend, release, at=at)\n        except",
        "            pass\n        except",
        (f"{WITNESSED}::test_a_backup_of_any_moment_never_draws_again",),
    ),
    Mutation(
        "of two copies that draw at once both are heard",
        LEDGER,
        "spend.as_json(), at=at, after=known)",
        "spend.as_json(), at=at)",
        (f"{WITNESSED}::test_of_two_live_copies_one_goes_on",),
    ),
    Mutation(
        "a restored backup is not compared with the witness",
        "recsys/releases/budget/witnessing.py",
        "    lost = compare(ledger, lines).lost\n    if lost:",
        "    lost = compare(ledger, lines).lost\n    if not lost:\n        return\n    if not lost:",
        (f"{LOST}::test_a_restored_backup_is_refused_then_charged_and_goes_on",),
    ),
    Mutation(
        "what was lost and is settled may be earned a second time",
        "pipelines/night/nightly.py",
        "    return max((entry.spend.night for entry in entries), default=None)",
        "    return max(job.releases.nights(), default=None)",
        (f"{LOST}::test_a_restored_backup_is_refused_then_charged_and_goes_on",),
    ),
    Mutation(
        "a lost listener key is made anew",
        "recsys/workspace.py",
        "if self.is_begun and not self.listener_key_file.exists():",
        "if self.is_begun and not self.root.exists():",
        ("unit/test_workspace.py::test_a_lost_listener_key_is_not_made_anew",),
    ),
    Mutation(
        "a key of any length is a key",
        "recsys/workspace.py",
        "    if len(found) != KEY_BYTES:",
        "    if len(found) > KEY_BYTES * 1000:",
        ("attack/test_lost_parts.py::test_a_damaged_token_key_is_no_key",),
    ),
    Mutation(
        "an empty consent log takes the place of a lost one",
        "recsys/consents/log.py",
        "if workspace.is_begun and log.is_unused():",
        "if workspace.is_begun and not log.is_unused():",
        (f"{LOST}::test_what_is_lost_stops_the_night_until_somebody_means_it",),
    ),
    Mutation(
        "a clock may be behind what was decided",
        "recsys/releases/budget/witnessing.py",
        "if last is not None and now + SKEW < last:",
        "if last is not None and now + SKEW * 1000 < last:",
        (f"{LOST}::test_a_clock_that_is_behind_is_refused_before_anything_is_read",),
    ),
    Mutation(
        "a release is not compared with what the ledger paid for",
        COUNTS,
        "    ledger.complete(entry.number, release=digest(folder / MANIFEST), at=now)  # a crash may",
        "    # a crash may",
        (f"{ONCE}::test_an_exchanged_release_is_noticed",),
    ),
    Mutation(
        "a release without an entry in the ledger passes",
        COUNTS,
        "    if entry is None:\n        raise PrivacyBudgetError(",
        "    if entry is None:\n        return folder\n    if entry is None:\n        raise PrivacyBudgetError(",
        (f"{COUNTED}::test_a_release_that_the_ledger_does_not_know_is_refused",),
    ),
    Mutation(
        "a spend may become another one",
        LEDGER,
        "        _refuse_changed(existing.spend, spend)\n",
        "",
        (f"{ONCE}::test_a_night_that_was_begun_is_not_begun_otherwise",),
    ),
    Mutation(
        "a night that was released is paid for, and drawn, again",
        LEDGER,
        "        _refuse_released(existing)\n",
        "",
        (f"{ONCE}::test_a_deleted_release_is_not_drawn_again",),
    ),
    Mutation(
        "a spend need not reach the disk",
        LEDGER,
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = OFF",
        (f"{ONCE}::test_a_spend_reaches_the_disk_and_not_only_the_cache",),
    ),
    Mutation(
        "the ledger forgets what was spent and never released",
        LEDGER,
        "FROM entries LEFT JOIN releases USING (number)",
        "FROM entries JOIN releases USING (number)",
        ("unit/test_ledger.py::test_an_entry_is_on_disk_when_commit_returns",),
    ),
    Mutation(
        "entries of the ledger can be deleted",
        LEDGER,
        "entry_kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append only')",
        "entry_kept BEFORE DELETE ON entries BEGIN SELECT 1",
        ("unit/test_ledger.py::test_what_was_written_stays",),
    ),
    Mutation(
        "two partner files may share a night",
        LEDGER,
        "        _refuse_other_period(existing, spend)\n",
        "",
        ("unit/test_ledger.py::test_a_night_is_in_one_period_at_most",),
    ),
    # Accounts
    Mutation(
        "the accountant forgets a release",
        ACCOUNTS,
        "for spend in sorted(nightly, key=",
        "for spend in sorted(nightly[1:], key=",
        ("unit/test_accounting.py::test_the_worst_listener_spends_as_much_as_the_bounds_allow_on_full_nights",),
    ),
    Mutation(
        "the bounds of now are taken for those of nights before",
        ACCOUNTS,
        'if "max_nights" in known:',
        'if "max_nights" in known and not known:',
        (
            "unit/test_accounting.py::test_nights_from_before_weights_were_earned_are_accounted_as_nights_in_full",
            "unit/test_accounting.py::test_the_caps_of_then_hold_for_the_nights_of_then",
        ),
    ),
    Mutation(
        "the accountant forgets the partner files",
        ACCOUNTS,
        "together([*others, *exposures])",
        "together(exposures)",
        ("unit/test_accounting.py::test_a_file_counts_in_every_window_that_it_has_a_night_in",),
    ),
    Mutation(
        "the accountant believes what a release says that it cost",
        ACCOUNTS,
        "return math.fsum(count / (2 * sigma_squared) for sigma_squared, count in self.counts)",
        "return math.fsum(1 / (2 * sigma_squared) for sigma_squared, _ in self.counts)",
        ("unit/test_accounting.py::test_rho_comes_from_the_noise_and_not_from_what_is_said",),
    ),
    Mutation(
        "the smaller of two epsilons is stated",
        ACCOUNTS,
        "return max(self.opendp, self.dp_accounting)",
        "return min(self.opendp, self.dp_accounting)",
        ("unit/test_accounting.py::test_the_accountants_agree_within_a_tenth_and_the_larger_is_stated",),
    ),
    Mutation(
        "a threshold that may fail costs nothing",
        ACCOUNTS,
        "left, added = delta - exposure.failure,",
        "left, added = delta,",
        ("unit/test_accounting.py::test_a_threshold_that_may_fail_costs_delta_and_a_little_epsilon",),
    ),
    # Bounds
    Mutation(
        "a listener is counted in two regions a night",
        CELLS,
        'both.join(_homes(parts, key=key), on="listener", how="left", maintain_order="left")',
        'both.with_columns(home=pl.col("part"))',
        (
            HONEST,
            f"{BOUNDED}::test_the_part_with_the_most_plays_is_the_listeners_and_only_what_was_played_there_counts",
        ),
    ),
    Mutation(
        "what was played elsewhere counts at home",
        CELLS,
        'pl.col("for_charts") & (pl.col("part") == pl.col("home")).fill_null(value=False)',
        'pl.col("for_charts")',
        (f"{BOUNDED}::test_the_part_with_the_most_plays_is_the_listeners_and_only_what_was_played_there_counts",),
    ),
    Mutation(
        "the choice needs no secret",
        CELLS,
        '"\\x1f".join(row).encode(), key=key, digest_size=16',
        '"\\x1f".join(row).encode(), digest_size=16',
        (f"{BOUNDED}::test_between_equal_parts_the_key_decides",),
    ),
    Mutation(
        "the cap looks at other listeners",
        CELLS,
        'pl.col("order").rank("ordinal").over("listener") <= limit',
        'pl.col("order").rank("ordinal") <= limit * pl.col("listener").n_unique()',
        (f"{BOUNDED}::test_other_listeners_change_nothing_in_a_partner_file",),
    ),
    Mutation(
        "what a night earns is doubled",
        EARNINGS,
        "(settings.most_per_28_nights * SQUARE - size) // 28",
        "(settings.most_per_28_nights * SQUARE - size) // 14",
        (
            f"{EARNED}::test_size_and_earnings_of_28_and_of_365_nights_come_to_their_bound_and_not_to_more",
            f"{EARNED}::test_who_plays_much_every_night_spends_what_a_window_allows_and_no_more",
        ),
    ),
    Mutation(
        "what a night of the year earns is doubled",
        EARNINGS,
        "(settings.most_per_365_nights * SQUARE - size) // 365",
        "(settings.most_per_365_nights * SQUARE - size) // 182",
        (
            f"{EARNED}::test_size_and_earnings_of_28_and_of_365_nights_come_to_their_bound_and_not_to_more",
            f"{EARNED}::test_who_plays_much_every_night_spends_what_a_window_allows_and_no_more",
        ),
    ),
    Mutation(
        "a bucket begins full",
        EARNINGS,
        "first = min(bucket.earning, bucket.size)",
        "first = bucket.size",
        (
            f"{EARNED}::test_a_first_night_has_one_nights_earnings_and_no_more",
            "property/test_bounds.py::test_being_forgotten_is_never_worth_anything",
        ),
    ),
    Mutation(
        "a bucket holds more than its size",
        EARNINGS,
        "grown = pl.min_horizontal(pl.col(name) + nights * bucket.earning, bucket.size)",
        "grown = pl.col(name) + nights * bucket.earning",
        (f"{EARNED}::test_no_bucket_holds_more_than_its_size",),
    ),
    Mutation(
        "what was spent is forgotten",
        EARNINGS,
        "(pl.col(name) - spent).cast(pl.Int32)",
        "pl.col(name).cast(pl.Int32)",
        (f"{EARNED}::test_every_night_is_earned_whoever_plays_or_not",),
    ),
    Mutation(
        "listeners pay from each other's buckets",
        EARNINGS,
        "played.join(balances, on=",
        'played.join(balances.with_columns(pl.col("listener").reverse()), on=',
        (f"{EARNED}::test_listeners_pay_from_their_own_balances", f"{BOUNDED}::test_other_listeners_change_nothing"),
    ),
    Mutation(
        "a track weighs more than one",
        EARNINGS,
        "for weight in range(1, FULL + 1)",
        "for weight in range(1, 2 * FULL + 1)",
        (
            f"{EARNED}::test_a_first_night_has_one_nights_earnings_and_no_more",
            f"{BOUNDED}::test_plays_are_summed_by_listener_and_track",
        ),
    ),
    Mutation(
        "all that was saved may be spent in a night",
        EARNINGS,
        "pl.min_horizontal(*_BOTH, settings.most_per_night * SQUARE)",
        "pl.min_horizontal(*_BOTH)",
        (HONEST, f"{EARNED}::test_a_night_costs_at_most_what_the_settings_say"),
    ),
    Mutation(
        "a night that was paid for has its balance again",
        EARNINGS,
        "pl.min_horizontal(name, 0)",
        "pl.col(name)",
        (
            f"{EARNED}::test_a_night_that_is_not_after_the_balance_has_nothing_and_leaves_it_no_larger",
            f"{BOUNDED}::test_a_night_that_is_not_after_the_balance_adds_nothing",
        ),
    ),
    Mutation(
        "a weight costs itself and not its square",
        WEIGHTS,
        "weight.cast(pl.Int64) ** 2 + own",
        "weight.cast(pl.Int64) + own",
        (HONEST, "unit/test_weights.py::test_parts_in_the_totals_are_an_eighth_of_tracks_and_a_32nd_of_weights"),
    ),
    Mutation(
        "totals are not paid for",
        WEIGHTS,
        "weight.cast(pl.Int64) ** 2 + own",
        "weight.cast(pl.Int64) ** 2",
        (
            "unit/test_weights.py::test_parts_in_the_totals_are_an_eighth_of_tracks_and_a_32nd_of_weights",
            f"{BOUNDED}::test_the_weight_of_a_night_is_the_largest_that_the_bound_of_a_night_allows",
        ),
    ),
    Mutation(
        "a night that is run again begins from its own balances",
        STORE,
        "sorted((self._folder(night) / _BALANCES)",
        "sorted((self._folder(max(self.nights())) / _BALANCES)",
        ("unit/test_store.py::test_a_night_that_is_run_again_begins_from_the_balances_of_the_night_before",),
    ),
    Mutation(
        "balances of buckets that do not come are forgotten",
        STORE,
        "if _bucket(path) not in came:",
        "if not came:",
        ("unit/test_store.py::test_buckets_that_do_not_come_keep_their_balances",),
    ),
    Mutation(
        "balances are kept for ever",
        STORE,
        'balances.filter(there | pl.any_horizontal(pl.col("of_28", "of_365") < 0))',
        "balances",
        ("unit/test_store.py::test_balances_of_who_was_not_there_for_as_long_as_nights_are_kept_are_gone",),
    ),
    Mutation(
        "a debt is forgotten with who was long away",
        STORE,
        'balances.filter(there | pl.any_horizontal(pl.col("of_28", "of_365") < 0))',
        "balances.filter(there)",
        ("unit/test_store.py::test_debts_are_kept_until_they_are_paid",),
    ),
    Mutation(
        "an erasure leaves balances",
        STORE,
        "for folder in (night, night / _BALANCES)]",
        "for folder in (night,)]",
        ("unit/test_store.py::test_erasure_removes_a_listener_from_every_byte_and_nobody_else",),
    ),
    Mutation(
        "an erasure leaves what a takeover brings back",
        STORE,
        "files = [*self._files_of(listener), before]",
        "files = self._files_of(listener)",
        ("unit/test_takeover.py::test_an_erasure_before_the_takeover_leaves_nothing_to_take_over",),
    ),
    Mutation(
        "nothing is owed for the nights before the takeover",
        "recsys/cells/takeover.py",
        "balance[by_night.get(night, _NOBODY)] -= paid",
        "balance[by_night.get(night, _NOBODY)] -= 0",
        (
            "unit/test_takeover.py::test_the_nights_on_which_listeners_counted_are_paid_for_after_the_fact",
            "property/test_bounds.py::test_a_store_from_before_goes_on_without_giving_anybody_more",
        ),
    ),
    Mutation(
        "an erasure leaves rows of older nights",
        STORE,
        "nights = [self._folder(night) for night in self.nights()]",
        "nights = [self._folder(night) for night in self.nights()[-1:]]",
        ("unit/test_store.py::test_erasure_removes_a_listener_from_every_byte_and_nobody_else",),
    ),
    Mutation(
        "private files are for everybody on the machine",
        STORE,
        "os.open(stage / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.open(stage / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)",
        ("unit/test_store.py::test_everything_is_for_its_owner_alone",),
    ),
    # At rest
    Mutation(
        "a private file may stand in the place of another",
        "recsys/sealed_files.py",
        "return self._below(path).encode()",
        'return b""',
        ("unit/test_sealed_files.py::test_a_file_in_the_place_of_another_does_not_open",),
    ),
    Mutation(
        "what somebody puts there plain is believed",
        "recsys/sealed_files.py",
        "all_sealed=True",
        "all_sealed=False",
        ("unit/test_sealed_files.py::test_files_of_before_are_read_until_all_are_sealed",),
    ),
    Mutation(
        "the keys of nights that are over stay",
        "pipelines/night/nightly.py",
        "    store.sealed.expire(night - ",
        "    (night - ",
        ("attack/test_at_rest.py::test_with_retention_the_keys_go",),
    ),
    Mutation(
        "a night's listens lie in its stage for everybody to read",
        STORE,
        "encryption=pl.ParquetEncryptionProperties(footer_key=key),",
        "",
        ("attack/test_at_rest.py::test_what_a_night_streams_to_its_stage_is_read_by_nobody",),
    ),
    # Consent
    Mutation(
        "consent reaches back",
        PERMISSION,
        'pl.col("played_at") >= pl.col("since"), ',
        "",
        (f"{DENIED}::test_consent_does_not_reach_back",),
    ),
    Mutation(
        "consent that was withdrawn counts for plays before",
        PERMISSION,
        'lasting = [pl.col(purpose) & pl.col(f"{purpose}_now") for purpose in _PURPOSES]',
        "lasting = [pl.col(purpose) for purpose in _PURPOSES]",
        (f"{DENIED}::test_withdrawn_now_means_never_counted_even_for_plays_made_while_it_was_given",),
    ),
    Mutation(
        "the place of a listen is known whatever was allowed",
        PERMISSION,
        "position = [pl.when(known).then(name).alias(name)",
        "position = [pl.col(name)",
        ("unit/test_permission.py::test_what_is_kept_follows_from_the_purposes",),
    ),
    Mutation(
        "a withdrawal is not heard in training",
        PERMISSION,
        'pl.col("trained") & pl.col("for_models"),',
        'pl.col("trained"),',
        ("unit/test_permission.py::test_stored_contributions_follow_the_state_of_now",),
    ),
    Mutation(
        "the night trains on what was stored, whatever is allowed now",
        "pipelines/mlflow/run_tags.py",
        "trained(still_allowed(rows, permissions=job.permissions))",
        "trained(rows)",
        ("attack/test_night.py::test_a_night_trains_on_what_is_allowed_now",),
    ),
    Mutation(
        "a lost ledger is begun anew",
        "recsys/releases/counts/release.py",
        "    check_accounted(releases, ledger=ledger, without=without)\n    for entry",
        "    for entry",
        ("attack/test_release_once.py::test_a_ledger_that_does_not_know_a_release_stops_the_night",),
    ),
    Mutation(
        "partner files of one night fall under the caps of nights",
        "recsys/releases/budget/accounting.py",
        "return entry.spend.purpose == CHARTS",
        "return entry.spend.first == entry.spend.night",
        ("unit/test_accounting.py::test_files_of_one_night_are_no_nights_of_the_caps",),
    ),
    Mutation(
        "a partner file without any guarantee is made",
        PARTNER,
        '    check_finite(figures["guarantees"], settings=settings)\n',
        "",
        ("unit/test_partner.py::test_settings_that_guarantee_nothing_are_refused_before_anything_is_spent",),
    ),
    Mutation(
        "of two decisions of one instant the yes counts",
        "recsys/consents/log.py",
        "return sa.func.min(_is_yes(",
        "return sa.func.max(_is_yes(",
        ("unit/test_consent_log.py::test_of_two_entries_of_one_instant_the_withdrawal_counts",),
    ),
    Mutation(
        "a longer consents file gives back who was erased",
        "recsys/consents/log.py",
        "return at > marked(listener) and not (given and",
        "return not (given and",
        ("unit/test_erasure.py::test_nothing_of_before_is_taken_in_again_once_it_is_done",),
    ),
    Mutation(
        "a restored log gives back what was withdrawn",
        "recsys/consents/log.py",
        "self._marks.record(about(entry.listener, entry.purpose), at=entry.at)",
        "pass",
        ("unit/test_erasure.py::test_a_log_of_before_brings_nothing_back_that_was_withdrawn",),
    ),
    Mutation(
        "a withdrawal waits for the clock",
        "recsys/consents/log.py",
        """return sa.or_(ENTRIES.c.at <= _given("until"), ENTRIES.c.state == _constant(f"'{State.WITHDRAWN}'"))""",
        'return ENTRIES.c.at <= _given("until")',
        ("unit/test_permission.py::test_allowed_means_at_the_time_of_the_play_and_still_now",),
    ),
    Mutation(
        "noise is drawn over who withdrew while the night was read",
        "pipelines/night/nightly.py",
        "(still_allowed(some, permissions=permissions) for some in store.batches(night)),",
        "store.batches(night),",
        ("attack/test_fresh_consent.py::test_who_says_no_at_a_step_is_in_nothing_after_it",),
    ),
    Mutation(
        "lists are published of who withdrew while they were made",
        "pipelines/night/personal_lists.py",
        "affinities.without(gone.to_list())",
        "affinities",
        ("attack/test_fresh_consent.py::test_who_says_no_at_a_step_is_in_nothing_after_it",),
    ),
    Mutation(
        "a listener's consents stay in the file's free pages",
        "recsys/consents/database.py",
        "secure_delete = ON",
        "secure_delete = OFF",
        ("unit/test_erasure.py::test_a_listener_is_gone_from_every_byte",),
    ),
    Mutation(
        "a listener is the user id itself",
        "recsys/workspace.py",
        "return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()",
        "return user_id",
        ("unit/test_workspace.py::test_a_listener_is_nothing_without_the_key",),
    ),
    Mutation(
        "a listener is a hash that anybody can compute",
        "recsys/workspace.py",
        "hashlib.blake2b(user_id.encode(), key=key, digest_size=16)",
        "hashlib.blake2b(user_id.encode(), digest_size=16)",
        ("unit/test_workspace.py::test_a_listener_is_nothing_without_the_key",),
    ),
    # The partner file
    Mutation(
        "an opt-out is not heard in the partner file",
        PERMISSION,
        'pl.when("for_partner").then("partner_part").alias("partner_part")',
        'pl.col("partner_part")',
        ("unit/test_permission.py::test_stored_contributions_follow_the_state_of_now",),
    ),
    Mutation(
        "a row of the partner file needs no real listeners but one",
        PARTNER,
        "enough = real[(listeners >= settings.min_listeners) & (track < len(tracks))]",
        "enough = real[track < len(tracks)]",
        ("attack/test_partner_rows.py::test_no_noise_lifts_a_row_that_too_few_listeners_stand_behind",),
    ),
    Mutation(
        "a row of the partner file needs no noisy count",
        PARTNER,
        "above = here[block.noisy[here] >= least]",
        "above = here",
        ("attack/test_partner_rows.py::test_enough_listeners_alone_are_no_row",),
    ),
    Mutation(
        "the partner file's threshold has no margin",
        "recsys/releases/partner/threshold.py",
        "-(-(settings.min_listeners + margin) // settings.rounding)",
        "-(-(settings.min_listeners + 1) // settings.rounding)",
        ("unit/test_partner.py::test_the_threshold_is_the_smallest_that_just_enough_listeners_hardly_reach",),
    ),
    Mutation(
        "a listener adds all its tracks to a partner file",
        CELLS,
        '_first(tracks, settings.max_tracks, by=("part", "listener", "track_id"), key=key)',
        "tracks",
        (f"{BOUNDED}::test_a_partner_file_has_one_part_and_a_few_tracks_of_a_listener",),
    ),
    Mutation(
        "a listener's tracks count in full in a partner file",
        CELLS,
        "weight=largest_weight(pl.lit(settings.most_per_file * SQUARE), night=night)",
        "weight=pl.lit(16, pl.UInt8)",
        (f"{BOUNDED}::test_the_more_tracks_a_partner_file_has_of_a_listener_the_less_each_weighs",),
    ),
    # Place
    Mutation(
        "a finer cell is stored",
        COARSENING,
        'polars_h3.latlng_to_cell("latitude", "longitude", resolution,',
        'polars_h3.latlng_to_cell("latitude", "longitude", resolution + 2,',
        ("unit/test_coarsening.py::test_a_position_becomes_the_cell_that_h3_gives",),
    ),
    Mutation(
        "a finer cell that came as such is stored",
        COARSENING,
        "finer = polars_h3.get_resolution(given) > resolution",
        "finer = polars_h3.get_resolution(given) > resolution + 1",
        ("unit/test_coarsening.py::test_a_finer_cell_becomes_its_ancestor",),
    ),
    Mutation(
        "a coarser cell is computed from a point, not from the finer cell",
        COARSENING,
        "polars_h3.cell_to_parent(given, resolution)",
        "polars_h3.latlng_to_cell(polars_h3.cell_to_lat(given), polars_h3.cell_to_lng(given), resolution)",
        ("unit/test_coarsening.py::test_an_ancestor_is_that_of_the_index_also_where_another_cell_lies_there",),
    ),
    Mutation(
        "positions stay in the coarse frame",
        COARSENING,
        "at_border(coarse.select(CoarseListens.column_names()), CoarseListens)",
        "coarse",
        ("unit/test_coarsening.py::test_there_is_no_column_for_a_position_or_an_instant_afterwards",),
    ),
    Mutation(
        "no border looks at columns",
        "recsys/schemas.py",
        "    if found != expected:\n",
        "    if found == expected and not found:\n",
        (f"{BOUNDED}::test_a_frame_with_a_position_does_not_cross_the_border",),
    ),
    Mutation(
        "resolution 7 can be asked for",
        "recsys/settings.py",
        "finest_resolution: Annotated[int, Field(ge=0, le=6)]",
        "finest_resolution: Annotated[int, Field(ge=0, le=7)]",
        ("unit/test_settings.py::test_what_does_not_fit_is_named",),
    ),
    # The edge
    Mutation(
        "the endpoint takes a finer cell",
        "recsys/geography/positions.py",
        "FINEST = 5",
        "FINEST = 6",
        ("attack/test_serving_position.py::test_a_cell_that_is_too_fine_is_refused_wherever_it_stands",),
    ),
    Mutation(
        "a location is used without local_trends",
        "recsys/serving/routes/trending.py",
        "cell=cell if choices.place else None",
        "cell=cell",
        ("attack/test_serving_consent.py::test_the_default_is_no",),
    ),
    Mutation(
        "consent is read from a cache",
        "recsys/serving/routes/trending.py",
        "return log.choices(listener, at=at)",
        "return log.__dict__.setdefault('known', {}).setdefault(listener, log.choices(listener, at=at))",
        ("attack/test_serving_consent.py::test_every_decision_counts_from_the_next_request",),
    ),
    Mutation(
        "plays choose without personalisation",
        "recsys/consents/log.py",
        "Choices(place, plays and not erased, feedback",
        "Choices(place, not erased, feedback",
        ("attack/test_trending.py::test_the_default_is_no_and_another_purpose_does_not_help",),
    ),
    Mutation(
        "plays choose until the night has erased them",
        "recsys/consents/log.py",
        "Choices(place, plays and not erased, feedback",
        "Choices(place, plays, feedback",
        ("attack/test_trending.py::test_an_erasure_counts_at_once_also_for_who_comes_back_before_it_is_done",),
    ),
    Mutation(
        "what is close to an erased listener stays on the disk",
        "recsys/artifacts/affinities.py",
        "write(files, affinities.without(listeners))",
        "write(files, affinities)",
        ("unit/test_affinities.py::test_an_erased_row_is_gone_and_all_others_stay",),
    ),
    Mutation(
        "everybody on the machine can read what is close to whom",
        "recsys/artifacts/affinities.py",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)",
        ("unit/test_affinities.py::test_only_the_owner_can_read_it",),
    ),
    # Figures of single listeners
    Mutation(
        "MLflow holds a line for each test listener",
        "pipelines/mlflow/logbook.py",
        '        "curve": evaluation.curve,\n',
        '        "curve": evaluation.curve,\n        "lines": evaluation.listeners,\n',
        (
            f"{FIGURES}::test_nobody_is_in_mlflow_by_hash_or_by_place_in_their_order",
            f"{FIGURES}::test_no_table_in_mlflow_has_a_line_for_each_listener",
        ),
    ),
    Mutation(
        "MLflow holds how many listeners a small history or region has",
        "recsys/models/evaluation/disclosure.py",
        "np.all(counts >= at_least, axis=1)",
        "np.all(counts >= 1, axis=1)",
        (f"{FIGURES}::test_no_count_of_few_listeners_is_in_mlflow", DISCLOSED),
    ),
    Mutation(
        "what is not told is the rest of what is",
        "recsys/models/evaluation/disclosure.py",
        "        told[group] = False\n",
        "",
        (f"{FIGURES}::test_no_count_of_few_listeners_follows_from_those_in_mlflow", DISCLOSED),
    ),
    Mutation(
        "the figures of three listeners are measured and logged",
        "recsys/models/evaluation/evaluation.py",
        "        if asked >= needed:\n",
        "        if asked:\n",
        ("unit/test_evaluation.py::test_of_a_few_listeners_nothing_is_measured",),
    ),
    Mutation(
        "what was measured of an erased listener stays on the disk",
        "pipelines/privacy/forget.py",
        "    evaluations.erase(store.sealed, listeners)\n",
        "",
        ("unit/test_evaluations.py::test_a_forgotten_listener_is_in_the_rows_of_no_run",),
    ),
    Mutation(
        "an experiment keeps who was forgotten while it ran",
        "pipelines/experiments/paired_runs.py",
        "still_personal(evaluation.listeners, permissions=job.permissions)",
        "evaluation.listeners",
        (f"{FIGURES}::test_who_is_forgotten_while_an_experiment_runs_is_not_in_what_it_keeps",),
    ),
    Mutation(
        "an erasure does not wait for who is writing",
        "recsys/cells/evaluations.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX)\n",
        "",
        ("unit/test_evaluations.py::test_an_erasure_waits_for_who_is_writing_and_then_finds_the_file",),
    ),
    Mutation(
        "who withdrew is compared all the same",
        "pipelines/experiments/paired_runs.py",
        "return still_personal(rows, permissions=permissions(log, now=self.now))",
        "return rows",
        ("unit/test_compare.py::test_who_does_not_allow_it_any_more_is_in_no_comparison",),
    ),
    Mutation(
        "figures of listeners are kept for good",
        "recsys/cells/evaluations.py",
        "if _night(folder) < first]",
        "if _night(folder) > night]",
        ("unit/test_evaluations.py::test_rows_go_with_the_last_night_of_their_data",),
    ),
    Mutation(
        "everybody on the machine can read the figures of listeners",
        "recsys/cells/evaluations.py",
        "replace_file(file, files.sealed(content.getvalue(), file), mode=0o600)",
        "replace_file(file, files.sealed(content.getvalue(), file))",
        ("unit/test_evaluations.py::test_only_the_owner_can_read_them",),
    ),
    # The log
    Mutation(
        "the access log holds the query",
        "recsys/serving/middleware/access_log.py",
        'route = state.get(ROUTE) or getattr(scope.get("route"), "path", None)',
        'route = scope["path"] + "?" + scope["query_string"].decode()',
        ("attack/test_serving_consent.py::test_neither_cell_nor_listener_nor_token_is_written_anywhere",),
    ),
    Mutation(
        "a token chooses how it is checked",
        "recsys/serving/auth/tokens.py",
        "if name not in (self.allowed or ()):",
        "if name not in self.algorithms:",
        ("attack/test_identity.py::test_all_the_attacks_get_the_same_bytes",),
    ),
    Mutation(
        "a remembered token outlives its key",
        "recsys/serving/auth/tokens.py",
        "if found is None or found.generation != self._keys.generation:",
        "if found is None:",
        ("unit/test_tokens.py::test_a_removed_key_stops_working_within_the_bound",),
    ),
    Mutation(
        "a remembered token outlives itself",
        "recsys/serving/auth/tokens.py",
        "if found.verified.not_before <= now < found.verified.expires else None",
        "",
        ("attack/test_identity.py::test_a_remembered_token_expires_all_the_same",),
    ),
    Mutation(
        "a request may be named after a cell",
        "recsys/serving/requests/request_id.py",
        "return bool(plain) and not _is_cell(text) and not holds_position(text)",
        "return bool(plain)",
        ("unit/test_serving_contract.py::test_a_name_that_could_be_something_else_is_replaced",),
    ),
    Mutation(
        "a request may be named after its listener",
        "recsys/serving/middleware/access_log.py",
        "            self.id = self._unlike(listener)\n",
        "            self.id = str(self._name)\n",
        ("unit/test_serving_contract.py::test_a_request_is_not_named_after_its_listener",),
    ),
    # The glue of a night
    Mutation(
        "candidates are what was heard tonight",
        "pipelines/night/nightly.py",
        "    candidates = _candidates(job, night)\n",
        "    candidates = _candidates(job, night)\n"
        '    heard = set(store.scan([night]).filter(pl.col("weight") > 0).collect()["track_id"])\n'
        "    kept = [number for number, track in enumerate(candidates.tracks) if track in heard]\n"
        '    everywhere = __import__("numpy").array(kept, dtype="int32")\n'
        "    candidates = type(candidates)(candidates.tracks, everywhere, {}, candidates.newcomers)\n",
        ("attack/test_twins.py::test_of_a_listener_nothing_shows_but_through_the_noise",),
    ),
    Mutation(
        "the log tells how much was contributed",
        "pipelines/night/nightly.py",
        'tell("night released", night=night.isoformat(), rows=tally.rows,',
        'tell("night released", night=night.isoformat(), rows=store.scan([night]).collect().height,',
        ("attack/test_twins.py::test_of_a_listener_nothing_shows_but_through_the_noise",),
    ),
    Mutation(
        "a night without enough listeners is not charted",
        "pipelines/night/nightly.py",
        "        found = charts_of.charts(nights, told=told)\n",
        '        weighed = job.store.scan(nights).filter(pl.col("weight") > 0).collect()\n'
        '        found = charts_of.charts(nights if weighed["listener"].n_unique() > 12 else nights[:1])\n',
        ("attack/test_twins.py::test_of_a_listener_nothing_shows_but_through_the_noise",),
    ),
    Mutation(
        "MLflow gets the numbers of the completeness gate",
        "pipelines/night/nightly.py",
        "            audited = _audit(job, run)\n",
        "            audited = _audit(job, run)\n"
        '            for file in (job.workspace.private / "nights").glob("*.delivery"):\n'
        '                run.text(file.read_text(), f"{file.stem}.json")\n',
        ("attack/test_twins.py::test_of_a_listener_nothing_shows_but_through_the_noise",),
    ),
    # Pictures
    Mutation(
        "a picture keeps what its file said",
        "recsys/serving/pictures/remaking.py",
        "return _small(anew, limits.bytes_)",
        "return content",
        ("unit/test_pictures.py::test_of_a_file_nothing_is_left_but_what_is_to_be_seen[JPEG]",),
    ),
    Mutation(
        "whatever stands behind a picture is let in",
        "recsys/serving/pictures/ends.py",
        "return _ENDS[format_](content) == len(content)",
        "return _ENDS[format_](content) <= len(content)",
        ("unit/test_pictures.py::test_what_is_a_picture_and_something_else_is_refused[zip-PNG]",),
    ),
    Mutation(
        "the process that draws can open files",
        "recsys/serving/pictures/remaking.py",
        "(resource.RLIMIT_NOFILE, 0),",
        "(resource.RLIMIT_NOFILE, 3),",
        ("unit/test_pictures.py::test_whoever_takes_over_the_process_can_open_nothing",),
    ),
    Mutation(
        "a picture is seen without the switch",
        "recsys/consents/log.py",
        "return content if self.allows(listener, Purpose.IMAGES, at=at) else None",
        "return content",
        ("unit/test_kept_pictures.py::test_under_a_notice_that_is_not_in_force_a_picture_waits_unseen[sqlite]",),
    ),
    Mutation(
        "a withdrawal leaves pictures",
        "recsys/consents/belongings.py",
        '"images": (PICTURES,)',
        '"images": (HIDDEN,)',
        ("unit/test_kept_pictures.py::test_a_withdrawal_takes_pictures_along_whichever_way_it_comes[sqlite-decided]",),
    ),
    Mutation(
        "an address made for anybody shows a profile picture",
        "recsys/serving/routes/images.py",
        "visible = asked.kind != PROFILE or asked.viewer == asked.owner or shares",
        "visible = True",
        (
            "attack/test_pictures.py::test_only_the_listeners_own_address_shows_a_profile_picture",
            "attack/test_sharing.py::test_an_address_that_a_friend_has_shows_nothing_once_it_ends[unshares]",
        ),
    ),
    Mutation(
        "an address never ends",
        "recsys/serving/requests/expiring.py",
        'if int.from_bytes(plain[:_EXPIRES], "big") * 60 <= now.timestamp():',
        'if int.from_bytes(plain[:_EXPIRES], "big") * 60 <= 0:',
        ("attack/test_pictures.py::test_an_address_ends_soon_and_is_good_for_nothing_else",),
    ),
    Mutation(
        "an address shows whatever picture is there now",
        "recsys/serving/routes/images.py",
        "at=now, edition=asked.edition)",
        "at=now)",
        ("attack/test_pictures.py::test_a_chosen_picture_is_shown_until_it_is_replaced_or_removed",),
    ),
    # Feedback
    Mutation(
        "feedback is kept of who withdrew meanwhile",
        "recsys/consents/log.py",
        "                raise not_allowed(purpose)\n",
        "                pass\n",
        ("attack/test_feedback.py::test_a_withdrawal_while_feedback_is_on_its_way_counts",),
    ),
    Mutation(
        "a withdrawal leaves what was told",
        "recsys/consents/log.py",
        "of = {entry.purpose.value: [entry.listener]} if entry.purpose in BELONGINGS else {}",
        "of: dict[str, list[str]] = {}",
        ("attack/test_feedback.py::test_a_withdrawal_between_list_and_feedback_counts_and_takes_what_was_told_along",),
    ),
    Mutation(
        "what is hidden stays so without the switch",
        "recsys/consents/log.py",
        "tracks if feedback else frozenset()",
        "tracks",
        ("unit/test_feedback.py::test_under_a_notice_that_is_not_in_force_it_waits_unused[sqlite]",),
    ),
    Mutation(
        "a list of one listener is good for another",
        "recsys/serving/lists/list_ids.py",
        'content = f"{listener} {snapshot}".encode()\n        return AESGCM',
        'content = f"{snapshot}".encode()\n        return AESGCM',
        ("attack/test_feedback.py::test_of_a_list_that_may_not_be_used_everybody_is_told_the_same",),
    ),
    Mutation(
        "two rankers share the list of who does not allow feedback",
        "recsys/serving/lists/trending.py",
        "known and is_known and choices.feedback",
        "known and is_known",
        ("attack/test_feedback.py::test_two_rankers_share_the_list_of_who_allows_feedback_and_of_nobody_else",),
    ),
    # Contacts
    Mutation(
        "somebody is a friend who does not allow it any more",
        "recsys/consents/log.py",
        "            if Purpose.CONTACTS in given:\n",
        "            if given is not None:\n",
        ("unit/test_contacts.py::test_a_lapsed_notice_ends_it_until_it_is_given_again[sqlite]",),
    ),
    Mutation(
        "one side is enough for a friend",
        "recsys/consents/contacts.py",
        "*met, told, *open_",
        "*met, *open_",
        ("unit/test_contacts.py::test_friends_are_who_told_of_each_other_in_whichever_order[sqlite]",),
    ),
    Mutation(
        "who is blocked is not heeded",
        "recsys/consents/contacts.py",
        "for who, whom in ((MINE, THEM), (THEM, MINE)))",
        "for who, whom in ((MINE, THEM),))",
        ("unit/test_contacts.py::test_a_block_holds_until_it_is_removed[sqlite]",),
    ),
    Mutation(
        "an erasure gives an allowance back",
        "recsys/consents/contacts.py",
        "max(microseconds(at), erased, held or 0)",
        "max(microseconds(at), held or 0)",
        ("unit/test_contacts.py::test_an_erasure_wins_nothing",),
    ),
    Mutation(
        "what is told of contacts costs nothing",
        "recsys/serving/routes/contacts.py",
        '"told", new, bounds',
        '"told", 0, bounds',
        ("attack/test_contacts.py::test_a_token_of_another_listener_makes_nobody_a_friend_and_costs_as_much",),
    ),
    Mutation(
        "what a friend plays counts who does not let it",
        "recsys/serving/lists/friends.py",
        "{friend.listener for friend in friends if friend.contributes}",
        "{friend.listener for friend in friends}",
        (
            "attack/test_friends_list.py::test_what_a_friend_ends_counts_from_the_next_request"
            "[lets plays not count-played it]",
        ),
    ),
    Mutation(
        "four friends are enough",
        "recsys/artifacts/recent_plays.py",
        "FEWEST_FRIENDS, FEWEST_PLAYED = 5, 3",
        "FEWEST_FRIENDS, FEWEST_PLAYED = 4, 3",
        ("attack/test_friends_list.py::test_what_a_friend_ends_counts_from_the_next_request[unfriends-did not]",),
    ),
    Mutation(
        "who shares tells of those who do not",
        "recsys/artifacts/recent_plays.py",
        "& (len(unknown) >= FEWEST_FRIENDS)",
        "& (len(unknown) + len(known) >= FEWEST_FRIENDS)",
        ("attack/test_sharing.py::test_only_who_shares_is_named_and_the_others_are_counted_by_themselves",),
    ),
    # The audit
    Mutation(
        "nobody heeds the audit",
        "pipelines/night/nightly.py",
        "    finding.confirm()\n",
        "",
        ("attack/test_night.py::test_a_night_whose_audit_fails_ends_there",),
    ),
    Mutation(
        "the audit contradicts nothing",
        "recsys/releases/verify/audit.py",
        "return self.found <= self.claimed",
        "return self.found <= self.claimed * self.clones",
        ("attack/test_audit.py::test_noise_that_hides_less_is_found[halved]",),
    ),
)


if __name__ == "__main__":
    print(score([mutation for mutation in MUTATIONS if all(word in mutation.fault for word in sys.argv[1:])]))

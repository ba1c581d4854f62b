"""Every privacy fault of the list is noticed by the tests that are named for it, and the code as it is passes them."""

from pathlib import Path

import pytest
from support.mutations import MUTATIONS, ROOT, Mutation, copy_project, noticed, run_tests


@pytest.mark.faults
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.fault)
def test_the_fault_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    assert noticed(mutation, tmp_path) == ""


@pytest.mark.faults
def test_the_code_as_it_is_passes_all_tests_of_the_list(tmp_path: Path) -> None:
    tests = sorted({test for mutation in MUTATIONS for test in mutation.tests})
    done = run_tests(copy_project(tmp_path), tests)
    assert done.code == 0, done.printed


def test_every_fault_is_another_one() -> None:
    assert len({mutation.fault for mutation in MUTATIONS}) == len(MUTATIONS) >= 26
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_mutation_that_no_longer_fits_the_code_is_an_error(tmp_path: Path) -> None:
    lost = Mutation("nothing", "recsys/consents/log.py", "no line of the code", "", ("unit/test_consent.py",))
    with pytest.raises(LookupError, match="holds 0 times what 'nothing' changes"):
        noticed(lost, tmp_path)


def test_a_program_that_is_broken_is_not_a_fault_that_was_noticed(tmp_path: Path) -> None:
    test = ("unit/test_workspace.py::test_a_listener_is_nothing_without_the_key",)
    name = "return hashlib.blake2b(user_id"
    assert name in (ROOT / "recsys/workspace.py").read_text()
    broken = Mutation("a name that does not exist", "recsys/workspace.py", name, "return nobody(user_id", test)
    harmless = Mutation("a comment", "recsys/workspace.py", f"    {name}", f"    # as ever\n    {name}", test)
    assert "NameError" in noticed(broken, tmp_path / "broken")
    assert "exit 0" in noticed(harmless, tmp_path / "harmless")
